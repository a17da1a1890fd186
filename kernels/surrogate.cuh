// Surrogate derivatives of the spike (METHOD section 1; src/ops/lif/surrogate.rs).
#pragma once
#include "vec.cuh"

// By kind: 0 height * max(0, width - |u|), 1 height * exp(-width*|u|), 2 height where |u| < width, 3 height.
struct Surrogate {
    uint32_t kind;
    float width, height;
};

// The derivative at u - threshold. The kind is asked once for all lanes: every thread of a launch gives the same answer.
template <int V> DEVI Pack<V> slopes(const Surrogate& s, const Pack<V>& u, float threshold) {
    Pack<V> r;
#pragma unroll
    for (int i = 0; i < V; i++) r.at[i] = fabsf(u.at[i] - threshold);
    if (s.kind == 0) {
#pragma unroll
        for (int i = 0; i < V; i++) r.at[i] = fmaxf(s.width - r.at[i], 0.0f) * s.height;
    } else if (s.kind == 1) {
#pragma unroll
        for (int i = 0; i < V; i++) r.at[i] = expf(r.at[i] * -s.width) * s.height;
    } else if (s.kind == 2) {
#pragma unroll
        for (int i = 0; i < V; i++) r.at[i] = r.at[i] < s.width ? s.height : 0.0f;
    } else {
        r = splat<V>(s.height);
    }
    return r;
}
