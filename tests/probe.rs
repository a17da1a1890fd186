//! What the room `probe` tells of a network, against definitions: operations and energy, one neuron step by step.
//!
//! One program for both: building a test program takes longer than running it.

mod support;

mod probe {
    mod energy;
    mod trace;
}
