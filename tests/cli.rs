//! The program as its users meet it: what it refuses and how, what it writes, and that it can be stopped.

mod cli {
    mod house;

    mod bad;
    mod bench;
    mod emulated;
    mod files;
    mod good;
    mod runs;
    mod selftest;
    mod stops;
}
