// What becomes of a block of products y before it leaves the chip: bias, statistics, and the normalised neuron behind it.
#pragma once
#include "neuron.cuh"

// Rows of products: which pixels are computed, where they go, and which pixels of the source each tap reads.
// Row m = ((n * height + i) * width + j) * frames + f is frame f of grid pixel (i, j) of image n. It becomes row
// (i * out_step + out_top, j * out_step + out_left) of the result; tap (a, b) of it reads source pixel
// (i * in_step + in_top + tap_sign * a, ...) and weight tap (tap_top + a * tap_step, ...).
//   forward:           step 1 of the result, in_step = stride, in_top = -pad, taps one by one, sign +1.
//   input gradient:    a launch for each of the stride^2 phases of the result's pixels: result step = stride, in_step 1,
//                      every stride-th tap from tap_top = (out_top + pad) % stride, sign -1. No tap is multiplied in vain.
struct Rows {
    uint32_t images, frames, height, width;
    uint32_t out_height, out_width, out_step, out_top, out_left;
    uint32_t in_height, in_width, in_step;
    int32_t in_top, in_left, tap_sign;
    uint32_t taps_high, taps_wide, tap_top, tap_left, tap_step, kernel_height, kernel_width;
    uint32_t depth;       // channels of the source
    uint32_t columns;     // channels of the result
    uint32_t block_rows;  // rows of a block: whole pixels (a multiple of frames) where a neuron follows
};

// The rows of a launch: below 2^31.
DEVI uint32_t rows_of(const Rows& g) { return g.images * g.height * g.width * g.frames; }

// The result's row that row m becomes.
DEVI size_t result_row(const Rows& g, uint32_t m) {
    if (g.out_step == 1 && g.height == g.out_height && g.width == g.out_width) return m;
    const uint32_t f = m % g.frames, pixel = m / g.frames, j = pixel % g.width, i = pixel / g.width % g.height,
        n = pixel / g.width / g.height;
    return (((size_t)n * g.out_height + i * g.out_step + g.out_top) * g.out_width + j * g.out_step + g.out_left) * g.frames + f;
}

// What is wanted of a product; every pointer may be null.
struct Tail {
    const float* bias;         // [columns], added to y
    float* y;                  // [rows, columns]
    double* moments;           // [columns][blocks of rows][2]: sum of y and of y^2 over the block's rows (norm_moments_finish adds them)
    const float *scale, *shift;  // [columns]: x = scale * y + shift for what follows
    const float* v_th;         // []
    uint8_t* spikes;           // [pixels, ceil(steps/8), columns]: the neuron's codes
    float* z;                  // [rows, columns]: max(x, 0)
    Dynamics dynamics;         // of the neuron
};

constexpr int TAIL_COLUMNS = 64;             // columns staged at once
constexpr int TAIL_STRIDE = TAIL_COLUMNS + 8;  // floats a staged row: two columns of eight rows meet all banks once
// Bytes of staging for BM rows, and of the partial moments behind it.
constexpr int tail_bytes(int rows, int threads) { return rows * TAIL_STRIDE * 4 + threads / TAIL_COLUMNS * 2 * TAIL_COLUMNS * 8; }

// A sum in two floats, hi + lo (Knuth): 48 bits on every GPU, where f64 units may be few.
struct Sum {
    float hi = 0.0f, lo = 0.0f;
    __device__ void add(float x) {
        const float total = hi + x, seen = total - hi;
        lo += (hi - (total - seen)) + (x - seen);
        hi = total;
    }
    __device__ double value() const { return (double)hi + (double)lo; }
};

// Writes what `tail` wants of `rows` staged rows from row m0 on, columns n0 .. n0 + 64. All threads of the block.
template <int THREADS> DEVI void finish(const Rows& g, const Tail& tail, const float* staged, uint32_t m0, uint32_t rows, uint32_t n0) {
    const uint32_t tid = threadIdx.x, columns = g.columns;
    const uint32_t wide = columns - n0 < TAIL_COLUMNS ? columns - n0 : TAIL_COLUMNS;
    if (tail.y && columns % 4 == 0) {
#pragma unroll 1
        for (uint32_t e = tid; e < rows * (TAIL_COLUMNS / 4); e += THREADS) {
            const uint32_t row = e / (TAIL_COLUMNS / 4), c = e % (TAIL_COLUMNS / 4) * 4;
            if (c < wide) store4(tail.y + result_row(g, m0 + row) * columns + n0 + c, load4(staged + row * TAIL_STRIDE + c));
        }
    } else if (tail.y) {
#pragma unroll 1
        for (uint32_t e = tid; e < rows * TAIL_COLUMNS; e += THREADS) {
            const uint32_t row = e / TAIL_COLUMNS, c = e % TAIL_COLUMNS;
            if (c < wide) tail.y[result_row(g, m0 + row) * columns + n0 + c] = staged[row * TAIL_STRIDE + c];
        }
    }
    const uint32_t c = tid % TAIL_COLUMNS, part = tid / TAIL_COLUMNS;
    constexpr uint32_t PARTS = THREADS / TAIL_COLUMNS;
    const float scale = tail.scale && c < wide ? tail.scale[n0 + c] : 1.0f, shift = tail.shift && c < wide ? tail.shift[n0 + c] : 0.0f;
    if (tail.spikes && c < wide) {
        const float v_th = *tail.v_th;
        const uint32_t steps = tail.dynamics.steps, pixels = rows / g.frames, planes = (steps + 7) / 8, first = m0 / g.frames;
#pragma unroll 1
        for (uint32_t p = part; p < pixels; p += PARTS) {
            float v = 0.0f;
            const float* y = staged + p * g.frames * TAIL_STRIDE + c;
#pragma unroll 1
            for (uint32_t plane = 0; plane < planes; plane++) {
                uint32_t code = 0;
                const uint32_t end = steps - plane * 8 < 8 ? steps - plane * 8 : 8;
                for (uint32_t t = 0; t < end; t++) {
                    const float x = y[g.frames == 1 ? 0 : (plane * 8 + t) * TAIL_STRIDE] * scale + shift;
                    const float u = neuron_step(x, v, tail.dynamics.leak, v_th, tail.dynamics.soft);
                    code |= (uint32_t)(u >= v_th) << t;
                }
                tail.spikes[((size_t)(first + p) * planes + plane) * columns + n0 + c] = (uint8_t)code;
            }
        }
    }
    if (tail.z && c < wide) {
#pragma unroll 1
        for (uint32_t row = part; row < rows; row += PARTS) {
            const float x = staged[row * TAIL_STRIDE + c] * scale + shift;
            tail.z[(size_t)(m0 + row) * columns + n0 + c] = x < 0.0f ? 0.0f : x;  // a NaN goes on
        }
    }
}

// The moments of the same rows, for m_block. Ends before the scratch behind the staging may be written again. All threads.
template <int THREADS, int BM> DEVI void finish_moments(const Rows& g, double* moments, float* staged, uint32_t rows, uint32_t n0,
    uint32_t m_block) {
    const uint32_t c = threadIdx.x % TAIL_COLUMNS, part = threadIdx.x / TAIL_COLUMNS;
    constexpr uint32_t PARTS = THREADS / TAIL_COLUMNS;
    const uint32_t m_blocks = (rows_of(g) + g.block_rows - 1) / g.block_rows;
    double* scratch = reinterpret_cast<double*>(staged + BM * TAIL_STRIDE);  // [PARTS][2][64]
    Sum sum, square;
#pragma unroll 1
    for (uint32_t row = part; row < rows; row += PARTS) {
        const float y = staged[row * TAIL_STRIDE + c], yy = y * y;
        sum.add(y);
        square.add(yy);
        square.lo += fmaf(y, y, -yy);
    }
    scratch[(part * 2 + 0) * TAIL_COLUMNS + c] = sum.value();
    scratch[(part * 2 + 1) * TAIL_COLUMNS + c] = square.value();
    __syncthreads();
    if (part < 2 && n0 + c < g.columns) {
        double total = 0.0;
        for (uint32_t p = 0; p < PARTS; p++) total += scratch[(p * 2 + part) * TAIL_COLUMNS + c];
        moments[((size_t)(n0 + c) * m_blocks + m_block) * 2 + part] = total;
    }
    __syncthreads();
}
