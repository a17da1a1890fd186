// SGD with momentum, in place: b = momentum*b + (g + decay*p), p -= rate*b; before the first step b counts as 0 and is not read.
// Floor: 20 bytes a parameter (reads p, g, b; writes p, b), 16 at the first step.
#include "flat.cuh"

struct Rates {
    float rate, momentum, decay;
};
static_assert(sizeof(Rates) == 12, "as in src/ops/sgd/mod.rs");

KERNEL(sgd_step, 256, 4, Rates rates, uint32_t first, float* p, const float* g, float* b, uint64_t count) {
    uint64_t i = flat_index();
    if (i >= count) return;
    Pack<4> at = load_four(p, i, count), slope = load_four(g, i, count);
    Pack<4> speed = first ? splat<4>(0.0f) : load_four(b, i, count);
#pragma unroll
    for (int j = 0; j < 4; j++) {
        speed.at[j] = rates.momentum * speed.at[j] + (slope.at[j] + rates.decay * at.at[j]);
        at.at[j] -= rates.rate * speed.at[j];
    }
    store_four(b, i, count, speed);
    store_four(p, i, count, at);
}

// The projection to at least `floor`; NaN stays NaN.
KERNEL(sgd_at_least, 256, 4, float* p, float floor, uint64_t count) {
    uint64_t i = flat_index();
    if (i >= count) return;
    Pack<4> at = load_four(p, i, count);
#pragma unroll
    for (int j = 0; j < 4; j++) at.at[j] = at.at[j] < floor ? floor : at.at[j];
    store_four(p, i, count, at);
}
