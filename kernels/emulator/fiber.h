// Switching from one stack to another.
#pragma once
#include <cstdint>
#if (!defined(__x86_64__) && !defined(__aarch64__)) || defined(EMU_UCONTEXT)
#define EMU_USES_UCONTEXT 1
#include <ucontext.h>
#endif

namespace emu {
#if EMU_USES_UCONTEXT
using Fiber = ucontext_t;
inline void switch_fiber(Fiber& from, Fiber& to) { swapcontext(&from, &to); }
#else
using Fiber = void*; // the stack pointer; registers lie above it
extern "C" void emu_switch(void** save, void* to);
inline void switch_fiber(Fiber& from, Fiber& to) { emu_switch(&from, to); }
#endif
// Makes a fiber that will run `entry` (which never returns) on the stack [bottom, top).
void make_fiber(Fiber& fiber, uint8_t* bottom, uint8_t* top, void (*entry)());
} // namespace emu
