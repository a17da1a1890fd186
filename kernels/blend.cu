// Weighted sums: out = of_a * a + of_b * b, in f64 from 0 on, rounded to f32 once. b may be null.
// Floor: 8 bytes a number, 12 with b.
#include "flat.cuh"

KERNEL(blend_sum, 256, 4, const float* a, double of_a, const float* b, double of_b, float* out, uint64_t count) {
    uint64_t i = flat_index();
    if (i >= count) return;
    Pack<4> first = load_four(a, i, count), second = b ? load_four(b, i, count) : splat<4>(0.0f), sum;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        double s = 0.0 + of_a * (double)first.at[j];
        if (b) s += of_b * (double)second.at[j];
        sum.at[j] = (float)s;
    }
    store_four(out, i, count, sum);
}
