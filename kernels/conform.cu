// What `caltrop selftest` asks of a machine: every wrapper of gpu.cuh alone, registers of the host in, registers out. The host
// compares with the layouts of the PTX ISA (src/selftest/conform). A warp or block a trial; nothing here is timed.
#include "philox.cuh"

// d = c + a * b: registers of a [trial, lane, 4], b [trial, lane, 2], c and d [trial, lane, 4].
KERNEL(conform_mma, 32, 1, const uint32_t* a, const uint32_t* b, const float* c, float* d) {
    const uint32_t at = blockIdx.x * 32 + threadIdx.x;
    uint32_t ra[4], rb[2];
    float rc[4];
    for (int i = 0; i < 4; i++) ra[i] = a[at * 4 + i], rc[i] = c[at * 4 + i];
    for (int i = 0; i < 2; i++) rb[i] = b[at * 2 + i];
    mma_bf16_16816(rc, ra, rb);
    for (int i = 0; i < 4; i++) d[at * 4 + i] = rc[i];
}

// The same for a tile of 2 x 3 products: a [trial, 2, lane, 4], b [trial, 3, lane, 2], c and d [trial, 2, 3, lane, 4].
KERNEL(conform_mma_tile, 32, 1, const uint32_t* a, const uint32_t* b, const float* c, float* d) {
    const uint32_t trial = blockIdx.x, lane = threadIdx.x;
    uint32_t ra[2][4], rb[3][2];
    float rc[2][3][4];
    for (int m = 0; m < 2; m++)
        for (int i = 0; i < 4; i++) ra[m][i] = a[((trial * 2 + m) * 32 + lane) * 4 + i];
    for (int n = 0; n < 3; n++)
        for (int i = 0; i < 2; i++) rb[n][i] = b[((trial * 3 + n) * 32 + lane) * 2 + i];
    for (int m = 0; m < 2; m++)
        for (int n = 0; n < 3; n++)
            for (int i = 0; i < 4; i++) rc[m][n][i] = c[(((trial * 2 + m) * 3 + n) * 32 + lane) * 4 + i];
    mma_bf16_tile(rc, ra, rb);
    for (int m = 0; m < 2; m++)
        for (int n = 0; n < 3; n++)
            for (int i = 0; i < 4; i++) d[(((trial * 2 + m) * 3 + n) * 32 + lane) * 4 + i] = rc[m][n][i];
}

// 64 rows of 16 bytes in shared memory; lane l gives rows[trial, i, l] as the address of its row in load i of two.
// out [trial, form, load, lane, 4]: forms are plain, transposed, and both as a tile of two.
KERNEL(conform_ldmatrix, 32, 1, const uint32_t* bytes, const uint32_t* rows, uint32_t* out) {
    __shared__ __align__(16) uint32_t tile[64 * 4];
    const uint32_t trial = blockIdx.x, lane = threadIdx.x;
    for (int i = lane; i < 64 * 4; i += 32) tile[i] = bytes[trial * 64 * 4 + i];
    __syncwarp();
    const void* from[2];
    for (int i = 0; i < 2; i++) from[i] = tile + rows[(trial * 2 + i) * 32 + lane] * 4;
    uint32_t r[4][2][4];
    for (int i = 0; i < 2; i++) ldmatrix_x4(r[0][i], from[i]);
    for (int i = 0; i < 2; i++) ldmatrix_x4_trans(r[1][i], from[i]);
    ldmatrix_x4_tile<2>(r[2], {from[0], from[1]});
    ldmatrix_x4_trans_tile<2>(r[3], {from[0], from[1]});
    for (int form = 0; form < 4; form++)
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 4; j++) out[(((trial * 4 + form) * 2 + i) * 32 + lane) * 4 + j] = r[form][i][j];
}

// Three groups of copies in flight, read in order as waits let them through: thread t of 64 copies words 4t.. of each third of
// `in`, where its bit of `inside` tells, 16 bytes at once (wide) or in fours, and reads what thread 63 - t brought.
template <bool WIDE> DEVI void copies(const uint32_t* in, const uint32_t* inside, uint32_t* out, uint32_t (*tile)[256]) {
    const uint32_t t = threadIdx.x, other = 63 - t;
    for (int group = 0; group < 3; group++) {
        for (int word = 0; word < 4; word += WIDE ? 4 : 1) {
            const uint32_t at = t * 4 + word, from = group * 256 + at;
            const bool here = inside[from] & 1;
            if (WIDE) cp_async16(&tile[group][at], &in[from], here);
            else cp_async4(&tile[group][at], &in[from], here);
        }
        cp_async_commit();
    }
    auto read = [&](int group) {
        __syncthreads();
        for (int word = 0; word < 4; word++) out[group * 256 + other * 4 + word] = tile[group][other * 4 + word];
    };
    cp_async_wait<2>();
    read(0);
    cp_async_wait<1>();
    read(1);
    cp_async_wait<0>();
    read(2);
    __syncthreads();
}

// in, inside [trial, 768], out [trial, form, 768]: forms are 16 bytes, 4 bytes, and 16 and 4 without a predicate.
KERNEL(conform_cp_async, 64, 1, const uint32_t* in, const uint32_t* inside, uint32_t* out) {
    __shared__ __align__(16) uint32_t tile[3][256];
    in += blockIdx.x * 768, inside += blockIdx.x * 768, out += blockIdx.x * 4 * 768;
    copies<true>(in, inside, out, tile);
    copies<false>(in, inside, out + 768, tile);
    for (int form = 2; form < 4; form++) {
        for (int group = 0; group < 3; group++)
            for (int word = 0; word < 4; word += form == 2 ? 4 : 1) {
                const uint32_t at = threadIdx.x * 4 + word;
                if (form == 2) cp_async16(&tile[group][at], &in[group * 256 + at]);
                else cp_async4(&tile[group][at], &in[group * 256 + at]);
            }
        cp_async_commit();
        cp_async_wait<0>();
        __syncthreads();
        for (uint32_t i = threadIdx.x; i < 768; i += 64) out[form * 768 + i] = tile[i / 256][i % 256];
        __syncthreads();
    }
}

// Shuffles of v [trial, lane], by `by` [trial, lane] where lanes may differ, else by a number of the trial: out [trial, 8, lane].
// The last two move 8 bytes: v and its complement.
KERNEL(conform_shuffles, 32, 1, const uint32_t* v, const uint32_t* by, uint32_t* out) {
    const uint32_t trial = blockIdx.x, lane = threadIdx.x, mine = v[trial * 32 + lane];
    const int from = by[trial * 32 + lane] & 31, far = trial & 31;
    out += trial * 8 * 32 + lane;
    out[0 * 32] = __shfl_sync(ALL_LANES, mine, from);
    out[1 * 32] = __shfl_xor_sync(ALL_LANES, mine, far);
    out[2 * 32] = __shfl_up_sync(ALL_LANES, mine, (unsigned)far);
    out[3 * 32] = __shfl_down_sync(ALL_LANES, mine, (unsigned)far);
    out[4 * 32] = __shfl_sync(ALL_LANES, mine, from, 8);
    out[5 * 32] = __shfl_down_sync(ALL_LANES, mine, (unsigned)far & 7, 8);
    const uint64_t both = __shfl_sync(ALL_LANES, (unsigned long long)mine << 32 | (uint32_t)~mine, from);
    out[6 * 32] = (uint32_t)(both >> 32);
    out[7 * 32] = (uint32_t)both;
}

// v [trial, 256]. Sums of f32 by warp [trial, 256], of f64 by warp [trial, 256], of f32 and f64 by block twice in a row
// [trial, 256], the greatest by warp, the ballot of "v is above 0" and its bits counted.
KERNEL(conform_reductions, 256, 1, const float* v, float* warp, double* warp64, float* block, double* block64, float* most,
       uint32_t* ballot, uint32_t* bits) {
    const uint32_t at = blockIdx.x * 256 + threadIdx.x;
    const float mine = v[at];
    const bool nan = !(mine == mine);
    const float number = nan ? 1.0f : mine;
    warp[at] = warp_sum(number);
    warp64[at] = warp_sum((double)number);
    block[at] = block_sum<256>(number);
    block64[at] = block_sum<256>((double)number);
    most[at] = warp_max(mine);
    ballot[at] = warp_ballot(mine > 0.0f);
    bits[at] = popc(__float_as_uint(mine));
}

// Two pairs of warps, each pair with a barrier of its own, pass numbers to and fro: v and out [trial, 128].
KERNEL(conform_barriers, 128, 1, const uint32_t* v, uint32_t* out) {
    __shared__ uint32_t box[128];
    const uint32_t t = threadIdx.x, at = blockIdx.x * 128 + t, pair = t / 64;
    uint32_t mine = v[at];
    for (uint32_t round = 0; round < 5 + 3 * pair; round++) { // one pair has more to do than the other
        box[t] = mine;
        bar_sync(1 + pair, 64);
        mine = mine * 2654435761u + box[pair * 64 + (63 - (t & 63))];
        bar_sync(1 + pair, 64);
    }
    out[at] = mine;
}

// bf16 of the floats x [n]: bits of one, the float of those bits, and the pair (x[i], x[n-1-i]).
KERNEL(conform_bf16, 256, 1, const float* x, uint32_t n, uint32_t* bits, float* back, uint32_t* pair) {
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const uint16_t mine = bf16_bits(x[i]);
    bits[i] = mine;
    back[i] = bf16_float(mine);
    pair[i] = bf16_pair(x[i], x[n - 1 - i]);
}

// out [8, n]: what must be rounded as IEEE 754 says, each operation by itself: a*b + c, a*b - c, a + b, a*b, a/b, sqrt|a|,
// the fused multiply-add, and a rounded from f64.
KERNEL(conform_arithmetic, 256, 1, const float* a, const float* b, const float* c, uint32_t n, float* out) {
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const float x = a[i], y = b[i], z = c[i];
    out[0 * n + i] = x * y + z;
    out[1 * n + i] = x * y - z;
    out[2 * n + i] = x + y;
    out[3 * n + i] = x * y;
    out[4 * n + i] = x / y;
    out[5 * n + i] = sqrtf(fabsf(x));
    out[6 * n + i] = fmaf(x, y, z);
    out[7 * n + i] = (float)((double)x * (double)y + (double)z);
}

// exp of x in f32 and in f64, and log of |x| in f64.
KERNEL(conform_functions, 256, 1, const float* x, uint32_t n, float* exp32, double* exp64, double* log64) {
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    exp32[i] = expf(x[i]);
    exp64[i] = exp((double)x[i]);
    log64[i] = log(fabs((double)x[i]));
}

// Words of Philox at counters first, first + 1, ...: [n, 4]; two uniforms' units, an integer below `below`, two normals.
KERNEL(conform_philox, 256, 1, Philox stream, uint64_t first, uint32_t n, uint32_t below, uint32_t* words, float* unit,
       uint32_t* integer, float* normals) {
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const uint4 w = philox_words(stream, first + i);
    words[i * 4 + 0] = w.x, words[i * 4 + 1] = w.y, words[i * 4 + 2] = w.z, words[i * 4 + 3] = w.w;
    unit[i] = philox_unit(w.x);
    integer[i] = philox_below(w.y, below);
    const float2 pair = philox_normals(w.z, w.w);
    normals[i * 2] = pair.x, normals[i * 2 + 1] = pair.y;
}

// out[i] = x[i], the first half of n (a multiple of 8) by sixteen bytes, the other by eight.
KERNEL(conform_vectors, 256, 1, const float* x, uint32_t n, float* out) {
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i * 4 < n / 2) store4(out + i * 4, load4(x + i * 4));
    if (i * 2 < n / 2) store2(out + n / 2 + i * 2, load2(x + n / 2 + i * 2));
}
