// The learnable pair of a residual block: y = c[0]*a + c[1]*b; a or b may be held (one frame for all).
// Floors in bytes a number: forward reads 8 (4 + 4/T where one is held), writes 4; backward reads dy, a and b, writes da and db;
// the members' gradients alone read dy.
#include "channels.cuh"

constexpr int THREADS = 256;

template <int V>
DEVI void forward(const Tiling& t, const float* __restrict__ a, const float* __restrict__ b, const float* c, float* __restrict__ y,
                  uint32_t frames, uint32_t a_frames, uint32_t b_frames) {
    Seat s = seat<V>(t);
    const float first = c[0], second = c[1];
#pragma unroll 2
    for (uint32_t row = s.first; row < t.items; row += s.stride) {
        const uint32_t pixel = row / frames;
        Pack<V> p = load<V>(a + (uint64_t)(a_frames == frames ? row : pixel) * t.channels + s.channel);
        Pack<V> q = load<V>(b + (uint64_t)(b_frames == frames ? row : pixel) * t.channels + s.channel);
#pragma unroll
        for (int j = 0; j < V; j++) p.at[j] = first * p.at[j] + second * q.at[j];
        store<V>(y + (uint64_t)row * t.channels + s.channel, p);
    }
}

// Items are pixels and frames of y.
KERNEL(convex_forward, 256, 4, Tiling t, const float* __restrict__ a, const float* __restrict__ b, const float* c, float* __restrict__ y,
       uint32_t frames, uint32_t a_frames, uint32_t b_frames) {
    if (lanes_of(t.channels) == 4) forward<4>(t, a, b, c, y, frames, a_frames, b_frames);
    else forward<1>(t, a, b, c, y, frames, a_frames, b_frames);
}

// One member x of the pair at one pixel: dx = factor*dy, summed over steps where x is held, and what dy*x adds to its sum
// where the pair's gradient is wanted (PAIR).
template <int V> struct Member {
    const float* x;
    float* dx;
    float factor;
    bool held;
    Pack<V> value, sum;
    double product;
};

template <int V, bool PAIR> DEVI void begin(Member<V>& m, const float* x, float* dx, uint64_t at) {
    m.dx = dx + at;
    m.sum = splat<V>(0.0f);
    if (!PAIR) return;
    m.x = x + at;
    if (m.held) m.value = load<V>(m.x);
}

template <int V, bool PAIR> DEVI void step(Member<V>& m, const Pack<V>& dy, uint64_t at) {
    Pack<V> x, dx;
    if (PAIR) x = m.held ? m.value : load<V>(m.x + at);
#pragma unroll
    for (int j = 0; j < V; j++) {
        if (PAIR) m.product += (double)(dy.at[j] * x.at[j]);
        dx.at[j] = m.factor * dy.at[j];
        m.sum.at[j] += dx.at[j];
    }
    if (!m.held) store<V>(m.dx + at, dx);
}

template <int V> DEVI void end(const Member<V>& m) {
    if (m.held) store<V>(m.dx, m.sum);
}

template <int V, bool PAIR>
DEVI void backward(const Tiling& t, const float* dy, const float* a, const float* b, const float* c, float* da, float* db, uint32_t frames,
                   uint32_t a_frames, uint32_t b_frames, double& first, double& second) {
    Seat s = seat<V>(t);
    Member<V> m = {}, n = {};
    m.factor = c[0], n.factor = c[1];
    m.held = a_frames != frames, n.held = b_frames != frames;
    for (uint32_t pixel = s.first; pixel < t.items; pixel += s.stride) {
        const uint64_t row = (uint64_t)pixel * t.channels;
        const float* gradient = dy + row * frames + s.channel;
        begin<V, PAIR>(m, a, da, row * a_frames + s.channel);
        begin<V, PAIR>(n, b, db, row * b_frames + s.channel);
        for (uint32_t f = 0; f < frames; f++) {
            const uint64_t at = (uint64_t)f * t.channels;
            Pack<V> g = load<V>(gradient + at);
            step<V, PAIR>(m, g, at);
            step<V, PAIR>(n, g, at);
        }
        end(m);
        end(n);
    }
    first = m.product;
    second = n.product;
}

// Items are pixels. partial: two sums a block, for convex_finish.
KERNEL(convex_backward, 256, 3, Tiling t, const float* dy, const float* a, const float* b, const float* c, float* da, float* db,
       double* partial, uint32_t frames, uint32_t a_frames, uint32_t b_frames) {
    double first, second;
    if (lanes_of(t.channels) == 4) backward<4, true>(t, dy, a, b, c, da, db, frames, a_frames, b_frames, first, second);
    else backward<1, true>(t, dy, a, b, c, da, db, frames, a_frames, b_frames, first, second);
    first = block_sum<THREADS>(first);
    second = block_sum<THREADS>(second);
    if (threadIdx.x != 0) return;
    double* to = partial + 2 * (blockIdx.y * gridDim.x + blockIdx.x);
    to[0] = first;
    to[1] = second;
}

// Items are pixels. da and db without a, b and the pair's gradient.
KERNEL(convex_backward_members, 256, 4, Tiling t, const float* dy, const float* c, float* da, float* db, uint32_t frames,
       uint32_t a_frames, uint32_t b_frames) {
    double first, second;
    if (lanes_of(t.channels) == 4) backward<4, false>(t, dy, nullptr, nullptr, c, da, db, frames, a_frames, b_frames, first, second);
    else backward<1, false>(t, dy, nullptr, nullptr, c, da, db, frames, a_frames, b_frames, first, second);
}

// One block: dc from the parts of `blocks` blocks.
KERNEL(convex_finish, 256, 1, const double* partial, uint32_t blocks, float* dc) {
    double first = 0.0, second = 0.0;
    for (uint32_t i = threadIdx.x; i < blocks; i += THREADS) {
        first += partial[2 * i];
        second += partial[2 * i + 1];
    }
    first = block_sum<THREADS>(first);
    second = block_sum<THREADS>(second);
    if (threadIdx.x != 0) return;
    dc[0] = (float)first;
    dc[1] = (float)second;
}
