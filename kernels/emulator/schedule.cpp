// Who runs next. A thread runs until it waits for others or ends; a thread that ends hands its stack to one that has not
// begun, so kernels without collectives are a plain loop over threads.
#include "state.h"
#include <cstdarg>
#include <cstdio>

namespace emu {
const char* name_of(Op op) {
    static const char* names[] = {"running", "shuffle", "ballot", "__syncwarp", "ldmatrix", "ldmatrix.trans", "mma", "barrier"};
    return names[(int)op];
}

void report(Block& b, const Thread* t, const char* format, ...) {
    char what[600], line[900];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    snprintf(line, sizeof line, "kernel %s block (%u,%u,%u) thread %u: %s", b.launch->kernel->name, b.index.x, b.index.y, b.index.z,
             t ? t->index : 0, what);
    std::lock_guard<std::mutex> guard(b.launch->reporting);
    if (b.launch->failures++ < MOST_ERRORS) b.launch->errors.push_back(line);
}

static uint64_t draw(Block& b, uint64_t below) { // xorshift64
    b.random ^= b.random << 13;
    b.random ^= b.random >> 7;
    b.random ^= b.random << 17;
    return b.random % below;
}

static Thread* pick_random(Block& b) {
    const int first = (int)draw(b, (uint64_t)b.warps);
    for (int i = 0; i < b.warps; i++) {
        const Warp& w = b.lanes[(first + i) % b.warps];
        if (!w.runnable) continue;
        uint32_t lanes = w.runnable;
        for (uint64_t skip = draw(b, (uint64_t)__builtin_popcount(lanes)); skip; skip--) lanes &= lanes - 1;
        return &w.threads[__builtin_ctz(lanes)];
    }
    return nullptr;
}

Thread* pick(Block& b, Thread* after) {
    if (b.order == Order::Random) return pick_random(b);
    const bool forward = b.order == Order::Forward;
    const auto first = [forward](uint32_t lanes) { return forward ? __builtin_ctz(lanes) : 31 - __builtin_clz(lanes); };
    if (after && after->warp->runnable) { // stay in the warp: its collectives complete soonest
        const Warp& w = *after->warp;
        const uint32_t next = forward ? w.runnable & ~(uint32_t)((2ull << after->lane) - 1) : w.runnable & ((1u << after->lane) - 1);
        return &w.threads[first(next ? next : w.runnable)];
    }
    const int from = after ? (int)(after->warp - b.lanes.data()) : forward ? b.warps - 1 : 0;
    for (int i = 1; i <= b.warps; i++) {
        const Warp& w = b.lanes[forward ? (from + i) % b.warps : (from - i + 2 * b.warps) % b.warps];
        if (w.runnable) return &w.threads[first(w.runnable)];
    }
    return nullptr;
}

static bool has_started(const Thread& t) { return t.warp->started >> t.lane & 1; }

static void bind(Thread& t, uint8_t* stack) {
    t.warp->started |= 1u << t.lane;
    t.stack = stack;
    *(Coordinates**)(stack + STACK - STACK_HEADER) = &t;
}

void start(Block& b, Thread& t) {
    if (has_started(t)) return;
    bind(t, b.free_stacks.back());
    b.free_stacks.pop_back();
    // Tops are staggered, else the hot lines of all fibers fall into the same sets of the L1 cache.
    make_fiber(t.fiber, t.stack, t.stack + STACK - STACK_HEADER - (t.index % 24) * 128, fiber_main);
}

void go(Block& b, Thread& from, Thread& to) {
    if (&from == &to) return;
    start(b, to);
    b.running = &to;
    switch_fiber(from.fiber, to.fiber);
}

void die(Block& b, Thread& me) {
    b.dead = true;
    switch_fiber(me.fiber, b.main);
    __builtin_unreachable();
}

static void deadlock(Block& b, Thread& me) {
    char text[500];
    int length = 0, shown = 0;
    for (int i = 0; i < b.threads && shown < 6;) {
        const auto same = [&](int j) {
            const Thread &s = b.fibers[i], &t = b.fibers[j];
            const bool alive = s.warp->alive >> s.lane & 1;
            return alive == (t.warp->alive >> t.lane & 1) && (!alive || (s.op == t.op && s.line == t.line));
        };
        int last = i;
        while (last + 1 < b.threads && same(last + 1)) last++;
        const Thread& t = b.fibers[i];
        if (t.warp->alive >> t.lane & 1)
            length += snprintf(text + length, sizeof text - length, " threads %d-%d at %s, line %d;", i, last, name_of(t.op), t.line);
        else length += snprintf(text + length, sizeof text - length, " threads %d-%d have ended;", i, last);
        i = last + 1;
        shown++;
    }
    report(b, &me, "deadlock, no thread can run:%s", text);
}

void suspend(Block& b, Thread& me) {
    me.warp->runnable &= ~(1u << me.lane);
    if (Thread* next = pick(b, &me)) return go(b, me, *next);
    deadlock(b, me);
    die(b, me);
}

// A block-wide epoch passes whenever any barrier completes: named barriers are treated as if all had met.
static void release(Block& b, int id) {
    for (int i = 0; i < b.warps; i++) {
        Warp& w = b.lanes[i];
        w.runnable |= w.at_barrier[id];
        w.at_barrier[id] = 0;
        w.barrier_line[id] = 0;
    }
    b.arrived[id] = 0;
    b.epoch++;
}

void barrier(int id, int count, int line) {
    Thread& t = me();
    Block& b = *t.in;
    Warp& w = *t.warp;
    t.op = Op::Barrier;
    t.line = line;
    if (w.barrier_line[id] && w.barrier_line[id] != line)
        report(b, &t, "divergent barrier %d: lines %d and %d in one warp", id, w.barrier_line[id], line);
    w.barrier_line[id] = line;
    w.at_barrier[id] |= 1u << t.lane;
    if (++b.arrived[id] >= (count ? count : b.alive)) {
        release(b, id);
        go(b, t, *pick(b, nullptr)); // every phase starts in the chosen order
    } else suspend(b, t);
    t.op = Op::None;
}

static void end(Block& b, Thread& t) {
    const uint32_t lane = 1u << t.lane;
    t.copies.clear();
    t.warp->runnable &= ~lane;
    t.warp->alive &= ~lane;
    b.alive--;
    if (b.arrived[0] && b.arrived[0] == b.alive) release(b, 0); // threads that ended count as arrived
}

void fiber_main() {
    Block& b = *me().in;
    for (;;) {
        b.launch->kernel->enter(b.launch->args);
        Thread& ended = *b.running;
        end(b, ended);
        if (b.alive == 0) switch_fiber(ended.fiber, b.main);
        Thread* next = pick(b, &ended);
        if (!next) {
            deadlock(b, ended);
            die(b, ended);
        }
        b.running = next;
        if (!has_started(*next)) {
            bind(*next, ended.stack);
            continue;
        }
        b.free_stacks.push_back(ended.stack);
        switch_fiber(ended.fiber, next->fiber);
    }
}
} // namespace emu
