//! The program as its users meet it: what it refuses and how, what it writes, and that it can be stopped.

#[path = "support/datasets.rs"]
#[allow(dead_code)] // other tests use the rest
mod datasets;

mod cli {
    mod house;
    mod server;

    mod bad;
    mod bench;
    mod data;
    mod emulated;
    mod files;
    mod get;
    mod good;
    mod runs;
    mod selftest;
    mod stops;
}
