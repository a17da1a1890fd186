// Weights as the products want them, made once when a weight changes.
// Floor: reads 4 bytes and writes 2 a term of every number.
#include "gpu.cuh"

// to[term][row][tap][channel] (channels rounded up to 8 with zeros) = term of w[row * row_step + tap * tap_step + channel * channel_step]:
// forward rows are output channels, those of the input gradient are input channels. w = sum of terms, to 24 bits with three.
// elements: rows * taps * padded, one a thread.
KERNEL(product_split, 256, 4, const float* w, bf16* to, uint32_t terms, uint32_t elements, uint32_t taps, uint32_t channels,
    uint32_t padded, uint32_t row_step, uint32_t tap_step, uint32_t channel_step) {
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= elements) return;
    const uint32_t channel = i % padded, tap = i / padded % taps, row = i / padded / taps;
    float x = channel < channels ? w[(size_t)row * row_step + (size_t)tap * tap_step + (size_t)channel * channel_step] : 0.0f;
    for (uint32_t term = 0; term < terms; term++) {
        const uint16_t bits = bf16_bits(x);
        reinterpret_cast<uint16_t*>(to)[(size_t)term * elements + i] = bits;
        x -= bf16_float(bits);
    }
}
