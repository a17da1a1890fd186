// The matrix products of convolutions and linear layers, on tensor cores (mma.sync m16n8k16, bf16 in, f32 out).
//
// Numbers. An f32 is the sum of three bf16 terms, each the rounding of what the terms before it leave (24 bits, exactly).
// f32 products multiply the term pairs (i, j) with i + j <= 2: six products for two real operands; spikes (0, 1) and
// quarters (k/4) are one term, so three, and those lose nothing at all. What is dropped is below 2^-26 of each product.
// bf16 products take the first term of each. An infinite operand gives NaN (inf - inf among its terms).
// Sums. Tensor cores truncate when they add, which over a long depth is a bias. An f32 product therefore runs its chain of
// term pairs (smallest first) from zero over one step of 16 and adds that to its sums by f32 additions, which round to
// nearest and run on another pipe. bf16 products add inside the tensor core: their operands' rounding is far coarser.
//
// A block multiplies BM rows by BN columns, a chunk of depth 32 at a time. Weights stream in by cp.async, in terms that were
// split when the weight changed; activations pass through registers (read a chunk ahead), where they are split or unpacked.
#pragma once
#include "gpu.cuh"

constexpr int CHUNK = 32;  // depth of a chunk: 64 bytes of bf16 a row

// n / d for n < 2^31 as a product: q = n * mul >> (31 + shift), shift = ceil(log2 d), mul = ceil(2^(31 + shift) / d).
struct Divisor {
    uint32_t divisor, mul, shift;
};
DEVI uint32_t divided(uint32_t n, Divisor d) { return (uint32_t)((uint64_t)n * d.mul >> (31 + d.shift)); }

// n = q * d + r.
DEVI uint32_t split(uint32_t n, Divisor d, uint32_t& quotient) {
    quotient = divided(n, d);
    return n - quotient * d.divisor;
}

// Where the 16-byte cells of a staged tile lie: rows of CELLS cells, swizzled so that eight rows of ldmatrix, or eight
// neighbouring cells of a store, meet eight different groups of four banks.
template <int CELLS> struct Cells {
    static __device__ int at(int row, int cell) {
        constexpr int ROWS = CELLS >= 8 ? 1 : 8 / CELLS;  // rows in 128 bytes
        constexpr int MASK = CELLS >= 8 ? 7 : CELLS - 1;
        return (row * CELLS + (cell ^ (row / ROWS & MASK))) * 16;
    }
};

// ---------------------------------------------------------------------------------------------------- forms of an activation
// A form says what 16 loaded bytes hold (VECTOR channels of one step) and writes them as bf16 terms into a staged tile:
// `vector` counts them along a row, `bits` is the place of the step within a code. LANES threads share a row of a chunk: as
// many as make whole lines of numbers; few for codes, whose steps read the same bytes anyway.

// Numbers [.., F, C]. C is a multiple of 4.
struct Real {
    typedef float Item;
    static constexpr int VECTOR = 4, LANES = 8;
    static __device__ uint32_t planes(uint32_t frames) { return frames; }
    static __device__ uint32_t plane(uint32_t frame) { return frame; }
    static __device__ uint32_t bits(uint32_t) { return 0; }
    template <int TERMS, class At> static __device__ void put(unsigned char* tile, int bytes, int row, int vector, uint4 raw, uint32_t) {
        float x[4] = {__uint_as_float(raw.x), __uint_as_float(raw.y), __uint_as_float(raw.z), __uint_as_float(raw.w)};
        unsigned char* to = tile + At::at(row, vector >> 1) + (vector & 1) * 8;
#pragma unroll
        for (int term = 0; term < TERMS; term++) {
            const uint32_t low = bf16_pair(x[0], x[1]), high = bf16_pair(x[2], x[3]);
            *reinterpret_cast<uint2*>(to + term * bytes) = make_uint2(low, high);
            x[0] -= __uint_as_float(low << 16), x[1] -= __uint_as_float(low & 0xffff0000u);
            x[2] -= __uint_as_float(high << 16), x[3] -= __uint_as_float(high & 0xffff0000u);
        }
    }
};

// Pooled spikes: words [.., ceil(F/8), C], a nibble a step, worth a quarter each. C is a multiple of 4.
struct Quarters {
    typedef uint32_t Item;
    static constexpr int VECTOR = 4, LANES = 2;
    static __device__ uint32_t planes(uint32_t frames) { return (frames + 7) / 8; }
    static __device__ uint32_t plane(uint32_t frame) { return frame / 8; }
    static __device__ uint32_t bits(uint32_t frame) { return frame % 8 * 4; }
    // bf16 of n/4: 2^23 + n holds n in its low bits, so the subtraction leaves n.
    static __device__ uint32_t quarter(uint32_t word, uint32_t bits) {
        return __float_as_uint((__uint_as_float(0x4b000000u | (word >> bits & 15u)) - 8388608.0f) * 0.25f);
    }
    template <int TERMS, class At> static __device__ void put(unsigned char* tile, int, int row, int vector, uint4 raw, uint32_t bits) {
        const uint32_t low = quarter(raw.x, bits) >> 16 | quarter(raw.y, bits);
        const uint32_t high = quarter(raw.z, bits) >> 16 | quarter(raw.w, bits);
        *reinterpret_cast<uint2*>(tile + At::at(row, vector >> 1) + (vector & 1) * 8) = make_uint2(low, high);
    }
};

// Spikes: bytes [.., ceil(F/8), C], a bit a step. C is a multiple of 16.
struct Spikes {
    typedef uint8_t Item;
    static constexpr int VECTOR = 16, LANES = 2;
    static __device__ uint32_t planes(uint32_t frames) { return (frames + 7) / 8; }
    static __device__ uint32_t plane(uint32_t frame) { return frame / 8; }
    static __device__ uint32_t bits(uint32_t frame) { return frame % 8; }
    // Four bytes with a bit each at 0, 8, 16, 24 as two pairs of bf16 0 or 1 (0x3f80).
    static __device__ uint2 ones(uint32_t word, uint32_t bits) {
        const uint32_t b = word >> bits;
        return make_uint2(((b & 1u) | (b << 8 & 0x10000u)) * 0x3f80u, ((b >> 16 & 1u) | (b >> 8 & 0x10000u)) * 0x3f80u);
    }
    template <int TERMS, class At> static __device__ void put(unsigned char* tile, int, int row, int vector, uint4 raw, uint32_t bits) {
        const uint2 a = ones(raw.x, bits), b = ones(raw.y, bits), c = ones(raw.z, bits), d = ones(raw.w, bits);
        *reinterpret_cast<uint4*>(tile + At::at(row, 2 * vector)) = make_uint4(a.x, a.y, b.x, b.y);
        *reinterpret_cast<uint4*>(tile + At::at(row, 2 * vector + 1)) = make_uint4(c.x, c.y, d.x, d.y);
    }
};

// ------------------------------------------------------------------------------------------------------------ a step of depth 16

// Fragments multiplied at once: the emulator wants all of a warp's (one rendezvous), registers want few.
#if defined(__CUDACC__)
template <int ALL, int FEW> constexpr int TOGETHER = FEW;
#else
template <int ALL, int FEW> constexpr int TOGETHER = ALL;
#endif

template <int MT, int NT> DEVI void clear(float (&sums)[MT][NT][4]) {
#pragma unroll
    for (int i = 0; i < MT; i++)
#pragma unroll
        for (int j = 0; j < NT; j++)
#pragma unroll
            for (int k = 0; k < 4; k++) sums[i][j][k] = 0.0f;
}

// sums[i0.., j0..] += a[i0..] * b over 16, for ROWS x COLUMNS fragments, in the terms of a (TA of MT fragments) and b (TB).
template <int TA, int TB, int ROWS, int COLUMNS, int MT, int NT>
DEVI void multiply(float (&sums)[MT][NT][4], int i0, int j0, const uint32_t (&a)[TA * MT][4], const uint32_t (&b)[TB * COLUMNS / 2][4]) {
    float part[ROWS][COLUMNS][4];
    clear(part);
    constexpr int LAST = (TA > TB ? TA : TB) - 1;
#pragma unroll
    for (int order = LAST; order >= 0; order--)
#pragma unroll
        for (int ta = 0; ta < TA; ta++)
            if (order - ta >= 0 && order - ta < TB)
                mma_bf16_tile(part, reinterpret_cast<const uint32_t(&)[ROWS][4]>(a[ta * MT + i0]),
                              reinterpret_cast<const uint32_t(&)[COLUMNS][2]>(b[(order - ta) * COLUMNS / 2]));
#pragma unroll
    for (int i = 0; i < ROWS; i++)
#pragma unroll
        for (int j = 0; j < COLUMNS; j++)
#pragma unroll
            for (int k = 0; k < 4; k++) sums[i0 + i][j0 + j][k] += part[i][j][k];
}

// The shape of a block: BM x BN results by warps of WM x WN, TA and TB terms of the operands, two stages of chunks. (A chunk
// takes a multiprocessor 500 cycles and more, longer than memory takes to answer: a third stage would only cost registers.)
template <int TA_, int TB_, int BM_, int BN_, int WM_, int WN_> struct Tile {
    static constexpr int TA = TA_, TB = TB_, BM = BM_, BN = BN_, WM = WM_, WN = WN_;
    static constexpr int WARPS_N = BN / WN, THREADS = BM / WM * WARPS_N * 32, MT = WM / 16, NT = WN / 8;
    static constexpr int A_TERM = BM * CHUNK * 2, B_TERM = BN * CHUNK * 2;  // bytes of a staged term
    static constexpr int STAGE = TA * A_TERM + TB * B_TERM;                 // of a stage: terms of a, then of b
};

// Fragments for ldmatrix: TERMS x COUNT pieces of 16 x 16 from `first` on. Lane l gives the address of row l % 8 of matrix l / 8;
// `rows` and `cells` say how its place within the piece grows, so that the four matrices are the mma's registers in order.
// ALONG: the tile's rows are the piece's (cells run along the depth), else they are depth (transposed on the way).
template <int TERMS, int COUNT, int CELLS, bool ALONG>
DEVI void read_fragments(uint32_t (&to)[TERMS * COUNT][4], const unsigned char* tile, int bytes, int first, int k, int rows, int cells) {
    const int inner = threadIdx.x & 7;
    const void* from[TERMS * COUNT];
#pragma unroll
    for (int i = 0; i < TERMS * COUNT; i++) {
        const int place = first + i % COUNT * 16;
        from[i] = tile + i / COUNT * bytes
                + (ALONG ? Cells<CELLS>::at(place + rows * 8 + inner, k * 2 + cells)
                         : Cells<CELLS>::at(k * 16 + cells * 8 + inner, place / 8 + rows));
    }
    if constexpr (ALONG) ldmatrix_x4_tile(to, from);
    else ldmatrix_x4_trans_tile(to, from);
}

// Multiplies a staged chunk. ALONG: staged rows are rows of results, 4 cells of depth each; else they are the 32 steps of depth.
template <class T, bool ALONG> DEVI void multiply_chunk(float (&sums)[T::MT][T::NT][4], const unsigned char* stage) {
    constexpr bool PLAIN = T::TA == 1 && T::TB == 1;
    constexpr int MT = T::MT, ROWS = PLAIN ? MT : TOGETHER<MT, (MT < 2 ? MT : 2)>, PAIRS = PLAIN ? T::NT / 2 : TOGETHER<T::NT / 2, 1>;
    constexpr int A_CELLS = ALONG ? CHUNK / 8 : T::BM / 8, B_CELLS = ALONG ? CHUNK / 8 : T::BN / 8;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, m = warp / T::WARPS_N * T::WM, n = warp % T::WARPS_N * T::WN;
    const int middle = lane >> 3 & 1, outer = lane >> 4;
    const unsigned char* b = stage + T::TA * T::A_TERM;
#pragma unroll 1
    for (int k = 0; k < CHUNK / 16; k++) {
        uint32_t fa[T::TA * MT][4], fb[T::TB * PAIRS][4];
        read_fragments<T::TA, MT, A_CELLS, ALONG>(fa, stage, T::A_TERM, m, k, middle, outer);
#pragma unroll
        for (int pair = 0; pair < T::NT / 2; pair += PAIRS) {
            read_fragments<T::TB, PAIRS, B_CELLS, ALONG>(fb, b, T::B_TERM, n + pair * 16, k, outer, middle);
            if constexpr (PLAIN) {
                mma_bf16_tile(sums, fa, reinterpret_cast<const uint32_t(&)[T::NT][2]>(fb));
            } else {
#pragma unroll
                for (int i = 0; i < MT; i += ROWS) multiply<T::TA, T::TB, ROWS, 2 * PAIRS>(sums, i, 2 * pair, fa, fb);
            }
        }
    }
}
