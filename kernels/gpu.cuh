// The seam between kernels and machines: the only header that kernels include. nvcc sees instructions here, a host C++
// compiler sees the emulator (emulator/cuda_on_cpu.h). Inline PTX lives in this file and nowhere else.
//
// A kernel is declared by KERNEL(name, max_threads, min_blocks, arguments...) { body }: at the start of a line and literal,
// because the build scans for it. Dynamic shared memory is declared exactly so:
//     extern __shared__ __align__(1024) unsigned char dyn_smem[];
// Collectives (everything with "all lanes" below, __shfl_*_sync, __ballot_sync, __syncwarp) are reached by whole warps.
#pragma once

#if defined(__CUDACC__)

#include <cstdint>
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#define DEVI __device__ __forceinline__
#define KERNEL(name, max_threads, min_blocks, ...) extern "C" __global__ void __launch_bounds__(max_threads, min_blocks) name(__VA_ARGS__)

DEVI uint32_t shared_address(const void* p) { return (uint32_t)__cvta_generic_to_shared(p); }

// Copies 16 bytes of global memory to shared memory behind the thread's back; where `inside` is false 16 zero bytes arrive
// and `src` is not read. Both addresses are multiples of 16.
DEVI void cp_async16(void* dst, const void* src, bool inside = true) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(dst)), "l"(src), "r"(inside ? 16 : 0) : "memory");
}
// The same for 4 bytes, through L1.
DEVI void cp_async4(void* dst, const void* src, bool inside = true) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(dst)), "l"(src), "r"(inside ? 4 : 0) : "memory");
}
// Closes the group of the copies issued since the last commit.
DEVI void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most the N newest groups of this thread are in flight. Other threads see the data after a barrier.
template <int N> DEVI void cp_async_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

// All lanes: four 8x8 matrices of 16-bit numbers; lane l gives the address of row l%8 of matrix l/8 (a multiple of 16).
// Lane l receives in r[i] the numbers 2*(l%4), 2*(l%4)+1 of row l/4 of matrix i.
DEVI void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}
// The same with every matrix transposed: r[i] holds rows 2*(l%4), 2*(l%4)+1 of column l/4.
DEVI void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}
// N of the above at once (one rendezvous in the emulator, N instructions here).
template <int N> DEVI void ldmatrix_x4_tile(uint32_t (&r)[N][4], const void* const (&rows)[N]) {
#pragma unroll
    for (int i = 0; i < N; i++) ldmatrix_x4(r[i], rows[i]);
}
template <int N> DEVI void ldmatrix_x4_trans_tile(uint32_t (&r)[N][4], const void* const (&rows)[N]) {
#pragma unroll
    for (int i = 0; i < N; i++) ldmatrix_x4_trans(r[i], rows[i]);
}
// All lanes: c += a * b with a 16x16 (row), b 16x8 (column), bf16 pairs, c f32. With g = l/4, t = 2*(l%4) lane l holds
// a[0..4] = A[g][t..], A[g+8][t..], A[g][t+8..], A[g+8][t+8..]; b[0..2] = B[t..][g], B[t+8..][g]; c = C[g][t..], C[g+8][t..].
DEVI void mma_bf16_16816(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
// A warp's tile of MT x NT such products (one rendezvous in the emulator): prefer it to the single instruction.
template <int MT, int NT> DEVI void mma_bf16_tile(float (&c)[MT][NT][4], const uint32_t (&a)[MT][4], const uint32_t (&b)[NT][2]) {
#pragma unroll
    for (int i = 0; i < MT; i++)
#pragma unroll
        for (int j = 0; j < NT; j++) mma_bf16_16816(c[i][j], a[i], b[j]);
}
// A barrier of `count` threads (whole warps) with an id in 1..15.
DEVI void bar_sync(int id, int count) { asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(count) : "memory"); }

typedef __nv_bfloat16 bf16;

#else

#include "emulator/cuda_on_cpu.h"

#endif

constexpr uint32_t ALL_LANES = 0xffffffffu;

// bf16 and its bits. Rounding is to nearest even, a NaN stays a NaN. A pair has its first number in the low half.
DEVI uint16_t bf16_bits(float x) {
    const uint32_t u = __float_as_uint(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40u);
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}
DEVI float bf16_float(uint16_t bits) { return __uint_as_float((uint32_t)bits << 16); }
#if defined(__CUDACC__)
DEVI uint32_t bf16_pair(float low, float high) {  // one instruction; its NaN has another payload
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const uint32_t*>(&pair);
}
#else
DEVI uint32_t bf16_pair(float low, float high) { return (uint32_t)bf16_bits(low) | (uint32_t)bf16_bits(high) << 16; }
#endif

// Sixteen (or eight) bytes in one access; p is a multiple of 16 (8).
DEVI float4 load4(const float* p) { return *reinterpret_cast<const float4*>(p); }
DEVI void store4(float* p, float4 v) { *reinterpret_cast<float4*>(p) = v; }
DEVI float2 load2(const float* p) { return *reinterpret_cast<const float2*>(p); }
DEVI void store2(float* p, float2 v) { *reinterpret_cast<float2*>(p) = v; }

// All lanes: the sum over the warp, in every lane, always in the same order (a butterfly).
template <class T> DEVI T warp_sum(T v) {
#pragma unroll
    for (int far = 16; far; far >>= 1) v += __shfl_xor_sync(ALL_LANES, v, far);
    return v;
}
// All lanes: the greatest of the warp, in every lane. A NaN loses (fmaxf).
DEVI float warp_max(float v) {
#pragma unroll
    for (int far = 16; far; far >>= 1) v = fmaxf(v, __shfl_xor_sync(ALL_LANES, v, far));
    return v;
}
// All lanes: bit l tells whether p holds in lane l. (CUDA has a `ballot` of its own.)
DEVI uint32_t warp_ballot(bool p) { return __ballot_sync(ALL_LANES, p); }
DEVI int popc(uint32_t x) { return __popc(x); }

// All threads of a block of THREADS threads in x (a multiple of 32): the sum over the block, in every thread, always in the
// same order: warps by butterfly, then warp sums from the first to the last. Ends with a barrier, so calls may follow each other.
template <int THREADS, class T> DEVI T block_sum(T v) {
    static_assert(THREADS % 32 == 0 && THREADS <= 1024, "whole warps");
    __shared__ T sums[THREADS / 32];
    v = warp_sum(v);
    if ((threadIdx.x & 31) == 0) sums[threadIdx.x >> 5] = v;
    __syncthreads();
    T total = sums[0];
#pragma unroll
    for (int i = 1; i < THREADS / 32; i++) total += sums[i];
    __syncthreads();
    return total;
}
