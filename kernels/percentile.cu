// The exact k-th smallest of scale*y + shift: radix selection over order-preserving keys, 11 + 11 + 10 bits. Each pass counts the
// next digit of the keys that begin with what is known, then one block finds the digit that holds the rank. Counts are integers,
// so the result does not depend on the order of threads; the host waits for the last pass only.
// Floor: 12 bytes a number (three readings); the first pass spreads over few bins, so shared atomics may cost more.
#include "vec.cuh"

constexpr uint32_t BINS = 2048;

// What is known: the rank left among the keys that begin with `prefix`; whether a NaN was met.
struct Selection {
    unsigned long long rank;
    uint32_t prefix, nan;
};
static_assert(sizeof(Selection) == 16, "as in src/ops/percentile/gpu.rs");

// An unsigned key in the order of the numbers (-0 and +0 share one).
DEVI uint32_t key_of(float x) {
    uint32_t bits = __float_as_uint(x + 0.0f);
    return bits ^ ((uint32_t)((int)bits >> 31) | 0x80000000u);
}

template <int V>
DEVI void count_digits(const float* y, const float* scale, const float* shift, uint64_t count, uint32_t channels, uint32_t low,
                       uint32_t width, Selection* selection, uint32_t* bins) {
    uint32_t above = low + width, prefix = selection->prefix, mask = (1u << width) - 1;
    uint64_t i = ((uint64_t)blockIdx.x * blockDim.x + threadIdx.x) * V, stride = (uint64_t)gridDim.x * blockDim.x * V;
    uint32_t c = i % channels, step = stride % channels;  // counters instead of a division a number
    bool nan = false;
    for (; i < count; i += stride) {
        Pack<V> in = load<V>(y + i), s = load_or<V>(scale, c, 1.0f), b = load_or<V>(shift, c, 0.0f);
#pragma unroll
        for (int j = 0; j < V; j++) {
            float x = in.at[j] * s.at[j] + b.at[j];
            nan = nan || x != x;
            uint32_t key = key_of(x);
            if (above == 32 || key >> above == prefix) atomicAdd(&bins[key >> low & mask], 1u);
        }
        c += step;
        if (c >= channels) c -= channels;
    }
    if (nan) atomicOr(&selection->nan, 1u);
}

// totals[digit] += the keys with that digit, of `width` bits above bit `low`, among those that begin with the prefix. scale and
// shift may be null.
KERNEL(percentile_count, 256, 4, const float* y, const float* scale, const float* shift, uint64_t count, uint32_t channels,
       uint32_t low, uint32_t width, Selection* selection, unsigned long long* totals) {
    __shared__ uint32_t bins[BINS];
    for (uint32_t bin = threadIdx.x; bin < BINS; bin += blockDim.x) bins[bin] = 0;
    __syncthreads();
    if (lanes_of(channels) == 4) count_digits<4>(y, scale, shift, count, channels, low, width, selection, bins);
    else count_digits<1>(y, scale, shift, count, channels, low, width, selection, bins);
    __syncthreads();
    for (uint32_t bin = threadIdx.x; bin < BINS; bin += blockDim.x)
      if (bins[bin]) atomicAdd(&totals[bin], (unsigned long long)bins[bin]);
}

// The digit whose keys hold the rank joins the prefix. One block of 256 threads, eight bins each.
KERNEL(percentile_choose, 256, 1, const unsigned long long* totals, uint32_t width, Selection* selection) {
    __shared__ unsigned long long warps[8];
    const unsigned long long* bins = totals + threadIdx.x * 8;
    unsigned long long rank = selection->rank, own = 0, upto;
    uint32_t prefix = selection->prefix;
#pragma unroll
    for (int j = 0; j < 8; j++) own += bins[j];
    upto = own;
#pragma unroll
    for (uint32_t far = 1; far < 32; far <<= 1) {
        unsigned long long other = __shfl_up_sync(ALL_LANES, upto, far);
        if (threadIdx.x % 32 >= far) upto += other;
    }
    if (threadIdx.x % 32 == 31) warps[threadIdx.x / 32] = upto;
    __syncthreads();
    for (uint32_t warp = 0; warp < threadIdx.x / 32; warp++) upto += warps[warp];
    unsigned long long before = upto - own;
    if (rank < before || rank >= upto) return;
    rank -= before;
    uint32_t digit = 0;
    while (rank >= bins[digit]) rank -= bins[digit++];
    selection->rank = rank;
    selection->prefix = prefix << width | (threadIdx.x * 8 + digit);
}
