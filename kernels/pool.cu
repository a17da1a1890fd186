// Average pools: 2x2 with stride 2 (a last odd row or column is left out) and over the image; their gradients; codes to numbers.
// A pixel has `inner` elements next to each other: F*C numbers, or ceil(T/8)*C codes. blockIdx.x is a row of the image that is
// written, so that a thread divides within its row only.
// Floor, bytes an output element: average 20 of numbers, 8 of spike codes (8 steps); spread 5; global 4*H*W; numbers 4.
#include "vec.cuh"

struct Pool {
    uint32_t images, height, width;  // of x, before pooling
    uint32_t frames, channels;       // T (or 1) and C
};
static_assert(sizeof(Pool) == 20, "as in src/ops/pool/gpu.rs");

DEVI uint32_t planes_of(uint32_t frames) { return (frames + 7) / 8; }
DEVI uint32_t index_in_row() { return blockIdx.y * blockDim.x + threadIdx.x; }

// A byte's bits, a nibble each.
DEVI uint32_t nibbles(uint32_t x) {
    x = (x | x << 12) & 0x000f000fu;
    x = (x | x << 6) & 0x03030303u;
    return (x | x << 3) & 0x11111111u;
}

// The value of step t (below 8) of a code.
DEVI float number(uint8_t code, uint32_t t) { return (float)(code >> t & 1); }
DEVI float number(uint32_t code, uint32_t t) { return (float)(code >> (4 * t) & 15) * 0.25f; }

// The four elements of x under output element j of row (n, h): the offset of the first, and how far the others are.
struct Square {
    uint64_t at;
    uint32_t right, down;
};
DEVI Square square(const Pool& g, uint32_t inner, uint32_t j) {
    uint32_t half = g.height / 2, n = blockIdx.x / half, h = blockIdx.x % half, w = j / inner, i = j % inner;
    uint32_t line = g.width * inner;
    return {((uint64_t)n * g.height + 2 * h) * line + 2 * w * inner + i, inner, line};
}

template <int V> DEVI void average(const Pool& g, const float* x, float* y) {
    uint32_t inner = g.frames * g.channels, row = g.width / 2 * inner, j = index_in_row() * V;
    if (j >= row) return;
    Square s = square(g, inner, j);
    Pack<V> a = load<V>(x + s.at), b = load<V>(x + s.at + s.right);
    Pack<V> c = load<V>(x + s.at + s.down), d = load<V>(x + s.at + s.down + s.right);
#pragma unroll
    for (int k = 0; k < V; k++) a.at[k] = ((a.at[k] + b.at[k]) + (c.at[k] + d.at[k])) * 0.25f;
    store<V>(y + (uint64_t)blockIdx.x * row + j, a);
}

// y [N,H/2,W/2,F,C] of x [N,H,W,F,C].
KERNEL(pool_average, 256, 4, Pool g, const float* x, float* y) {
    if (lanes_of(g.channels) == 4) average<4>(g, x, y);
    else average<1>(g, x, y);
}

// Quarters [N,H/2,W/2,P,C] of spikes [N,H,W,P,C]: nibbles are added without meeting (at most 4).
KERNEL(pool_average_spikes, 256, 4, Pool g, const uint8_t* x, uint32_t* y) {
    uint32_t inner = planes_of(g.frames) * g.channels, row = g.width / 2 * inner, lanes = lanes_of(g.channels), j = index_in_row() * lanes;
    if (j >= row) return;
    Square s = square(g, inner, j);
    uint64_t under[4] = {s.at, s.at + s.right, s.at + s.down, s.at + s.down + s.right};
    uint32_t* out = y + (uint64_t)blockIdx.x * row + j;
    if (lanes == 4) {
        uint4 sum = make_uint4(0, 0, 0, 0);
#pragma unroll
        for (int k = 0; k < 4; k++) {
            uint32_t codes = *reinterpret_cast<const uint32_t*>(x + under[k]);
            sum.x += nibbles(codes & 255);
            sum.y += nibbles(codes >> 8 & 255);
            sum.z += nibbles(codes >> 16 & 255);
            sum.w += nibbles(codes >> 24);
        }
        *reinterpret_cast<uint4*>(out) = sum;
    } else {
        *out = nibbles(x[under[0]]) + nibbles(x[under[1]]) + nibbles(x[under[2]]) + nibbles(x[under[3]]);
    }
}

template <int V> DEVI void spread(const Pool& g, const float* dy, float* dx) {
    uint32_t inner = g.frames * g.channels, row = g.width * inner, j = index_in_row() * V;
    if (j >= row) return;
    uint32_t n = blockIdx.x / g.height, h = blockIdx.x % g.height / 2, w = j / inner / 2, i = j % inner;
    uint32_t height = g.height / 2, width = g.width / 2;
    Pack<V> out = splat<V>(0.0f);
    if (h < height && w < width) {
        out = load<V>(dy + (((uint64_t)n * height + h) * width + w) * inner + i);
#pragma unroll
        for (int k = 0; k < V; k++) out.at[k] *= 0.25f;
    }
    store<V>(dx + (uint64_t)blockIdx.x * row + j, out);
}

// dx [N,H,W,F,C] of dy [N,H/2,W/2,F,C].
KERNEL(pool_spread, 256, 4, Pool g, const float* dy, float* dx) {
    if (lanes_of(g.channels) == 4) spread<4>(g, dy, dx);
    else spread<1>(g, dy, dx);
}

// Pixels are added in their order, whatever the form: the same bits as on the CPU. blockIdx.x is an image.
template <int V> DEVI void global(const Pool& g, float share, const float* x, float* y) {
    uint32_t inner = g.frames * g.channels, pixels = g.height * g.width, i = index_in_row() * V;
    if (i >= inner) return;
    const float* from = x + (uint64_t)blockIdx.x * pixels * inner + i;
    Pack<V> sum = splat<V>(0.0f);
    for (uint32_t pixel = 0; pixel < pixels; pixel++, from += inner) {
        Pack<V> in = load<V>(from);
#pragma unroll
        for (int k = 0; k < V; k++) sum.at[k] += in.at[k];
    }
#pragma unroll
    for (int k = 0; k < V; k++) sum.at[k] *= share;
    store<V>(y + (uint64_t)blockIdx.x * inner + i, sum);
}

template <class Code> DEVI void global_codes(const Pool& g, float share, const Code* x, float* y) {
    uint32_t inner = g.frames * g.channels, pixels = g.height * g.width, i = index_in_row();
    if (i >= inner) return;
    uint32_t t = i / g.channels, c = i % g.channels, stride = planes_of(g.frames) * g.channels;
    const Code* from = x + (uint64_t)blockIdx.x * pixels * stride + t / 8 * g.channels + c;
    float sum = 0.0f;
    for (uint32_t pixel = 0; pixel < pixels; pixel++, from += stride) sum += number(*from, t % 8);
    y[(uint64_t)blockIdx.x * inner + i] = sum * share;
}

// y [N,1,1,F,C], share = 1/(H*W).
KERNEL(pool_global, 256, 3, Pool g, float share, const float* x, float* y) {
    if (lanes_of(g.channels) == 4) global<4>(g, share, x, y);
    else global<1>(g, share, x, y);
}

KERNEL(pool_global_spikes, 256, 4, Pool g, float share, const uint8_t* x, float* y) { global_codes(g, share, x, y); }

KERNEL(pool_global_quarters, 256, 4, Pool g, float share, const uint32_t* x, float* y) { global_codes(g, share, x, y); }

template <int V> DEVI void global_backward(const Pool& g, float share, const float* dy, float* dx) {
    uint32_t inner = g.frames * g.channels, row = g.width * inner, j = index_in_row() * V;
    if (j >= row) return;
    Pack<V> out = load<V>(dy + (uint64_t)(blockIdx.x / g.height) * inner + j % inner);
#pragma unroll
    for (int k = 0; k < V; k++) out.at[k] *= share;
    store<V>(dx + (uint64_t)blockIdx.x * row + j, out);
}

// dx [N,H,W,F,C] = share * dy [N,1,1,F,C].
KERNEL(pool_global_backward, 256, 4, Pool g, float share, const float* dy, float* dx) {
    if (lanes_of(g.channels) == 4) global_backward<4>(g, share, dy, dx);
    else global_backward<1>(g, share, dy, dx);
}

// A thread reads the codes of V channels in a plane and writes their steps, up to eight.
template <int V, class Code> DEVI void numbers(const Pool& g, const Code* codes, float* x) {
    uint32_t planes = planes_of(g.frames), row = g.width * planes * g.channels, j = index_in_row() * V;
    if (j >= row) return;
    uint32_t c = j % g.channels, plane = j / g.channels % planes, w = j / g.channels / planes;
    struct alignas(V * sizeof(Code)) Codes {
        Code at[V];
    };
    Codes in = *reinterpret_cast<const Codes*>(codes + (uint64_t)blockIdx.x * row + j);
    float* to = x + (((uint64_t)blockIdx.x * g.width + w) * g.frames + plane * 8) * g.channels + c;
    uint32_t steps = min(g.frames - plane * 8, 8u);
#pragma unroll
    for (uint32_t t = 0; t < 8; t++) {
        if (t >= steps) break;
        Pack<V> out;
#pragma unroll
        for (int k = 0; k < V; k++) out.at[k] = number(in.at[k], t);
        store<V>(to + t * g.channels, out);
    }
}

// x [N,H,W,T,C] of codes [N,H,W,ceil(T/8),C].
KERNEL(pool_numbers_spikes, 256, 4, Pool g, const uint8_t* codes, float* x) {
    if (lanes_of(g.channels) == 4) numbers<4>(g, codes, x);
    else numbers<1>(g, codes, x);
}

KERNEL(pool_numbers_quarters, 256, 4, Pool g, const uint32_t* codes, float* x) {
    if (lanes_of(g.channels) == 4) numbers<4>(g, codes, x);
    else numbers<1>(g, codes, x);
}
