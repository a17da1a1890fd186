// Random crop, mirror and cutout of bytes to numbers in [0,1]: the draws and the bits of src/data/augment.rs.
// blockIdx.x is a row of an image; a thread writes four numbers of it and draws for itself (two Philox blocks).
// Floor: 1 byte read and 4 written a number.
#include "philox.cuh"
#include "vec.cuh"

struct Augment {
    uint32_t images, height, width, channels;
    uint32_t pad;     // zeros around the image before the crop; 0: no crop
    uint32_t flip;    // 1: mirrored with probability one half
    uint32_t cutout;  // side of the square of mean colour; 0: none
};
static_assert(sizeof(Augment) == 28, "as in src/ops/augment/gpu.rs");

// Whether `at` is among `side` places around `centre`.
DEVI bool around(uint32_t centre, uint32_t side, uint32_t at) { return at + side / 2 >= centre && at + side / 2 < centre + side; }

// images [N,H,W,C], ids [N] (which image of the data set), mean [C]; out [N,H,W,C].
KERNEL(augment_images, 256, 4, Augment g, Philox stream, const uint8_t* images, const uint32_t* ids, const float* mean, float* out) {
    uint32_t row = g.width * g.channels, j = (blockIdx.y * blockDim.x + threadIdx.x) * 4;
    if (j >= row) return;
    uint32_t n = blockIdx.x / g.height, y = blockIdx.x % g.height;
    uint64_t id = ids[n];
    uint4 first = philox_words(stream, id * 2), second = philox_words(stream, id * 2 + 1);  // five draws of eight reserved
    uint32_t down = philox_below(first.x, 2 * g.pad + 1), right = philox_below(first.y, 2 * g.pad + 1);
    bool mirrored = g.flip && philox_below(first.z, 2) == 1;
    bool hole_row = around(philox_below(first.w, g.height), g.cutout, y);
    uint32_t hole = philox_below(second.x, g.width);
    uint32_t from_y = y + down - g.pad;  // wraps to beyond the height where it is above the image
    const uint8_t* image = images + (uint64_t)n * g.height * row;
    Pack<4> four = splat<4>(0.0f);
#pragma unroll
    for (int k = 0; k < 4; k++) {
        if (j + k >= row) break;
        uint32_t x = (j + k) / g.channels, c = (j + k) % g.channels;
        uint32_t from_x = (mirrored ? g.width - 1 - x : x) + right - g.pad;
        if (hole_row && around(hole, g.cutout, x)) four.at[k] = mean[c];
        else if (from_y < g.height && from_x < g.width)
            four.at[k] = (float)image[(uint64_t)from_y * row + from_x * g.channels + c] / 255.0f;
    }
    float* to = out + (uint64_t)blockIdx.x * row + j;
    if (row % 4 == 0) return store<4>(to, four);
#pragma unroll
    for (int k = 0; k < 4; k++)
      if (j + k < row) to[k] = four.at[k];
}
