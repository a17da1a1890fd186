// The neuron at T = 0: z = max(0, scale*y + shift), and its gradient.
// Floor: forward reads and writes 4 bytes a number; backward reads y and dz (a quarter of it under a pool), writes dx.
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
DEVI void backward(const Route& r, const float* y, const float* scale, const float* shift, const float* dz, float* dx, uint64_t i, bool scaled) {
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
KERNEL(relu_backward, 256, 4, Route r, const float* y, const float* scale, const float* shift, const float* dz, float* dx, uint32_t scaled) {
  uint32_t lanes = lanes_of(r.channels);
  uint64_t count = (uint64_t)r.images * r.height * r.width * r.frames * r.channels;
  uint64_t i = ((uint64_t)blockIdx.x * blockDim.x + threadIdx.x) * lanes;
  if (i >= count) return;
  if (lanes == 4) backward<4>(r, y, scale, shift, dz, dx, i, scaled);
  else backward<1>(r, y, scale, shift, dz, dx, i, scaled);
}
