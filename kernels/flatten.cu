// Exchange of the two middle axes: [n,a,b,row] to [n,b,a,row], whatever a row's bytes mean.
// Floor: reads and writes every byte once, 16 at a time where the rows allow it.
#include "channels.cuh"

template <class T> DEVI void exchange(const Tiling& t, const uint8_t* x, uint8_t* y, uint32_t a, uint32_t b) {
    Seat s = seat<1>(t);
    const T* from = reinterpret_cast<const T*>(x) + s.channel;
    T* to = reinterpret_cast<T*>(y) + s.channel;
#pragma unroll 2
    for (uint32_t row = s.first; row < t.items; row += s.stride) {
        uint32_t i = row % a, j = row / a % b, n = row / a / b;
        to[(uint64_t)row * t.channels] = from[((uint64_t)(n * a + i) * b + j) * t.channels];
    }
}

// Items are the rows of y; channels are the units of `unit` bytes (1, 4 or 16) in a row.
KERNEL(flatten_exchange, 256, 4, Tiling t, const uint8_t* x, uint8_t* y, uint32_t a, uint32_t b, uint32_t unit) {
    if (unit == 16) exchange<uint4>(t, x, y, a, b);
    else if (unit == 4) exchange<uint32_t>(t, x, y, a, b);
    else exchange<uint8_t>(t, x, y, a, b);
}
