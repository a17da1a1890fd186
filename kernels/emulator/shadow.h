// The checker: who wrote and who read every byte of shared and global memory (checked build only).
#pragma once
#include "state.h"

namespace emu {
enum class Access { Read, Write, MatrixRead }; // a matrix's rows are read on behalf of the whole warp

// Where an access stands in the source: a return address, or a line that a wrapper knows.
struct Where {
    void* address;
    int line;
};

// What is known of a word or a byte of global memory: stamps of its last writer and last reader (see shadow.cpp).
struct GlobalCell {
    uint64_t write, read;
};
struct GlobalShadow {
    GlobalCell *words, *bytes;
    uint32_t narrow; // the last launch that accessed less than words
};
GlobalShadow* new_shadow(size_t bytes); // null: no memory
void delete_shadow(GlobalShadow* shadow, size_t bytes);
void clear_shadow(GlobalShadow* shadow, size_t bytes);
constexpr uint32_t SERIALS = 4096; // launches that a stamp tells apart; then the shadow is cleared

void check_shared(Block& b, Thread& t, size_t offset, size_t bytes, Access access, Where where);
void check_global(Block& b, Thread& t, uintptr_t address, size_t bytes, Access access, Where where);
void mark_in_flight(Block& b, size_t offset, size_t bytes);
void mark_landed(Block& b, Thread& t, size_t offset, size_t bytes);
} // namespace emu
