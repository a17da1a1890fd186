//! Data sets in their official formats, written byte by byte and read back to the pixel; and every way in which such files go
//! wrong: truncated, mislabelled, foreign, missing.

#[path = "support/datasets.rs"]
#[allow(dead_code)] // other tests use the rest
mod datasets;

mod data {
    mod place;

    mod cifar;
    mod cifar_python;
    mod folder;
    mod recognise;
    mod svhn;
    mod tiny_imagenet;
}
