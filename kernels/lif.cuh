// What the neuron's kernels share: a thread has one neuron, or four neighbours, and a window of eight steps in registers;
// the way back through time, whatever the slopes are.
#pragma once
#include "neuron.cuh"
#include "normsums.cuh"
#include "route.cuh"
#include "surrogate.cuh"

constexpr int WINDOW = 8;
constexpr int THREADS = 256;
constexpr int BACK_THREADS = 128;  // backward holds two windows: up to 255 registers

// The neurons of a thread: their affine map (1 and 0 where scale and shift are null) and the layer's threshold.
template <int V> struct Cells {
    Pack<V> scale, shift;
    float leak, v_th;
};

template <int V> DEVI Cells<V> cells(const Seat& s, const float* scale, const float* shift, const float* v_th, const Dynamics& d) {
    Cells<V> n;
    n.scale = s.taken ? load_or<V>(scale, s.channel, 1.0f) : splat<V>(1.0f);
    n.shift = s.taken ? load_or<V>(shift, s.channel, 0.0f) : splat<V>(0.0f);
    n.leak = d.leak;
    n.v_th = *v_th;
    return n;
}

template <int V> DEVI Pack<V> current(const Cells<V>& n, const Pack<V>& y) {
    Pack<V> x;
#pragma unroll
    for (int i = 0; i < V; i++) x.at[i] = y.at[i] * n.scale.at[i] + n.shift.at[i];
    return x;
}

// The membranes u of one step from v before it, which moves beyond it.
template <int V> DEVI Pack<V> step(const Cells<V>& n, const Pack<V>& x, Pack<V>& v, bool soft) {
    Pack<V> u;
#pragma unroll
    for (int i = 0; i < V; i++) u.at[i] = neuron_step(x.at[i], v.at[i], n.leak, n.v_th, soft);
    return u;
}

// The first `count` frames at `from`, all loads in flight at once.
template <int V> DEVI void load_frames(Pack<V> (&to)[WINDOW], const float* from, uint32_t channels, int count) {
#pragma unroll
    for (int j = 0; j < WINDOW; j++) {
        if (j < count) to[j] = load<V>(from + (uint64_t)j * channels);
    }
}

DEVI int steps_from(uint32_t start, uint32_t steps) { return (int)min(steps - start, (uint32_t)WINDOW); }

// Where a pixel's numbers lie. `gradient` is null where no pool covers the pixel.
struct Site {
    const float *y, *gradient;
    uint64_t pixel;
    uint32_t channel;
};

DEVI Site site(const Route& r, const float* y, const float* dz, uint32_t pixel, uint32_t channel) {
    int64_t above = gradient_pixel(r, pixel);
    const float* gradient = above < 0 ? nullptr : dz + (uint64_t)above * r.gradient_frames * r.channels + channel;
    return {y + (uint64_t)pixel * r.frames * r.channels + channel, gradient, pixel, channel};
}

// The shares of the upstream gradient in a window that starts at step `start`.
template <int V>
DEVI void load_gradient(Pack<V> (&g)[WINDOW], const Route& r, const Site& at, uint32_t start, int count) {
    if (!at.gradient || r.gradient_frames == 1) {
        Pack<V> same = at.gradient ? load<V>(at.gradient) : splat<V>(0.0f);
#pragma unroll
        for (int j = 0; j < WINDOW; j++) g[j] = same;
    } else {
        load_frames<V>(g, at.gradient + (uint64_t)start * r.channels, r.channels, count);
    }
    if (r.quarters) {
#pragma unroll
        for (int j = 0; j < WINDOW; j++) {
            if (j < count) {
#pragma unroll
                for (int i = 0; i < V; i++) g[j].at[i] *= 0.25f;
            }
        }
    }
}

template <int V> DEVI void store_scaled(float* to, const Pack<V>& dx, const Pack<V>& scale, uint32_t scaled) {
    Pack<V> out;
#pragma unroll
    for (int i = 0; i < V; i++) out.at[i] = scaled ? dx.at[i] * scale.at[i] : dx.at[i];
    store<V>(to, out);
}

// Where slopes come from: `fetch` loads what a window of a pixel's steps needs, `at` gives the slopes of its step j with membranes u.
// This one: everywhere the same function of u - v_th.
template <int V> struct Fixed {
    Surrogate surrogate;
    __device__ void fetch(const Route&, const Site&, uint32_t, int) {}
    __device__ Pack<V> at(int, const Pack<V>& u, float v_th) const { return slopes<V>(surrogate, u, v_th); }
};

// One step back: from dv behind it to dv before it. `g` is the spikes' gradient and becomes the membrane's:
//   through = (g - dv*reset) * sigma;  g = through + dv*pass;  dv = leak*g;
// hard: reset u, pass [silent]; soft: reset v_th, pass 1. -dL/dv_th adds up in `threshold` (soft: dv where it fired, too).
template <int V>
DEVI void step_back(const Cells<V>& n, const Pack<V>& sigma, bool soft, const Pack<V>& u, Pack<V>& g, Pack<V>& dv,
    Pack<V>& threshold) {
#pragma unroll
    for (int i = 0; i < V; i++) {
        bool fired = u.at[i] >= n.v_th;
        float through = (g.at[i] - dv.at[i] * (soft ? n.v_th : u.at[i])) * sigma.at[i];
        g.at[i] = through + (fired && !soft ? 0.0f : dv.at[i]);
        threshold.at[i] -= through + (fired && soft ? dv.at[i] : 0.0f);
        dv.at[i] = n.leak * g.at[i];
    }
}

// Where backward's numbers go. dx has y's frames. `checkpoints`, [windows - 1, pixels, C], is not touched where T <= 8.
struct Back {
    float *checkpoints, *dx;
    uint32_t scaled;
};

// One pixel through time and back. Returns what it adds to dL/dv_th.
template <int V, bool HELD, bool SUMS, class By>
DEVI double through_time(const Route& r, const Dynamics& d, By& by, const Cells<V>& n, const Site& at, const Back& back,
                         Sums<V, SUMS>& sums) {
    const uint32_t windows = (d.steps + WINDOW - 1) / WINDOW;
    const uint64_t plane = (uint64_t)r.images * r.height * r.width * r.channels;
    float* checkpoint = back.checkpoints + at.pixel * r.channels + at.channel;
    float* dx = back.dx + at.pixel * r.frames * r.channels + at.channel;
    Pack<V> v = splat<V>(0.0f), y, held, u[WINDOW], g[WINDOW];
    if (HELD) {
        y = load<V>(at.y);
        held = current(n, y);
    }
    for (uint32_t k = 0; k + 1 < windows; k++) {
        if (!HELD) load_frames<V>(u, at.y + (uint64_t)k * WINDOW * r.channels, r.channels, WINDOW);
#pragma unroll
        for (int j = 0; j < WINDOW; j++) step<V>(n, HELD ? held : current(n, u[j]), v, d.soft);
        store<V>(checkpoint + (uint64_t)k * plane, v);
    }
    Pack<V> dv = splat<V>(0.0f), threshold = dv, sum = dv;
    for (uint32_t k = windows; k-- > 0;) {
        const uint32_t start = k * WINDOW;
        const int count = steps_from(start, d.steps);
        const float* frames = at.y + (uint64_t)start * r.channels;
        if (!HELD) load_frames<V>(u, frames, r.channels, count);
        load_gradient<V>(g, r, at, start, count);
        by.fetch(r, at, start, count);
        if (k + 1 < windows) v = k == 0 ? splat<V>(0.0f) : load<V>(checkpoint + (k - 1) * plane);
#pragma unroll
        for (int j = 0; j < WINDOW; j++) {
            if (j < count) u[j] = step<V>(n, HELD ? held : current(n, u[j]), v, d.soft);
        }
#pragma unroll
        for (int j = WINDOW - 1; j >= 0; j--) {
            if (j < count) {
                step_back<V>(n, by.at(j, u[j], n.v_th), d.soft, u[j], g[j], dv, threshold);
                if (HELD) sum = plus<V>(sum, g[j]);
            }
        }
#pragma unroll
        for (int j = 0; j < WINDOW; j++) {
            if (!HELD && j < count) {
                if (SUMS) add(sums, g[j], load<V>(frames + (uint64_t)j * r.channels));  // once more: the first-level cache has it
                store_scaled<V>(dx + (uint64_t)(start + j) * r.channels, g[j], n.scale, back.scaled);
            }
        }
    }
    if (HELD) {
        add(sums, sum, y);
        store_scaled<V>(dx, sum, n.scale, back.scaled);
    }
    double total = 0.0;
#pragma unroll
    for (int i = 0; i < V; i++) total += (double)threshold.at[i];
    return total;
}

// All pixels of a thread.
template <int V, bool SUMS, class By>
DEVI double backward(const Tiling& t, const Seat& s, const Route& r, const Dynamics& d, By by, const Cells<V>& n, const float* y,
                     const float* dz, const Back& back, Sums<V, SUMS>& sums) {
    double threshold = 0.0;
    for (uint32_t pixel = s.first; pixel < t.items; pixel += s.stride) {
        Site at = site(r, y, dz, pixel, s.channel);
        if (r.frames == 1) threshold += through_time<V, true, SUMS>(r, d, by, n, at, back, sums);
        else threshold += through_time<V, false, SUMS>(r, d, by, n, at, back, sums);
    }
    return threshold;
}
