//! The conversion of a trained ANN, with calibration images from its data set.

use super::recipe::{Convert, Recipe};
use super::watch::{self, Watch};
use crate::base::{Result, usage};
use crate::checkpoint::Meta;
use crate::convert::{Calibration, calibrate, scale, transplant};
use crate::data::{Augment, Dataset, Loader, Order, Plan};
use crate::nn::{Model, Spec};
use crate::ops::percentile::Percentile;
use crate::tensor::Tensor;

/// Which epoch of the training order the calibration batches come from: none that is trained on.
const EPOCH: u64 = 1 << 40;

/// `how.batches` training batches, augmented as for finetuning; no image comes twice, so of few images there are fewer or
/// smaller ones, which `watch` is told of.
pub fn calibration_batches(
    model: &Model,
    data: &Dataset,
    how: &Convert,
    augment: Augment,
    seed: u64,
    watch: &dyn Watch,
) -> Result<Vec<Tensor>> {
    let images = data.train.len();
    let batch = how.batch.min(images);
    let plan = Plan {
        batch,
        order: Order::Shuffled,
        last: crate::data::Last::Drop,
        augment,
        mean: data.mean.clone(),
        seed,
        epoch: EPOCH,
        skip: 0,
    };
    let batches: Vec<Tensor> =
        Loader::new(data.train.clone(), plan)?.take(how.batches).map(|batch| super::train::upload(model, &batch).0).collect();
    if (batches.len(), batch) != (how.batches, how.batch) {
        watch.end(&format!(
            "calibrate: {} x {batch} images instead of {} x {}: {} has {images} training images",
            batches.len(),
            how.batches,
            how.batch,
            data.name
        ));
    }
    Ok(batches)
}

/// The spiking network of `ann` with the spec of the SNN; the meta gains the raw thresholds and their scale.
pub fn convert(ann: &Model, spec: Spec, batches: &[Tensor], how: &Convert, meta: &Meta, watch: &dyn Watch) -> Result<(Model, Meta)> {
    let mut snn = transplant(ann, spec)?;
    let calibration = Calibration { percentile: Percentile::new(how.percentile)?, steps: how.calibration_steps };
    let layers = snn.thresholds().len();
    watch.begin("calibrate", layers as u64);
    let raw = calibrate(&mut snn, batches, calibration, |index, _| {
        watch.advance(u64::from(index > 0));
        watch::check()
    })?;
    scale(&mut snn, &raw, how.scale as f32)?;
    let shown = snn.thresholds().iter().map(|v| format!("{v:.3}")).collect::<Vec<_>>().join(" ");
    let images = batches.first().map_or(0, |batch| batch.shape()[0]);
    watch.end(&format!("calibrate: thresholds {shown} ({} x {images} images, T = {})", batches.len(), how.calibration_steps));
    let meta = Meta { raw_thresholds: raw, scale: Some(how.scale as f32), epoch: 0, ..meta.clone() };
    Ok((snn, meta))
}

/// The spec of the recipe's SNN, from its ANN's: biases where the architecture has them.
pub fn snn_spec(recipe: &Recipe, ann: &Spec) -> Spec {
    Spec { bias: true, ..spiking(recipe, ann) }
}

/// `own` at the recipe's T, and where it names them with its leak, reset and dropout.
fn spiking(recipe: &Recipe, own: &Spec) -> Spec {
    Spec {
        steps: recipe.snn.steps,
        leak: recipe.leak.unwrap_or(own.leak),
        reset: recipe.reset.unwrap_or(own.reset),
        dropout: recipe.dropout.unwrap_or(own.dropout),
        ..own.clone()
    }
}

/// `recipe` as it finetunes the checkpoint's network `own`: bias is the network's, and so are leak, reset and dropout where
/// the recipe names none, so that its text tells the network that is trained.
///
/// Errors (usage): it is a recipe for another architecture.
pub fn finetuned(recipe: &Recipe, own: &Spec) -> Result<Recipe> {
    if recipe.arch != own.arch {
        return Err(usage!(
            "finetune: the checkpoint is of {}, the recipe {} of {}; give --set arch={0}, or a recipe for that network",
            own.arch,
            recipe.name,
            recipe.arch
        ));
    }
    let Spec { bias, leak, reset, dropout, .. } = spiking(recipe, own);
    let settings = [format!("bias={bias}"), format!("leak={leak}"), format!("reset={reset}"), format!("dropout={dropout}")];
    Recipe::parse(&recipe.name, &recipe.text, &settings)
}

/// Make `snn`, a checkpoint to be finetuned, run as the recipe says: its T, and where it names them its leak, reset and
/// dropout; else they stay the checkpoint's. Returns what was taken from where, for the user.
pub fn adopt(recipe: &Recipe, snn: &mut Model) -> String {
    let spec = spiking(recipe, snn.spec());
    let origin = |given: bool| if given { "the recipe" } else { "the checkpoint" };
    snn.set_steps(spec.steps);
    snn.set_dynamics(spec.leak, spec.reset);
    snn.set_dropout(spec.dropout);
    format!(
        "finetune: T {} (the recipe), leak {} ({}), reset {} ({}), dropout {} ({})",
        spec.steps,
        spec.leak,
        origin(recipe.leak.is_some()),
        spec.reset,
        origin(recipe.reset.is_some()),
        spec.dropout,
        origin(recipe.dropout.is_some())
    )
}
