//! The spiking neuron: forward, backward through time with every surrogate, and through the rate.

use super::common::*;
use caltrop::ops::lif::{self, Credit, Down, Dynamics, Reset, Spread, Surrogate, SurrogateKind, Upstream};

const V_TH: f32 = 0.7;

#[test]
fn the_table_holds_on_every_device() {
    table("lif");
}

/// Currents anywhere, near thresholds too: every device rounds alike, so spikes and (but for the exponential) gradients
/// have the same bits.
#[test]
fn every_device_gives_the_same_bits() {
    let (shape, steps) = ([3, 5, 4, 20], 19);
    let [n, h, w, c] = shape;
    let (y, dz) = (between("bits", n * h * w * steps * c, -0.5, 1.5), random("dz", n * h * w * steps * c));
    let first = devices::first();
    for (reset, leak, held) in [(Reset::Hard, 0.9, false), (Reset::Soft, 1.0, false), (Reset::Hard, 1.0, true), (Reset::Soft, 0.7, true)] {
        let dynamics = Dynamics { steps, leak, reset };
        let run = |device: &Device| {
            let frames = if held { 1 } else { steps };
            let on = tensor(device, [n, h, w, frames, c], &y[..n * h * w * frames * c]);
            let gradient = tensor(device, [n, h, w, steps, c], &dz);
            let (_, _, map) = super::common::affine(device, c);
            let v_th = Tensor::full(device, [], V_TH);
            let Data::Spikes { codes, .. } = lif::forward(&on, Some(&map), &v_th, dynamics).unwrap() else { panic!("spikes are codes") };
            let credits =
                [SurrogateKind::Pcw, SurrogateKind::Rect, SurrogateKind::Ste].map(|kind| Credit::Bptt(Surrogate { kind, gamma: 0.8 }));
            let dx = credits.into_iter().chain([Credit::Rate]).flat_map(|credit| {
                let upstream = Upstream { gradient: &gradient, spread: Spread::Plain };
                lif::backward(&on, Some(&map), &v_th, dynamics, upstream, credit, Down::Scaled).unwrap().dx.to_vec()
            });
            (codes.to_vec(), dx.collect::<Vec<f32>>())
        };
        let (codes, dx) = run(&first);
        for device in devices::all() {
            let (found, gradients) = run(&device);
            assert!(found == codes, "{dynamics:?} held {held} on {}: other spikes", device.describe());
            same_bits(&format!("{dynamics:?} held {held} on {}", device.describe()), &gradients, &dx);
        }
    }
}

#[test]
fn a_membrane_at_the_threshold_fires() {
    let device = devices::first();
    let y = tensor(&device, [1, 1, 1, 2, 3], &[0.5, 0.75, 0.749, 0.25, 0.0, 0.001]);
    let dynamics = Dynamics { steps: 2, leak: 1.0, reset: Reset::Hard };
    let spikes = lif::forward(&y, None, &Tensor::full(&device, [], 0.75), dynamics).unwrap();
    assert_eq!(decoded(&spikes), [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = devices::first();
    let (y, v_th) = (Tensor::zeros(&device, [1, 4, 4, 3, 2]), Tensor::full(&device, [], 1.0));
    let dynamics = |steps| Dynamics { steps, leak: 1.0, reset: Reset::Hard };
    let refusal = |steps| lif::forward(&y, None, &v_th, dynamics(steps)).err().expect("refused").to_string();
    assert_eq!(refusal(0), "lif: T = 0 where spikes are needed; use --steps 1 or more");
    assert_eq!(refusal(8), "lif: 3 frames for 8 steps");
    let (_, _, narrow) = super::common::affine(&device, 5);
    assert!(lif::forward(&y, Some(&narrow), &v_th, dynamics(3)).is_err());
    for (shape, spread) in [
        ([1, 4, 4, 2, 2], Spread::Plain),
        ([1, 4, 4, 3, 2], Spread::Quarters),
        ([1, 2, 2, 3, 2], Spread::Plain),
        ([1, 4, 4, 3, 3], Spread::Plain),
    ] {
        let gradient = Tensor::zeros(&device, shape);
        let upstream = Upstream { gradient: &gradient, spread };
        assert!(lif::backward(&y, None, &v_th, dynamics(3), upstream, Credit::Rate, Down::Current).is_err(), "{shape:?} {spread:?}");
    }
}
