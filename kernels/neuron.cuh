// A step of the spiking neuron (METHOD section 1), alone and behind a product:
//   u = leak*v + x;  s = [u >= v_th];  v = s ? 0 : u (hard) or u - s*v_th (soft).
// Multiplies and adds are separate and in the order of src/ops/lif/cpu.rs: equal currents give equal spikes, bit for bit.
#pragma once
#include "gpu.cuh"

// The share of the membrane that survives a step, T, and the reset: 0 back to zero, 1 down by the threshold.
struct Dynamics {
    float leak;
    uint32_t steps, soft;
};

// The membrane u of a step with current x from v before it, which moves beyond it. The neuron fires where u >= v_th.
DEVI float neuron_step(float x, float& v, float leak, float v_th, bool soft) {
    const float u = v * leak + x;
    v = u >= v_th ? (soft ? u - v_th : 0.0f) : u;
    return u;
}
