// Dropout: z = x * scale where the draw keeps it (u >= p), else 0; scale = 1/(1-p). Backward is the same with dz for x: the
// mask is drawn again. A Philox block serves a thread's four numbers.
// Floor: 8 bytes a number (some 20 integer operations a number stay below it).
#include "flat.cuh"
#include "philox.cuh"

KERNEL(dropout_mask, 256, 4, Philox stream, float p, float scale, const float* x, float* z, uint64_t count) {
    uint64_t i = flat_index();
    if (i >= count) return;
    Pack<4> in = load_four(x, i, count), out;
    uint4 w = philox_words(stream, i / 4);
    uint32_t words[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
    for (int j = 0; j < 4; j++) out.at[j] = philox_unit(words[j]) >= p ? in.at[j] * scale : 0.0f;
    store_four(z, i, count, out);
}
