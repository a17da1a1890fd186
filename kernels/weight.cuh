// The weight gradient: dw[co, tap, ci] = sum over rows m of dy[m, co] * x[source(m, tap), ci]. Results are co by (tap, ci), the
// depth is the rows of dy, cut into splits that blocks sum by themselves; conv_weight_sum adds the splits in order, in f64.
#pragma once
#include "product.cuh"

// The convolution (the Rust struct of the same name).
struct Geometry {
    uint32_t images, frames, in_height, in_width, in_channels, out_height, out_width, out_channels;
    uint32_t kernel_height, kernel_width, stride, pad;
};

// The rows of dy [images, out_height, out_width, frames], and how many of them a split takes (a multiple of CHUNK).
struct Splits {
    Geometry g;
    Divisor frames, width, height;  // of the output
    uint32_t rows, split_rows;
};

DEVI uint32_t columns_of(const Geometry& g) { return g.kernel_height * g.kernel_width * g.in_channels; }

// A column (tap, ci) of the results as a thread reads it.
struct Column {
    uint32_t channel;
    int down, right;  // of the source pixel from (oh * stride, ow * stride)
    bool inside;
    __device__ Column(const Geometry& g, uint32_t column) {
        const uint32_t tap = column / g.in_channels;
        channel = column - tap * g.in_channels;
        down = (int)(tap / g.kernel_width) - (int)g.pad, right = (int)(tap % g.kernel_width) - (int)g.pad;
        inside = tap < g.kernel_height * g.kernel_width;
    }
    // The source pixel of row m and its frame, or -1 outside the image.
    __device__ int pixel(const Splits& s, uint32_t m, uint32_t& frame) const {
        uint32_t p, q, n;
        frame = split(m, s.frames, p);
        const int px = (int)(split(p, s.width, q) * s.g.stride) + right;
        const int py = (int)(split(q, s.height, n) * s.g.stride) + down;
        if (!inside || (uint32_t)py >= s.g.in_height || (uint32_t)px >= s.g.in_width) return -1;
        return ((int)n * (int)s.g.in_height + py) * (int)s.g.in_width + px;
    }
};

// The share of a block of BM x BN results: block b is tile b % tiles (columns first) of split b / tiles.
struct Share {
    uint32_t split, co, column, begin, end;
    __device__ Share(const Splits& s, uint32_t bm, uint32_t bn) {
        const uint32_t wide = (columns_of(s.g) + bn - 1) / bn, tiles = (s.g.out_channels + bm - 1) / bm * wide, tile = blockIdx.x % tiles;
        split = blockIdx.x / tiles, co = tile / wide * bm, column = tile % wide * bn;
        begin = split * s.split_rows, end = begin + s.split_rows < s.rows ? begin + s.split_rows : s.rows;
    }
};

// One operand on its way: COUNT vectors of a chunk of rows, WIDTH results wide, held between global and shared memory.
template <class Form, class T, int WIDTH> struct Passing {
    static constexpr int ACROSS = WIDTH / Form::VECTOR, COUNT = CHUNK * ACROSS / T::THREADS, STRIDE = T::THREADS / ACROSS;
    uint4 held[COUNT];
    uint32_t bits[COUNT];
    __device__ static uint32_t vector() { return threadIdx.x % ACROSS; }
    __device__ static uint32_t row(int i) { return threadIdx.x / ACROSS + i * STRIDE; }
    template <int TERMS> __device__ void store(unsigned char* tile) const {
#pragma unroll
        for (int i = 0; i < COUNT; i++) Form::template put<TERMS, Cells<WIDTH / 8>>(tile, WIDTH * CHUNK * 2, row(i), vector(), held[i],
            bits[i]);
    }
};

// x: Form of [images, in_height, in_width, frames, in_channels]; dy [rows, out_channels], a multiple of 4; partial
// [splits][out_channels][columns]. Shared memory: 2 * T::STAGE.
template <class Form, class T> DEVI void weight_product(const Splits& s, const typename Form::Item* x, const float* dy, float* partial) {
    extern __shared__ __align__(1024) unsigned char dyn_smem[];
    const Share share(s, T::BM, T::BN);
    Passing<Real, T, T::BM> up;
    Passing<Form, T, T::BN> down;
    const Column column(s.g, share.column + down.vector() * Form::VECTOR);
    const uint32_t co = share.co + up.vector() * Real::VECTOR;

    auto fetch = [&](uint32_t first) {
#pragma unroll
        for (int i = 0; i < up.COUNT; i++) {
            const uint32_t m = first + up.row(i);
            const bool inside = m < share.end && co < s.g.out_channels;
            up.held[i] = inside ? __ldg(reinterpret_cast<const uint4*>(dy + (size_t)m * s.g.out_channels + co)) : make_uint4(0, 0, 0, 0);
            up.bits[i] = 0;
        }
#pragma unroll
        for (int i = 0; i < down.COUNT; i++) {
            const uint32_t m = first + down.row(i);
            uint32_t frame = 0;
            const int pixel = m < share.end ? column.pixel(s, m, frame) : -1;
            const size_t at = ((size_t)(uint32_t)pixel * Form::planes(s.g.frames) + Form::plane(frame)) * s.g.in_channels + column.channel;
            down.held[i] = pixel >= 0 ? __ldg(reinterpret_cast<const uint4*>(x + at)) : make_uint4(0, 0, 0, 0);
            down.bits[i] = Form::bits(frame);
        }
    };
    auto store = [&](unsigned char* stage) {
        up.template store<T::TA>(stage);
        down.template store<T::TB>(stage + T::TA * T::A_TERM);
    };
    float sums[T::MT][T::NT][4];
    clear(sums);
    fetch(share.begin);
    store(dyn_smem);
    int stage = 0;
    for (uint32_t m = share.begin; m < share.end; m += CHUNK, stage ^= T::STAGE) {
        __syncthreads();
        if (m + CHUNK < share.end) fetch(m + CHUNK);
        multiply_chunk<T, false>(sums, dyn_smem + stage);
        if (m + CHUNK < share.end) store(dyn_smem + (stage ^ T::STAGE));
    }

    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, m = warp / T::WARPS_N * T::WM, n = warp % T::WARPS_N * T::WN;
    const uint32_t columns = columns_of(s.g);
    float* to = partial + (size_t)share.split * s.g.out_channels * columns;
#pragma unroll
    for (int i = 0; i < T::MT; i++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const uint32_t row = share.co + m + i * 16 + h * 8 + (lane >> 2);
#pragma unroll
            for (int j = 0; j < T::NT; j++) {
                const uint32_t c = share.column + n + j * 8 + (lane & 3) * 2;
                if (row < s.g.out_channels && c < columns) store2(to + (size_t)row * columns + c, make_float2(sums[i][j][2 * h],
                    sums[i][j][2 * h + 1]));
            }
        }
}
