//! The program as its users meet it: what it refuses and how, what it writes, and that it can be stopped.

#[path = "support/torch.rs"]
mod torch_file;

mod cli {
    mod house;
    use super::torch_file;

    mod arch;
    mod bad;
    mod bench;
    mod emulated;
    mod files;
    mod good;
    mod runs;
    mod selftest;
    mod steps;
    mod stops;
    mod torch;
}
