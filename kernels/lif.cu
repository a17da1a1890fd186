// The spiking neuron through time: kernels/neuron.cuh, with x = scale*y + shift.
//
// A thread has one neuron, or four neighbours (16 bytes a load, four codes a store). Backward saves nothing of forward: a
// window of 8 steps of membranes is recomputed in registers and walked back. More steps are windows from the last to the first,
// with the membrane before each kept from one sweep ahead.
//
// Floors in bytes a number of the current (held: one for all T; then y and dx count once a neuron):
//   forward   reads 4, writes 1/8 (held: reads 4, writes T/8 a neuron; arithmetic, 5 operations a step, weighs as much)
//   backward  reads y 4 and dz 4 (a quarter under a pool, 1/T for one frame), writes dx 4; T > 8: y and v/8 once more
#include "lif.cuh"

template <int V, bool HELD, bool SOFT>
DEVI void forward(const Tiling& t, const Dynamics& d, const Seat& s, const Cells<V>& n, const float* y, uint8_t* codes) {
    const uint32_t windows = (d.steps + WINDOW - 1) / WINDOW;
    for (uint32_t pixel = s.first; pixel < t.items; pixel += s.stride) {
        const float* from = y + (uint64_t)pixel * (HELD ? 1 : d.steps) * t.channels + s.channel;
        uint8_t* to = codes + (uint64_t)pixel * windows * t.channels + s.channel;
        Pack<V> v = splat<V>(0.0f), held;
        if (HELD) held = current(n, load<V>(from));
        for (uint32_t k = 0; k < windows; k++) {
            const int count = steps_from(k * WINDOW, d.steps);
            Pack<V> frames[WINDOW];
            if (!HELD) load_frames<V>(frames, from + (uint64_t)k * WINDOW * t.channels, t.channels, count);
            uint32_t bits = 0;  // neuron i, step j: bit 8*i + j
#pragma unroll
            for (int j = 0; j < WINDOW; j++) {
                if (j < count) {
                    Pack<V> u = step<V>(n, HELD ? held : current(n, frames[j]), v, SOFT);
#pragma unroll
                    for (int i = 0; i < V; i++) bits |= u.at[i] >= n.v_th ? 1u << (8 * i + j) : 0u;
                }
            }
            uint8_t* plane = to + (uint64_t)k * t.channels;
            if (V == 4) *reinterpret_cast<uint32_t*>(plane) = bits;
            else *plane = (uint8_t)bits;
        }
    }
}

template <int V>
DEVI void forward(const Tiling& t, const Dynamics& d, const float* y, const float* scale, const float* shift, const float* v_th,
    uint8_t* codes, uint32_t held) {
    Seat s = seat<V>(t);
    Cells<V> n = cells<V>(s, scale, shift, v_th, d);
    if (held && d.soft) forward<V, true, true>(t, d, s, n, y, codes);
    else if (held) forward<V, true, false>(t, d, s, n, y, codes);
    else if (d.soft) forward<V, false, true>(t, d, s, n, y, codes);
    else forward<V, false, false>(t, d, s, n, y, codes);
}

// Items are pixels. y has one frame where `held`, else T. scale and shift may be null.
KERNEL(lif_forward, 256, 3, Tiling t, Dynamics d, const float* y, const float* scale, const float* shift, const float* v_th,
       uint8_t* codes, uint32_t held) {
    if (lanes_of(t.channels) == 4) forward<4>(t, d, y, scale, shift, v_th, codes, held);
    else forward<1>(t, d, y, scale, shift, v_th, codes, held);
}

template <int V>
DEVI double backward(const Tiling& t, const Route& r, const Dynamics& d, const Surrogate& surrogate, const float* y, const float* scale,
                     const float* shift, const float* v_th, const float* dz, const Back& back) {
    Seat s = seat<V>(t);
    Sums<V, false> none;
    return backward<V, false>(t, s, r, d, Fixed<V>{surrogate}, cells<V>(s, scale, shift, v_th, d), y, dz, back, none);
}

// dx of the current, or of y where `scaled` (1). thresholds: a sum a block, for lif_threshold.
KERNEL(lif_backward, 128, 2, Tiling t, Route r, Dynamics d, Surrogate surrogate, const float* y, const float* scale, const float* shift,
       const float* v_th, const float* dz, float* checkpoints, float* dx, double* thresholds, uint32_t scaled) {
    Back back = {checkpoints, dx, scaled};
    double sum = lanes_of(t.channels) == 4 ? backward<4>(t, r, d, surrogate, y, scale, shift, v_th, dz, back)
                                           : backward<1>(t, r, d, surrogate, y, scale, shift, v_th, dz, back);
    sum = block_sum<BACK_THREADS>(sum);
    if (threadIdx.x == 0) thresholds[blockIdx.y * gridDim.x + blockIdx.x] = sum;
}

template <int V>
DEVI double backward_norm(const Tiling& t, const Route& r, const Dynamics& d, const Surrogate& surrogate, const float* y,
    const float* scale, const float* shift, const float* mean, const float* variance, const float* v_th, const float* dz,
    const Back& back, double* room, double* partial) {
    Seat s = seat<V>(t);
    Sums<V, true> sums = sums_of<V>(s, mean, variance);
    double threshold = backward<V, true>(t, s, r, d, Fixed<V>{surrogate}, cells<V>(s, scale, shift, v_th, d), y, dz, back, sums);
    write_sums<V, 2>(t, s, sums.sums, room, partial);
    return threshold;
}

// Neuron and normalisation in one pass over the current: dx of the current for norm_project to finish (batch statistics), or
// dy where `scaled` (constant ones); `partial` for norm_backward_finish.
KERNEL(lif_backward_norm, 128, 2, Tiling t, Route r, Dynamics d, Surrogate surrogate, const float* y, const float* scale,
    const float* shift,
       const float* mean, const float* variance, const float* v_th, const float* dz, float* checkpoints, float* dx, double* thresholds,
       double* partial, uint32_t scaled) {
    __shared__ double room[2 * 4 * BACK_THREADS];
    Back back = {checkpoints, dx, scaled};
    double sum;
    if (lanes_of(t.channels) == 4) {
        sum = backward_norm<4>(t, r, d, surrogate, y, scale, shift, mean, variance, v_th, dz, back, room, partial);
    } else {
        sum = backward_norm<1>(t, r, d, surrogate, y, scale, shift, mean, variance, v_th, dz, back, room, partial);
    }
    sum = block_sum<BACK_THREADS>(sum);
    if (threadIdx.x == 0) thresholds[blockIdx.y * gridDim.x + blockIdx.x] = sum;
}

// One block: the sum of all blocks' parts of dL/dv_th.
KERNEL(lif_threshold, 256, 1, const double* thresholds, uint32_t count, float* dv_th) {
    double sum = 0.0;
    for (uint32_t i = threadIdx.x; i < count; i += THREADS) sum += thresholds[i];
    sum = block_sum<THREADS>(sum);
    if (threadIdx.x == 0) *dv_th = (float)sum;
}

// Through the rate: dx = g where the neuron fired at all, nothing through the reset. dx has one frame where y is held (summed
// over steps), else `frames`: T, or 1 where the gradient is the same at every step.
template <int V, bool HELD, bool SUMS>
DEVI void through_rate(const Route& r, const Dynamics& d, const Cells<V>& n, const Site& at, const Back& back, uint32_t frames,
                       Sums<V, SUMS>& sums) {
    const uint32_t windows = (d.steps + WINDOW - 1) / WINDOW;
    float* dx = back.dx + at.pixel * frames * r.channels + at.channel;
    Pack<V> v = splat<V>(0.0f), y, held, u[WINDOW], g[WINDOW];
    if (HELD) {
        y = load<V>(at.y);
        held = current(n, y);
    }
    uint32_t ever = 0;  // bit i: neuron i fired
    for (uint32_t k = 0; k < windows; k++) {
        const int count = steps_from(k * WINDOW, d.steps);
        if (!HELD) load_frames<V>(u, at.y + (uint64_t)k * WINDOW * r.channels, r.channels, count);
#pragma unroll
        for (int j = 0; j < WINDOW; j++) {
            if (j < count) {
                Pack<V> membrane = step<V>(n, HELD ? held : current(n, u[j]), v, d.soft);
#pragma unroll
                for (int i = 0; i < V; i++) ever |= membrane.at[i] >= n.v_th ? 1u << i : 0u;
            }
        }
    }
    // What a gradient is multiplied by on its way into dx, and into the sums: 0 where the neuron never fired.
    const float times = HELD && r.gradient_frames == 1 ? (float)d.steps : 1.0f;
    Pack<V> factor, pass, sum = splat<V>(0.0f);
#pragma unroll
    for (int i = 0; i < V; i++) {
        bool fired = ever >> i & 1;
        factor.at[i] = (fired ? (back.scaled ? n.scale.at[i] : 1.0f) : 0.0f) * times;
        pass.at[i] = fired ? times : 0.0f;
    }
    const uint32_t wanted = HELD ? r.gradient_frames : frames;
    for (uint32_t start = 0; start < wanted; start += WINDOW) {
        const int count = steps_from(start, wanted);
        load_gradient<V>(g, r, at, start, count);
        if (SUMS && !HELD) load_frames<V>(u, at.y + (uint64_t)start * r.channels, r.channels, count);
#pragma unroll
        for (int j = 0; j < WINDOW; j++) {
            if (HELD && j < count) sum = plus<V>(sum, g[j]);
            if (!HELD && j < count) {
                if (SUMS) add(sums, product<V>(g[j], pass), u[j]);
                store<V>(dx + (uint64_t)(start + j) * r.channels, product<V>(g[j], factor));
            }
        }
    }
    if (HELD) {
        add(sums, product<V>(sum, pass), y);
        store<V>(dx, product<V>(sum, factor));
    }
}

template <int V, bool SUMS>
DEVI void rate(const Tiling& t, const Seat& s, const Route& r, const Dynamics& d, const Cells<V>& n, const float* y, const float* dz,
               const Back& back, uint32_t frames, Sums<V, SUMS>& sums) {
    for (uint32_t pixel = s.first; pixel < t.items; pixel += s.stride) {
        Site at = site(r, y, dz, pixel, s.channel);
        if (r.frames == 1) through_rate<V, true, SUMS>(r, d, n, at, back, frames, sums);
        else through_rate<V, false, SUMS>(r, d, n, at, back, frames, sums);
    }
}

template <int V>
DEVI void rate(const Tiling& t, const Route& r, const Dynamics& d, const float* y, const float* scale, const float* shift,
    const float* v_th, const float* dz, const Back& back, uint32_t frames) {
    Seat s = seat<V>(t);
    Sums<V, false> none;
    rate<V, false>(t, s, r, d, cells<V>(s, scale, shift, v_th, d), y, dz, back, frames, none);
}

KERNEL(lif_rate, 128, 2, Tiling t, Route r, Dynamics d, const float* y, const float* scale, const float* shift, const float* v_th,
       const float* dz, float* dx, uint32_t frames, uint32_t scaled) {
    Back back = {nullptr, dx, scaled};
    if (lanes_of(t.channels) == 4) rate<4>(t, r, d, y, scale, shift, v_th, dz, back, frames);
    else rate<1>(t, r, d, y, scale, shift, v_th, dz, back, frames);
}

template <int V>
DEVI void rate_norm(const Tiling& t, const Route& r, const Dynamics& d, const float* y, const float* scale, const float* shift,
                    const float* mean, const float* variance, const float* v_th, const float* dz, const Back& back, double* room,
                    double* partial) {
    Seat s = seat<V>(t);
    Sums<V, true> sums = sums_of<V>(s, mean, variance);
    rate<V, true>(t, s, r, d, cells<V>(s, scale, shift, v_th, d), y, dz, back, r.frames, sums);
    write_sums<V, 2>(t, s, sums.sums, room, partial);
}

// As lif_backward_norm. dx has y's frames.
KERNEL(lif_rate_norm, 128, 2, Tiling t, Route r, Dynamics d, const float* y, const float* scale, const float* shift, const float* mean,
       const float* variance, const float* v_th, const float* dz, float* dx, double* partial, uint32_t scaled) {
    __shared__ double room[2 * 4 * BACK_THREADS];
    Back back = {nullptr, dx, scaled};
    if (lanes_of(t.channels) == 4) rate_norm<4>(t, r, d, y, scale, shift, mean, variance, v_th, dz, back, room, partial);
    else rate_norm<1>(t, r, d, y, scale, shift, mean, variance, v_th, dz, back, room, partial);
}

// Spikes in `bytes` codes: a sum a block. Floor: reads a byte for 8 spikes.
KERNEL(lif_count, 256, 1, const uint8_t* codes, uint64_t bytes, uint64_t* sums) {
    uint64_t sum = 0;
    const uint64_t stride = (uint64_t)gridDim.x * THREADS, first = (uint64_t)blockIdx.x * THREADS + threadIdx.x;
    for (uint64_t i = first; i < bytes / 16; i += stride) {
        uint4 q = reinterpret_cast<const uint4*>(codes)[i];
        sum += popc(q.x) + popc(q.y) + popc(q.z) + popc(q.w);
    }
    for (uint64_t i = bytes / 16 * 16 + first; i < bytes; i += stride) sum += popc(codes[i]);
    sum = block_sum<THREADS>(sum);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// Neurons whose codes are 0 in every plane, items being pixels: a sum a block.
KERNEL(lif_silent, 256, 1, Tiling t, const uint8_t* codes, uint32_t planes, uint64_t* sums) {
    Seat s = seat<1>(t);
    uint64_t sum = 0;
    for (uint32_t pixel = s.first; pixel < t.items; pixel += s.stride) {
        uint32_t any = 0;
        for (uint32_t k = 0; k < planes; k++) any |= codes[((uint64_t)pixel * planes + k) * t.channels + s.channel];
        sum += any == 0;
    }
    sum = block_sum<THREADS>(sum);
    if (threadIdx.x == 0) sums[blockIdx.y * gridDim.x + blockIdx.x] = sum;
}
