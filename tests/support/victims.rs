//! What attacks are tried on: a victim known in closed form, and a small network.

use caltrop::attack::{Response, Victim};
use caltrop::autodiff::Lens;
use caltrop::base::Result;
use caltrop::device::Device;
use caltrop::nn::{Model, Spec};
use caltrop::ops::lif::Reset;
use caltrop::tensor::Tensor;
use caltrop::zoo;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::named;

/// Logits W·φ(x) + b of one image, φ pixel by pixel; computed on the host, whatever the device.
pub struct Known {
    /// [K][pixels].
    pub weights: Vec<Vec<f32>>,
    /// [K].
    pub bias: Vec<f32>,
    /// φ.
    bend: fn(f32) -> f32,
    /// Its derivative.
    slope: fn(f32) -> f32,
    /// The sizes of the batches that were asked, one a forward.
    pub asked: Mutex<Vec<usize>>,
    backwards: AtomicUsize,
}

impl Known {
    /// φ(x) = x.
    pub fn new(weights: Vec<Vec<f32>>, bias: Vec<f32>) -> Known {
        Known { weights, bias, bend: |x| x, slope: |_| 1.0, asked: Mutex::default(), backwards: AtomicUsize::new(0) }
    }

    /// φ(x) = sin 9x.
    pub fn curved(self) -> Known {
        Known { bend: |x| (9.0 * x).sin(), slope: |x| 9.0 * (9.0 * x).cos(), ..self }
    }

    /// With the weights that `name` draws, no bias.
    pub fn drawn(name: &str, classes: usize, pixels: usize) -> Known {
        let weights: Vec<f32> = named::uniform(name, classes * pixels, -1.0, 1.0, 0);
        Known::new(weights.chunks(pixels).map(<[f32]>::to_vec).collect(), vec![0.0; classes])
    }

    pub fn row(&self, class: usize) -> &[f32] {
        &self.weights[class]
    }

    pub fn exact(&self, image: &[f32]) -> Vec<f64> {
        let dot = |w: &Vec<f32>| w.iter().zip(image).map(|(&w, &x)| f64::from(w) * f64::from((self.bend)(x))).sum::<f64>();
        self.weights.iter().zip(&self.bias).map(|(w, &b)| dot(w) + f64::from(b)).collect()
    }

    pub fn logits_of(&self, image: &[f32]) -> Vec<f32> {
        self.exact(image).into_iter().map(|z| z as f32).collect()
    }

    pub fn gradient_of(&self, image: &[f32], dlogits: &[f32]) -> Vec<f32> {
        let pixel = |(i, &x): (usize, &f32)| dlogits.iter().zip(&self.weights).map(|(d, w)| d * w[i]).sum::<f32>() * (self.slope)(x);
        image.iter().enumerate().map(pixel).collect()
    }

    pub fn class_of(&self, image: &[f32]) -> usize {
        let logits = self.logits_of(image);
        (0..logits.len()).fold(0, |best, k| if logits[k] > logits[best] { k } else { best })
    }

    /// Forwards and backwards so far.
    pub fn counts(&self) -> (usize, usize) {
        (self.asked.lock().unwrap().len(), self.backwards.load(Ordering::Relaxed))
    }
}

impl Victim for Known {
    fn logits(&self, images: &Tensor, _: Lens) -> Result<Tensor> {
        let n = images.shape()[0];
        self.asked.lock().unwrap().push(n);
        let logits: Vec<f32> = images.to_vec().chunks_exact(self.weights[0].len()).flat_map(|image| self.logits_of(image)).collect();
        Ok(Tensor::from_slice(images.device(), [n, self.bias.len()], &logits))
    }

    fn gradients(
        &self,
        images: &Tensor,
        dlogits_of: &(dyn Fn(&Tensor) -> Result<Tensor> + Sync),
        lenses: &[Lens],
    ) -> Result<Vec<Response>> {
        let logits = self.logits(images, lenses[0])?;
        self.backwards.fetch_add(1, Ordering::Relaxed);
        let (dlogits, pixels) = (dlogits_of(&logits)?.to_vec(), images.to_vec());
        let rows = pixels.chunks_exact(self.weights[0].len()).zip(dlogits.chunks_exact(self.bias.len()));
        let gradient: Vec<f32> = rows.flat_map(|(image, dlogits)| self.gradient_of(image, dlogits)).collect();
        let gradient = Tensor::from_slice(images.device(), images.shape(), &gradient);
        Ok(lenses.iter().map(|_| Response { logits: logits.clone(), gradient: gradient.clone() }).collect())
    }
}

/// The side of the images of [`network`], which have two channels.
pub const SIDE: usize = 8;

/// Two convolutions and a hidden layer; spiking, with low thresholds, where there are `steps`.
pub fn network(device: &Device, steps: usize, classes: usize) -> Model {
    let spec = Spec {
        arch: "vgg:6,A,8,A/12".into(),
        classes,
        input: [2, SIDE, SIDE],
        mean: vec![0.5, 0.4],
        std: vec![0.25, 0.2],
        bias: steps > 0,
        steps,
        leak: 1.0,
        reset: Reset::Hard,
        dropout: 0.0,
    };
    let mut model = zoo::build(device, spec, 3).unwrap();
    for param in model.params_mut().into_iter().filter(|param| param.name.ends_with(".v_th")) {
        param.weight.set(Tensor::full(device, [], 0.3));
    }
    model
}
