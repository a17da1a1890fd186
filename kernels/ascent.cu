// What an ascent with step sizes of its own for every image remembers of its losses (src/ops/ascent/mod.rs): a thread an image.
// Floor: 45 bytes an image, so its launch.
#include "gpu.cuh"

// All [N]. `open` is 1 where the image was right when the run began, `right` where it is at this point.
KERNEL(ascent_observe, 128, 4, const float* values, const uint32_t* right, const uint32_t* open, float* best, float* last, uint32_t* rises,
       uint32_t* alive, uint32_t* improved, uint32_t* broken, uint32_t count) {
    uint32_t n = blockIdx.x * blockDim.x + threadIdx.x;
    if (n >= count) return;
    float value = values[n];
    bool better = value > best[n];
    if (better) best[n] = value;
    rises[n] += value > last[n] ? 1 : 0;
    last[n] = value;
    bool held = right[n] != 0;
    if (!held) alive[n] = 0;
    improved[n] = better ? 1 : 0;
    broken[n] = open[n] != 0 && !held ? 1 : 0;
}

// At a checkpoint, of a window of which at most `few` rising steps are too few.
KERNEL(ascent_check, 128, 4, const float* best, uint32_t few, float* at_check, float* steps, uint32_t* rises, uint32_t* halved,
       uint32_t count) {
    uint32_t n = blockIdx.x * blockDim.x + threadIdx.x;
    if (n >= count) return;
    bool stuck = halved[n] == 0 && at_check[n] >= best[n];
    bool now = rises[n] <= few || stuck;
    if (now) steps[n] *= 0.5f;
    at_check[n] = best[n];
    rises[n] = 0;
    halved[n] = now ? 1 : 0;
}
