//! The program as its users meet it: what it refuses and how, what it writes, and that it can be stopped.

#[path = "support/datasets.rs"]
#[allow(dead_code)] // other tests use the rest
mod datasets;
#[path = "support/torch.rs"]
mod torch_file;

mod cli {
    mod house;
    mod server;
    use super::{datasets, torch_file};

    mod arch;
    mod bad;
    mod bench;
    mod completions;
    mod data;
    mod doctor;
    mod emulated;
    mod energy;
    mod evaluation;
    mod files;
    mod get;
    mod good;
    mod inherit;
    mod inspect;
    mod metrics;
    mod paper;
    mod report;
    mod resume;
    mod runs;
    mod seeds;
    mod selftest;
    mod steps;
    mod stops;
    mod torch;
    mod trace;
    mod tutorial;
}
