// From a neuron's pixel to the upstream gradient that belongs to it (src/ops/lif/route.rs).
#pragma once
#include "gpu.cuh"

// The current's extents [N,H,W,F,C], the frames of the upstream gradient, and whether that belongs to 2x2 pools above
// (each of four pixels then receives a quarter; a last odd row or column none).
struct Route {
    uint32_t images, height, width, channels;
    uint32_t frames;           // stored of the current y: 1 or T
    uint32_t gradient_frames;  // stored of the gradient: 1 or T
    uint32_t quarters;         // 0 or 1
    uint32_t steps;            // T
};

// The pixel of the gradient that belongs to `pixel` of the current, or -1.
DEVI int64_t gradient_pixel(const Route& r, uint32_t pixel) {
    if (!r.quarters) return pixel;
    uint32_t w = pixel % r.width, h = pixel / r.width % r.height, n = pixel / r.width / r.height;
    uint32_t half_height = r.height / 2, half_width = r.width / 2;
    if (h / 2 >= half_height || w / 2 >= half_width) return -1;
    return (int64_t)(n * half_height + h / 2) * half_width + w / 2;
}
