// Collectives of a warp: lanes arrive one by one, the last one works for all. Operation, mask and line must agree.
#include "state.h"
#include "shadow.h"

namespace emu {
static void exchange(Warp& w, uint32_t mask) {
    for (uint32_t m = mask; m; m &= m - 1) {
        const int lane = __builtin_ctz(m);
        w.out[lane] = w.in[w.in[lane].from].value;
    }
}

static void vote(Warp& w, uint32_t mask) {
    uint32_t votes = 0;
    for (uint32_t m = mask; m; m &= m - 1) votes |= (uint32_t)w.in[__builtin_ctz(m)].value << __builtin_ctz(m);
    for (uint32_t m = mask; m; m &= m - 1) w.out[__builtin_ctz(m)] = votes;
}

// Lane 8i+j holds the address of row j of matrix i; lane l receives two numbers of each matrix (see gpu.cuh).
static void distribute(Warp& w, bool transposed) {
    for (int n = 0; n < w.in[0].mt; n++)
        for (int i = 0; i < 4; i++) {
            const uint8_t* row[8];
            for (int j = 0; j < 8; j++) row[j] = (const uint8_t*)w.in[8 * i + j].rows[n];
            for (int l = 0; l < LANES; l++) {
                const int outer = l >> 2, inner = 2 * (l & 3);
                uint32_t* r = w.in[l].r + 4 * n + i;
                if (!transposed) std::memcpy(r, row[outer] + 2 * inner, 4);
                else {
                    uint16_t low, high;
                    std::memcpy(&low, row[inner] + 2 * outer, 2);
                    std::memcpy(&high, row[inner + 1] + 2 * outer, 2);
                    *r = (uint32_t)low | (uint32_t)high << 16;
                }
            }
        }
}

// The two numbers of a bf16 pair as neighbouring floats.
static inline void unpack(float* to, uint32_t pair) {
    const uint64_t both = (uint64_t)(pair << 16) | (uint64_t)(pair & 0xffff0000u) << 32;
    std::memcpy(to, &both, 8);
}

// Eight neighbouring columns.
typedef float Row __attribute__((vector_size(32)));

// c (16x8) += a (16x16) * b (16x8). Products of bf16 are exact in f32, sums are f32 in the order of k: the same bits on every
// machine. Eight rows at a time keep eight independent sums in registers.
static inline void multiply_tile(const float (&a)[16][16], const Row (&b)[16], Row (&c)[16]) {
    for (int top = 0; top < 16; top += 8) {
        Row c0 = c[top], c1 = c[top + 1], c2 = c[top + 2], c3 = c[top + 3];
        Row c4 = c[top + 4], c5 = c[top + 5], c6 = c[top + 6], c7 = c[top + 7];
        for (int k = 0; k < 16; k++) {
            const Row bk = b[k];
            c0 += a[top][k] * bk;
            c1 += a[top + 1][k] * bk;
            c2 += a[top + 2][k] * bk;
            c3 += a[top + 3][k] * bk;
            c4 += a[top + 4][k] * bk;
            c5 += a[top + 5][k] * bk;
            c6 += a[top + 6][k] * bk;
            c7 += a[top + 7][k] * bk;
        }
        c[top] = c0, c[top + 1] = c1, c[top + 2] = c2, c[top + 3] = c3;
        c[top + 4] = c4, c[top + 5] = c5, c[top + 6] = c6, c[top + 7] = c7;
    }
}

// All MT x NT products of a warp's tile; the layout of the lanes' registers is told in gpu.cuh.
static void multiply(const Slot* in) {
    alignas(64) float a[16][16];
    Row b[16][16], c[16];
    const int mt = in[0].mt, nt = in[0].nt;
    for (int n = 0; n < nt; n++)
        for (int l = 0; l < LANES; l++) {
            const int g = l >> 2, t = 2 * (l & 3);
            const uint32_t* pairs = in[l].b + 2 * n;
            float* column = (float*)b[n] + g;
            column[8 * t] = __uint_as_float(pairs[0] << 16);
            column[8 * t + 8] = __uint_as_float(pairs[0] & 0xffff0000u);
            column[8 * t + 64] = __uint_as_float(pairs[1] << 16);
            column[8 * t + 72] = __uint_as_float(pairs[1] & 0xffff0000u);
        }
    for (int m = 0; m < mt; m++) {
        for (int l = 0; l < LANES; l++) {
            const int g = l >> 2, t = 2 * (l & 3);
            const uint32_t* pairs = in[l].a + 4 * m;
            unpack(&a[g][t], pairs[0]);
            unpack(&a[g + 8][t], pairs[1]);
            unpack(&a[g][t + 8], pairs[2]);
            unpack(&a[g + 8][t + 8], pairs[3]);
        }
        for (int n = 0; n < nt; n++) {
            const int tile = 4 * (m * nt + n);
            for (int l = 0; l < LANES; l++) {
                float* pair = (float*)c + 8 * (l >> 2) + 2 * (l & 3);
                std::memcpy(pair, in[l].c + tile, 8);
                std::memcpy(pair + 64, in[l].c + tile + 2, 8);
            }
            multiply_tile(a, b[n], c);
            for (int l = 0; l < LANES; l++) {
                const float* pair = (const float*)c + 8 * (l >> 2) + 2 * (l & 3);
                std::memcpy(in[l].c + tile, pair, 8);
                std::memcpy(in[l].c + tile + 2, pair + 64, 8);
            }
        }
    }
}

static void perform(Warp& w, Op op, uint32_t mask) {
    switch (op) {
    case Op::Shuffle: return exchange(w, mask);
    case Op::Ballot: return vote(w, mask);
    case Op::Matrices: return distribute(w, false);
    case Op::MatricesTransposed: return distribute(w, true);
    case Op::Mma: return multiply(w.in);
    case Op::SyncWarp: w.epoch++; return;
    case Op::None:
    case Op::Barrier: return;
    }
}

static void check_agreement(Block& b, Thread& t) {
    for (uint32_t m = t.mask; m; m &= m - 1) {
        const Thread& o = t.warp->threads[__builtin_ctz(m)];
        if (__builtin_expect(o.op == t.op && o.mask == t.mask && o.line == t.line, 1)) continue;
        report(b, &t, "warp divergence: lane %u at %s line %d (mask %08x), lane %u at %s line %d (mask %08x)", t.lane, name_of(t.op),
               t.line, t.mask, o.lane, name_of(o.op), o.line, o.mask);
        die(b, t);
    }
}

static void collective(Thread& t, Op op, uint32_t mask, int line) {
    Warp& w = *t.warp;
    Block& b = *t.in;
    t.op = op;
    t.mask = mask;
    t.line = line;
    w.arrived |= 1u << t.lane;
    if (__builtin_expect(!(mask >> t.lane & 1), 0)) {
        report(b, &t, "%s line %d: the caller is not in its own mask %08x", name_of(op), line, mask);
        die(b, t);
    }
    if ((w.arrived & mask) == mask) {
        check_agreement(b, t);
        w.arrived &= ~mask;
        perform(w, op, mask);
        w.runnable |= mask;
        if (b.order == Order::Random) go(b, t, *pick(b, &t));
    } else suspend(b, t);
    t.op = Op::None;
}

void sync_warp(unsigned mask, int line) { collective(me(), Op::SyncWarp, mask, line); }

uint64_t shuffle(unsigned mask, uint64_t value, int from, int line) {
    Thread& t = me();
    Slot& slot = t.warp->in[t.lane];
    slot.value = value;
    slot.from = from & 31;
    if (!(mask >> slot.from & 1)) report(*t.in, &t, "shuffle line %d reads lane %d, which is not in mask %08x", line, slot.from, mask);
    collective(t, Op::Shuffle, mask, line);
    return t.warp->out[t.lane];
}

unsigned ballot(unsigned mask, bool p, int line) {
    Thread& t = me();
    t.warp->in[t.lane].value = p;
    collective(t, Op::Ballot, mask, line);
    return (unsigned)t.warp->out[t.lane];
}

void load_matrices(uint32_t* r, const void* const* rows, int count, bool transposed, int line) {
    Thread& t = me();
    for (int n = 0; n < count; n++) {
        const uintptr_t row = (uintptr_t)rows[n], offset = row - (uintptr_t)t.in->shared;
        if (row & 15) report(*t.in, &t, "ldmatrix line %d: row address %p is no multiple of 16", line, rows[n]);
        if (offset + 16 > t.in->shared_bytes) {
            report(*t.in, &t, "ldmatrix line %d: row address %p is outside shared memory", line, rows[n]);
            die(*t.in, t);
        }
        if (EMU_CHECKED) check_shared(*t.in, t, offset, 16, Access::MatrixRead, {nullptr, line});
    }
    Slot& slot = t.warp->in[t.lane];
    slot.rows = rows;
    slot.r = r;
    slot.mt = count;
    collective(t, transposed ? Op::MatricesTransposed : Op::Matrices, ~0u, line);
}

void mma_tile(float* c, const uint32_t* a, const uint32_t* b, int mt, int nt, int line) {
    Thread& t = me();
    Slot& slot = t.warp->in[t.lane];
    slot.a = a;
    slot.b = b;
    slot.c = c;
    slot.mt = mt;
    slot.nt = nt;
    collective(t, Op::Mma, ~0u, line);
}

// ---- cp.async: until the issuing thread waits for its group, the destination is poison
void copy_async(void* to, const void* from, int bytes, bool inside, int line) {
    Thread& t = me();
    Block& b = *t.in;
    const uintptr_t offset = (uintptr_t)to - (uintptr_t)b.shared;
    if (((uintptr_t)to | (inside ? (uintptr_t)from : 0)) & (uintptr_t)(bytes - 1))
        report(b, &t, "cp.async line %d: %p <- %p, not multiples of %d", line, to, from, bytes);
    const uintptr_t dynamic = (uintptr_t)to - (uintptr_t)dyn_smem;
    if (offset + bytes > b.shared_bytes || (dynamic < DYNAMIC_LIMIT && dynamic + bytes > b.dynamic)) {
        report(b, &t, "cp.async line %d: the destination lies outside shared memory (offset %zd of %zu dynamic bytes)", line,
               (ssize_t)dynamic, b.dynamic);
        die(b, t);
    }
    if (EMU_CHECKED) {
        if (inside) check_global(b, t, (uintptr_t)from, bytes, Access::Read, {nullptr, line});
        check_shared(b, t, offset, bytes, Access::Write, {nullptr, line});
        mark_in_flight(b, offset, bytes);
    }
    std::memset(to, 0xFF, bytes);
    t.copies.push_back({to, inside ? from : nullptr, t.group, bytes, line});
}

void copy_async_commit() { me().group++; }

void copy_async_wait(int newest) {
    Thread& t = me();
    size_t kept = 0;
    for (const Copy& copy : t.copies) {
        if ((int32_t)(t.group - copy.group) <= newest) {
            t.copies[kept++] = copy;
            continue;
        }
        t.line = copy.line;
        if (!copy.from) std::memset(copy.to, 0, copy.bytes);
        else if (copy.bytes == 16) std::memcpy(copy.to, copy.from, 16);
        else std::memcpy(copy.to, copy.from, copy.bytes);
        if (EMU_CHECKED) mark_landed(*t.in, t, (uintptr_t)copy.to - (uintptr_t)t.in->shared, copy.bytes);
    }
    t.copies.resize(kept);
}

// ---- atomics
template <class T, class F> static T change(T* p, F f) {
    T old, next;
    __atomic_load(p, &old, __ATOMIC_RELAXED);
    do next = f(old);
    while (!__atomic_compare_exchange(p, &old, &next, true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    return old;
}
float atomic_add(float* p, float v) { return change(p, [v](float o) { return o + v; }); }
double atomic_add(double* p, double v) { return change(p, [v](double o) { return o + v; }); }
int atomic_add(int* p, int v) { return __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL); }
unsigned atomic_add(unsigned* p, unsigned v) { return __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL); }
unsigned long long atomic_add(unsigned long long* p, unsigned long long v) { return __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL); }
unsigned atomic_or(unsigned* p, unsigned v) { return __atomic_fetch_or(p, v, __ATOMIC_ACQ_REL); }
int atomic_max(int* p, int v) { return change(p, [v](int o) { return o < v ? v : o; }); }
unsigned atomic_max(unsigned* p, unsigned v) { return change(p, [v](unsigned o) { return o < v ? v : o; }); }
int atomic_min(int* p, int v) { return change(p, [v](int o) { return v < o ? v : o; }); }
unsigned atomic_min(unsigned* p, unsigned v) { return change(p, [v](unsigned o) { return v < o ? v : o; }); }
unsigned atomic_inc(unsigned* p, unsigned limit) { return change(p, [limit](unsigned o) { return o >= limit ? 0 : o + 1; }); }
unsigned atomic_cas(unsigned* p, unsigned expected, unsigned v) {
    __atomic_compare_exchange_n(p, &expected, v, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    return expected;
}
} // namespace emu
