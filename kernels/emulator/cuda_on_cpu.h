// What CUDA's words mean to a host C++ compiler. Included through gpu.cuh by kernels, and by the emulator itself.
// A CUDA thread is a fiber (fiber.h), a block stays on one thread of the operating system, so memory shared by a block is
// memory of that thread. Everything that is a collective or asynchronous is a call into the emulator, out of line: the
// checked build instruments kernels, never the emulator.
#pragma once
#ifdef __CUDACC__
#error "this header is for host compilers"
#endif
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
// constinit: no constructor can run, and `extern` needs no call that would run one.
#define __shared__ constinit thread_local
#define DEVI static inline __attribute__((unused))

// ---- vectors, aligned as CUDA aligns them
#define EMU_VECTORS(T, name, align2, align4)                                       \
    struct alignas(align2) name##2 { T x, y; };                                    \
    struct name##3 { T x, y, z; };                                                 \
    struct alignas(align4) name##4 { T x, y, z, w; };                              \
    DEVI name##2 make_##name##2(T x, T y) { return {x, y}; }                       \
    DEVI name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }               \
    DEVI name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
EMU_VECTORS(float, float, 8, 16)
EMU_VECTORS(double, double, 16, 16)
EMU_VECTORS(int, int, 8, 16)
EMU_VECTORS(unsigned, uint, 8, 16)
EMU_VECTORS(unsigned char, uchar, 2, 4)
EMU_VECTORS(unsigned short, ushort, 4, 8)
#undef EMU_VECTORS

// ---- scalars
DEVI float __uint_as_float(unsigned u) { float f; std::memcpy(&f, &u, 4); return f; }
DEVI unsigned __float_as_uint(float f) { unsigned u; std::memcpy(&u, &f, 4); return u; }
DEVI float __int_as_float(int i) { return __uint_as_float((unsigned)i); }
DEVI int __float_as_int(float f) { return (int)__float_as_uint(f); }

struct bf16 {
    uint16_t bits;
    bf16() = default;
    bf16(float f) {
        const unsigned u = __float_as_uint(f);
        const bool nan = (u & 0x7fffffffu) > 0x7f800000u;
        bits = nan ? (uint16_t)0x7fff : (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
    }
    operator float() const { return __uint_as_float((unsigned)bits << 16); }
};
DEVI bf16 __float2bfloat16(float f) { return bf16(f); }
DEVI bf16 __float2bfloat16_rn(float f) { return bf16(f); }
DEVI float __bfloat162float(bf16 h) { return h; }

#define EMU_MIN_MAX(T)                                \
    DEVI T min(T a, T b) { return b < a ? b : a; }    \
    DEVI T max(T a, T b) { return a < b ? b : a; }
EMU_MIN_MAX(int)
EMU_MIN_MAX(unsigned)
EMU_MIN_MAX(long)
EMU_MIN_MAX(unsigned long)
EMU_MIN_MAX(long long)
EMU_MIN_MAX(unsigned long long)
#undef EMU_MIN_MAX
DEVI float min(float a, float b) { return fminf(a, b); }
DEVI float max(float a, float b) { return fmaxf(a, b); }
DEVI double min(double a, double b) { return fmin(a, b); }
DEVI double max(double a, double b) { return fmax(a, b); }

using std::isfinite;
using std::isinf;
using std::isnan;
DEVI int __popc(unsigned x) { return __builtin_popcount(x); }
DEVI int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
DEVI int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
DEVI int __ffs(int x) { return __builtin_ffs(x); }
DEVI unsigned __brev(unsigned x) {
    unsigned r = 0;
    for (int i = 0; i < 32; i++) r |= (x >> i & 1u) << (31 - i);
    return r;
}
DEVI unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
DEVI unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
DEVI float emu_rsqrtf(float x) { return 1.0f / sqrtf(x); }
#define rsqrtf emu_rsqrtf // newer C libraries have one of their own
DEVI float __fdividef(float a, float b) { return a / b; }
DEVI float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
DEVI float __fadd_rn(float a, float b) { return a + b; }
DEVI float __fsub_rn(float a, float b) { return a - b; }
DEVI float __fmul_rn(float a, float b) { return a * b; }
DEVI float __fdiv_rn(float a, float b) { return a / b; }
DEVI float __fsqrt_rn(float x) { return sqrtf(x); }
DEVI int __float2int_rn(float x) { return (int)rintf(x); }
DEVI int __float2int_rd(float x) { return (int)floorf(x); }
DEVI int __float2int_rz(float x) { return (int)x; }
DEVI float __int2float_rn(int x) { return (float)x; }
DEVI float __uint2float_rn(unsigned x) { return (float)x; }
DEVI float __double2float_rn(double x) { return (float)x; }
template <class T> DEVI T __ldg(const T* p) { return *p; }
template <class T> DEVI T __ldcg(const T* p) { return *p; }
template <class T> DEVI T __ldcs(const T* p) { return *p; }
template <class T> DEVI void __stcs(T* p, T v) { *p = v; }
template <class T> DEVI void __stcg(T* p, T v) { *p = v; }
DEVI void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
DEVI void __threadfence_block() {}

// ---- who am I: the last line of a fiber's stack points at its coordinates, so no thread-local lookup is needed
namespace emu {
struct Coordinates {
    uint3 thread;
    unsigned lane;
    const uint3 *block, *block_dim, *grid_dim;
};
constexpr size_t STACK = 128 * 1024; // a power of two; stacks are aligned to it
constexpr size_t STACK_HEADER = 64;
static inline __attribute__((always_inline)) Coordinates* here() {
    const uintptr_t top = (uintptr_t)__builtin_frame_address(0) | (STACK - 1);
    return *(Coordinates**)(top + 1 - STACK_HEADER);
}
} // namespace emu
#define threadIdx (::emu::here()->thread)
#define blockIdx (*::emu::here()->block)
#define blockDim (*::emu::here()->block_dim)
#define gridDim (*::emu::here()->grid_dim)
#define warpSize 32

// ---- collectives; the line of the call is its identity
namespace emu {
void barrier(int id, int count, int line);
void sync_warp(unsigned mask, int line);
uint64_t shuffle(unsigned mask, uint64_t value, int from, int line);
unsigned ballot(unsigned mask, bool p, int line);
void copy_async(void* to, const void* from, int bytes, bool inside, int line);
void copy_async_commit();
void copy_async_wait(int newest);
void load_matrices(uint32_t* r, const void* const* rows, int count, bool transposed, int line);
void mma_tile(float* c, const uint32_t* a, const uint32_t* b, int mt, int nt, int line);
float atomic_add(float* p, float v);
double atomic_add(double* p, double v);
int atomic_add(int* p, int v);
unsigned atomic_add(unsigned* p, unsigned v);
unsigned long long atomic_add(unsigned long long* p, unsigned long long v);
unsigned atomic_or(unsigned* p, unsigned v);
int atomic_max(int* p, int v);
unsigned atomic_max(unsigned* p, unsigned v);
int atomic_min(int* p, int v);
unsigned atomic_min(unsigned* p, unsigned v);
unsigned atomic_inc(unsigned* p, unsigned limit);
unsigned atomic_cas(unsigned* p, unsigned expected, unsigned v);

template <class T> static inline T shuffle_any(unsigned mask, T v, int from, int line) {
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable<T>::value, "a shuffle moves up to 8 plain bytes");
    uint64_t bits = 0;
    std::memcpy(&bits, &v, sizeof(T));
    bits = shuffle(mask, bits, from, line);
    std::memcpy(&v, &bits, sizeof(T));
    return v;
}
static inline int first_of(int width) { return (int)here()->lane & ~(width - 1); }
} // namespace emu

#define EMU_LINE int line = __builtin_LINE()
DEVI void __syncthreads(EMU_LINE) { emu::barrier(0, 0, line); }
DEVI void bar_sync(int id, int count, EMU_LINE) { emu::barrier(id, count, line); }
DEVI void __syncwarp(unsigned mask = ~0u, EMU_LINE) { emu::sync_warp(mask, line); }
DEVI unsigned __ballot_sync(unsigned mask, int p, EMU_LINE) { return emu::ballot(mask, p != 0, line); }
DEVI int __any_sync(unsigned mask, int p, EMU_LINE) { return emu::ballot(mask, p != 0, line) != 0; }
DEVI int __all_sync(unsigned mask, int p, EMU_LINE) { return emu::ballot(mask, p == 0, line) == 0; }
template <class T> DEVI T __shfl_sync(unsigned mask, T v, int from, int width = 32, EMU_LINE) {
    return emu::shuffle_any(mask, v, emu::first_of(width) | (from & (width - 1)), line);
}
template <class T> DEVI T __shfl_xor_sync(unsigned mask, T v, int flip, int width = 32, EMU_LINE) {
    const int lane = (int)emu::here()->lane, from = lane ^ flip;
    return emu::shuffle_any(mask, v, from < emu::first_of(width) + width ? from : lane, line);
}
template <class T> DEVI T __shfl_down_sync(unsigned mask, T v, unsigned by, int width = 32, EMU_LINE) {
    const int lane = (int)emu::here()->lane, from = lane + (int)by;
    return emu::shuffle_any(mask, v, from < emu::first_of(width) + width ? from : lane, line);
}
template <class T> DEVI T __shfl_up_sync(unsigned mask, T v, unsigned by, int width = 32, EMU_LINE) {
    const int lane = (int)emu::here()->lane, from = lane - (int)by;
    return emu::shuffle_any(mask, v, from >= emu::first_of(width) ? from : lane, line);
}
template <class T> DEVI T atomicAdd(T* p, T v) { return emu::atomic_add(p, v); }
DEVI unsigned atomicOr(unsigned* p, unsigned v) { return emu::atomic_or(p, v); }
template <class T> DEVI T atomicMax(T* p, T v) { return emu::atomic_max(p, v); }
template <class T> DEVI T atomicMin(T* p, T v) { return emu::atomic_min(p, v); }
DEVI unsigned atomicInc(unsigned* p, unsigned limit) { return emu::atomic_inc(p, limit); }
DEVI unsigned atomicCAS(unsigned* p, unsigned expected, unsigned v) { return emu::atomic_cas(p, expected, v); }

// ---- the wrappers of gpu.cuh, described there
DEVI void cp_async16(void* dst, const void* src, bool inside = true, EMU_LINE) { emu::copy_async(dst, src, 16, inside, line); }
DEVI void cp_async4(void* dst, const void* src, bool inside = true, EMU_LINE) { emu::copy_async(dst, src, 4, inside, line); }
DEVI void cp_async_commit() { emu::copy_async_commit(); }
template <int N> DEVI void cp_async_wait() { emu::copy_async_wait(N); }
DEVI void ldmatrix_x4(uint32_t (&r)[4], const void* row, EMU_LINE) { emu::load_matrices(r, &row, 1, false, line); }
DEVI void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row, EMU_LINE) { emu::load_matrices(r, &row, 1, true, line); }
template <int N> DEVI void ldmatrix_x4_tile(uint32_t (&r)[N][4], const void* const (&rows)[N], EMU_LINE) {
    emu::load_matrices(&r[0][0], rows, N, false, line);
}
template <int N> DEVI void ldmatrix_x4_trans_tile(uint32_t (&r)[N][4], const void* const (&rows)[N], EMU_LINE) {
    emu::load_matrices(&r[0][0], rows, N, true, line);
}
DEVI void mma_bf16_16816(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], EMU_LINE) {
    emu::mma_tile(c, a, b, 1, 1, line);
}
template <int MT, int NT>
DEVI void mma_bf16_tile(float (&c)[MT][NT][4], const uint32_t (&a)[MT][4], const uint32_t (&b)[NT][2], EMU_LINE) {
    static_assert(NT <= 16, "the emulator's tile is at most 128 columns wide");
    emu::mma_tile(&c[0][0][0], &a[0][0], &b[0][0], MT, NT, line);
}

// ---- kernels enter themselves in the emulator's table when the library is loaded
namespace emu {
struct Kernel {
    const char* name;
    const char* parameters; // as written, for messages
    void (*enter)(void** args);
    int max_threads, count;
    const uint32_t* sizes;
    Kernel(const char* name, const char* parameters, void (*enter)(void**), int max_threads, int count, const uint32_t* sizes);
};
// The array of arguments is the host's memory: entering is kept out of the instrumented set.
#define EMU_UNCHECKED __attribute__((no_sanitize("thread")))
template <class F> struct Entry;
template <class... A> struct Entry<void (*)(A...)> {
    static constexpr int count = (int)sizeof...(A);
    static constexpr uint32_t sizes[sizeof...(A) + 1] = {(uint32_t)sizeof(A)..., 0};
    template <void (*F)(A...), size_t... I>
    EMU_UNCHECKED static inline __attribute__((always_inline)) void call(void** args, std::index_sequence<I...>) {
        F(*(std::remove_reference_t<A>*)args[I]...);
    }
    template <void (*F)(A...)> EMU_UNCHECKED static void enter(void** args) { call<F>(args, std::index_sequence_for<A...>{}); }
};
} // namespace emu
#define KERNEL(name, max_threads, min_blocks, ...)                                                                              \
    extern "C" __attribute__((noinline)) void name(__VA_ARGS__);                                                                \
    static const ::emu::Kernel emu_kernel_##name(#name, #__VA_ARGS__, &::emu::Entry<decltype(&name)>::enter<&name>, max_threads, \
                                                 ::emu::Entry<decltype(&name)>::count, ::emu::Entry<decltype(&name)>::sizes);   \
    extern "C" void name(__VA_ARGS__)
