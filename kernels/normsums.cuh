// What a normalisation's backward sums over the rows: dx (its bias's gradient) and dx times the normalised y (its weight's).
#pragma once
#include "channels.cuh"

constexpr double EPSILON = 1e-5;

DEVI float inverse_deviation(float variance) { return (float)(1.0 / sqrt((double)variance + EPSILON)); }

// The sums of a thread's channels and the moments they need; without SUMS nothing.
template <int V, bool SUMS> struct Sums {};
template <int V> struct Sums<V, true> {
    Pack<V> mean, inverse;
    double sums[2][V];
};

template <int V> DEVI Sums<V, true> sums_of(const Seat& s, const float* mean, const float* variance) {
    Sums<V, true> r = {};
    if (!s.taken) return r;
    r.mean = load<V>(mean + s.channel);
    r.inverse = load<V>(variance + s.channel);
#pragma unroll
    for (int i = 0; i < V; i++) r.inverse.at[i] = inverse_deviation(r.inverse.at[i]);
    return r;
}

template <int V> DEVI void add(Sums<V, true>& s, const Pack<V>& dx, const Pack<V>& y) {
#pragma unroll
    for (int i = 0; i < V; i++) {
        s.sums[0][i] += (double)dx.at[i];
        s.sums[1][i] += (double)(dx.at[i] * ((y.at[i] - s.mean.at[i]) * s.inverse.at[i]));
    }
}
template <int V> DEVI void add(Sums<V, false>&, const Pack<V>&, const Pack<V>&) {}
