// The emulator's own view of a launch: threads (fibers) in warps in a block, blocks of a launch, all of a handle.
#pragma once
#include "cuda_on_cpu.h"
#include "fiber.h"
#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#ifndef EMU_CHECKED
#define EMU_CHECKED 0
#endif
#define EMU_API extern "C" __attribute__((visibility("default")))

struct Emu; // a handle, below

constexpr size_t DYNAMIC_LIMIT = 227 * 1024; // bytes of dynamic shared memory a block may have on sm_90
// What `extern __shared__ unsigned char dyn_smem[]` binds to.
extern constinit thread_local __attribute__((aligned(1024))) unsigned char dyn_smem[DYNAMIC_LIMIT];

namespace emu {
constexpr int MAX_THREADS = 1024, LANES = 32, BARRIERS = 16;
enum class Order { Forward, Reverse, Random };
enum class Op : uint32_t { None, Shuffle, Ballot, SyncWarp, Matrices, MatricesTransposed, Mma, Barrier };
const char* name_of(Op op);

struct Block;
struct Warp;

// A cp.async that has been issued: nothing moves before its thread waits for it.
struct Copy {
    void* to;
    const void* from; // null: zeros
    uint32_t group;
    int bytes, line;
};

struct Thread : Coordinates {
    Fiber fiber;
    uint8_t* stack;
    Warp* warp;
    Block* in;
    uint32_t index; // within the block
    Op op;          // what it waits for, and where
    uint32_t mask;
    int line;
    uint32_t group; // of the cp.async now being issued
    std::vector<Copy> copies;
};

// What a lane hands to a collective and takes from it.
struct Slot {
    uint64_t value;
    int from, mt, nt;
    const void* const* rows;
    uint32_t* r;
    const uint32_t *a, *b;
    float* c;
};

struct Warp {
    Thread* threads;
    uint32_t runnable, started, alive, arrived; // a bit a lane
    uint32_t epoch;                             // counts __syncwarp
    uint32_t at_barrier[BARRIERS];
    int barrier_line[BARRIERS];
    Slot in[LANES];
    uint64_t out[LANES];
};

// What is known of a byte of shared memory: its last writer and last reader.
struct SharedByte {
    uint32_t write_epoch, write_warp_epoch, read_epoch, read_warp_epoch;
    uint16_t writer, reader;
    uint32_t in_flight;       // first epoch of the block whose cp.async is on its way here
    bool read_by_several;
};

struct Launch;
struct Allocation {
    uintptr_t start, end;
    uint8_t* map;
    size_t mapped;
    struct GlobalShadow* shadow; // checked build only
};
struct Fault {
    uintptr_t address;
    int signal, code;
    bool write;
};

// A worker's block: stacks, threads and shadow are kept from one block to the next.
struct Block {
    uint3 index, dim, grid;
    uint64_t number; // of the block within the grid
    int threads, warps, alive;
    size_t dynamic;
    Order order;
    uint64_t random;
    Launch* launch = nullptr;
    int arrived[BARRIERS];
    bool dead;
    Fiber main;
    Thread* running;
    uint8_t *shared, *stacks; // this OS thread's shared memory; the fibers' stacks
    size_t shared_bytes;
    uint32_t epoch, first_epoch; // counts barriers; its value when this block began
    std::vector<uint8_t*> free_stacks;
    std::vector<Thread> fibers;
    std::vector<Warp> lanes;
    std::vector<SharedByte> shadow;
    Allocation recent;
    Fault fault;

    Block();
    ~Block();
    void run(Launch& launch, uint64_t number);
    void shape(const Launch& launch);
};

struct Launch {
    Emu* emu;
    const Kernel* kernel;
    uint3 grid, block;
    size_t dynamic;
    void** args;
    uint64_t blocks, stride, offset; // block i in time is number (i * stride + offset) % blocks
    uint32_t serial;                 // stamps the shadow of global memory
    std::atomic<uint64_t> next{0};
    std::atomic<bool> stop{false};
    std::mutex reporting;
    std::vector<std::string> errors;
    std::atomic<int> failures{0};
};

// Threads of the operating system that wait for blocks.
class Pool {
  public:
    ~Pool();
    // Runs `launch` on this thread with `own` and on up to `others` more; returns when all is done.
    void run(Launch& launch, Block& own, int others);

  private:
    void wait_for_work();
    std::mutex mutex;
    std::condition_variable wake, idle;
    Launch* open = nullptr;
    uint64_t serial = 0;
    int wanted = 0, inside = 0;
    bool quit = false;
    std::vector<std::thread> threads;
};

constexpr int MOST_ERRORS = 8; // kept of a launch
void report(Block& b, const Thread* t, const char* format, ...) __attribute__((format(printf, 3, 4)));
[[noreturn]] void die(Block& b, Thread& me); // abandons the block
Thread* pick(Block& b, Thread* after);       // who runs next; null: nobody can
void start(Block& b, Thread& t);             // gives it a stack if it has none
void go(Block& b, Thread& from, Thread& to);
void suspend(Block& b, Thread& me);
void run_blocks(Launch& launch, Block& b);
void fiber_main();
void watch_faults();
bool claim(Block& b);
void unclaim(Block& b);
std::string explain(Emu& emu, const Fault& fault);
inline Thread& me() { return *(Thread*)here(); }
} // namespace emu

struct Emu {
    emu::Order order;
    uint64_t seed;
    int threads;
    std::string error;
    std::mutex launching; // launches of one handle follow each other
    uint32_t launches = 0;
    emu::Block own;
    emu::Pool pool;
    std::mutex memory;
    std::map<uintptr_t, emu::Allocation> allocations; // by start
    // The allocation that [address, address+bytes) lies in.
    bool find(uintptr_t address, size_t bytes, emu::Allocation& found);
    ~Emu();
};
