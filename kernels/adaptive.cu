// The neuron's credits whose slopes follow the membranes, and the one that is averaged over time (src/ops/lif/mod.rs has the
// sources): PDSG (widths, then backward), ASSG (slopes at each iteration of an attack, then backward), HART.
//
// Floors in bytes a number of the current (held: y counts once a neuron); operations a number beside the 5 of the membrane:
//   widths           reads y 4; T > 8: a membrane both ways every eight steps, 1; 4 operations of f64
//   backward_pdsg    as lif_backward; the widths, T*C an image, come from cache; an exponential and 7 operations
//   sharpen          reads y 4, mean and deviation 8, writes those 8 and slopes 4; 16 operations, two of them divisions
//   backward_sloped  as lif_backward, and slopes 4
//   hart             reads y 4 and dz 4, writes 4/T; 2 operations and the surrogate's
#include "lif.cuh"

// The neurons of an image, whose membranes belong together channel by channel: all pixels of its plane. A plane of one pixel is one
// group of all its channels.
struct Groups {
    uint32_t pixels, channels;
    uint32_t frames;  // stored of the current: 1 or T
    uint32_t lanes;   // threads a block has across the groups of an image
};

// Where the members of a thread's group lie in an image: member i is number i * far + first of a step.
struct Members {
    uint32_t count, first, far;
    bool whole;  // the group is the layer
};

DEVI Members members(const Groups& g, const Seat& s) {
    if (g.pixels == 1) return {g.channels, 0, 1, true};
    return {g.pixels, s.channel, g.channels, false};
}

// One over the deviation (over n - 1), 1 where there is none. The pivot is a member: `squares` is 0 exactly where all are equal, and
// its digits are those of the sums but for one in n.
DEVI float inverse_width(double sum, double square, double count) {
    double deviation = sqrt((square - sum * sum / count) / (count - 1.0));
    return (float)(1.0 / (deviation > 0.0 ? deviation : 1.0));  // one number alone gives NaN
}

// inverse [N, T, C] (planes of one pixel: [N, T, 1]): one over the deviation of what the group's membranes were so far. A block for
// up to 32 groups of image blockIdx.x, so that an image's widths do not depend on the others. rest [N, H, W, C] keeps the
// membranes between windows, and is not touched where T <= 8.
KERNEL(lif_widths, 256, 2, Groups g, Dynamics d, const float* y, const float* scale, const float* shift, const float* v_th, float* rest,
       float* inverse) {
    __shared__ double room[2 * WINDOW * THREADS];
    Seat s;
    s.row = threadIdx.x / g.lanes;
    s.rows = THREADS / g.lanes;
    s.channel = blockIdx.y * g.lanes + threadIdx.x % g.lanes;
    const uint32_t groups = g.pixels == 1 ? 1 : g.channels;
    s.taken = s.row < s.rows && s.channel < groups;
    const Members m = members(g, s);
    const uint64_t numbers = (uint64_t)g.pixels * g.channels;
    y += blockIdx.x * numbers * g.frames + m.first;
    rest += blockIdx.x * numbers + m.first;
    inverse += ((uint64_t)blockIdx.x * d.steps) * groups + s.channel;
    const uint32_t apart = m.whole ? 1 : m.far * g.frames;  // from member to member of y

    const float threshold = *v_th;
    const float own_scale = scale && s.taken ? scale[m.first] : 1.0f, own_shift = shift && s.taken ? shift[m.first] : 0.0f;
    const double pivot = s.taken ? (double)(y[0] * own_scale + own_shift) : 0.0;  // the first member at the first step
    double sum = 0.0, square = 0.0;
    for (uint32_t start = 0; start < d.steps; start += WINDOW) {
        const int count = steps_from(start, d.steps);
        double sums[2 * WINDOW][1] = {};
        for (uint32_t i = s.taken ? s.row : m.count; i < m.count; i += s.rows) {
            const float* from = y + (uint64_t)i * apart;
            Pack<1> frames[WINDOW];
            if (g.frames == 1) frames[0] = load<1>(from);
            else load_frames<1>(frames, from + (uint64_t)start * g.channels, g.channels, count);
            const float a = m.whole && scale ? scale[i] : own_scale, b = m.whole && shift ? shift[i] : own_shift;
            float v = start == 0 ? 0.0f : rest[(uint64_t)i * m.far];
#pragma unroll
            for (int j = 0; j < WINDOW; j++) {
                if (j < count) {
                    const float u = neuron_step((g.frames == 1 ? frames[0] : frames[j]).at[0] * a + b, v, d.leak, threshold, d.soft);
                    const double x = (double)u - pivot;
                    sums[j][0] += x;
                    sums[WINDOW + j][0] = fma(x, x, sums[WINDOW + j][0]);
                }
            }
            if (start + WINDOW < d.steps) rest[(uint64_t)i * m.far] = v;
        }
        const double* total = row_sums<1, 2 * WINDOW>(g.lanes, s, sums, room);
        if (!s.taken || s.row != 0) continue;
        for (int j = 0; j < count; j++) {
            sum += total[j * THREADS];
            square += total[(WINDOW + j) * THREADS];
            inverse[(uint64_t)(start + j) * groups] = inverse_width(sum, square, (double)m.count * (double)(start + j + 1));
        }
    }
}

// PDSG's slopes: exp(-z*z/2) / (sqrt(2*pi)*w), z = (u - v_th)/w - 1/2.
template <int V> struct Bells {
    const float* inverse;  // of lif_widths
    Pack<V> held[WINDOW];
    __device__ void fetch(const Route& r, const Site& at, uint32_t start, int count) {
        const uint32_t pixels = r.height * r.width;
        const uint64_t row = at.pixel / pixels * r.steps + start;
        if (pixels > 1) return load_frames<V>(held, inverse + row * r.channels + at.channel, r.channels, count);
#pragma unroll
        for (int j = 0; j < WINDOW; j++) {
            if (j < count) held[j] = splat<V>(inverse[row + j]);
        }
    }
    __device__ Pack<V> at(int j, const Pack<V>& u, float v_th) const {
        constexpr float HEIGHT = 0.3989423f;
        Pack<V> r;
#pragma unroll
        for (int i = 0; i < V; i++) {
            const float z = (u.at[i] - v_th) * held[j].at[i] - 0.5f;
            r.at[i] = expf(z * z * -0.5f) * (held[j].at[i] * HEIGHT);
        }
        return r;
    }
};

// A slope for each spike.
template <int V> struct Sloped {
    const float* slopes;  // [N, H, W, T, C]
    Pack<V> held[WINDOW];
    __device__ void fetch(const Route& r, const Site& at, uint32_t start, int count) {
        load_frames<V>(held, slopes + (at.pixel * r.steps + start) * r.channels + at.channel, r.channels, count);
    }
    __device__ Pack<V> at(int j, const Pack<V>&, float) const { return held[j]; }
};

template <int V, template <int> class By>
DEVI double backward_by(const Tiling& t, const Route& r, const Dynamics& d, const float* by, const float* y, const float* scale,
                        const float* shift, const float* v_th, const float* dz, const Back& back) {
    Seat s = seat<V>(t);
    Sums<V, false> none;
    return backward<V, false>(t, s, r, d, By<V>{by, {}}, cells<V>(s, scale, shift, v_th, d), y, dz, back, none);
}

template <template <int> class By>
DEVI void backward_by(const Tiling& t, const Route& r, const Dynamics& d, const float* by, const float* y, const float* scale,
                      const float* shift, const float* v_th, const float* dz, const Back& back, double* thresholds) {
    double sum = lanes_of(t.channels) == 4 ? backward_by<4, By>(t, r, d, by, y, scale, shift, v_th, dz, back)
                                           : backward_by<1, By>(t, r, d, by, y, scale, shift, v_th, dz, back);
    sum = block_sum<BACK_THREADS>(sum);
    if (threadIdx.x == 0) thresholds[blockIdx.y * gridDim.x + blockIdx.x] = sum;
}

// As lif_backward, with the slopes of these widths.
KERNEL(lif_backward_pdsg, 128, 2, Tiling t, Route r, Dynamics d, const float* inverse, const float* y, const float* scale,
       const float* shift, const float* v_th, const float* dz, float* checkpoints, float* dx, double* thresholds, uint32_t scaled) {
    backward_by<Bells>(t, r, d, inverse, y, scale, shift, v_th, dz, Back{checkpoints, dx, scaled}, thresholds);
}

// As lif_backward, with these slopes.
KERNEL(lif_backward_sloped, 128, 2, Tiling t, Route r, Dynamics d, const float* slopes, const float* y, const float* scale,
       const float* shift, const float* v_th, const float* dz, float* checkpoints, float* dx, double* thresholds, uint32_t scaled) {
    backward_by<Sloped>(t, r, d, slopes, y, scale, shift, v_th, dz, Back{checkpoints, dx, scaled}, thresholds);
}

// How slopes follow membranes (src/ops/lif/sharpness.rs).
struct Adaptation {
    float kept, fresh;        // what an iteration leaves, and what the next brings
    float bound;              // over the statistics: the sharpness
    float relaxation, least;  // the deviation's weight, and what is added so that nothing is divided by 0
};

// A step of the statistics of |u - v_th|, and the slope that they give.
DEVI float adapt(const Adaptation& a, float x, float& mean, float& deviation) {
    mean = a.kept * mean + a.fresh * fabsf(x);
    deviation = a.kept * deviation + a.fresh * fabsf(fabsf(x) - mean);
    const float sharpness = a.bound / (mean + a.relaxation * deviation + a.least);
    const float bent = 1.57079632679f * sharpness * x;
    return 0.5f * sharpness / (1.0f + bent * bent);
}

template <int V>
DEVI void sharpen(const Tiling& t, const Dynamics& d, const Adaptation& a, const float* y, const float* scale, const float* shift,
                  const float* v_th, float* mean, float* deviation, float* slopes, uint32_t held) {
    Seat s = seat<V>(t);
    Cells<V> n = cells<V>(s, scale, shift, v_th, d);
    for (uint32_t pixel = s.first; pixel < t.items; pixel += s.stride) {
        const float* from = y + (uint64_t)pixel * (held ? 1 : d.steps) * t.channels + s.channel;
        Pack<V> v = splat<V>(0.0f), same = splat<V>(0.0f);
        if (held) same = current(n, load<V>(from));
        for (uint32_t start = 0; start < d.steps; start += WINDOW) {
            const int count = steps_from(start, d.steps);
            const uint64_t at = ((uint64_t)pixel * d.steps + start) * t.channels + s.channel;
            Pack<V> frames[WINDOW], means[WINDOW], deviations[WINDOW];
            if (!held) load_frames<V>(frames, from + (uint64_t)start * t.channels, t.channels, count);
            load_frames<V>(means, mean + at, t.channels, count);
            load_frames<V>(deviations, deviation + at, t.channels, count);
#pragma unroll
            for (int j = 0; j < WINDOW; j++) {
                if (j < count) {
                    const uint64_t to = at + (uint64_t)j * t.channels;
                    Pack<V> u = step<V>(n, held ? same : current(n, frames[j]), v, d.soft);
#pragma unroll
                    for (int i = 0; i < V; i++) u.at[i] = adapt(a, u.at[i] - n.v_th, means[j].at[i], deviations[j].at[i]);
                    store<V>(mean + to, means[j]);
                    store<V>(deviation + to, deviations[j]);
                    store<V>(slopes + to, u);
                }
            }
        }
    }
}

// An iteration of an attack: mean and deviation [N, H, W, T, C] move on, slopes [N, H, W, T, C] are what they give. y has one frame
// where `held`, else T.
KERNEL(lif_sharpen, 128, 2, Tiling t, Dynamics d, Adaptation a, const float* y, const float* scale, const float* shift, const float* v_th,
       float* mean, float* deviation, float* slopes, uint32_t held) {
    if (lanes_of(t.channels) == 4) sharpen<4>(t, d, a, y, scale, shift, v_th, mean, deviation, slopes, held);
    else sharpen<1>(t, d, a, y, scale, shift, v_th, mean, deviation, slopes, held);
}

// The blame of a pixel's spikes, each for its own membrane: the mean over steps, or their sum for a held current.
template <int V, bool HELD>
DEVI void averaged(const Route& r, const Dynamics& d, const Surrogate& surrogate, const Cells<V>& n, const Site& at, const Back& back) {
    Pack<V> v = splat<V>(0.0f), sum = splat<V>(0.0f), held, u[WINDOW], g[WINDOW];
    if (HELD) held = current(n, load<V>(at.y));
    for (uint32_t start = 0; start < d.steps; start += WINDOW) {
        const int count = steps_from(start, d.steps);
        if (!HELD) load_frames<V>(u, at.y + (uint64_t)start * r.channels, r.channels, count);
        load_gradient<V>(g, r, at, start, count);
#pragma unroll
        for (int j = 0; j < WINDOW; j++) {
            if (j < count) {
                Pack<V> membrane = step<V>(n, HELD ? held : current(n, u[j]), v, d.soft);
                sum = plus<V>(sum, product<V>(g[j], slopes<V>(surrogate, membrane, n.v_th)));
            }
        }
    }
    const float share = HELD ? 1.0f : 1.0f / (float)d.steps;
    store_scaled<V>(back.dx + at.pixel * r.channels + at.channel, product<V>(sum, splat<V>(share)), n.scale, back.scaled);
}

template <int V>
DEVI void hart(const Tiling& t, const Route& r, const Dynamics& d, const Surrogate& surrogate, const float* y, const float* scale,
               const float* shift, const float* v_th, const float* dz, const Back& back) {
    Seat s = seat<V>(t);
    Cells<V> n = cells<V>(s, scale, shift, v_th, d);
    for (uint32_t pixel = s.first; pixel < t.items; pixel += s.stride) {
        Site at = site(r, y, dz, pixel, s.channel);
        if (r.frames == 1) averaged<V, true>(r, d, surrogate, n, at, back);
        else averaged<V, false>(r, d, surrogate, n, at, back);
    }
}

// dx has one frame, of the current or of y where `scaled`.
KERNEL(lif_hart, 128, 2, Tiling t, Route r, Dynamics d, Surrogate surrogate, const float* y, const float* scale, const float* shift,
       const float* v_th, const float* dz, float* dx, uint32_t scaled) {
    Back back = {nullptr, dx, scaled};
    if (lanes_of(t.channels) == 4) hart<4>(t, r, d, surrogate, y, scale, shift, v_th, dz, back);
    else hart<1>(t, r, d, surrogate, y, scale, shift, v_th, dz, back);
}
