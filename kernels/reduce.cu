// Tensors to single numbers. Sums are f64: each thread walks its numbers, a block adds its threads, the finish adds the blocks,
// all in a fixed order that depends on the count alone.
// Floor: 4 bytes a number.
#include "flat.cuh"

enum Term { VALUE, SQUARE };

template <Term TERM> DEVI void partial(const float* x, uint64_t count, double factor, double* partials) {
    uint64_t stride = (uint64_t)gridDim.x * blockDim.x * 4;
    double sum = 0.0;
    for (uint64_t i = flat_index(); i < count; i += stride) {
        Pack<4> four = load_four(x, i, count);
#pragma unroll
        for (int j = 0; j < 4; j++) sum += TERM == SQUARE ? (double)four.at[j] * (double)four.at[j] : (double)four.at[j];
    }
    sum = block_sum<256>(sum);
    if (threadIdx.x == 0) partials[blockIdx.x] = factor * sum;
}

// partials[block] = factor * the block's share of the sum of x. Blocks of 256.
KERNEL(reduce_sum, 256, 4, const float* x, uint64_t count, double factor, double* partials) {
    partial<VALUE>(x, count, factor, partials);
}

// The same of squares.
KERNEL(reduce_squares, 256, 4, const float* x, uint64_t count, double factor, double* partials) {
    partial<SQUARE>(x, count, factor, partials);
}

// out[0] = the sum of `count` partials. One block of 256.
KERNEL(reduce_finish, 256, 1, const double* partials, uint32_t count, float* out) {
    double sum = 0.0;
    for (uint32_t i = threadIdx.x; i < count; i += 256) sum += partials[i];
    sum = block_sum<256>(sum);
    if (threadIdx.x == 0) out[0] = (float)sum;
}

// flags[at], 1 before, becomes 0 where an x is NaN or infinite.
KERNEL(reduce_finite, 256, 4, const float* x, uint64_t count, uint32_t* flags, uint32_t at) {
    uint64_t stride = (uint64_t)gridDim.x * blockDim.x * 4;
    bool all = true;
    for (uint64_t i = flat_index(); i < count; i += stride) {
        Pack<4> four = load_four(x, i, count);
#pragma unroll
        for (int j = 0; j < 4; j++) all = all && (__float_as_uint(four.at[j]) & 0x7fffffffu) < 0x7f800000u;
    }
    if (!all) atomicMin(&flags[at], 0u);
}
