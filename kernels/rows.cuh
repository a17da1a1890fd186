// Rows of activations by a split weight: y[m, n] = sum over taps and channels of x[source(m, tap), k] * w[n, tap, k].
// The implicit matrix product of forward and input gradient; nothing is copied out into patches.
#pragma once
#include "product.cuh"
#include "tail.cuh"

// Walks the depth: taps inner, chunks of channels outer, so that neighbouring taps find their pixels in L1.
struct Step {
    uint32_t a = 0, b = 0, c = 0;  // tap and first channel
    __device__ void next(const Rows& g) {
        if (++b < g.taps_wide) return;
        b = 0;
        if (++a < g.taps_high) return;
        a = 0, c += CHUNK;
    }
};

// The activation side: this thread's 16-byte vectors of a chunk, held in registers between global and shared memory.
template <class Form, class T> struct Activations {
    static constexpr int LANES = Form::LANES, VECTORS = CHUNK / Form::VECTOR / LANES;  // threads a row, vectors a thread and row
    static constexpr int COUNT = T::BM * LANES / T::THREADS, STRIDE = T::THREADS / LANES;  // rows a thread, and their distance
    int32_t row[COUNT];    // the source row at tap (0, 0), counted in stored frames or planes
    uint32_t place[COUNT]; // its (y, x) as two int16
    uint32_t bits[COUNT];
    uint4 held[COUNT][VECTORS];

    __device__ Activations(const Rows& g, uint32_t m0, uint32_t rows) {
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            const uint32_t local = threadIdx.x / LANES + i * STRIDE, m = local < rows ? m0 + local : 0;
            const uint32_t f = m % g.frames, pixel = m / g.frames, x = pixel % g.width, y = pixel / g.width % g.height;
            const uint32_t n = pixel / g.width / g.height;
            const int top = local < rows ? (int)(y * g.in_step) + g.in_top : -0x8000, left = (int)(x * g.in_step) + g.in_left;
            row[i] = (((int)(n * g.in_height) + top) * (int)g.in_width + left) * (int)Form::planes(g.frames) + (int)Form::plane(f);
            place[i] = (uint32_t)top << 16 | ((uint32_t)left & 0xffffu);
            bits[i] = Form::bits(f);
        }
    }
    __device__ void fetch(const Rows& g, const typename Form::Item* x, const Step& step) {
        const int down = g.tap_sign * (int)step.a, right = g.tap_sign * (int)step.b;
        const int far = (down * (int)g.in_width + right) * (int)Form::planes(g.frames);
        const uint32_t channel = step.c + threadIdx.x % LANES * Form::VECTOR;
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            const int py = ((int32_t)place[i] >> 16) + down, px = (int)(int16_t)place[i] + right;
            const bool inside = (uint32_t)py < g.in_height && (uint32_t)px < g.in_width;
            const typename Form::Item* from = x + (size_t)(uint32_t)(row[i] + far) * g.depth + channel;
#pragma unroll
            for (int v = 0; v < VECTORS; v++) {
                const int along = v * LANES * Form::VECTOR;
                const bool there = inside && channel + along < g.depth;
                held[i][v] = there ? __ldg(reinterpret_cast<const uint4*>(from + along)) : make_uint4(0, 0, 0, 0);
            }
        }
    }
    __device__ void store(unsigned char* tile) const {
        const int local = threadIdx.x / LANES, vector = threadIdx.x % LANES;
#pragma unroll
        for (int i = 0; i < COUNT; i++)
#pragma unroll
            for (int v = 0; v < VECTORS; v++)
                Form::template put<T::TA, Cells<CHUNK / 8>>(tile, T::A_TERM, local + i * STRIDE, vector + v * LANES, held[i][v], bits[i]);
    }
};

// The weight side, terms [TB][columns][kernel_height * kernel_width][depth rounded up to 8]: a chunk into a stage.
template <class T> DEVI void stream_weights(const Rows& g, const bf16* w, uint32_t n0, const Step& step, unsigned char* stage) {
    constexpr int COUNT = T::BN * 4 / T::THREADS, FAR = T::THREADS / 4;  // a term's cells of this thread, and their distance in columns
    const uint32_t local = threadIdx.x / 4, cell = threadIdx.x % 4, channel = step.c + cell * 8;
    const uint32_t tap = (g.tap_top + step.a * g.tap_step) * g.kernel_width + g.tap_left + step.b * g.tap_step;
    const uint32_t padded = (g.depth + 7) & ~7u, column = g.kernel_height * g.kernel_width * padded, term = g.columns * column;
    const uint32_t at = (n0 + local) * column + tap * padded + channel;
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
        const bool inside = n0 + local + i * FAR < g.columns && channel < padded;
        const uint32_t from = inside ? at + i * FAR * column : 0;
#pragma unroll
        for (int t = 0; t < T::TB; t++)
            cp_async16(stage + t * T::B_TERM + Cells<CHUNK / 8>::at((int)local + i * FAR, (int)cell), w + (from + t * term), inside);
    }
}

// One block: rows m_block * block_rows .., columns n_block * BN .. The grid runs over columns first, so that blocks in
// flight share their activations in L2. x: Form of [images, in_height, in_width, frames, depth].
// Shared memory: 2 * T::STAGE, and afterwards tail_bytes(BM, THREADS).
template <class Form, class T> DEVI void rows_product(const Rows& g, const typename Form::Item* x, const bf16* w, const Tail& tail) {
    extern __shared__ __align__(1024) unsigned char dyn_smem[];
    const uint32_t n_blocks = (g.columns + T::BN - 1) / T::BN, m_block = blockIdx.x / n_blocks, n0 = blockIdx.x % n_blocks * T::BN;
    const uint32_t m0 = m_block * g.block_rows, left = rows_of(g) - m0, rows = left < g.block_rows ? left : g.block_rows;
    int chunks = (int)(g.taps_high * g.taps_wide * ((g.depth + CHUNK - 1) / CHUNK));

    Activations<Form, T> activations(g, m0, rows);
    Step next;
    if (chunks > 0) {
        stream_weights<T>(g, w, n0, next, dyn_smem + T::TA * T::A_TERM);
        cp_async_commit();
        activations.fetch(g, x, next);
        activations.store(dyn_smem);
    }
    float sums[T::MT][T::NT][4];
    clear(sums);
    for (int stage = 0; chunks > 0; chunks--, stage ^= T::STAGE) {
        unsigned char* other = dyn_smem + (stage ^ T::STAGE);
        cp_async_wait<0>();
        __syncthreads();
        next.next(g);
        if (chunks > 1) {
            activations.fetch(g, x, next);
            stream_weights<T>(g, w, n0, next, other + T::TA * T::A_TERM);
        }
        cp_async_commit();
        multiply_chunk<T, true>(sums, dyn_smem + stage);
        if (chunks > 1) activations.store(other);
    }
    __syncthreads();

    float* staged = reinterpret_cast<float*>(dyn_smem);
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, m = warp / T::WARPS_N * T::WM, n = warp % T::WARPS_N * T::WN;
    for (int pass = 0; pass < T::BN / TAIL_COLUMNS && n0 + pass * TAIL_COLUMNS < g.columns; pass++) {
        if (n / TAIL_COLUMNS == pass) {
#pragma unroll
            for (int j = 0; j < T::NT; j++) {
                const int c = n % TAIL_COLUMNS + j * 8 + (lane & 3) * 2;
                const uint32_t column = n0 + pass * TAIL_COLUMNS + c;
                const float first = tail.bias && column < g.columns ? tail.bias[column] : 0.0f;
                const float second = tail.bias && column + 1 < g.columns ? tail.bias[column + 1] : 0.0f;
#pragma unroll
                for (int i = 0; i < T::MT; i++) {
                    float* to = staged + (m + i * 16 + (lane >> 2)) * TAIL_STRIDE + c;
                    store2(to, make_float2(sums[i][j][0] + first, sums[i][j][1] + second));
                    store2(to + 8 * TAIL_STRIDE, make_float2(sums[i][j][2] + first, sums[i][j][3] + second));
                }
            }
        }
        __syncthreads();
        finish<T::THREADS>(g, tail, staged, m0, rows, n0 + pass * TAIL_COLUMNS);
        if (tail.moments) finish_moments<T::THREADS, T::BM>(g, tail.moments, staged, rows, n0 + pass * TAIL_COLUMNS, m_block);
        else __syncthreads();
    }
}
