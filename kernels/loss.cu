// Losses image by image, and the gradients of their sum: a warp a row of K logits, f64 inside (formulae in src/ops/loss/mod.rs).
// A label outside 0..K answers NaN. Sums go over lanes by butterfly, so their order is fixed.
// Floor: reads 4K bytes a row and writes as many (twice that for pairs); in practice the launch and K/32 exponentials a lane.
#include "gpu.cuh"

constexpr uint32_t WARPS = 4;  // a block, a row each

// The row of this warp; rows beyond the last leave whole warps.
DEVI uint32_t row_of_warp() { return blockIdx.x * WARPS + threadIdx.x / 32; }
DEVI uint32_t lane() { return threadIdx.x % 32; }

// Of one row: log softmax is z_k - top - log_sum.
struct Row {
    const float* z;
    double top, log_sum;
};
DEVI double log_of(const Row& row, uint32_t k) { return (double)row.z[k] - row.top - row.log_sum; }
DEVI double of(const Row& row, uint32_t k) { return exp(log_of(row, k)); }

// All lanes.
DEVI Row softmax(const float* z, uint32_t classes) {
    float top = -INFINITY;
    for (uint32_t k = lane(); k < classes; k += 32) top = fmaxf(top, z[k]);
    Row row = {z, (double)warp_max(top), 0.0};
    double sum = 0.0;
    for (uint32_t k = lane(); k < classes; k += 32) sum += exp((double)z[k] - row.top);
    row.log_sum = log(warp_sum(sum));
    return row;
}

// A row whose label is none: its value, and `classes` gradients, become NaN.
DEVI void refuse(float* value, float* dz, uint32_t classes) {
    if (lane() == 0) *value = NAN;
    for (uint32_t k = lane(); k < classes; k += 32) dz[k] = NAN;
}

// logits [N,K], labels [N]; values [N], dlogits [N,K]. Blocks of 128, four rows each; so below.
KERNEL(loss_cross_entropy, 128, 4, const float* logits, const int* labels, float* values, float* dlogits, uint32_t rows, uint32_t classes) {
    uint32_t n = row_of_warp();
    if (n >= rows) return;
    uint32_t y = (uint32_t)labels[n];
    float* dz = dlogits + (uint64_t)n * classes;
    if (y >= classes) return refuse(values + n, dz, classes);
    Row p = softmax(logits + (uint64_t)n * classes, classes);
    for (uint32_t k = lane(); k < classes; k += 32) dz[k] = (float)(of(p, k) - (k == y ? 1.0 : 0.0));
    if (lane() == 0) values[n] = (float)-log_of(p, y);
}

// All lanes: the likeliest class other than y, the first of equals; NaN wins nowhere.
DEVI uint32_t rival_of(const Row& row, uint32_t y, uint32_t classes) {
    double best = -1.0;
    uint32_t at = classes;
    for (uint32_t k = lane(); k < classes; k += 32) {
        double p = of(row, k);
        if (k != y && p > best) {
            best = p;
            at = k;
        }
    }
#pragma unroll
    for (int far = 16; far; far >>= 1) {
        double other = __shfl_xor_sync(ALL_LANES, best, far);
        uint32_t there = __shfl_xor_sync(ALL_LANES, at, far);
        if (other > best || (other == best && there < at)) {
            best = other;
            at = there;
        }
    }
    return at < classes ? at : (y == 0 && classes > 1 ? 1 : 0);
}

KERNEL(loss_boosted_cross_entropy, 128, 4, const float* logits, const int* labels, float* values, float* dlogits, uint32_t rows,
       uint32_t classes) {
    uint32_t n = row_of_warp();
    if (n >= rows) return;
    uint32_t y = (uint32_t)labels[n];
    float* dz = dlogits + (uint64_t)n * classes;
    if (y >= classes) return refuse(values + n, dz, classes);
    Row p = softmax(logits + (uint64_t)n * classes, classes);
    uint32_t rival = rival_of(p, y, classes);
    double margin = 1.0001 - of(p, rival) + 1e-12, slope = 1.0 / margin, mean = of(p, rival) * slope;
    for (uint32_t k = lane(); k < classes; k += 32) {
        double p_k = of(p, k);
        dz[k] = (float)(p_k * ((k == rival ? slope : 0.0) - mean)) + (float)(p_k - (k == y ? 1.0 : 0.0));
    }
    if (lane() == 0) values[n] = (float)(-log_of(p, y) - log(margin));
}

// All lanes: the class that follows `before` in the order of falling logits, the first of equals first. An entry of that order is
// the logit's order-preserving bits above the complement of the class, so the greatest comes first.
DEVI unsigned long long next_in_order(const float* z, uint32_t classes, unsigned long long before) {
    unsigned long long best = 0;
    for (uint32_t k = lane(); k < classes; k += 32) {
        uint32_t bits = __float_as_uint(z[k] + 0.0f);  // 0 and -0 are equal
        bits ^= (uint32_t)((int)bits >> 31) | 0x80000000u;
        unsigned long long entry = (unsigned long long)bits << 32 | ~k;
        if (entry < before) best = max(best, entry);
    }
#pragma unroll
    for (int far = 16; far; far >>= 1) best = max(best, __shfl_xor_sync(ALL_LANES, best, far));
    return best;
}
DEVI uint32_t class_of(unsigned long long entry) { return ~(uint32_t)entry; }

// At least 3 classes.
KERNEL(loss_dlr, 128, 4, const float* logits, const int* labels, float* values, float* dlogits, uint32_t rows, uint32_t classes) {
    uint32_t n = row_of_warp();
    if (n >= rows) return;
    uint32_t y = (uint32_t)labels[n];
    const float* z = logits + (uint64_t)n * classes;
    float* dz = dlogits + (uint64_t)n * classes;
    if (y >= classes) return refuse(values + n, dz, classes);
    unsigned long long one = next_in_order(z, classes, ~0ull), two = next_in_order(z, classes, one), three = next_in_order(z, classes, two);
    uint32_t first = class_of(one), third = class_of(three), rival = first == y ? class_of(two) : first;
    double over = (double)z[y] - (double)z[rival], under = (double)z[first] - (double)z[third] + 1e-12;
    double slope = 1.0 / under, bend = over / (under * under);
    for (uint32_t k = lane(); k < classes; k += 32) {
        double g = k == y ? -slope : 0.0;
        if (k == rival) g += slope;
        if (k == first) g += bend;
        if (k == third) g -= bend;
        dz[k] = (float)g;
    }
    if (lane() == 0) values[n] = (float)(-over / under);
}

// At least 4 classes; targets [N], the wanted ones.
KERNEL(loss_dlr_targeted, 128, 4, const float* logits, const int* labels, const int* targets, float* values, float* dlogits, uint32_t rows,
       uint32_t classes) {
    uint32_t n = row_of_warp();
    if (n >= rows) return;
    uint32_t y = (uint32_t)labels[n], target = (uint32_t)targets[n];
    const float* z = logits + (uint64_t)n * classes;
    float* dz = dlogits + (uint64_t)n * classes;
    if (y >= classes || target >= classes) return refuse(values + n, dz, classes);
    unsigned long long one = next_in_order(z, classes, ~0ull), two = next_in_order(z, classes, one), three = next_in_order(z, classes, two);
    uint32_t first = class_of(one), third = class_of(three), fourth = class_of(next_in_order(z, classes, three));
    double over = (double)z[y] - (double)z[target], under = (double)z[first] - 0.5 * ((double)z[third] + (double)z[fourth]) + 1e-12;
    double slope = 1.0 / under, bend = over / (under * under);
    for (uint32_t k = lane(); k < classes; k += 32) {
        double g = k == y ? -slope : 0.0;
        if (k == target) g += slope;
        if (k == first) g += bend;
        if (k == third || k == fourth) g -= 0.5 * bend;
        dz[k] = (float)g;
    }
    if (lane() == 0) values[n] = (float)(-over / under);
}

// The class at `rank` among those other than the label's, by falling logits; 0 where there are too few.
KERNEL(loss_rival, 128, 4, const float* logits, const int* labels, uint32_t rank, int* rivals, uint32_t rows, uint32_t classes) {
    uint32_t n = row_of_warp();
    if (n >= rows) return;
    const float* z = logits + (uint64_t)n * classes;
    unsigned long long entry = ~0ull;
    uint32_t passed = 0, found = 0;
    for (uint32_t k = 0; k < classes && passed <= rank; k++) {
        entry = next_in_order(z, classes, entry);
        if (class_of(entry) == (uint32_t)labels[n]) continue;
        if (passed++ == rank) found = class_of(entry);
    }
    if (lane() == 0) rivals[n] = (int)found;
}

// KL(q || p): p of adv, q of clean, both [N,K].
KERNEL(loss_kl, 128, 4, const float* adv, const float* clean, float* values, float* dadv, float* dclean, uint32_t rows, uint32_t classes) {
    uint32_t n = row_of_warp();
    if (n >= rows) return;
    uint64_t at = (uint64_t)n * classes;
    Row p = softmax(adv + at, classes), q = softmax(clean + at, classes);
    double divergence = 0.0;
    for (uint32_t k = lane(); k < classes; k += 32) divergence += of(q, k) * (log_of(q, k) - log_of(p, k));
    divergence = warp_sum(divergence);
    for (uint32_t k = lane(); k < classes; k += 32) {
        double q_k = of(q, k), ratio = log_of(q, k) - log_of(p, k);
        dadv[at + k] = (float)(of(p, k) - q_k);
        dclean[at + k] = (float)(q_k * (ratio - divergence));
    }
    if (lane() == 0) values[n] = (float)divergence;
}

// MART's: (sum_k q_k * (log q_k - log(p_k + 1e-12))) * (1.0000001 - q_y).
KERNEL(loss_weighted_kl, 128, 3, const float* adv, const float* clean, const int* labels, float* values, float* dadv, float* dclean,
       uint32_t rows, uint32_t classes) {
    uint32_t n = row_of_warp();
    if (n >= rows) return;
    uint64_t at = (uint64_t)n * classes;
    uint32_t y = (uint32_t)labels[n];
    if (y >= classes) {
        refuse(values + n, dadv + at, classes);
        return refuse(values + n, dclean + at, classes);
    }
    Row p = softmax(adv + at, classes), q = softmax(clean + at, classes);
    double weight = 1.0000001 - of(q, y), divergence = 0.0, mean_p = 0.0, mean_q = 0.0;
    for (uint32_t k = lane(); k < classes; k += 32) {
        double p_k = of(p, k), q_k = of(q, k), ratio = log_of(q, k) - log(p_k + 1e-12);
        divergence += q_k * ratio;
        mean_p += p_k * (-weight * q_k / (p_k + 1e-12));
        mean_q += q_k * (weight * (ratio + 1.0));
    }
    divergence = warp_sum(divergence);
    mean_p = warp_sum(mean_p);
    // Of q: the divergence (the derivative of q log q is log q + 1) and the weight's -q_y.
    mean_q = warp_sum(mean_q) - of(q, y) * divergence;
    for (uint32_t k = lane(); k < classes; k += 32) {
        double p_k = of(p, k), q_k = of(q, k), ratio = log_of(q, k) - log(p_k + 1e-12);
        dadv[at + k] = (float)(p_k * (-weight * q_k / (p_k + 1e-12) - mean_p));
        dclean[at + k] = (float)(q_k * (weight * (ratio + 1.0) - (k == y ? divergence : 0.0) - mean_q));
    }
    if (lane() == 0) values[n] = (float)(divergence * weight);
}

// Below, a thread a row: K comparisons in the order of the classes, so ties and NaN fall as on the CPU.

// The first of the largest.
DEVI uint32_t best_of(const float* z, uint32_t classes) {
    uint32_t best = 0;
    float top = z[0];
    for (uint32_t k = 1; k < classes; k++) {
        if (z[k] > top) {
            top = z[k];
            best = k;
        }
    }
    return best;
}

KERNEL(loss_predictions, 128, 4, const float* logits, uint32_t* predictions, uint32_t rows, uint32_t classes) {
    uint32_t n = blockIdx.x * blockDim.x + threadIdx.x;
    if (n < rows) predictions[n] = best_of(logits + (uint64_t)n * classes, classes);
}

// 1 where the prediction is the label and no logit is NaN, else 0.
KERNEL(loss_hits, 128, 4, const float* logits, const int* labels, uint32_t* hits, uint32_t rows, uint32_t classes) {
    uint32_t n = blockIdx.x * blockDim.x + threadIdx.x;
    if (n >= rows) return;
    const float* z = logits + (uint64_t)n * classes;
    bool sound = true;
    for (uint32_t k = 0; k < classes; k++) sound = sound && z[k] == z[k];
    hits[n] = sound && (int)best_of(z, classes) == labels[n] ? 1 : 0;
}
