// Products without tensor cores: any shape, any form, chains of fmaf in the order of the depth. The reference of the others,
// and the way of first layers (C_in = 1 or 3), where results are written faster than they could be multiplied slowly.
// A block of 256 threads makes 64 x 64 results, 4 x 4 a thread, a depth of 16 at a time.
#pragma once
#include "tail.cuh"
#include "weight.cuh"

constexpr int SIMT = 64, SIMT_DEPTH = 16, SIMT_STRIDE = SIMT + 4;

// One number of an activation: `pixel` of [pixels, frames, channels] in any form (0 numbers, 1 spikes, 2 quarters).
DEVI float number(const void* x, uint32_t form, uint32_t pixel, uint32_t frames, uint32_t frame, uint32_t channels, uint32_t channel) {
    if (form == 0) return static_cast<const float*>(x)[((size_t)pixel * frames + frame) * channels + channel];
    const size_t at = ((size_t)pixel * ((frames + 7) / 8) + frame / 8) * channels + channel;
    if (form == 1) return (float)(static_cast<const uint8_t*>(x)[at] >> frame % 8 & 1u);
    return (float)(static_cast<const uint32_t*>(x)[at] >> frame % 8 * 4 & 15u) * 0.25f;
}

// sums += a * b for the staged a, b [16][SIMT_STRIDE]: results 4 ty .. by 4 tx ..
DEVI void multiply_simt(float (&sums)[4][4], const float* a, const float* b, uint32_t ty, uint32_t tx) {
#pragma unroll
    for (int k = 0; k < SIMT_DEPTH; k++) {
        const float4 u = load4(a + k * SIMT_STRIDE + 4 * ty), v = load4(b + k * SIMT_STRIDE + 4 * tx);
        const float p[4] = {u.x, u.y, u.z, u.w}, q[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int j = 0; j < 4; j++) sums[i][j] = fmaf(p[i], q[j], sums[i][j]);
    }
}

// As rows_product, with the weight as it is: w[n * row_step + tap * tap_step + k * depth_step].
// Shared memory: tail_bytes(64, 256).
DEVI void rows_simt(const Rows& g, const void* x, uint32_t form, const float* w, uint32_t row_step, uint32_t tap_step, uint32_t depth_step,
                    const Tail& tail) {
    extern __shared__ __align__(1024) unsigned char dyn_smem[];
    float *a = reinterpret_cast<float*>(dyn_smem), *b = a + SIMT_DEPTH * SIMT_STRIDE;
    const uint32_t n_blocks = (g.columns + SIMT - 1) / SIMT, m_block = blockIdx.x / n_blocks, n0 = blockIdx.x % n_blocks * SIMT;
    const uint32_t m0 = m_block * g.block_rows, left = rows_of(g) - m0, rows = left < g.block_rows ? left : g.block_rows;
    const uint32_t depth = g.taps_high * g.taps_wide * g.depth;
    const uint32_t tid = threadIdx.x, k = tid % SIMT_DEPTH, local = tid / SIMT_DEPTH, ty = tid / 16, tx = tid % 16;
    float sums[4][4] = {};
    for (uint32_t k0 = 0; k0 < depth; k0 += SIMT_DEPTH) {
        const bool deep = k0 + k < depth;
        const uint32_t at = deep ? k0 + k : 0, step = at / g.depth, channel = at % g.depth, down = step / g.taps_wide,
            right = step % g.taps_wide;
        const uint32_t tap = (g.tap_top + down * g.tap_step) * g.kernel_width + g.tap_left + right * g.tap_step;
        for (uint32_t r = local; r < SIMT; r += 16) {
            float value = 0.0f;
            if (deep && r < rows) {
                const uint32_t m = m0 + r, f = m % g.frames, p = m / g.frames, j = p % g.width, i = p / g.width % g.height,
                    n = p / g.width / g.height;
                const int py = (int)(i * g.in_step) + g.in_top + g.tap_sign * (int)down,
                    px = (int)(j * g.in_step) + g.in_left + g.tap_sign * (int)right;
                if ((uint32_t)py < g.in_height && (uint32_t)px < g.in_width)
                    value = number(x, form, (n * g.in_height + (uint32_t)py) * g.in_width + (uint32_t)px, g.frames, f, g.depth, channel);
            }
            a[k * SIMT_STRIDE + r] = value;
            const bool inside = deep && n0 + r < g.columns;
            b[k * SIMT_STRIDE + r] = inside ? w[(size_t)(n0 + r) * row_step + (size_t)tap * tap_step + (size_t)channel * depth_step] : 0.0f;
        }
        __syncthreads();
        multiply_simt(sums, a, b, ty, tx);
        __syncthreads();
    }
    float* staged = reinterpret_cast<float*>(dyn_smem);
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const uint32_t column = n0 + 4 * tx + j;
        const float bias = tail.bias && column < g.columns ? tail.bias[column] : 0.0f;
#pragma unroll
        for (int i = 0; i < 4; i++) staged[(4 * ty + i) * TAIL_STRIDE + 4 * tx + j] = sums[i][j] + bias;
    }
    __syncthreads();
    finish<256>(g, tail, staged, m0, rows, n0);
    if (tail.moments) finish_moments<256, SIMT>(g, tail.moments, staged, rows, n0, m_block);
}

// As weight_product.
DEVI void weight_simt(const Splits& s, const void* x, uint32_t form, const float* dy, float* partial) {
    __shared__ __align__(16) float a[SIMT_DEPTH * SIMT_STRIDE];
    __shared__ __align__(16) float b[SIMT_DEPTH * SIMT_STRIDE];
    const Share share(s, SIMT, SIMT);
    const uint32_t tid = threadIdx.x, across = tid % SIMT, ty = tid / 16, tx = tid % 16, co = share.co + across, columns = columns_of(s.g);
    const Column column(s.g, share.column + across);
    float sums[4][4] = {};
    for (uint32_t m0 = share.begin; m0 < share.end; m0 += SIMT_DEPTH) {
        for (uint32_t k = tid / SIMT; k < SIMT_DEPTH; k += 256 / SIMT) {
            const uint32_t m = m0 + k;
            uint32_t frame = 0;
            const int pixel = m < share.end ? column.pixel(s, m, frame) : -1;
            a[k * SIMT_STRIDE + across] = m < share.end && co < s.g.out_channels ? dy[(size_t)m * s.g.out_channels + co] : 0.0f;
            b[k * SIMT_STRIDE + across] =
                pixel >= 0 ? number(x, form, (uint32_t)pixel, s.g.frames, frame, s.g.in_channels, column.channel) : 0.0f;
        }
        __syncthreads();
        multiply_simt(sums, a, b, ty, tx);
        __syncthreads();
    }
    float* to = partial + (size_t)share.split * s.g.out_channels * columns;
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const uint32_t row = share.co + 4 * ty + i, c = share.column + 4 * tx + j;
            if (row < s.g.out_channels && c < columns) to[(size_t)row * columns + c] = sums[i][j];
        }
}
