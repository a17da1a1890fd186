// The checked build compiles kernels (not the emulator) with -fsanitize=thread and links these hooks in place of the
// sanitizer's library: every load and store of a kernel passes here.
//
// Shared memory. Two accesses of a byte by different threads, one of them a write, must have a barrier between them, or a
// __syncwarp if both threads are of one warp. A byte that nobody has written since the block began must not be read, nor one
// whose cp.async is still in flight.
// Global memory. The same within a block; between blocks of a launch nothing orders accesses. Atomics are exempt.
#include "shadow.h"
#include <cstdio>
#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

namespace emu {
// "conv.cu:81" by addr2line, or what can be said without it.
static std::string look_up(void* address) {
    Dl_info info;
    if (!dladdr(address, &info)) return "an unknown place";
    const long offset = (long)((char*)address - (char*)info.dli_fbase) - 1;
    std::string file = info.dli_fname;
    if (file.rfind("/proc/self/", 0) == 0) file = "/proc/" + std::to_string(getpid()) + file.substr(10); // the child is another self
    char command[600], line[300] = "";
    snprintf(command, sizeof command, "addr2line -s -e '%s' 0x%lx 2>/dev/null", file.c_str(), offset);
    if (FILE* pipe = popen(command, "r")) {
        if (!fgets(line, sizeof line, pipe)) line[0] = 0;
        pclose(pipe);
    }
    std::string text = line;
    text.erase(text.find_last_not_of(" \n") + 1);
    if (!text.empty() && text[0] != '?') return text;
    snprintf(line, sizeof line, "offset 0x%lx of the library", offset);
    return line;
}

static std::string source(Where where) {
    if (where.line) return "line " + std::to_string(where.line);
    static std::mutex mutex;
    static std::map<void*, std::string> known;
    std::lock_guard<std::mutex> guard(mutex);
    auto& text = known[where.address];
    if (text.empty()) text = look_up(where.address);
    return text;
}

static bool enough(const Block& b) { return b.launch->failures.load(std::memory_order_relaxed) >= MOST_ERRORS; }

// ---- shared memory
constexpr uint16_t WHOLE_WARP = 0x8000;
static bool same_warp(uint16_t a, uint16_t b) { return ((a ^ b) & 0x7fff) >> 5 == 0; }
static bool ordered(const Warp& w, uint16_t before, uint16_t now, uint32_t warp_epoch) {
    return before == now || (same_warp(before, now) && warp_epoch < w.epoch);
}

void check_shared(Block& b, Thread& t, size_t offset, size_t bytes, Access access, Where where) {
    if (enough(b)) return;
    const Warp& w = *t.warp;
    const uint16_t id = access == Access::MatrixRead ? (uint16_t)((t.index & ~31u) | WHOLE_WARP) : (uint16_t)t.index;
    for (size_t i = offset; i < offset + bytes; i++) {
        SharedByte& s = b.shadow[i];
        const char* problem = nullptr;
        int other = -1;
        const bool fresh_write = s.write_epoch == b.epoch && !ordered(w, s.writer, id, s.write_warp_epoch);
        if (s.in_flight == b.first_epoch) problem = "access to the destination of a cp.async still in flight", other = s.writer;
        else if (access == Access::Write) {
            const bool fresh_read = s.read_epoch == b.epoch && (s.read_by_several || !ordered(w, s.reader, id, s.read_warp_epoch));
            if (fresh_write) problem = "write-after-write race", other = s.writer;
            else if (fresh_read) problem = "write-after-read race", other = s.reader;
        } else if (s.write_epoch < b.first_epoch) problem = "read of uninitialised memory";
        else if (fresh_write) problem = "read-after-write race", other = s.writer;
        if (problem) {
            const std::string with = other < 0 ? "" : ", other thread " + std::to_string(other & 0x7fff);
            report(b, &t, "%s, shared memory byte %zu%s, at %s", problem, i, with.c_str(), source(where).c_str());
            return;
        }
        if (access == Access::Write) {
            s.write_epoch = b.epoch;
            s.write_warp_epoch = w.epoch;
            s.writer = id;
        } else {
            const bool again = s.read_epoch == b.epoch;
            s.read_by_several = again && (s.read_by_several || !same_warp(s.reader, id));
            s.read_epoch = b.epoch;
            s.read_warp_epoch = w.epoch;
            s.reader = id;
        }
    }
}

void mark_in_flight(Block& b, size_t offset, size_t bytes) {
    for (size_t i = offset; i < offset + bytes; i++) b.shadow[i].in_flight = b.first_epoch;
}

void mark_landed(Block& b, Thread& t, size_t offset, size_t bytes) {
    for (size_t i = offset; i < offset + bytes; i++) {
        SharedByte& s = b.shadow[i];
        s.in_flight = 0;
        s.write_epoch = b.epoch;
        s.write_warp_epoch = t.warp->epoch;
        s.writer = (uint16_t)t.index;
    }
}

// ---- global memory. Aligned accesses of whole words are noted a word, others a byte; the pages of the bytes' cells stay
// untouched where an array has words only. A stamp is
// launch 12 bits | block 20 | thread 10 | barriers 12 | __syncwarps 8 | flags 2.
constexpr uint64_t SEVERAL_THREADS = 1, SEVERAL_BLOCKS = 2;
static uint64_t stamp(const Block& b, const Thread& t) {
    return (uint64_t)(b.launch->serial % SERIALS) << 52 | (b.number & 0xfffff) << 32 | (uint64_t)t.index << 22 |
           (uint64_t)((b.epoch - b.first_epoch) & 0xfff) << 10 | (uint64_t)(t.warp->epoch & 0xff) << 2;
}
static bool same_launch(uint64_t a, uint64_t b) { return (a ^ b) >> 52 == 0; }
static bool same_block(uint64_t a, uint64_t b) { return (a ^ b) >> 32 == 0; }
static unsigned thread_of(uint64_t a) { return (unsigned)(a >> 22 & 0x3ff); }
static unsigned block_of(uint64_t a) { return (unsigned)(a >> 32 & 0xfffff); }

// Whether an access with stamp `before` (of this launch) is ordered before one with stamp `now`.
static bool ordered(uint64_t before, uint64_t now) {
    if (!same_block(before, now) || before & SEVERAL_BLOCKS) return false;
    if ((before ^ now) >> 10 & 0xfff) return true; // a barrier between
    if (before & SEVERAL_THREADS) return false;
    const unsigned a = thread_of(before), c = thread_of(now);
    return a == c || (a >> 5 == c >> 5 && ((before ^ now) >> 2 & 0xff));
}

static uint64_t merge_reader(uint64_t before, uint64_t now) {
    if (!same_launch(before, now)) return now;
    if (before & SEVERAL_BLOCKS || !same_block(before, now)) return now | SEVERAL_BLOCKS;
    if ((before ^ now) >> 10 & 0xfff) return now;
    const bool one = thread_of(before) == thread_of(now);
    return now | (one ? before & SEVERAL_THREADS : SEVERAL_THREADS);
}

struct Seen {
    const char* problem = nullptr;
    uint64_t other = 0;
};
enum class Visit { Record, Look };

// Relaxed: two blocks that touch a word within nanoseconds, on two OS threads, may miss each other; on one they never do.
static void visit(GlobalCell& cell, Access access, uint64_t now, Visit visit, Seen& seen) {
    const uint64_t write = __atomic_load_n(&cell.write, __ATOMIC_RELAXED), read = __atomic_load_n(&cell.read, __ATOMIC_RELAXED);
    if (same_launch(write, now) && !ordered(write, now))
        seen = {access == Access::Write ? "write-after-write race" : "read-after-write race", write};
    if (access == Access::Write) {
        if (!seen.problem && same_launch(read, now) && !ordered(read, now)) seen = {"write-after-read race", read};
        if (visit == Visit::Record) __atomic_store_n(&cell.write, now, __ATOMIC_RELAXED);
    } else if (visit == Visit::Record) {
        const uint64_t merged = merge_reader(read, now);
        if (merged != read) __atomic_store_n(&cell.read, merged, __ATOMIC_RELAXED);
    }
}

static bool in_allocation(Block& b, uintptr_t address, size_t bytes) {
    if (address >= b.recent.start && address + bytes <= b.recent.end) return true;
    return b.launch->emu->find(address, bytes, b.recent);
}

void check_global(Block& b, Thread& t, uintptr_t address, size_t bytes, Access access, Where where) {
    if (enough(b)) return;
    if (!in_allocation(b, address, bytes)) {
        const Fault fault = {address, 0, 0, access == Access::Write};
        report(b, &t, "%s (%zu bytes), at %s", explain(*b.launch->emu, fault).c_str(), bytes, source(where).c_str());
        return;
    }
    const uint64_t now = stamp(b, t);
    const Allocation& all = b.recent;
    Seen seen;
    const size_t start = address - all.start;
    if ((start | bytes) % 4 == 0) {
        const bool narrow = __atomic_load_n(&all.shadow->narrow, __ATOMIC_RELAXED) == b.launch->serial;
        for (size_t i = start; i < start + bytes && !seen.problem; i += 4) {
            visit(all.shadow->words[i / 4], access, now, Visit::Record, seen);
            for (size_t j = i; narrow && j < i + 4; j++) visit(all.shadow->bytes[j], access, now, Visit::Look, seen);
        }
    } else {
        __atomic_store_n(&all.shadow->narrow, b.launch->serial, __ATOMIC_RELAXED);
        for (size_t i = start; i < start + bytes && !seen.problem; i++) {
            visit(all.shadow->bytes[i], access, now, Visit::Record, seen);
            visit(all.shadow->words[i / 4], access, now, Visit::Look, seen);
        }
    }
    if (!seen.problem) return;
    report(b, &t, "%s, global memory byte %zu of an allocation of %zu, other block number %u thread %u, at %s", seen.problem, start,
           (size_t)(all.end - all.start), block_of(seen.other), thread_of(seen.other), source(where).c_str());
}

// ---- shadows of allocations
constexpr size_t HEAD = 64;
static size_t words_of(size_t bytes) { return (bytes + 3) / 4; }
static size_t shadow_bytes(size_t bytes) { return HEAD + (words_of(bytes) + bytes) * sizeof(GlobalCell); }

GlobalShadow* new_shadow(size_t bytes) {
    void* map = mmap(nullptr, shadow_bytes(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) return nullptr;
    auto shadow = (GlobalShadow*)map;
    shadow->words = (GlobalCell*)((uint8_t*)map + HEAD);
    shadow->bytes = shadow->words + words_of(bytes);
    return shadow;
}
void delete_shadow(GlobalShadow* shadow, size_t bytes) { munmap(shadow, shadow_bytes(bytes)); }
void clear_shadow(GlobalShadow* shadow, size_t bytes) {
    madvise(shadow, shadow_bytes(bytes), MADV_DONTNEED);
    shadow->words = (GlobalCell*)((uint8_t*)shadow + HEAD);
    shadow->bytes = shadow->words + words_of(bytes);
}

// ---- the hooks
#if EMU_CHECKED
static std::atomic<bool> library_known{false};
static uintptr_t library_start, library_end;
void know_library(uintptr_t start, uintptr_t end) {
    library_start = start;
    library_end = end;
    library_known = true;
}

static void access(void* p, size_t bytes, Access kind, void* from) {
    if (!library_known.load(std::memory_order_relaxed)) return; // still loading
    Thread& t = me();
    Block& b = *t.in;
    const uintptr_t address = (uintptr_t)p;
    if (address - (uintptr_t)b.stacks < STACK * MAX_THREADS) return;
    // threadIdx and its kin
    if (address - (uintptr_t)b.fibers.data() < sizeof(Thread) * MAX_THREADS || address - (uintptr_t)&b < sizeof(Block)) return;
    const Where where = {from, 0};
    const uintptr_t offset = address - (uintptr_t)b.shared;
    if (offset < b.shared_bytes) {
        const uintptr_t dynamic = address - (uintptr_t)dyn_smem;
        if (dynamic < DYNAMIC_LIMIT && dynamic + bytes > b.dynamic)
            return report(b, &t, "%s of %zu bytes past dynamic shared memory (offset %zu of %zu), at %s",
                          kind == Access::Write ? "write" : "read", bytes, (size_t)dynamic, b.dynamic, source(where).c_str());
        return check_shared(b, t, offset, bytes, kind, where);
    }
    if (address >= library_start && address < library_end) return; // constants
    check_global(b, t, address, bytes, kind, where);
}
#else
void know_library(uintptr_t, uintptr_t) {}
#endif

// ---- what -fsanitize=alignment,bounds,... adds: mistakes that GPU and CPU would answer differently
#if EMU_CHECKED
static void undefined(const char* what, void* from) {
    if (!library_known.load(std::memory_order_relaxed) || enough(*me().in)) return;
    report(*me().in, &me(), "%s, at %s", what, source({from, 0}).c_str());
}
#endif
} // namespace emu

#if EMU_CHECKED
#define HOOK(name, bytes, kind) \
    extern "C" void __tsan_##name(void* p) { emu::access(p, bytes, emu::Access::kind, __builtin_return_address(0)); }
#define HOOK_BOTH(name, bytes)                                                        \
    extern "C" void __tsan_##name(void* p) {                                          \
        emu::access(p, bytes, emu::Access::Read, __builtin_return_address(0));        \
        emu::access(p, bytes, emu::Access::Write, __builtin_return_address(0));       \
    }
#define HOOKS(bytes)                                  \
    HOOK(read##bytes, bytes, Read)                    \
    HOOK(write##bytes, bytes, Write)                  \
    HOOK(volatile_read##bytes, bytes, Read)           \
    HOOK(volatile_write##bytes, bytes, Write)         \
    HOOK(unaligned_read##bytes, bytes, Read)          \
    HOOK(unaligned_write##bytes, bytes, Write)        \
    HOOK(unaligned_volatile_read##bytes, bytes, Read) \
    HOOK(unaligned_volatile_write##bytes, bytes, Write) \
    HOOK_BOTH(read_write##bytes, bytes)               \
    HOOK_BOTH(unaligned_read_write##bytes, bytes)
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)
extern "C" void __tsan_read_range(void* p, size_t n) { emu::access(p, n, emu::Access::Read, __builtin_return_address(0)); }
extern "C" void __tsan_write_range(void* p, size_t n) { emu::access(p, n, emu::Access::Write, __builtin_return_address(0)); }
extern "C" void* __tsan_memcpy(void* to, const void* from, size_t n) {
    emu::access((void*)from, n, emu::Access::Read, __builtin_return_address(0));
    emu::access(to, n, emu::Access::Write, __builtin_return_address(0));
    return std::memcpy(to, from, n);
}
extern "C" void* __tsan_memset(void* to, int value, size_t n) {
    emu::access(to, n, emu::Access::Write, __builtin_return_address(0));
    return std::memset(to, value, n);
}
extern "C" void __tsan_init() {}
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit() {}
extern "C" void __tsan_vptr_update(void**, void*) {}

#define UNDEFINED(name, what) \
    extern "C" void __ubsan_handle_##name(void*, void*, void*) { emu::undefined(what, __builtin_return_address(0)); }
UNDEFINED(type_mismatch_v1, "misaligned access")
UNDEFINED(out_of_bounds, "index outside its array")
UNDEFINED(shift_out_of_bounds, "shift by as many bits as there are, or more")
UNDEFINED(divrem_overflow, "integer division by zero")
UNDEFINED(add_overflow, "signed overflow of a sum")
UNDEFINED(sub_overflow, "signed overflow of a difference")
UNDEFINED(mul_overflow, "signed overflow of a product")
UNDEFINED(negate_overflow, "signed overflow of a negation")
UNDEFINED(float_cast_overflow, "float too large for the integer it is cast to")
#endif
