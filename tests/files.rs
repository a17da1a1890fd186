//! Networks as files: checkpoints and their versions, NIR graphs.

mod files {
    mod checkpoint;
    mod nir;
}
