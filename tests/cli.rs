//! The program as its users meet it: what it refuses and how, what it writes, and that it can be stopped.

#[path = "support/datasets.rs"]
#[allow(dead_code)] // other tests use the rest
mod datasets;

mod cli {
    #[allow(dead_code)] // other tests write the other formats
    #[path = "../support/datasets.rs"]
    mod datasets;
    mod house;
    mod server;

    mod bad;
    mod bench;
    mod data;
    mod emulated;
    mod files;
    mod get;
    mod good;
    mod inherit;
    mod paper;
    mod runs;
    mod seeds;
    mod selftest;
    mod stops;
}
