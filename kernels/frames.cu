// Where time begins and ends: the mean over steps, and one frame repeated.
// Floors in bytes a number of the longer side: mean reads 4, writes 4/T; repeat writes 4, reads 4/T.
#include "channels.cuh"

// y [N,F,K] to [N,K], summed in f64 from the first frame to the last. A thread a logit: the head's output is small.
KERNEL(frames_mean, 256, 1, const float* __restrict__ y, float* __restrict__ logits, uint32_t images, uint32_t frames, uint32_t classes) {
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= images * classes) return;
    const float* from = y + (uint64_t)(i / classes) * frames * classes + i % classes;
    double sum = 0.0;
#pragma unroll 8
    for (uint32_t f = 0; f < frames; f++) sum += (double)from[(uint64_t)f * classes];
    logits[i] = (float)(sum / (double)frames);
}

template <int V> DEVI void repeat(const Tiling& t, const float* __restrict__ x, float* __restrict__ y, uint32_t steps, float factor) {
    Seat s = seat<V>(t);
    for (uint32_t pixel = s.first; pixel < t.items; pixel += s.stride) {
        Pack<V> p = load<V>(x + (uint64_t)pixel * t.channels + s.channel);
#pragma unroll
        for (int j = 0; j < V; j++) p.at[j] = factor * p.at[j];
        float* to = y + (uint64_t)pixel * steps * t.channels + s.channel;
        for (uint32_t step = 0; step < steps; step++) store<V>(to + (uint64_t)step * t.channels, p);
    }
}

// Items are pixels: x [pixels,C] times factor to [pixels,steps,C].
KERNEL(frames_repeat, 256, 4, Tiling t, const float* __restrict__ x, float* __restrict__ y, uint32_t steps, float factor) {
    if (lanes_of(t.channels) == 4) repeat<4>(t, x, y, steps, factor);
    else repeat<1>(t, x, y, steps, factor);
}
