// Convolutions and linear layers (a linear layer is the 1x1 convolution of a 1x1 image): forward, both gradients, bias.
//   y[n,i,j,f,co] = b[co] + sum over kh, kw, ci of w[co,kh,kw,ci] x[n, i*s+kh-p, j*s+kw-p, f, ci]
// Contract: results are written (=), none added to. Names: form of the activation, terms of an f32 (3: f32; 1: bf16), tile
// (large 128 x 128, small 64 x 64). What they refuse (odd channels) goes to the _ffma kernels.
#include "rows.cuh"
#include "simt.cuh"
#include "weight.cuh"

// ---------------------------------------------------------------- forward (x by w) and input gradient (dy by w transposed)
// A block is block_rows x BN results, grid: blocks of rows * blocks of columns. w: product_split. Tail: see tail.cuh.
// Floor: 2 * terms pairs * rows * columns * taps * depth operations on tensor cores; 4 (codes: 1/8 and 1/2) bytes a number of x.

KERNEL(conv_rows_real_3_large, 256, 1, Rows g, const float* x, const bf16* w, const float* bias, float* y, double* moments,
       const float* scale, const float* shift, const float* v_th, uint8_t* spikes, float* z, Dynamics dynamics) {
    rows_product<Real, Tile<3, 3, 128, 128, 64, 32>>(g, x, w, Tail{bias, y, moments, scale, shift, v_th, spikes, z, dynamics});
}
KERNEL(conv_rows_real_3_small, 128, 3, Rows g, const float* x, const bf16* w, const float* bias, float* y, double* moments,
       const float* scale, const float* shift, const float* v_th, uint8_t* spikes, float* z, Dynamics dynamics) {
    rows_product<Real, Tile<3, 3, 64, 64, 32, 32>>(g, x, w, Tail{bias, y, moments, scale, shift, v_th, spikes, z, dynamics});
}
KERNEL(conv_rows_real_1_large, 128, 2, Rows g, const float* x, const bf16* w, const float* bias, float* y, double* moments,
       const float* scale, const float* shift, const float* v_th, uint8_t* spikes, float* z, Dynamics dynamics) {
    rows_product<Real, Tile<1, 1, 128, 128, 64, 64>>(g, x, w, Tail{bias, y, moments, scale, shift, v_th, spikes, z, dynamics});
}
KERNEL(conv_rows_real_1_small, 128, 3, Rows g, const float* x, const bf16* w, const float* bias, float* y, double* moments,
       const float* scale, const float* shift, const float* v_th, uint8_t* spikes, float* z, Dynamics dynamics) {
    rows_product<Real, Tile<1, 1, 64, 64, 32, 32>>(g, x, w, Tail{bias, y, moments, scale, shift, v_th, spikes, z, dynamics});
}
KERNEL(conv_rows_spikes_3_large, 256, 1, Rows g, const uint8_t* x, const bf16* w, const float* bias, float* y, double* moments,
       const float* scale, const float* shift, const float* v_th, uint8_t* spikes, float* z, Dynamics dynamics) {
    rows_product<Spikes, Tile<1, 3, 128, 128, 64, 32>>(g, x, w, Tail{bias, y, moments, scale, shift, v_th, spikes, z, dynamics});
}
KERNEL(conv_rows_spikes_3_small, 128, 3, Rows g, const uint8_t* x, const bf16* w, const float* bias, float* y, double* moments,
       const float* scale, const float* shift, const float* v_th, uint8_t* spikes, float* z, Dynamics dynamics) {
    rows_product<Spikes, Tile<1, 3, 64, 64, 32, 32>>(g, x, w, Tail{bias, y, moments, scale, shift, v_th, spikes, z, dynamics});
}
KERNEL(conv_rows_spikes_1_large, 128, 2, Rows g, const uint8_t* x, const bf16* w, const float* bias, float* y, double* moments,
       const float* scale, const float* shift, const float* v_th, uint8_t* spikes, float* z, Dynamics dynamics) {
    rows_product<Spikes, Tile<1, 1, 128, 128, 64, 64>>(g, x, w, Tail{bias, y, moments, scale, shift, v_th, spikes, z, dynamics});
}
KERNEL(conv_rows_spikes_1_small, 128, 3, Rows g, const uint8_t* x, const bf16* w, const float* bias, float* y, double* moments,
       const float* scale, const float* shift, const float* v_th, uint8_t* spikes, float* z, Dynamics dynamics) {
    rows_product<Spikes, Tile<1, 1, 64, 64, 32, 32>>(g, x, w, Tail{bias, y, moments, scale, shift, v_th, spikes, z, dynamics});
}
KERNEL(conv_rows_quarters_3_large, 256, 1, Rows g, const uint32_t* x, const bf16* w, const float* bias, float* y, double* moments,
       const float* scale, const float* shift, const float* v_th, uint8_t* spikes, float* z, Dynamics dynamics) {
    rows_product<Quarters, Tile<1, 3, 128, 128, 64, 32>>(g, x, w, Tail{bias, y, moments, scale, shift, v_th, spikes, z, dynamics});
}
KERNEL(conv_rows_quarters_3_small, 128, 3, Rows g, const uint32_t* x, const bf16* w, const float* bias, float* y, double* moments,
       const float* scale, const float* shift, const float* v_th, uint8_t* spikes, float* z, Dynamics dynamics) {
    rows_product<Quarters, Tile<1, 3, 64, 64, 32, 32>>(g, x, w, Tail{bias, y, moments, scale, shift, v_th, spikes, z, dynamics});
}
KERNEL(conv_rows_quarters_1_large, 128, 2, Rows g, const uint32_t* x, const bf16* w, const float* bias, float* y, double* moments,
       const float* scale, const float* shift, const float* v_th, uint8_t* spikes, float* z, Dynamics dynamics) {
    rows_product<Quarters, Tile<1, 1, 128, 128, 64, 64>>(g, x, w, Tail{bias, y, moments, scale, shift, v_th, spikes, z, dynamics});
}
KERNEL(conv_rows_quarters_1_small, 128, 3, Rows g, const uint32_t* x, const bf16* w, const float* bias, float* y, double* moments,
       const float* scale, const float* shift, const float* v_th, uint8_t* spikes, float* z, Dynamics dynamics) {
    rows_product<Quarters, Tile<1, 1, 64, 64, 32, 32>>(g, x, w, Tail{bias, y, moments, scale, shift, v_th, spikes, z, dynamics});
}
// Any shape and form (0 numbers, 1 spikes, 2 quarters), w as it is: w[column * row_step + tap * tap_step + channel * depth_step].
KERNEL(conv_rows_ffma, 256, 2, Rows g, const void* x, uint32_t form, const float* w, uint32_t row_step, uint32_t tap_step,
    uint32_t depth_step,
       const float* bias, float* y, double* moments, const float* scale, const float* shift, const float* v_th, uint8_t* spikes, float* z,
       Dynamics dynamics) {
    rows_simt(g, x, form, w, row_step, tap_step, depth_step, Tail{bias, y, moments, scale, shift, v_th, spikes, z, dynamics});
}

// ---------------------------------------------------------------------------------------------------------- weight gradient
// partial [splits][C_out][kh*kw*C_in], or dw itself where there is one split. Grid: tiles * splits.

KERNEL(conv_weight_real_3_large, 256, 1, Splits s, const float* x, const float* dy, float* partial) {
    weight_product<Real, Tile<3, 3, 128, 128, 64, 32>>(s, x, dy, partial);
}
KERNEL(conv_weight_real_3_small, 128, 2, Splits s, const float* x, const float* dy, float* partial) {
    weight_product<Real, Tile<3, 3, 64, 64, 32, 32>>(s, x, dy, partial);
}
KERNEL(conv_weight_real_1_large, 256, 2, Splits s, const float* x, const float* dy, float* partial) {
    weight_product<Real, Tile<1, 1, 128, 128, 64, 32>>(s, x, dy, partial);
}
KERNEL(conv_weight_real_1_small, 128, 3, Splits s, const float* x, const float* dy, float* partial) {
    weight_product<Real, Tile<1, 1, 64, 64, 32, 32>>(s, x, dy, partial);
}
KERNEL(conv_weight_spikes_3_large, 256, 1, Splits s, const uint8_t* x, const float* dy, float* partial) {
    weight_product<Spikes, Tile<3, 1, 128, 128, 64, 32>>(s, x, dy, partial);
}
KERNEL(conv_weight_spikes_3_small, 128, 2, Splits s, const uint8_t* x, const float* dy, float* partial) {
    weight_product<Spikes, Tile<3, 1, 64, 64, 32, 32>>(s, x, dy, partial);
}
KERNEL(conv_weight_spikes_1_large, 256, 2, Splits s, const uint8_t* x, const float* dy, float* partial) {
    weight_product<Spikes, Tile<1, 1, 128, 128, 64, 32>>(s, x, dy, partial);
}
KERNEL(conv_weight_spikes_1_small, 128, 3, Splits s, const uint8_t* x, const float* dy, float* partial) {
    weight_product<Spikes, Tile<1, 1, 64, 64, 32, 32>>(s, x, dy, partial);
}
KERNEL(conv_weight_quarters_3_large, 256, 1, Splits s, const uint32_t* x, const float* dy, float* partial) {
    weight_product<Quarters, Tile<3, 1, 128, 128, 64, 32>>(s, x, dy, partial);
}
KERNEL(conv_weight_quarters_3_small, 128, 2, Splits s, const uint32_t* x, const float* dy, float* partial) {
    weight_product<Quarters, Tile<3, 1, 64, 64, 32, 32>>(s, x, dy, partial);
}
KERNEL(conv_weight_quarters_1_large, 256, 1, Splits s, const uint32_t* x, const float* dy, float* partial) {
    weight_product<Quarters, Tile<1, 1, 128, 128, 64, 32>>(s, x, dy, partial);
}
KERNEL(conv_weight_quarters_1_small, 128, 3, Splits s, const uint32_t* x, const float* dy, float* partial) {
    weight_product<Quarters, Tile<1, 1, 64, 64, 32, 32>>(s, x, dy, partial);
}
// Any shape and form.
KERNEL(conv_weight_ffma, 256, 2, Splits s, const void* x, uint32_t form, const float* dy, float* partial) {
    weight_simt(s, x, form, dy, partial);
}
// dw = the sum of `splits` partial gradients of `count` numbers, in order. Floor: reads 4 bytes a partial number.
KERNEL(conv_weight_sum, 256, 4, const float* partial, float* dw, uint32_t count, uint32_t splits) {
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    double sum = 0.0;
    for (uint32_t s = 0; s < splits; s++) sum += (double)partial[(size_t)s * count + i];
    dw[i] = (float)sum;
}

// ------------------------------------------------------------------------------------------------------------ bias gradient

// Sums of dy [rows, columns] over parts of `part_rows` rows: partial [parts][columns]. Block b: 32 columns b % tiles of part
// b / tiles. Floor: reads dy once, 4 bytes a number.
KERNEL(conv_bias_partial, 256, 4, const float* dy, double* partial, uint32_t rows, uint32_t columns, uint32_t part_rows) {
    __shared__ double sums[8][32];
    const uint32_t tiles = (columns + 31) / 32, part = blockIdx.x / tiles, c = threadIdx.x % 32, column = blockIdx.x % tiles * 32 + c,
        r = threadIdx.x / 32;
    const uint32_t end = (part + 1) * part_rows < rows ? (part + 1) * part_rows : rows;
    double sum = 0.0;
    if (column < columns)
        for (uint32_t row = part * part_rows + r; row < end; row += 8) sum += (double)dy[(size_t)row * columns + column];
    sums[r][c] = sum;
    __syncthreads();
    if (r > 0 || column >= columns) return;
    for (uint32_t i = 1; i < 8; i++) sum += sums[i][c];
    partial[(size_t)part * columns + column] = sum;
}
// db = the sum of the parts, in order.
KERNEL(conv_bias_sum, 256, 4, const double* partial, float* db, uint32_t parts, uint32_t columns) {
    const uint32_t c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= columns) return;
    double sum = 0.0;
    for (uint32_t p = 0; p < parts; p++) sum += partial[(size_t)p * columns + c];
    db[c] = (float)sum;
}
