// Kernels by name, blocks spread over threads of the operating system, and the interface in C.
#include "shadow.h"
#include <algorithm>
#include <cstdio>
#include <link.h>
#include <numeric>
#include <string_view>
#include <sys/mman.h>
#include <unordered_map>

constinit thread_local __attribute__((aligned(1024))) unsigned char dyn_smem[DYNAMIC_LIMIT];
// Whoever sees only its declaration asks this function to initialise it first.
extern "C" __attribute__((visibility("hidden"))) void _ZTH8dyn_smem() {}

namespace emu {
void know_library(uintptr_t start, uintptr_t end);

// ---- the table of kernels
static std::unordered_map<std::string_view, const Kernel*>& kernels() {
    static std::unordered_map<std::string_view, const Kernel*> table;
    return table;
}

Kernel::Kernel(const char* name, const char* parameters, void (*enter)(void**), int max_threads, int count, const uint32_t* sizes)
    : name(name), parameters(parameters), enter(enter), max_threads(max_threads), count(count), sizes(sizes) {
    kernels()[name] = this;
}

// "const float* x" of "Geometry g, const float* x".
static std::string parameter(const char* all, int index) {
    std::string_view rest = all;
    for (int depth = 0; !rest.empty(); rest.remove_prefix(1)) {
        if (index == 0 && rest[0] != ' ') break;
        if (rest[0] == '<' || rest[0] == '(') depth++;
        if (rest[0] == '>' || rest[0] == ')') depth--;
        if (rest[0] == ',' && !depth) index--;
    }
    return std::string(rest.substr(0, rest.find(',')));
}

// ---- shared memory: this library's thread-local storage, in which nothing but kernels' __shared__ variables lives
struct Library {
    uintptr_t before_dynamic = 0, bytes = 0; // dyn_smem's offset within it, its size
};

static int find_storage(dl_phdr_info* info, size_t, void* out) {
    const auto here = (uintptr_t)&find_storage;
    bool mine = false;
    uintptr_t start = UINTPTR_MAX, end = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const auto& header = info->dlpi_phdr[i];
        if (header.p_type != PT_LOAD) continue;
        const uintptr_t low = info->dlpi_addr + header.p_vaddr, high = low + header.p_memsz;
        mine |= here >= low && here < high;
        start = std::min(start, low);
        end = std::max(end, high);
    }
    if (!mine) return 0;
    know_library(start, end);
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_TLS)
            *(Library*)out = {(uintptr_t)dyn_smem - (uintptr_t)info->dlpi_tls_data, info->dlpi_phdr[i].p_memsz};
    return 1;
}

static const Library& library() {
    static const Library found = [] {
        Library l;
        *(volatile unsigned char*)dyn_smem = 0; // gives this thread its storage
        dl_iterate_phdr(find_storage, &l);
        return l;
    }();
    return found;
}

// ---- blocks
Block::Block() : shared(nullptr), stacks(nullptr), shared_bytes(0), epoch(0), recent{} {
    dim = {0, 0, 0};
    fibers.resize(MAX_THREADS);
    lanes.resize(MAX_THREADS / LANES);
    free_stacks.reserve(MAX_THREADS);
}

Block::~Block() {
    if (!stacks) return;
    unclaim(*this);
    munmap(stacks, STACK * MAX_THREADS);
}

static bool get_stacks(Block& b) {
    if (b.stacks) return true;
    const size_t bytes = STACK * MAX_THREADS;
    auto map = (uint8_t*)mmap(nullptr, bytes + STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) return false;
    const auto aligned = (uint8_t*)(((uintptr_t)map + STACK - 1) & ~(uintptr_t)(STACK - 1));
    if (aligned != map) munmap(map, (size_t)(aligned - map));
    munmap(aligned + bytes, (size_t)(map + STACK - aligned));
    b.stacks = aligned;
    if (claim(b)) return true;
    munmap(aligned, bytes);
    b.stacks = nullptr;
    return false;
}

// What depends on the launch's dimensions alone; done again only when these change.
void Block::shape(const Launch& l) {
    if (l.block.x == dim.x && l.block.y == dim.y && l.block.z == dim.z) return;
    dim = l.block;
    threads = (int)(dim.x * dim.y * dim.z);
    warps = (threads + LANES - 1) / LANES;
    for (int i = 0; i < warps; i++) lanes[i].threads = &fibers[i * LANES];
    for (int i = 0; i < threads; i++) {
        Thread& t = fibers[i];
        t.index = (uint32_t)i;
        t.lane = t.index % LANES;
        t.warp = &lanes[i / LANES];
        t.in = this;
        t.thread = {t.index % dim.x, t.index / dim.x % dim.y, t.index / dim.x / dim.y};
        t.block = &index;
        t.block_dim = &dim;
        t.grid_dim = &grid;
    }
}

// 0xFF is NaN in f32 and bf16.
static void poison(Block& b) {
    const Library& l = library();
    const size_t dynamic = EMU_CHECKED ? DYNAMIC_LIMIT : b.dynamic;
    std::memset(b.shared, 0xFF, l.before_dynamic + dynamic);
    std::memset(dyn_smem + DYNAMIC_LIMIT, 0xFF, l.bytes - l.before_dynamic - DYNAMIC_LIMIT);
}

void Block::run(Launch& l, uint64_t block_number) {
    number = block_number;
    index = {(unsigned)(number % l.grid.x), (unsigned)(number / l.grid.x % l.grid.y), (unsigned)(number / l.grid.x / l.grid.y)};
    alive = threads;
    dead = false;
    random = (l.emu->seed + number) * 0x9E3779B97F4A7C15ull | 1;
    std::fill(std::begin(arrived), std::end(arrived), 0);
    first_epoch = ++epoch;
    poison(*this);
    free_stacks.clear();
    for (int i = threads; i--;) free_stacks.push_back(stacks + STACK * (size_t)i);
    for (int i = 0; i < warps; i++) {
        Warp& w = lanes[i];
        const int n = std::min(LANES, threads - LANES * i);
        w.runnable = w.alive = n == LANES ? ~0u : (1u << n) - 1;
        w.started = w.arrived = 0;
        w.epoch = 1;
        std::fill(std::begin(w.at_barrier), std::end(w.at_barrier), 0);
        std::fill(std::begin(w.barrier_line), std::end(w.barrier_line), 0);
    }
    for (int i = 0; i < threads; i++) {
        Thread& t = fibers[i];
        t.op = Op::None;
        t.line = 0;
        t.group = 0;
    }
    Thread* first = pick(*this, nullptr);
    start(*this, *first);
    running = first;
    switch_fiber(main, first->fiber);
    if (dead)
        for (Thread& t : fibers) t.copies.clear();
}

void run_blocks(Launch& l, Block& b) {
    if (!get_stacks(b)) {
        std::lock_guard<std::mutex> guard(l.reporting);
        l.failures++;
        l.errors.push_back(std::string("kernel ") + l.kernel->name + ": no memory for the stacks of its threads");
        l.stop = true;
        return;
    }
    *(volatile unsigned char*)dyn_smem = 0;
    b.shared = dyn_smem - library().before_dynamic;
    b.shared_bytes = library().bytes;
    if (EMU_CHECKED && b.shadow.size() < b.shared_bytes) b.shadow.assign(b.shared_bytes, SharedByte{});
    b.launch = &l;
    b.grid = l.grid;
    b.dynamic = l.dynamic;
    b.order = l.emu->order;
    b.recent = Allocation{};
    b.shape(l);
    for (;;) {
        const uint64_t i = l.next.fetch_add(1);
        if (i >= l.blocks || l.stop) return;
        b.run(l, (uint64_t)(((unsigned __int128)i * l.stride + l.offset) % l.blocks));
        if (b.dead) l.stop = true;
    }
}

// ---- the pool. A thread that wakes too late finds the launch closed and goes back to sleep; nobody waits for it.
void Pool::wait_for_work() {
    Block block;
    std::unique_lock<std::mutex> lock(mutex);
    for (uint64_t seen = serial;;) {
        wake.wait(lock, [&] { return quit || (open && serial != seen); });
        if (quit) return;
        seen = serial;
        if (!wanted) continue;
        wanted--;
        inside++;
        Launch& launch = *open;
        lock.unlock();
        run_blocks(launch, block);
        lock.lock();
        if (--inside == 0) idle.notify_all();
    }
}

void Pool::run(Launch& launch, Block& own, int others) {
    if (others > 0) {
        std::lock_guard<std::mutex> lock(mutex);
        while ((int)threads.size() < others) threads.emplace_back([this] { wait_for_work(); });
        open = &launch;
        serial++;
        wanted = others;
    }
    if (others > 0) wake.notify_all();
    run_blocks(launch, own);
    if (others > 0) {
        std::unique_lock<std::mutex> lock(mutex);
        open = nullptr;
        idle.wait(lock, [&] { return inside == 0; });
    }
}

Pool::~Pool() {
    {
        std::lock_guard<std::mutex> lock(mutex);
        quit = true;
    }
    wake.notify_all();
    for (auto& t : threads) t.join();
}

// ---- launching
static std::string refuse(const Kernel& k, const uint3& grid, const uint3& block, uint32_t shared, const uint32_t* sizes, int count) {
    const std::string name = k.name;
    const uint64_t threads = (uint64_t)block.x * block.y * block.z;
    if (count != k.count) return name + ": wants " + std::to_string(k.count) + " arguments, got " + std::to_string(count);
    for (int i = 0; i < count; i++)
        if (sizes[i] != k.sizes[i])
            return name + ": argument " + std::to_string(i + 1) + " (" + parameter(k.parameters, i) + ") wants " +
                   std::to_string(k.sizes[i]) + " bytes, got " + std::to_string(sizes[i]);
    if (!threads || threads > (uint64_t)k.max_threads)
        return name + ": a block of " + std::to_string(threads) + " threads, its launch bounds allow 1 to " + std::to_string(k.max_threads);
    if (!grid.x || !grid.y || !grid.z || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
        return name + ": a grid of " + std::to_string(grid.x) + " x " + std::to_string(grid.y) + " x " + std::to_string(grid.z) +
               " blocks, allowed are 1 to 2147483647 x 65535 x 65535";
    if (shared > DYNAMIC_LIMIT)
        return name + ": " + std::to_string(shared) + " bytes of dynamic shared memory, a block has " + std::to_string(DYNAMIC_LIMIT);
    return "";
}

static void order_blocks(Launch& l) {
    const Emu& e = *l.emu;
    l.stride = 1;
    l.offset = 0;
    if (e.order == Order::Reverse) {
        l.stride = l.blocks - 1;
        l.offset = l.blocks - 1;
    } else if (e.order == Order::Random && l.blocks > 1) {
        l.stride = (e.seed * 0x9E3779B97F4A7C15ull >> 20) % l.blocks | 1;
        while (std::gcd(l.stride, l.blocks) != 1) l.stride++;
        l.offset = (e.seed * 0xD1B54A32D192ED03ull >> 20) % l.blocks;
    }
}

static void next_serial(Emu& e) {
    if (++e.launches % SERIALS) return;
    e.launches++; // zero marks untouched bytes
    if (!EMU_CHECKED) return;
    std::lock_guard<std::mutex> guard(e.memory);
    for (auto& [start, a] : e.allocations)
        if (a.shadow) clear_shadow(a.shadow, a.end - a.start);
}
} // namespace emu

EMU_API Emu* emu_new(int order, uint64_t seed, int threads) {
    if (order < 0 || order > 2 || threads < 1) return nullptr;
    emu::library();
    emu::watch_faults();
    auto e = new Emu();
    e->order = (emu::Order)order;
    e->seed = seed;
    e->threads = threads;
    return e;
}

EMU_API void emu_delete(Emu* emu) { delete emu; }

EMU_API const char* emu_error(Emu* emu) { return emu->error.c_str(); }

EMU_API int emu_launch(Emu* emu, const char* name, uint32_t gx, uint32_t gy, uint32_t gz, uint32_t bx, uint32_t by, uint32_t bz,
                       uint32_t shared, void** args, const uint32_t* sizes, int nargs) {
    std::lock_guard<std::mutex> guard(emu->launching);
    emu->error.clear();
    const auto found = emu::kernels().find(name);
    if (found == emu::kernels().end()) {
        emu->error = std::string("no kernel is called ") + name;
        return 1;
    }
    emu::Launch launch;
    launch.emu = emu;
    launch.kernel = found->second;
    launch.grid = {gx, gy, gz};
    launch.block = {bx, by, bz};
    launch.dynamic = shared;
    launch.args = args;
    emu->error = emu::refuse(*launch.kernel, launch.grid, launch.block, shared, sizes, nargs);
    if (!emu->error.empty()) return 2;
    launch.blocks = (uint64_t)gx * gy * gz;
    emu::order_blocks(launch);
    emu::next_serial(*emu);
    launch.serial = emu->launches;
    emu->pool.run(launch, emu->own, (int)std::min<uint64_t>((uint64_t)emu->threads, launch.blocks) - 1);
    for (const std::string& line : launch.errors) emu->error += (emu->error.empty() ? "" : "; ") + line;
    return launch.failures ? 3 : 0;
}
