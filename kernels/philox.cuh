// Philox4x32-10, bit for bit as src/base/rng.rs (Salmon et al. 2011). A draw is a function of (key, stream, index) alone.
#pragma once
#include "gpu.cuh"

struct Philox {
    uint32_t key[2], stream[2];
};
static_assert(sizeof(Philox) == 16, "as in src/base/rng.rs");

// The four words at counter `block`: indices 4*block to 4*block + 3.
DEVI uint4 philox_words(const Philox& p, uint64_t block) {
    uint32_t c0 = (uint32_t)block, c1 = (uint32_t)(block >> 32), c2 = p.stream[0], c3 = p.stream[1];
    uint32_t k0 = p.key[0], k1 = p.key[1];
#pragma unroll
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)c0 * 0xD2511F53u, p1 = (uint64_t)c2 * 0xCD9E8D57u;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return make_uint4(c0, c1, c2, c3);
}

// The top 24 bits as a number in [0, 1).
DEVI float philox_unit(uint32_t word) { return (float)(word >> 8) * (1.0f / 16777216.0f); }

// A uniform integer in 0..n (n >= 1).
DEVI uint32_t philox_below(uint32_t word, uint32_t n) { return (uint32_t)(((uint64_t)word * n) >> 32); }

// Cosine and sine of 2*pi*u for u in [0, 1): the nearest quarter turn is taken off exactly, the rest, within pi/4, goes through
// Taylor's series (the first term left out is below 1e-16). Every device computes the same bits, and none needs a stack for it.
DEVI void turn(float u, double& cosine, double& sine) {
    int quarter = (int)(u * 4.0f + 0.5f);
    double x = 6.283185307179586 * ((double)u - 0.25 * quarter), s = x * x;
    double sn = -7.647163731819816e-13, cs = 4.779477332387385e-14;  // -1/15!, 1/16!
    sn = sn * s + 1.6059043836821613e-10;                            // 1/13!
    sn = sn * s - 2.505210838544172e-08;
    sn = sn * s + 2.7557319223985893e-06;
    sn = sn * s - 0.0001984126984126984;
    sn = sn * s + 0.008333333333333333;
    sn = sn * s - 0.16666666666666666;
    sn = sn * s * x + x;
    cs = cs * s - 1.1470745597729725e-11;  // -1/14!
    cs = cs * s + 2.08767569878681e-09;
    cs = cs * s - 2.755731922398589e-07;
    cs = cs * s + 2.48015873015873e-05;
    cs = cs * s - 0.001388888888888889;
    cs = cs * s + 0.041666666666666664;
    cs = cs * s - 0.5;
    cs = cs * s + 1.0;
    bool odd = quarter & 1, turned = quarter & 2;
    cosine = odd ? -sn : cs;
    sine = odd ? cs : sn;
    if (turned) {
        cosine = -cosine;
        sine = -sine;
    }
}

// Two standard normals of two words (Box-Muller, in f64).
DEVI float2 philox_normals(uint32_t first, uint32_t second) {
    double radius = sqrt(-2.0 * log((double)(1.0f - philox_unit(first))));
    double cosine, sine;
    turn(philox_unit(second), cosine, sine);
    return make_float2((float)(radius * cosine), (float)(radius * sine));
}
