// Device memory between guard pages, and faults of kernels turned into errors of their launch.
#include "shadow.h"
#include <csignal>
#include <cstdio>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

static size_t page() {
    static const size_t size = (size_t)sysconf(_SC_PAGESIZE);
    return size;
}

constexpr size_t GUARD = 64 * 1024; // bytes before and after an allocation that cannot be touched; a multiple of any page

bool Emu::find(uintptr_t address, size_t bytes, emu::Allocation& found) {
    std::lock_guard<std::mutex> guard(memory);
    auto after = allocations.upper_bound(address);
    if (after == allocations.begin()) return false;
    const emu::Allocation& a = (--after)->second;
    if (address + bytes > a.end) return false;
    found = a;
    return true;
}

// guard | 0xFF... | the bytes, ending at a multiple of 16 | guard
EMU_API void* emu_alloc(Emu* emu, size_t bytes) {
    const size_t body = bytes ? (bytes + page() - 1) / page() * page() : page(), mapped = body + 2 * GUARD;
    const auto fail = [&](const char* what) {
        emu->error = std::string(what) + " of " + std::to_string(bytes) + " bytes failed";
        return nullptr;
    };
    if (bytes > SIZE_MAX / 32) return fail("allocation");
    auto map = (uint8_t*)mmap(nullptr, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) return fail("allocation");
    if (mprotect(map + GUARD, body, PROT_READ | PROT_WRITE)) {
        munmap(map, mapped);
        return fail("allocation");
    }
    emu::GlobalShadow* shadow = nullptr;
    if (EMU_CHECKED && !(shadow = emu::new_shadow(bytes))) {
        munmap(map, mapped);
        return fail("shadow of an allocation");
    }
    std::memset(map + GUARD, 0xFF, body);
    uint8_t* start = map + GUARD + body - (bytes + 15) / 16 * 16;
    std::lock_guard<std::mutex> guard(emu->memory);
    emu->allocations[(uintptr_t)start] = {(uintptr_t)start, (uintptr_t)start + bytes, map, mapped, shadow};
    return start;
}

static void unmap(const emu::Allocation& a) {
    munmap(a.map, a.mapped);
    if (a.shadow) emu::delete_shadow(a.shadow, a.end - a.start);
}

EMU_API void emu_free(Emu* emu, void* p) {
    std::lock_guard<std::mutex> guard(emu->memory);
    const auto at = emu->allocations.find((uintptr_t)p);
    if (at == emu->allocations.end()) return;
    unmap(at->second);
    emu->allocations.erase(at);
}

Emu::~Emu() {
    for (const auto& [start, a] : allocations) unmap(a);
}

namespace emu {
std::string explain(Emu& emu, const Fault& fault) {
    char text[300];
    const char* verb = fault.write ? "write" : "read";
    if (fault.signal == SIGFPE) return "integer division by zero";
    if (fault.address < GUARD) return std::string(verb) + " through a null pointer, " + std::to_string(fault.address) + " bytes beyond it";
    std::lock_guard<std::mutex> guard(emu.memory);
    const auto after = emu.allocations.upper_bound(fault.address);
    const Allocation* next = after == emu.allocations.end() ? nullptr : &after->second;
    const Allocation* previous = after == emu.allocations.begin() ? nullptr : &std::prev(after)->second;
    const size_t before = next ? next->start - fault.address : SIZE_MAX, beyond = previous ? fault.address - previous->end : SIZE_MAX;
    const auto address = (void*)fault.address;
    const auto bytes = [](const Allocation* a) { return (size_t)(a->end - a->start); };
    if (previous && fault.address < previous->end)
        snprintf(text, sizeof text, "%s: address %p is %zu bytes before the end of an allocation of %zu bytes", verb, address,
                 (size_t)(previous->end - fault.address), bytes(previous));
    else if (previous && beyond <= before)
        snprintf(text, sizeof text, "%s: address %p is %zu bytes beyond an allocation of %zu bytes", verb, address, beyond,
                 bytes(previous));
    else if (next)
        snprintf(text, sizeof text, "%s: address %p is %zu bytes before an allocation of %zu bytes", verb, address, before, bytes(next));
    else snprintf(text, sizeof text, "%s: address %p is in no allocation", verb, address);
    return text;
}

// ---- faults. The handler only asks whose fiber stack the faulting stack pointer lies in, notes the fault and lets the fiber
// go on in `landed`, outside the signal: there locks and allocations are allowed again.
constexpr int MOST_BLOCKS = 1024;
static std::atomic<Block*> blocks[MOST_BLOCKS];
static struct sigaction previous_actions[3];
static const int watched[3] = {SIGSEGV, SIGBUS, SIGFPE};

bool claim(Block& b) {
    for (auto& slot : blocks) {
        Block* free = nullptr;
        if (slot.compare_exchange_strong(free, &b)) return true;
    }
    return false;
}

void unclaim(Block& b) {
    for (auto& slot : blocks) {
        Block* mine = &b;
        if (slot.compare_exchange_strong(mine, nullptr)) return;
    }
}

static void tell(Block& b, Thread& t) {
    const char* after = t.line ? "last collective at line " : "";
    const std::string line = t.line ? std::to_string(t.line) : "no collective before";
    report(b, &t, "%s (%s%s)", explain(*b.launch->emu, b.fault).c_str(), after, line.c_str());
}

[[maybe_unused]] static void landed() {
    Thread& t = me();
    tell(*t.in, t);
    die(*t.in, t);
}

static Block* block_at(uintptr_t stack_pointer) {
    for (auto& slot : blocks) {
        Block* b = slot.load(std::memory_order_acquire);
        if (b && stack_pointer - (uintptr_t)b->stacks < STACK * MAX_THREADS) return b;
    }
    return nullptr;
}

static void on_fault(int signal, siginfo_t* info, void* context) {
    auto& machine = ((ucontext_t*)context)->uc_mcontext;
    bool write = false;
#if defined(__x86_64__)
    const auto stack_pointer = (uintptr_t)machine.gregs[REG_RSP];
    write = machine.gregs[REG_ERR] & 2;
#elif defined(__aarch64__)
    const auto stack_pointer = (uintptr_t)machine.sp;
#else
    const auto stack_pointer = (uintptr_t)__builtin_frame_address(0); // no alternate stack is used
    (void)machine;
#endif
    if (Block* b = block_at(stack_pointer)) {
        b->fault = {(uintptr_t)info->si_addr, signal, info->si_code, write};
#if defined(__x86_64__) && !defined(EMU_USES_UCONTEXT)
        machine.gregs[REG_RSP] = (greg_t)(((stack_pointer - 256) & ~(uintptr_t)15) - 8); // past the red zone, as after a call
        machine.gregs[REG_RIP] = (greg_t)landed;
        return;
#elif defined(__aarch64__) && !defined(EMU_USES_UCONTEXT)
        machine.sp = (stack_pointer - 256) & ~(uintptr_t)15;
        machine.pc = (uintptr_t)landed;
        return;
#else
        tell(*b, *b->running);
        b->dead = true;
        setcontext(&b->main);
#endif
    }
    for (int i = 0; i < 3; i++) {
        if (watched[i] != signal) continue;
        const struct sigaction& old = previous_actions[i];
        if (old.sa_flags & SA_SIGINFO) return old.sa_sigaction(signal, info, context);
        if (old.sa_handler != SIG_DFL && old.sa_handler != SIG_IGN) return old.sa_handler(signal);
        sigaction(signal, &old, nullptr); // the instruction runs again and ends the process as it would have
    }
}

void watch_faults() {
    static std::once_flag once;
    std::call_once(once, [] {
        struct sigaction action = {};
        action.sa_sigaction = on_fault;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigemptyset(&action.sa_mask);
        for (int i = 0; i < 3; i++) sigaction(watched[i], &action, &previous_actions[i]);
    });
}
} // namespace emu
