//! Floor 6: architectures as data.

mod vgg;

pub use vgg::NAMES;

use crate::base::{Result, rng::Philox, rng::Purpose, suggest, usage};
use crate::device::Device;
use crate::nn::{Model, Role, Spec};
use crate::tensor::Tensor;

/// The network of `spec`, with parameters as METHOD §2 starts them (drawn from `seed`).
///
/// Errors (usage): an unknown architecture, an image that does not fit it.
pub fn build(device: &Device, spec: Spec, seed: u64) -> Result<Model> {
    let mut model = blank(device, spec)?;
    draw(&mut model, seed);
    Ok(model)
}

/// As [`build`], with weights 0 that wait to be filled; thresholds and norm weights are 1.
pub fn blank(device: &Device, spec: Spec) -> Result<Model> {
    check(&spec)?;
    let Some(plan) = vgg::plan(&spec.arch)? else {
        return Err(usage!("arch {}: no such architecture{}", spec.arch, suggest(&spec.arch, NAMES)));
    };
    let layers = vgg::layers(device, &plan, &spec)?;
    let mut model = Model::new(device, spec, layers);
    for param in model.params_mut() {
        if matches!(param.role, Role::NormWeight | Role::Threshold) {
            param.weight.set(Tensor::full(device, param.value().shape(), 1.0));
        }
    }
    Ok(model)
}

/// More steps than this are a slip of the hand.
pub const MOST_STEPS: usize = 1000;
/// More than this make no image, and no set of classes.
const MOST_CHANNELS: usize = 1024;
const MOST_SIDE: usize = 4096;
const MOST_CLASSES: usize = 1 << 20;

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

/// Convolutions Kaiming normal by fan-out; linear ±1/√fan_in; the rest stays at norms 1 and 0, biases 0, thresholds 1.
fn draw(model: &mut Model, seed: u64) {
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
