// One number or four neighbours at a time: four where the channels allow it, so that a thread moves 16 bytes.
#pragma once
#include "gpu.cuh"

// Numbers a thread handles in an elementwise kernel whose rows have `channels` numbers; ops/launch.rs has the twin.
DEVI uint32_t lanes_of(uint32_t channels) { return channels % 4 == 0 ? 4 : 1; }

template <int V> struct Pack { float at[V]; };

template <int V> DEVI Pack<V> load(const float* from) {
    Pack<V> r;
    if constexpr (V == 4) {
        float4 q = *reinterpret_cast<const float4*>(from);
        r.at[0] = q.x; r.at[1] = q.y; r.at[2] = q.z; r.at[3] = q.w;
    } else {
        r.at[0] = *from;
    }
    return r;
}

template <int V> DEVI void store(float* to, const Pack<V>& p) {
    if constexpr (V == 4) {
        *reinterpret_cast<float4*>(to) = make_float4(p.at[0], p.at[1], p.at[2], p.at[3]);
    } else {
        *to = p.at[0];
    }
}

template <int V> DEVI Pack<V> splat(float value) {
    Pack<V> r;
#pragma unroll
    for (int j = 0; j < V; j++) r.at[j] = value;
    return r;
}

// A per-channel vector, or a constant where there is none.
template <int V> DEVI Pack<V> load_or(const float* from, uint32_t channel, float otherwise) {
    return from ? load<V>(from + channel) : splat<V>(otherwise);
}

template <int V> DEVI Pack<V> plus(const Pack<V>& a, const Pack<V>& b) {
    Pack<V> r;
#pragma unroll
    for (int j = 0; j < V; j++) r.at[j] = a.at[j] + b.at[j];
    return r;
}

template <int V> DEVI Pack<V> product(const Pack<V>& a, const Pack<V>& b) {
    Pack<V> r;
#pragma unroll
    for (int j = 0; j < V; j++) r.at[j] = a.at[j] * b.at[j];
    return r;
}
