// Convolutions and linear layers (a linear layer is the 1x1 convolution of a 1x1 image): forward, both gradients, bias.
//   y[n,i,j,f,co] = b[co] + sum over taps and ci of w[co,kh,kw,ci] x[n, i*s+kh-p, j*s+kw-p, f, ci]
#include "rows.cuh"

KERNEL(conv_rows_real_3_large, 256, 1, Rows g, const float* x, const bf16* w, const float* bias, float* y, double* moments,
       const float* scale, const float* shift, const float* v_th, uint8_t* spikes, float* z, Fire fire) {
    rows_product<Real, Tile<3, 3, 128, 128, 64, 32>>(g, x, w, Tail{bias, y, moments, scale, shift, v_th, spikes, z, fire});
}
KERNEL(conv_rows_real_3_small, 128, 3, Rows g, const float* x, const bf16* w, const float* bias, float* y, double* moments,
       const float* scale, const float* shift, const float* v_th, uint8_t* spikes, float* z, Fire fire) {
    rows_product<Real, Tile<3, 3, 64, 64, 32, 32>>(g, x, w, Tail{bias, y, moments, scale, shift, v_th, spikes, z, fire});
}
KERNEL(conv_rows_real_1_large, 256, 2, Rows g, const float* x, const bf16* w, const float* bias, float* y, double* moments,
       const float* scale, const float* shift, const float* v_th, uint8_t* spikes, float* z, Fire fire) {
    rows_product<Real, Tile<1, 1, 128, 128, 64, 32>>(g, x, w, Tail{bias, y, moments, scale, shift, v_th, spikes, z, fire});
}
KERNEL(conv_rows_real_1_small, 128, 3, Rows g, const float* x, const bf16* w, const float* bias, float* y, double* moments,
       const float* scale, const float* shift, const float* v_th, uint8_t* spikes, float* z, Fire fire) {
    rows_product<Real, Tile<1, 1, 64, 64, 32, 32>>(g, x, w, Tail{bias, y, moments, scale, shift, v_th, spikes, z, fire});
}
KERNEL(conv_rows_spikes_3_large, 256, 1, Rows g, const uint8_t* x, const bf16* w, const float* bias, float* y, double* moments,
       const float* scale, const float* shift, const float* v_th, uint8_t* spikes, float* z, Fire fire) {
    rows_product<Spikes, Tile<1, 3, 128, 128, 64, 32>>(g, x, w, Tail{bias, y, moments, scale, shift, v_th, spikes, z, fire});
}
KERNEL(conv_rows_spikes_3_small, 128, 3, Rows g, const uint8_t* x, const bf16* w, const float* bias, float* y, double* moments,
       const float* scale, const float* shift, const float* v_th, uint8_t* spikes, float* z, Fire fire) {
    rows_product<Spikes, Tile<1, 3, 64, 64, 32, 32>>(g, x, w, Tail{bias, y, moments, scale, shift, v_th, spikes, z, fire});
}
KERNEL(conv_rows_spikes_1_large, 256, 2, Rows g, const uint8_t* x, const bf16* w, const float* bias, float* y, double* moments,
       const float* scale, const float* shift, const float* v_th, uint8_t* spikes, float* z, Fire fire) {
    rows_product<Spikes, Tile<1, 1, 128, 128, 64, 32>>(g, x, w, Tail{bias, y, moments, scale, shift, v_th, spikes, z, fire});
}
KERNEL(conv_rows_spikes_1_small, 128, 3, Rows g, const uint8_t* x, const bf16* w, const float* bias, float* y, double* moments,
       const float* scale, const float* shift, const float* v_th, uint8_t* spikes, float* z, Fire fire) {
    rows_product<Spikes, Tile<1, 1, 64, 64, 32, 32>>(g, x, w, Tail{bias, y, moments, scale, shift, v_th, spikes, z, fire});
}
KERNEL(conv_rows_quarters_3_large, 256, 1, Rows g, const uint32_t* x, const bf16* w, const float* bias, float* y, double* moments,
       const float* scale, const float* shift, const float* v_th, uint8_t* spikes, float* z, Fire fire) {
    rows_product<Quarters, Tile<1, 3, 128, 128, 64, 32>>(g, x, w, Tail{bias, y, moments, scale, shift, v_th, spikes, z, fire});
}
KERNEL(conv_rows_quarters_3_small, 128, 3, Rows g, const uint32_t* x, const bf16* w, const float* bias, float* y, double* moments,
       const float* scale, const float* shift, const float* v_th, uint8_t* spikes, float* z, Fire fire) {
    rows_product<Quarters, Tile<1, 3, 64, 64, 32, 32>>(g, x, w, Tail{bias, y, moments, scale, shift, v_th, spikes, z, fire});
}
KERNEL(conv_rows_quarters_1_large, 256, 2, Rows g, const uint32_t* x, const bf16* w, const float* bias, float* y, double* moments,
       const float* scale, const float* shift, const float* v_th, uint8_t* spikes, float* z, Fire fire) {
    rows_product<Quarters, Tile<1, 1, 128, 128, 64, 32>>(g, x, w, Tail{bias, y, moments, scale, shift, v_th, spikes, z, fire});
}
KERNEL(conv_rows_quarters_1_small, 128, 3, Rows g, const uint32_t* x, const bf16* w, const float* bias, float* y, double* moments,
       const float* scale, const float* shift, const float* v_th, uint8_t* spikes, float* z, Fire fire) {
    rows_product<Quarters, Tile<1, 1, 64, 64, 32, 32>>(g, x, w, Tail{bias, y, moments, scale, shift, v_th, spikes, z, fire});
}
