//! Floor 6: architectures as data. [`build`] makes those that have a name; a network of layers of one's own is put together by a
//! [`Maker`], and started by [`draw`].

mod maker;
mod residual;
mod resnet;
mod vgg;
mod wide_resnet;

use crate::base::{Result, rng::Philox, rng::Purpose, suggest, usage};
use crate::device::Device;
use crate::nn::{Geometry, Layer, Model, Role, Spec};
use crate::tensor::Tensor;
use maker::Numbers;

pub use maker::Maker;

/// The architectures by name; `resnetD`, `wrnD_K` and `vgg:PLAN/HIDDEN` stand for families.
pub const NAMES: [&str; 11] =
    ["vgg11", "vgg16", "vgg11_tin", "resnet20", "resnet32", "wrn16_4", "wrn28_2", "wrn28_4", "resnetD", "wrnD_K", "vgg:PLAN/HIDDEN"];

/// The network of `spec`, with parameters as METHOD §2 starts them (drawn from `seed`).
///
/// Errors (usage): an unknown architecture, an image that does not fit it.
pub fn build(device: &Device, spec: Spec, seed: u64) -> Result<Model> {
    let mut model = blank(device, spec)?;
    draw(&mut model, seed);
    Ok(model)
}

/// As [`build`], with weights 0 that wait to be filled; thresholds and norm weights are 1, mixing pairs ½ and ½.
pub fn blank(device: &Device, spec: Spec) -> Result<Model> {
    check(&spec)?;
    let layers = layers(device, &spec, Numbers::Blank)?;
    Ok(Model::new(device, spec, layers))
}

/// The shapes and costs of the network of `spec`, for whose parameters no memory is taken.
///
/// Errors: as [`build`].
pub fn geometry(spec: Spec) -> Result<Geometry> {
    check(&spec)?;
    let device = Device::cpu(Some(1))?;
    let layers = layers(&device, &spec, Numbers::Absent)?;
    Ok(Model::new(&device, spec, layers).geometry())
}

/// The layers of the architecture that `spec` names, their parameters made of `numbers`.
fn layers(device: &Device, spec: &Spec, numbers: Numbers) -> Result<Vec<Layer>> {
    let maker = || Maker::of(device, spec, numbers);
    if let Some(plan) = vgg::plan(&spec.arch)? {
        return vgg::layers(maker(), &plan, spec);
    }
    if let Some(blocks) = resnet::plan(&spec.arch)? {
        return resnet::layers(maker(), blocks, spec);
    }
    if let Some(plan) = wide_resnet::plan(&spec.arch)? {
        return wide_resnet::layers(maker(), plan, spec);
    }
    Err(usage!("arch {}: no such architecture{}", spec.arch, suggest(&spec.arch, NAMES)))
}

/// More steps than this are a slip of the hand.
pub const MOST_STEPS: usize = 1000;
/// More than this make no image, and no set of classes.
const MOST_CHANNELS: usize = 1024;
const MOST_SIDE: usize = 4096;
const MOST_CLASSES: usize = 1 << 20;
/// More weights than this (1 GiB of them) are a slip of the hand.
const MOST_WEIGHTS: usize = 1 << 28;

/// Errors (usage) where a network has more weights than memory should be asked for.
fn check_weights(spec: &Spec, count: usize) -> Result<()> {
    let [channels, height, width] = spec.input;
    if count > MOST_WEIGHTS {
        return Err(usage!(
            "arch {}: {count} weights for images of {channels}x{height}x{width}, at most {MOST_WEIGHTS}; use a smaller network or smaller images",
            spec.arch
        ));
    }
    Ok(())
}

fn check(spec: &Spec) -> Result<()> {
    let [channels, height, width] = spec.input;
    if spec.classes == 0 || channels == 0 || height == 0 || width == 0 {
        return Err(usage!(
            "arch {}: {} classes and images of {channels}x{height}x{width}; all must be at least 1",
            spec.arch,
            spec.classes
        ));
    }
    if spec.classes > MOST_CLASSES || channels > MOST_CHANNELS || height > MOST_SIDE || width > MOST_SIDE {
        return Err(usage!(
            "arch {}: {} classes and images of {channels}x{height}x{width}; at most {MOST_CLASSES} and {MOST_CHANNELS}x{MOST_SIDE}x{MOST_SIDE}",
            spec.arch,
            spec.classes
        ));
    }
    if spec.steps > MOST_STEPS {
        return Err(usage!("steps {}: at most {MOST_STEPS}", spec.steps));
    }
    if spec.mean.len() != channels || spec.std.len() != channels {
        return Err(usage!("arch {}: {} means and {} deviations for {channels} channels", spec.arch, spec.mean.len(), spec.std.len()));
    }
    if let Some(mean) = spec.mean.iter().find(|mean| !mean.is_finite()) {
        return Err(usage!("arch {}: a mean of {mean}; it must be a number", spec.arch));
    }
    if let Some(std) = spec.std.iter().find(|std| !(std.is_finite() && **std > 0.0)) {
        return Err(usage!("arch {}: a standard deviation of {std}; it must be positive", spec.arch));
    }
    if !(spec.leak > 0.0 && spec.leak <= 1.0) {
        return Err(usage!("leak {}: must be above 0 and at most 1", spec.leak));
    }
    if !(0.0..1.0).contains(&spec.dropout) {
        return Err(usage!("dropout {}: must be at least 0 and below 1", spec.dropout));
    }
    Ok(())
}

/// Start the weights of `model` (METHOD §2): convolutions Kaiming normal by fan-out, linear ±1/√fan_in, drawn from `seed` and each
/// one's slot. What else it has stays as it is: of a new network norms 1 and 0, biases 0, thresholds 1, pairs ½.
pub fn draw(model: &mut Model, seed: u64) {
    let device = model.device().clone();
    for param in model.params_mut() {
        let shape = param.value().shape();
        let draws = Philox::stream(seed, Purpose::Init, &[param.slot as u64]);
        let count = shape.count() as u64;
        let values: Vec<f32> = match param.role {
            Role::Kernel => {
                let deviation = (2.0 / (shape[0] * shape[1] * shape[2]) as f32).sqrt();
                (0..count).map(|i| deviation * draws.normal(i)).collect()
            }
            Role::Matrix => {
                let bound = 1.0 / (shape[3] as f32).sqrt();
                (0..count).map(|i| bound * (2.0 * draws.uniform(i) - 1.0)).collect()
            }
            _ => continue,
        };
        param.weight.set(Tensor::from_slice(&device, shape, &values));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::lif::Reset;

    fn spec(arch: &str, steps: usize) -> Spec {
        Spec {
            arch: arch.into(),
            classes: 10,
            input: [3, 32, 32],
            mean: vec![0.5; 3],
            std: vec![0.25; 3],
            bias: steps > 0,
            steps,
            leak: 1.0,
            reset: Reset::Hard,
            dropout: 0.2,
        }
    }

    #[test]
    fn residual_networks_have_as_many_numbers_as_the_public_ones() {
        let device = Device::cpu(Some(1)).expect("one thread");
        let counts = [("resnet20", 272_511), ("resnet32", 466_967), ("wrn16_4", 2_748_915), ("wrn28_2", 1_467_659), ("wrn28_4", 5_849_099)];
        for (arch, wanted) in counts {
            let model = blank(&device, spec(arch, 4)).expect(arch);
            let count: usize = model.params().iter().map(|param| param.value().shape().count()).sum();
            assert_eq!(count, wanted, "{arch}");
            assert!(model.params().iter().enumerate().all(|(slot, param)| param.slot == slot), "{arch}");
            let order: Vec<usize> = model.neurons().map(|neuron| neuron.v_th.slot).collect();
            assert!(order.is_sorted(), "{arch}: {order:?} is the order of computation and of the state dict");
        }
    }

    #[test]
    fn pairs_start_at_one_half_and_weights_have_the_spread_of_their_fan_out() {
        let device = Device::cpu(Some(1)).expect("one thread");
        let model = build(&device, spec("wrn16_4", 0), 7).expect("wrn16_4");
        let named = |name: &str| model.params().into_iter().find(|param| param.name == name).expect("a parameter").value().to_vec();
        assert_eq!(named("features.3.convex.comb"), [0.5, 0.5]);
        for (name, fan_out) in [("features.3.conv1.weight", 9 * 128), ("features.3.convShortcut.weight", 128)] {
            let values = named(name);
            let variance = values.iter().map(|x| x * x).sum::<f32>() / values.len() as f32;
            assert!((variance * fan_out as f32 / 2.0 - 1.0).abs() < 0.1, "{name}: {variance}");
        }
    }
}
