//! Every op, on every device, against the naive f64 oracles: one file an op, one case table a file.
//!
//! A bound is what float32 may lose and no more: it grows with the number of terms and the size of what is added.

// The oracles' own style: plain indices.
#![allow(clippy::needless_range_loop)]

mod support;

mod ops {
    mod common;

    mod ascent;
    mod augment;
    mod blend;
    mod conform;
    mod conv;
    mod convex;
    mod dropout;
    mod flatten;
    mod frames;
    mod lif;
    mod loss;
    mod norm;
    mod percentile;
    mod pixel;
    mod pool;
    mod product;
    mod properties;
    mod reduce;
    mod relu;
    mod rows;
    mod sgd;
    mod spikes;
}
