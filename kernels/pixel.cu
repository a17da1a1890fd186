// What attacks do to pixels. Images are [N,H,W,C]; `len` is H*W*C. sign(0) = 0.
// Floor: noise writes 4 bytes a number, displace moves 12, signed_step 16, sign 8.
#include "flat.cuh"
#include "philox.cuh"

DEVI float sign_of(float x) { return (x > 0.0f ? 1.0f : 0.0f) - (x < 0.0f ? 1.0f : 0.0f); }

// NaN stays NaN.
DEVI float clamp(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

// Four numbers of a noise law out of a Philox block.
struct Uniform {
    float radius;
};
DEVI void draw(const Uniform& law, const uint32_t (&w)[4], float (&out)[4]) {
#pragma unroll
    for (int j = 0; j < 4; j++) out[j] = law.radius * (2.0f * philox_unit(w[j]) - 1.0f);
}

struct Normal {
    float deviation;
};
DEVI void draw(const Normal& law, const uint32_t (&w)[4], float (&out)[4]) {
#pragma unroll
    for (int j = 0; j < 4; j += 2) {
        float2 pair = philox_normals(w[j], w[j + 1]);
        out[j] = law.deviation * pair.x;
        out[j + 1] = law.deviation * pair.y;
    }
}

struct Sign {};
DEVI void draw(const Sign&, const uint32_t (&w)[4], float (&out)[4]) {
#pragma unroll
    for (int j = 0; j < 4; j++) out[j] = w[j] >> 31 ? -1.0f : 1.0f;
}

// Image blockIdx.x draws from its own stream, four numbers a thread.
template <class Law> DEVI void noise(const Law& law, const Philox* streams, float* out, uint32_t len) {
    uint32_t block = blockIdx.y * blockDim.x + threadIdx.x, i = block * 4;
    if (i >= len) return;
    uint4 w = philox_words(streams[blockIdx.x], block);
    uint32_t words[4] = {w.x, w.y, w.z, w.w};
    Pack<4> four;
    draw(law, words, four.at);
    float* image = out + (uint64_t)blockIdx.x * len;
    if (len % 4 == 0) return store<4>(image + i, four);
#pragma unroll
    for (int j = 0; j < 4; j++)
      if (i + j < len) image[i + j] = four.at[j];
}

// radius * (2u - 1); streams [N], out [N,len].
KERNEL(pixel_noise_uniform, 256, 4, float radius, const Philox* streams, float* out, uint32_t len) {
    noise(Uniform{radius}, streams, out, len);
}

// deviation * a standard normal.
KERNEL(pixel_noise_normal, 256, 4, float deviation, const Philox* streams, float* out, uint32_t len) {
    noise(Normal{deviation}, streams, out, len);
}

// -1 or 1.
KERNEL(pixel_noise_sign, 256, 4, const Philox* streams, float* out, uint32_t len) { noise(Sign{}, streams, out, len); }

KERNEL(pixel_sign, 256, 4, const float* x, float* out, uint64_t count) {
    uint64_t i = flat_index();
    if (i >= count) return;
    Pack<4> four = load_four(x, i, count);
#pragma unroll
    for (int j = 0; j < 4; j++) four.at[j] = sign_of(four.at[j]);
    store_four(out, i, count, four);
}

// clip(x + factor * noise) to [0,1].
KERNEL(pixel_displace, 256, 4, const float* x, const float* noise, float factor, float* out, uint64_t count) {
    uint64_t i = flat_index();
    if (i >= count) return;
    Pack<4> a = load_four(x, i, count), d = load_four(noise, i, count);
#pragma unroll
    for (int j = 0; j < 4; j++) a.at[j] = clamp(a.at[j] + factor * d.at[j], 0.0f, 1.0f);
    store_four(out, i, count, a);
}

// adv + alpha * sign(gradient), back to the +-eps ball around x and to [0,1].
KERNEL(pixel_signed_step, 256, 4, const float* x, const float* adv, const float* gradient, float alpha, float eps, float* out,
       uint64_t count) {
    uint64_t i = flat_index();
    if (i >= count) return;
    Pack<4> a = load_four(x, i, count), b = load_four(adv, i, count), g = load_four(gradient, i, count);
#pragma unroll
    for (int j = 0; j < 4; j++) {
        float away = clamp(b.at[j] + alpha * sign_of(g.at[j]) - a.at[j], -eps, eps);
        a.at[j] = clamp(a.at[j] + away, 0.0f, 1.0f);
    }
    store_four(out, i, count, a);
}
