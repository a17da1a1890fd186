// What attacks do to pixels. Images are [N,H,W,C]; `len` is H*W*C. sign(0) = 0.
// Floor: noise writes 4 bytes a number, displace moves 12, signed_step 16, sign 8, momentum_step 20 (l2: read three times, twice from L2
// where an image is small), unit 8, replace 8 of the rows that it overwrites, adaptive_step 48 (the gradient twice, then from L2).
#include "flat.cuh"
#include "philox.cuh"

DEVI float sign_of(float x) { return (x > 0.0f ? 1.0f : 0.0f) - (x < 0.0f ? 1.0f : 0.0f); }

// NaN stays NaN.
template <class T> DEVI T clamp(T x, T low, T high) { return x < low ? low : x > high ? high : x; }

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

// adv + share * (z - adv) + (1 - share) * (adv - old). Operation by operation as on the CPU.
DEVI float mixed(float adv, float old, float z, float share) { return adv + share * (z - adv) + (1.0f - share) * (adv - old); }

DEVI float project(float x, float z, float eps) { return clamp(x + clamp(z - x, -eps, eps), 0.0f, 1.0f); }

// The images x, adv, old, gradient [N,len], steps [N]; out [N,len]. Image blockIdx.x, a thread a number.
KERNEL(pixel_momentum_step_linf, 256, 4, const float* x, const float* adv, const float* old, const float* gradient, const float* steps,
       float eps, float share, float* out, uint32_t len) {
    uint32_t in_image = blockIdx.y * blockDim.x + threadIdx.x;
    if (in_image >= len) return;
    uint64_t i = (uint64_t)blockIdx.x * len + in_image;
    float z = project(x[i], adv[i] + steps[blockIdx.x] * sign_of(gradient[i]), eps);
    out[i] = project(x[i], mixed(adv[i], old[i], z, share), eps);
}

// Guards a division by a norm.
constexpr double LEAST = 1e-12;

// All threads of a block of 256: the root of the sum of of(i)^2 over an image.
template <class Of> DEVI double length(uint32_t len, const Of& of) {
    double sum = 0.0;
    for (uint32_t i = threadIdx.x; i < len; i += 256) {
        double v = of(i);
        sum += v * v;
    }
    return sqrt(block_sum<256>(sum));
}

// The factor that draws a difference of this length into the ball.
DEVI float drawn_in(float eps, double length) { return (float)((length < eps ? length : (double)eps) / (length + LEAST)); }

// The same in the l2 ball: a block an image, which it walks three times.
KERNEL(pixel_momentum_step_l2, 256, 4, const float* x, const float* adv, const float* old, const float* gradient, const float* steps,
       float eps, float share, float* out, uint32_t len) {
    uint64_t at = (uint64_t)blockIdx.x * len;
    x += at, adv += at, old += at, gradient += at, out += at;
    float scale = (float)((double)steps[blockIdx.x] / (length(len, [=](uint32_t i) { return gradient[i]; }) + LEAST));
    auto moved = [=](uint32_t i) { return adv[i] + scale * gradient[i] - x[i]; };
    float first = drawn_in(eps, length(len, moved));
    auto away = [=](uint32_t i) { return mixed(adv[i], old[i], clamp(x[i] + first * moved(i), 0.0f, 1.0f), share) - x[i]; };
    float second = drawn_in(eps, length(len, away));
    for (uint32_t i = threadIdx.x; i < len; i += 256) out[i] = clamp(x[i] + second * away(i), 0.0f, 1.0f);
}

// x [N,len] by image over its norm; a block of 256 an image.
KERNEL(pixel_unit_l2, 256, 4, const float* x, float* out, uint32_t len) {
    uint64_t at = (uint64_t)blockIdx.x * len;
    x += at, out += at;
    double size = length(len, [=](uint32_t i) { return x[i]; }) + LEAST;
    for (uint32_t i = threadIdx.x; i < len; i += 256) out[i] = (float)((double)x[i] / size);
}

KERNEL(pixel_unit_linf, 256, 4, const float* x, float* out, uint32_t len) {
    __shared__ float most[8];
    uint64_t at = (uint64_t)blockIdx.x * len;
    x += at, out += at;
    float size = 0.0f;
    for (uint32_t i = threadIdx.x; i < len; i += 256) size = fmaxf(size, fabsf(x[i]));
    size = warp_max(size);
    if ((threadIdx.x & 31) == 0) most[threadIdx.x >> 5] = size;
    __syncthreads();
    for (int i = 0; i < 8; i++) size = fmaxf(size, most[i]);
    for (uint32_t i = threadIdx.x; i < len; i += 256) out[i] = (float)((double)x[i] / ((double)size + LEAST));
}

// SA-PGD's step (src/ops/pixel/mod.rs).
struct Adaptive {
    double step, mean_kept, squares_kept, least;
    float eps;
    uint32_t len;
};

// part / whole, or 0 where there is no whole.
DEVI double share_of(double part, double whole) { return whole > 0.0 ? part / whole : 0.0; }

// A block an image, which walks its gradient twice; images and gradient [N,len], mean and squares [N,len] move on.
KERNEL(pixel_adaptive_step, 256, 4, Adaptive a, const float* x, const float* adv, const float* gradient, double* mean, double* squares,
       float* out) {
    uint64_t at = (uint64_t)blockIdx.x * a.len;
    x += at, adv += at, gradient += at, mean += at, squares += at, out += at;
    double size = 0.0, square = 0.0;
    for (uint32_t i = threadIdx.x; i < a.len; i += 256) {
        double g = gradient[i];
        size += g < 0.0 ? -g : g;
        square += g * g;
    }
    size = block_sum<256>(size) / (double)a.len;
    square = block_sum<256>(square) / (double)a.len;
    for (uint32_t i = threadIdx.x; i < a.len; i += 256) {
        double g = gradient[i], m = a.mean_kept * mean[i] + share_of(g, size), v = a.squares_kept * squares[i] + share_of(g * g, square);
        mean[i] = m;
        squares[i] = v;
        double far = clamp(a.step * m / (sqrt(v) + a.least), -a.step, a.step);
        double away = clamp((double)adv[i] + far - (double)x[i], (double)-a.eps, (double)a.eps);
        out[i] = clamp(x[i] + (float)away, 0.0f, 1.0f);
    }
}

// The rows of to [N,len] whose mask [N] is not 0 become those of from.
KERNEL(pixel_replace, 256, 4, float* to, const uint32_t* mask, const float* from, uint32_t len) {
    uint32_t in_image = blockIdx.y * blockDim.x + threadIdx.x;
    if (in_image >= len || mask[blockIdx.x] == 0) return;
    uint64_t i = (uint64_t)blockIdx.x * len + in_image;
    to[i] = from[i];
}
