//! Losses on a GPU: `kernels/loss.cu`. Labels stay where they are; one out of range answers NaN.

use super::{Paired, Single};
use crate::device::{Gpu, Grid, Kernel, kernel};
use crate::tensor::{Array, Tensor};

/// Threads a block.
const THREADS: u32 = 128;

/// A warp a row.
fn warps(rows: usize) -> Grid {
    Grid::over(rows * 32, THREADS)
}

/// A loss of each row against its label.
pub fn single(gpu: &Gpu, loss: &'static Kernel, logits: &Tensor, labels: &Array<i32>) -> Single {
    of_rows(gpu, loss, logits, &[labels])
}

pub fn dlr_targeted(gpu: &Gpu, logits: &Tensor, labels: &Array<i32>, targets: &Array<i32>) -> Single {
    of_rows(gpu, &kernel::loss_dlr_targeted, logits, &[labels, targets])
}

/// A loss of each row against its `classes`.
fn of_rows(gpu: &Gpu, loss: &'static Kernel, logits: &Tensor, classes: &[&Array<i32>]) -> Single {
    let shape = logits.shape();
    let (mut values, mut dlogits) = (Tensor::unspecified(logits.device(), [shape[0]]), Tensor::unspecified(logits.device(), shape));
    let launch = gpu.run(loss, warps(shape[0])).array(logits);
    classes
        .iter()
        .fold(launch, |launch, classes| launch.array(*classes))
        .array_mut(&mut values)
        .array_mut(&mut dlogits)
        .value(shape[0] as u32)
        .value(shape[1] as u32)
        .go();
    Single { values, dlogits }
}

pub fn kl(gpu: &Gpu, adv: &Tensor, clean: &Tensor) -> Paired {
    paired(gpu, &kernel::loss_kl, adv, clean, None)
}

pub fn weighted_kl(gpu: &Gpu, adv: &Tensor, clean: &Tensor, labels: &Array<i32>) -> Paired {
    paired(gpu, &kernel::loss_weighted_kl, adv, clean, Some(labels))
}

fn paired(gpu: &Gpu, loss: &'static Kernel, adv: &Tensor, clean: &Tensor, labels: Option<&Array<i32>>) -> Paired {
    let shape = adv.shape();
    let blank = || Tensor::unspecified(adv.device(), shape);
    let (mut values, mut dadv, mut dclean) = (Tensor::unspecified(adv.device(), [shape[0]]), blank(), blank());
    let launch = gpu.run(loss, warps(shape[0])).array(adv).array(clean);
    let launch = match labels {
        Some(labels) => launch.array(labels),
        None => launch,
    };
    launch.array_mut(&mut values).array_mut(&mut dadv).array_mut(&mut dclean).value(shape[0] as u32).value(shape[1] as u32).go();
    Paired { values, dadv, dclean }
}

pub fn predictions(gpu: &Gpu, logits: &Tensor) -> Array<u32> {
    let [rows, classes] = [0, 1].map(|axis| logits.shape()[axis]);
    let mut found = Array::unspecified(logits.device(), [rows]);
    let launch = gpu.run(&kernel::loss_predictions, Grid::over(rows, THREADS));
    launch.array(logits).array_mut(&mut found).value(rows as u32).value(classes as u32).go();
    found
}

pub fn hits(gpu: &Gpu, logits: &Tensor, labels: &Array<i32>) -> Array<u32> {
    let [rows, classes] = [0, 1].map(|axis| logits.shape()[axis]);
    let mut found = Array::unspecified(logits.device(), [rows]);
    let launch = gpu.run(&kernel::loss_hits, Grid::over(rows, THREADS)).array(logits).array(labels);
    launch.array_mut(&mut found).value(rows as u32).value(classes as u32).go();
    found
}

pub fn rival(gpu: &Gpu, logits: &Tensor, labels: &Array<i32>, rank: usize) -> Array<i32> {
    let [rows, classes] = [0, 1].map(|axis| logits.shape()[axis]);
    let mut found = Array::unspecified(logits.device(), [rows]);
    let launch = gpu.run(&kernel::loss_rival, warps(rows)).array(logits).array(labels).value(rank.min(classes) as u32);
    launch.array_mut(&mut found).value(rows as u32).value(classes as u32).go();
    found
}
