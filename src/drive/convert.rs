//! The conversion of a trained ANN, with calibration images from its data set.

use super::recipe::{Convert, Recipe};
use super::watch::{self, Watch};
use crate::base::Result;
use crate::checkpoint::Meta;
use crate::convert::{Calibration, calibrate, scale, transplant};
use crate::data::{Augment, Dataset, Loader, Order, Plan};
use crate::nn::{Model, Spec};
use crate::ops::percentile::Percentile;
use crate::tensor::Tensor;

/// Which epoch of the training order the calibration batches come from: none that is trained on.
const EPOCH: u64 = 1 << 40;

/// `how.batches` training batches, augmented as for finetuning.
pub fn calibration_batches(model: &Model, data: &Dataset, how: &Convert, augment: Augment, seed: u64) -> Result<Vec<Tensor>> {
    let batch = how.batch.min(data.train.len());
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
    Ok(Loader::new(data.train.clone(), plan)?.take(how.batches).map(|batch| super::train::upload(model, &batch).0).collect())
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
    watch.end(&format!("calibrate: thresholds {shown} ({} x {} images, T = {})", batches.len(), how.batch, how.calibration_steps));
    let meta = Meta { raw_thresholds: raw, scale: Some(how.scale as f32), epoch: 0, ..meta.clone() };
    Ok((snn, meta))
}

/// The spec of the recipe's SNN, from its ANN's: biases where the architecture has them.
pub fn snn_spec(recipe: &Recipe, ann: &Spec) -> Spec {
    let (leak, reset) = (recipe.leak.unwrap_or(ann.leak), recipe.reset.unwrap_or(ann.reset));
    Spec { steps: recipe.snn.steps, leak, reset, bias: true, ..ann.clone() }
}

/// Make `snn`, a checkpoint to be finetuned, run as the recipe says: its T, and where it names them its leak, reset and
/// dropout; else they stay the checkpoint's. Returns what was taken from where, for the user.
pub fn adopt(recipe: &Recipe, snn: &mut Model) -> String {
    let own = snn.spec().clone();
    let origin = |given: bool| if given { "the recipe" } else { "the checkpoint" };
    snn.set_steps(recipe.snn.steps);
    snn.set_dynamics(recipe.leak.unwrap_or(own.leak), recipe.reset.unwrap_or(own.reset));
    snn.set_dropout(recipe.dropout.unwrap_or(own.dropout));
    let spec = snn.spec();
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
