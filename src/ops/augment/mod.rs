//! Random crop, mirror and cutout of raw images where they lie: the draws and the bits of [`crate::data::Augment`], for a
//! device that is sent bytes.
//!
//! Contract: results are written (`=`). Image n draws by its id alone, so the result does not depend on the batch.

mod cpu;
mod gpu;

use crate::base::{Result, ensure, fail, rng::Philox};
use crate::data::{Augment, Crop};
use crate::device::Device;
use crate::tensor::{Array, Tensor};

/// Numbers `[N,H,W,C]` in `[0,1]` of bytes `[N,H,W,C]`, each augmented as image `ids[n]` (`[N]`) of `stream`
/// ([`Augment::stream`]); `mean` is the colour `[C]` of a cutout. Errors: shapes that do not
/// fit; a resized crop, which the loader makes for every device.
pub fn augment(images: &Array<u8>, ids: &Array<u32>, augment: Augment, stream: Philox, mean: &Tensor) -> Result<Tensor> {
    let shape = images.shape();
    ensure!(shape.rank() == 4, "augment: images want shape NxHxWxC, got {shape}");
    ensure!(ids.shape().count() == shape[0], "augment: {} images, {} ids", shape[0], ids.shape().count());
    ensure!(mean.shape().count() == shape[3], "augment: {} channels, a mean colour of {}", shape[3], mean.shape().count());
    let pad = match augment.crop {
        Crop::Whole => 0,
        Crop::Padded(pad) => pad,
        Crop::Resized => return Err(fail!("augment: resized crops are made by the loader, not on a device")),
    };
    match images.device() {
        Device::Gpu(gpu) => Ok(gpu::augment(gpu, images, ids, augment, pad, stream, mean)),
        Device::Cpu(cpu) => Ok(cpu::augment(cpu, images, ids, augment, stream, mean)),
    }
}
