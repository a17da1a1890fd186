// Deliberate bugs, one a kernel, and correct twins (ok_*) that must stay silent. What each flavour of the emulator must say
// is the table in tests/emulator.rs. p has 256 floats (p[i] = i), n is 256; every block has the threads of its launch bounds.
#include "../gpu.cuh"

// ---- shared memory
KERNEL(ok_shared_exchange, 256, 1, float* p, int n) {
    __shared__ float s[256];
    const int t = threadIdx.x;
    s[t] = p[t];
    __syncthreads();
    const float v = s[255 - t];
    __syncthreads();
    s[t] = v;
    __syncthreads();
    p[t] = s[t ^ 1];
}
KERNEL(bug_no_barrier_in_loop, 256, 1, float* p, int n) {
    __shared__ float s[256];
    const int t = threadIdx.x;
    for (int k = 0; k < 3; k++) {
        s[t] = p[t];
        __syncthreads();
        p[t] = s[255 - t];
    }
}
KERNEL(ok_shared_syncwarp, 32, 1, float* p, int n) {
    __shared__ float s[32];
    const int t = threadIdx.x;
    s[t] = p[t];
    __syncwarp();
    p[t] = s[31 - t];
}
KERNEL(bug_no_syncwarp, 32, 1, float* p, int n) {
    __shared__ float s[32];
    const int t = threadIdx.x;
    s[t] = p[t];
    p[t] = s[31 - t];
}
KERNEL(bug_equal_writes, 64, 1, float* p, int n) {
    __shared__ float s[64];
    const int t = threadIdx.x;
    s[t] = 1.0f;
    if (t < 63) s[t + 1] = 1.0f;
    __syncthreads();
    p[t] = s[t];
}
KERNEL(bug_shared_static_beyond, 64, 1, float* p, int n) {
    __shared__ float s[64];
    const int t = threadIdx.x;
    s[t] = 1;
    __syncthreads();
    p[t] = s[t + (n > 0)];
}
KERNEL(ok_shared_dynamic, 64, 1, float* p, int n) {
    extern __shared__ __align__(1024) unsigned char dyn_smem[];
    float* s = (float*)dyn_smem;
    s[threadIdx.x] = p[threadIdx.x];
    __syncthreads();
    p[threadIdx.x] = s[63 - threadIdx.x];
}
KERNEL(bug_shared_dynamic_beyond, 64, 1, float* p, int n) {
    extern __shared__ __align__(1024) unsigned char dyn_smem[];
    float* s = (float*)dyn_smem;
    s[threadIdx.x + (n > 0)] = p[threadIdx.x];
    __syncthreads();
    p[threadIdx.x] = s[threadIdx.x + 1];
}
KERNEL(bug_shared_unwritten, 64, 1, float* p, int n) {
    __shared__ float s[64];
    const int t = threadIdx.x;
    if (t != 7) s[t] = 1;
    __syncthreads();
    p[t] = s[t] > 0.5f ? 1.0f : 0.0f; // the comparison hides a poisoned value
}

// ---- collectives
KERNEL(ok_block_sum, 256, 1, float* p, int n) {
    const double total = block_sum<256>((double)p[threadIdx.x]);
    const float again = block_sum<256>(1.0f);
    p[threadIdx.x] = (float)total + again;
}
KERNEL(bug_divergent_barrier, 64, 1, float* p, int n) {
    if (threadIdx.x & 1) {
        p[threadIdx.x] = 1;
        __syncthreads();
    } else {
        __syncthreads();
    }
}
KERNEL(bug_return_before_shuffle, 64, 1, float* p, int n) {
    if (threadIdx.x >= 40) return;
    const float v = p[threadIdx.x];
    p[threadIdx.x] = v + __shfl_xor_sync(ALL_LANES, v, 8);
}
KERNEL(bug_barrier_in_branch, 64, 1, float* p, int n) {
    if (threadIdx.x < 32) {
        p[threadIdx.x] = 0;
        __syncthreads();
    }
    bar_sync(1, 64);
}
KERNEL(bug_mma_without_a_lane, 32, 1, float* p, int n) {
    float c[4] = {0, 0, 0, 0};
    const uint32_t a[4] = {0, 0, 0, 0}, b[2] = {0, 0};
    if (threadIdx.x != 3) mma_bf16_16816(c, a, b);
    p[threadIdx.x] = c[0];
}
KERNEL(bug_shuffle_from_outside, 32, 1, float* p, int n) {
    if (threadIdx.x < 16) p[threadIdx.x] = __shfl_sync(0xffffu, p[threadIdx.x], 20);
}
KERNEL(bug_ldmatrix_misaligned, 32, 1, float* p, int n) {
    __shared__ __align__(16) float s[256];
    for (int i = threadIdx.x; i < 256; i += 32) s[i] = p[i];
    __syncthreads();
    uint32_t r[4];
    ldmatrix_x4(r, s + 4 * threadIdx.x + 1);
    p[threadIdx.x] = __uint_as_float(r[0]);
}
KERNEL(bug_ldmatrix_of_global, 32, 1, float* p, int n) {
    uint32_t r[4];
    ldmatrix_x4(r, p + 4 * threadIdx.x);
    p[threadIdx.x] = __uint_as_float(r[0]);
}

// ---- cp.async
KERNEL(ok_cp_async, 64, 1, float* p, int n) {
    __shared__ __align__(16) float s[256];
    const int t = threadIdx.x;
    cp_async16(s + 4 * t, p + 4 * t, t != 5);
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    p[t] = s[4 * (63 - t)];
}
KERNEL(ok_cp_async_pending_at_end, 64, 1, float* p, int n) {
    __shared__ __align__(16) float s[256];
    cp_async16(s + 4 * threadIdx.x, p);
    cp_async_commit();
}
KERNEL(bug_cp_async_without_barrier, 64, 1, float* p, int n) {
    __shared__ __align__(16) float s[256];
    const int t = threadIdx.x;
    cp_async16(s + 4 * t, p + 4 * t);
    cp_async_commit();
    cp_async_wait<0>();
    p[t] = s[4 * (63 - t)];
}
KERNEL(bug_cp_async_without_wait, 64, 1, float* p, int n) {
    __shared__ __align__(16) float s[256];
    const int t = threadIdx.x;
    cp_async16(s + 4 * t, p + 4 * t);
    cp_async_commit();
    __syncthreads();
    p[t] = s[4 * t];
}
KERNEL(bug_cp_async_misaligned, 64, 1, float* p, int n) {
    __shared__ __align__(16) float s[256];
    cp_async16(s + 4 * threadIdx.x, p + threadIdx.x);
    cp_async_commit();
    cp_async_wait<0>();
}
KERNEL(bug_cp_async_beyond, 64, 1, float* p, int n) {
    __shared__ __align__(16) float s[256];
    cp_async16(s + 4 * threadIdx.x, p + 4 * threadIdx.x + 4);
    cp_async_commit();
    cp_async_wait<0>();
}

// ---- addresses of global memory
KERNEL(bug_global_beyond_by_one, 64, 1, float* p, int n) {
    const int i = blockIdx.x * 64 + threadIdx.x;
    if (i <= n) p[i] = 1;
}
KERNEL(bug_global_before_by_one, 64, 1, float* p, int n) {
    const int t = threadIdx.x;
    p[128 + t] = p[t - (n > 0)];
}
KERNEL(bug_global_far_before, 64, 1, float* p, int n) {
    const int t = threadIdx.x;
    p[t] = p[t - (t == 5 ? 16 * n : 0)];
}
KERNEL(bug_null_pointer, 64, 1, float* p, int n) {
    const float* volatile none = nullptr; // volatile: else a compiler may conclude what it likes
    p[threadIdx.x] = none[threadIdx.x];
}
KERNEL(bug_misaligned_vector, 32, 1, float* p, int n) {
    const float4* v = reinterpret_cast<const float4*>(p + threadIdx.x);
    p[128 + threadIdx.x] = v->x + v->w;
}
KERNEL(bug_division_by_zero, 32, 1, float* p, int n) { p[threadIdx.x] = (float)(n / (n - 256)); }

KERNEL(bug_shift_by_all_bits, 32, 1, float* p, int n) { p[threadIdx.x] = (float)(1u << (n / 8)); } // 0 on a GPU, 1 on x86
KERNEL(bug_signed_overflow, 32, 1, float* p, int n) { p[threadIdx.x] = (float)(n * 0x1000000 + (int)threadIdx.x); }
KERNEL(bug_float_too_large, 32, 1, float* p, int n) { p[threadIdx.x] = (float)(int)(1e30f * (float)n); }

// ---- races of global memory (two blocks)
KERNEL(ok_global_own_bytes, 64, 1, float* p, int n) {
    ((uint8_t*)p)[blockIdx.x * 64 + threadIdx.x] = (uint8_t)threadIdx.x; // neighbours share words
}
KERNEL(ok_global_shared_reads, 64, 1, float* p, int n) { p[64 * (1 + blockIdx.x) + threadIdx.x] = p[threadIdx.x] + p[0]; }
KERNEL(ok_global_atomics, 64, 1, float* p, int n) { atomicAdd((unsigned*)p, 1u + threadIdx.x); }
KERNEL(ok_global_exchange, 64, 1, float* p, int n) {
    float* mine = p + 64 * blockIdx.x;
    mine[threadIdx.x] = (float)threadIdx.x;
    __syncthreads();
    const float v = mine[63 - threadIdx.x];
    __syncthreads();
    mine[threadIdx.x] = v;
}
KERNEL(ok_global_syncwarp, 32, 1, float* p, int n) {
    float* mine = p + 32 * blockIdx.x;
    mine[threadIdx.x] = (float)threadIdx.x;
    __syncwarp();
    const float v = mine[31 - threadIdx.x];
    __syncwarp();
    mine[threadIdx.x] = v;
}
KERNEL(bug_global_writes_of_two_blocks, 64, 1, float* p, int n) { p[threadIdx.x] = 1.0f; }
KERNEL(bug_global_read_of_other_block, 64, 1, float* p, int n) {
    const int i = blockIdx.x * 64 + threadIdx.x;
    p[i] = 2.0f;
    p[128 + i] = p[(i + 64) % 128];
}
KERNEL(bug_global_write_after_others_read, 64, 1, float* p, int n) {
    const int i = blockIdx.x * 64 + threadIdx.x;
    const float v = p[(i + 64) % 128];
    __syncthreads();
    p[i] = v;
}
KERNEL(bug_global_without_barrier, 64, 1, float* p, int n) {
    float* mine = p + 64 * blockIdx.x;
    mine[threadIdx.x] = (float)threadIdx.x;
    p[128 + 64 * blockIdx.x + threadIdx.x] = mine[63 - threadIdx.x];
}

// ---- for tests of the interface
struct Geometry {
    uint32_t rows, columns;
};
KERNEL(scale, 64, 1, Geometry g, const float* x, float* y, float by) {
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < g.rows * g.columns) y[i] = x[i] * by;
}
// The order in which threads (and blocks) come.
KERNEL(turns, 64, 1, uint32_t* counter, uint32_t* turn) { turn[blockIdx.x * 64 + threadIdx.x] = atomicAdd(counter, 1u); }
