// Elementwise work that knows no rows: four consecutive numbers a thread, 16 bytes an access. The last thread may have fewer.
#pragma once
#include "vec.cuh"

// The first of this thread's four; ops/launch.rs `flat` makes the grid.
DEVI uint64_t flat_index() { return ((uint64_t)blockIdx.x * blockDim.x + threadIdx.x) * 4; }

// `from` begins where a buffer does: at a multiple of 16 bytes.
DEVI Pack<4> load_four(const float* from, uint64_t i, uint64_t count) {
    if (i + 4 <= count) return load<4>(from + i);
    Pack<4> r = splat<4>(0.0f);
#pragma unroll
    for (int j = 0; j < 4; j++)
      if (i + j < count) r.at[j] = from[i + j];
    return r;
}

DEVI void store_four(float* to, uint64_t i, uint64_t count, const Pack<4>& p) {
    if (i + 4 <= count) return store<4>(to + i, p);
#pragma unroll
    for (int j = 0; j < 4; j++)
      if (i + j < count) to[i + j] = p.at[j];
}
