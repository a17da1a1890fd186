// The switch saves what a call must preserve, swaps stack pointers, and returns on the other side.
#include "fiber.h"
#include <cstring>

#if defined(EMU_USES_UCONTEXT)
void emu::make_fiber(Fiber& fiber, uint8_t* bottom, uint8_t* top, void (*entry)()) {
    getcontext(&fiber);
    fiber.uc_stack.ss_sp = bottom;
    fiber.uc_stack.ss_size = (size_t)(top - bottom);
    fiber.uc_link = nullptr;
    makecontext(&fiber, entry, 0);
}
#elif defined(__x86_64__)
asm(R"(
.text
.p2align 4
.hidden emu_switch
.globl emu_switch
.type emu_switch,@function
emu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emu_switch, .-emu_switch
)");
void emu::make_fiber(Fiber& fiber, uint8_t*, uint8_t* top, void (*entry)()) {
    auto sp = (uint64_t*)((uintptr_t)top & ~(uintptr_t)15);
    *--sp = 0;
    *--sp = (uint64_t)entry; // returned to: the stack is then as after a call
    for (int i = 0; i < 6; i++) *--sp = 0;
    fiber = sp;
}
#else
asm(R"(
.text
.p2align 4
.hidden emu_switch
.globl emu_switch
.type emu_switch,%function
emu_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
.size emu_switch, .-emu_switch
)");
void emu::make_fiber(Fiber& fiber, uint8_t*, uint8_t* top, void (*entry)()) {
    auto sp = (uint64_t*)((uintptr_t)top & ~(uintptr_t)15) - 20;
    std::memset(sp, 0, 160);
    sp[11] = (uint64_t)entry; // x30, the return address
    fiber = sp;
}
#endif
