// The neuron at T = 0: z = max(0, scale*y + shift), and its gradient.
// Floor: forward reads and writes 4 bytes a number; backward reads y and dz (a quarter of it under a pool), writes dx.
#include "normsums.cuh"
#include "route.cuh"
#include "vec.cuh"

template <int V> DEVI void forward(const float* y, const float* scale, const float* shift, float* z, uint64_t i, uint32_t channels) {
    uint32_t c = i % channels;
    Pack<V> in = load<V>(y + i), s = load_or<V>(scale, c, 1.0f), b = load_or<V>(shift, c, 0.0f), out;
#pragma unroll
    for (int j = 0; j < V; j++) {
        float x = in.at[j] * s.at[j] + b.at[j];
        out.at[j] = x < 0.0f ? 0.0f : x;  // so that NaN goes on: training has to notice it
    }
    store<V>(z + i, out);
}

// scale and shift may be null (no normalisation).
KERNEL(relu_forward, 256, 4, const float* y, const float* scale, const float* shift, float* z, uint64_t count, uint32_t channels) {
    uint32_t lanes = lanes_of(channels);
    uint64_t i = ((uint64_t)blockIdx.x * blockDim.x + threadIdx.x) * lanes;
    if (i >= count) return;
    if (lanes == 4) forward<4>(y, scale, shift, z, i, channels);
    else forward<1>(y, scale, shift, z, i, channels);
}

template <int V>
DEVI void backward(const Route& r, const float* y, const float* scale, const float* shift, const float* dz, float* dx, uint64_t i,
    bool scaled) {
    uint32_t c = i % r.channels;
    uint64_t row = i / r.channels;
    uint32_t pixel = row / r.frames, t = row % r.frames;
    int64_t above = gradient_pixel(r, pixel);
    float share = r.quarters ? 0.25f : 1.0f;
    Pack<V> in = load<V>(y + i), s = load_or<V>(scale, c, 1.0f), b = load_or<V>(shift, c, 0.0f), out;
    Pack<V> up = above < 0 ? splat<V>(0.0f) : load<V>(dz + ((uint64_t)above * r.gradient_frames + t) * r.channels + c);
#pragma unroll
    for (int j = 0; j < V; j++) {
        float x = in.at[j] * s.at[j] + b.at[j];
        float g = up.at[j] * share;
        out.at[j] = x > 0.0f ? (scaled ? g * s.at[j] : g) : 0.0f;
    }
    store<V>(dx + i, out);
}

// dx of the current, or of y (times scale) where `scaled`. r.gradient_frames equals r.frames.
KERNEL(relu_backward, 256, 4, Route r, const float* y, const float* scale, const float* shift, const float* dz, float* dx,
    uint32_t scaled) {
    uint32_t lanes = lanes_of(r.channels);
    uint64_t count = (uint64_t)r.images * r.height * r.width * r.frames * r.channels;
    uint64_t i = ((uint64_t)blockIdx.x * blockDim.x + threadIdx.x) * lanes;
    if (i >= count) return;
    if (lanes == 4) backward<4>(r, y, scale, shift, dz, dx, i, scaled);
    else backward<1>(r, y, scale, shift, dz, dx, i, scaled);
}

template <int V>
DEVI void backward_norm(const Tiling& t, const Route& r, const float* y, const float* scale, const float* shift, const float* mean,
                        const float* variance, const float* dz, float* dx, bool scaled, double* room, double* partial) {
    Seat s = seat<V>(t);
    Sums<V, true> sums = sums_of<V>(s, mean, variance);
    Pack<V> a = s.taken ? load<V>(scale + s.channel) : splat<V>(1.0f), b = s.taken ? load<V>(shift + s.channel) : splat<V>(0.0f);
    const float share = r.quarters ? 0.25f : 1.0f;
    for (uint32_t row = s.first; row < t.items; row += s.stride) {
        const uint64_t at = (uint64_t)row * t.channels + s.channel;
        const int64_t above = gradient_pixel(r, row / r.frames);
        Pack<V> in = load<V>(y + at);
        Pack<V> g = above < 0 ? splat<V>(0.0f) : load<V>(dz + ((uint64_t)above * r.frames + row % r.frames) * t.channels + s.channel);
#pragma unroll
        for (int j = 0; j < V; j++) g.at[j] = in.at[j] * a.at[j] + b.at[j] > 0.0f ? g.at[j] * share : 0.0f;
        add(sums, g, in);
#pragma unroll
        for (int j = 0; j < V; j++) g.at[j] = scaled ? g.at[j] * a.at[j] : g.at[j];
        store<V>(dx + at, g);
    }
    write_sums<V, 2>(t, s, sums.sums, room, partial);
}

// ReLU and normalisation in one pass, items being pixels and frames: dx for norm_project to finish (batch statistics), or dy
// where `scaled` (constant ones); `partial` for norm_backward_finish.
KERNEL(relu_backward_norm, 256, 3, Tiling t, Route r, const float* y, const float* scale, const float* shift, const float* mean,
       const float* variance, const float* dz, float* dx, double* partial, uint32_t scaled) {
    __shared__ double room[2 * 4 * 256];
    if (lanes_of(t.channels) == 4) backward_norm<4>(t, r, y, scale, shift, mean, variance, dz, dx, scaled, room, partial);
    else backward_norm<1>(t, r, y, scale, shift, mean, variance, dz, dx, scaled, room, partial);
}
