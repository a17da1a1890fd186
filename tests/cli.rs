//! The program as its users meet it: what it refuses and how, what it writes, and that it can be stopped.

mod cli {
    mod house;
    mod server;

    mod bad;
    mod bench;
    mod emulated;
    mod files;
    mod get;
    mod good;
    mod resume;
    mod runs;
    mod selftest;
    mod stops;
}
