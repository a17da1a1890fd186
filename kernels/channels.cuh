// Channels across a block, items (pixels, or pixels and frames) down: a thread keeps to its one or four channels, so what
// belongs to a channel is read once, its sums stay in registers, and no index is divided. The grid is a function of the
// extents alone (src/ops/launch.rs), so sums have the same bits in every run.
#pragma once
#include "vec.cuh"

struct Tiling {
    uint32_t items, channels;
    uint32_t lanes;  // threads a block has across the channels
};

// A thread's place: its first channel, and its items first, first + stride, ... below items (none where it has no place).
struct Seat {
    uint32_t channel, row, rows, first, stride;
    bool taken;
};

template <int V> DEVI Seat seat(const Tiling& t) {
    Seat s;
    s.row = threadIdx.x / t.lanes;
    s.rows = blockDim.x / t.lanes;
    s.channel = (blockIdx.y * t.lanes + threadIdx.x % t.lanes) * V;
    s.taken = s.row < s.rows && s.channel < t.channels;
    s.first = s.taken ? blockIdx.x * s.rows + s.row : t.items;
    s.stride = gridDim.x * s.rows;
    return s;
}

// All threads of the block: sums of K quantities over the block's rows, in a tree. Quantity k of channel i comes back at
// [(k*V + i) * blockDim.x], to the threads of row 0. `room` holds K * V * blockDim.x numbers.
template <int V, int K> DEVI const double* row_sums(uint32_t lanes, const Seat& s, const double (&sums)[K][V], double* room) {
    double* own = room + threadIdx.x;
    const uint32_t plane = blockDim.x;
#pragma unroll
    for (int q = 0; q < K * V; q++) own[q * plane] = sums[q / V][q % V];
    __syncthreads();
    for (uint32_t rows = s.rows; rows > 1;) {
        uint32_t half = (rows + 1) / 2;
        if (s.row + half < rows) {
#pragma unroll
            for (int q = 0; q < K * V; q++) own[q * plane] += own[q * plane + half * lanes];
        }
        __syncthreads();
        rows = half;
    }
    return own;
}

// The same, written to partial[channel][block][K].
template <int V, int K> DEVI void write_sums(const Tiling& t, const Seat& s, const double (&sums)[K][V], double* room, double* partial) {
    const double* own = row_sums<V, K>(t.lanes, s, sums, room);
    const uint32_t plane = blockDim.x;
    if (!s.taken || s.row != 0) return;
#pragma unroll
    for (int q = 0; q < K * V; q++) partial[((uint64_t)(s.channel + q % V) * gridDim.x + blockIdx.x) * K + q / V] = own[q * plane];
}

// All lanes of a warp: the K totals of a channel from its partials of `blocks` blocks, in every lane.
template <int K> DEVI void total(const double* partial, uint32_t channel, uint32_t blocks, double (&sums)[K]) {
    const double* from = partial + (uint64_t)channel * blocks * K;
#pragma unroll
    for (int k = 0; k < K; k++) sums[k] = 0.0;
    for (uint32_t i = threadIdx.x % 32; i < blocks; i += 32) {
#pragma unroll
        for (int k = 0; k < K; k++) sums[k] += from[i * K + k];
    }
#pragma unroll
    for (int k = 0; k < K; k++) sums[k] = warp_sum(sums[k]);
}
