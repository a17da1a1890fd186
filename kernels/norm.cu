// Batch normalisation: x = scale*y + shift per channel, scale = weight / sqrt(variance + 1e-5), shift = bias - mean*scale.
// Floors in bytes a number: moments reads 4; apply reads and writes 4; backward reads 8, writes 4 with constant statistics,
// and with the batch's reads 8 and writes 4 once more. The sums are f64: two or three f64 operations a number.
#include "normsums.cuh"

constexpr int THREADS = 256;

// Sums of y - pivot and of its square; the pivot is the first row, so that a mean far from 0 costs no digits.
template <int V> DEVI void moments(const Tiling& t, const float* __restrict__ y, double* room, double* partial) {
    Seat s = seat<V>(t);
    double sums[2][V] = {};
    Pack<V> pivot = s.taken ? load<V>(y + s.channel) : splat<V>(0.0f);
#pragma unroll 4
    for (uint32_t i = s.first; i < t.items; i += s.stride) {
        Pack<V> in = load<V>(y + (uint64_t)i * t.channels + s.channel);
#pragma unroll
        for (int j = 0; j < V; j++) {
            double x = (double)in.at[j] - (double)pivot.at[j];
            sums[0][j] += x;
            sums[1][j] = fma(x, x, sums[1][j]);
        }
    }
    write_sums<V, 2>(t, s, sums, room, partial);
}

KERNEL(norm_moments, 256, 3, Tiling t, const float* __restrict__ y, double* partial) {
    __shared__ double room[2 * 4 * THREADS];
    if (lanes_of(t.channels) == 4) moments<4>(t, y, room, partial);
    else moments<1>(t, y, room, partial);
}

// A warp a channel. `pivot` is the first row of y.
KERNEL(norm_moments_finish, 256, 1, const float* pivot, const double* partial, uint32_t blocks, uint32_t channels, uint32_t rows,
       float* mean, float* variance) {
    uint32_t c = blockIdx.x * (THREADS / 32) + threadIdx.x / 32;
    if (c >= channels) return;
    double sums[2];
    total<2>(partial, c, blocks, sums);
    if (threadIdx.x % 32 != 0) return;
    double n = rows, v = (sums[1] - sums[0] * sums[0] / n) / n;
    mean[c] = (float)((double)pivot[c] + sums[0] / n);
    variance[c] = (float)(v < 0.0 ? 0.0 : v);  // rounding may leave a little less than 0; NaN stays NaN
}

KERNEL(norm_affine, 256, 1, const float* mean, const float* variance, const float* weight, const float* bias, float* scale, float* shift,
       uint32_t channels) {
    uint32_t c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= channels) return;
    double s = (double)weight[c] * (1.0 / sqrt((double)variance[c] + EPSILON));
    scale[c] = (float)s;
    shift[c] = (float)((double)bias[c] - (double)mean[c] * s);
}

template <int V> DEVI void apply(const Tiling& t, const float* __restrict__ y, const float* scale, const float* shift,
    float* __restrict__ x) {
    Seat s = seat<V>(t);
    if (!s.taken) return;
    Pack<V> a = load<V>(scale + s.channel), b = load<V>(shift + s.channel);
#pragma unroll 4
    for (uint32_t i = s.first; i < t.items; i += s.stride) {
        uint64_t at = (uint64_t)i * t.channels + s.channel;
        Pack<V> in = load<V>(y + at);
#pragma unroll
        for (int j = 0; j < V; j++) in.at[j] = in.at[j] * a.at[j] + b.at[j];
        store<V>(x + at, in);
    }
}

KERNEL(norm_apply, 256, 4, Tiling t, const float* __restrict__ y, const float* scale, const float* shift, float* __restrict__ x) {
    if (lanes_of(t.channels) == 4) apply<4>(t, y, scale, shift, x);
    else apply<1>(t, y, scale, shift, x);
}

// Sums of dx and of dx*(y - mean)/deviation; dy = dx * weight/deviation on the way where it is wanted.
template <int V>
DEVI void backward(const Tiling& t, const float* __restrict__ dx, const float* __restrict__ y, const float* mean, const float* variance,
                   const float* weight, float* __restrict__ dy, double* room, double* partial) {
    Seat s = seat<V>(t);
    Sums<V, true> sums = sums_of<V>(s, mean, variance);
    Pack<V> scale = s.taken ? load<V>(weight + s.channel) : splat<V>(0.0f);
#pragma unroll
    for (int j = 0; j < V; j++) scale.at[j] *= sums.inverse.at[j];
#pragma unroll 2
    for (uint32_t i = s.first; i < t.items; i += s.stride) {
        uint64_t at = (uint64_t)i * t.channels + s.channel;
        Pack<V> d = load<V>(dx + at), in = load<V>(y + at);
        add(sums, d, in);
        if (!dy) continue;
#pragma unroll
        for (int j = 0; j < V; j++) d.at[j] *= scale.at[j];
        store<V>(dy + at, d);
    }
    write_sums<V, 2>(t, s, sums.sums, room, partial);
}

// dy may be null: with the batch's statistics it waits for the sums.
KERNEL(norm_backward, 256, 2, Tiling t, const float* __restrict__ dx, const float* __restrict__ y, const float* mean, const float* variance,
       const float* weight, float* __restrict__ dy, double* partial) {
    __shared__ double room[2 * 4 * THREADS];
    if (lanes_of(t.channels) == 4) backward<4>(t, dx, y, mean, variance, weight, dy, room, partial);
    else backward<1>(t, dx, y, mean, variance, weight, dy, room, partial);
}

// A warp a channel: dbias and dweight, and for norm_project (scale, offset, slope), each [C], where `coefficients` is given.
KERNEL(norm_backward_finish, 256, 1, const double* partial, uint32_t blocks, uint32_t channels, uint32_t rows, const float* variance,
       const float* weight, float* dbias, float* dweight, float* coefficients) {
    uint32_t c = blockIdx.x * (THREADS / 32) + threadIdx.x / 32;
    if (c >= channels) return;
    double sums[2];
    total<2>(partial, c, blocks, sums);
    if (threadIdx.x % 32 != 0) return;
    dbias[c] = (float)sums[0];
    dweight[c] = (float)sums[1];
    if (!coefficients) return;
    float inverse = inverse_deviation(variance[c]), scale = weight[c] * inverse;
    double share = 1.0 / (double)rows;
    coefficients[c] = scale;
    coefficients[channels + c] = (float)(sums[0] * share * (double)scale);
    coefficients[2 * channels + c] = (float)(sums[1] * share * (double)scale * (double)inverse);
}

template <int V> DEVI void project(const Tiling& t, const float* dx, const float* y, const float* mean, const float* coefficients,
    float* dy) {
    Seat s = seat<V>(t);
    if (!s.taken) return;
    Pack<V> centre = load<V>(mean + s.channel), scale = load<V>(coefficients + s.channel);
    Pack<V> offset = load<V>(coefficients + t.channels + s.channel), slope = load<V>(coefficients + 2 * t.channels + s.channel);
    for (uint32_t i = s.first; i < t.items; i += s.stride) {
        uint64_t at = (uint64_t)i * t.channels + s.channel;
        Pack<V> d = load<V>(dx + at), in = load<V>(y + at);
#pragma unroll
        for (int j = 0; j < V; j++) d.at[j] = d.at[j] * scale.at[j] - ((in.at[j] - centre.at[j]) * slope.at[j] + offset.at[j]);
        store<V>(dy + at, d);
    }
}

// dy = scale*dx - (offset + slope*(y - mean)). dy may be dx itself.
KERNEL(norm_project, 256, 4, Tiling t, const float* dx, const float* y, const float* mean, const float* coefficients, float* dy) {
    if (lanes_of(t.channels) == 4) project<4>(t, dx, y, mean, coefficients, dy);
    else project<1>(t, dx, y, mean, coefficients, dy);
}

// running <- (1 - momentum)*running + momentum*batch, the variance as `unbiased` times the batch's.
KERNEL(norm_running, 256, 1, const float* mean, const float* variance, const float* batch_mean, const float* batch_variance, float momentum,
       float unbiased, float* new_mean, float* new_variance, uint32_t channels) {
    uint32_t c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= channels) return;
    new_mean[c] = (1.0f - momentum) * mean[c] + momentum * 1.0f * batch_mean[c];
    new_variance[c] = (1.0f - momentum) * variance[c] + momentum * unbiased * batch_variance[c];
}
