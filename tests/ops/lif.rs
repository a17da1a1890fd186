//! The spiking neuron: forward, backward through time with every surrogate, and through the rate.

use super::common::*;
use caltrop::ops::lif::{self, Credit, Down, Dynamics, Reset, Sharpness, Spread, Surrogate, SurrogateKind, Upstream};

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
            let upstream = Upstream { gradient: &gradient, spread: Spread::Plain };
            let hart = Credit::Hart(Surrogate { kind: SurrogateKind::Pcw, gamma: 0.8 });
            let dx = credits
                .into_iter()
                .chain([Credit::Rate, hart])
                .flat_map(|credit| lif::backward(&on, Some(&map), &v_th, dynamics, upstream, credit, Down::Scaled).unwrap().dx.to_vec());
            let mut memory = Sharpness::default();
            let sloped = (0..2).flat_map(|_| {
                let slopes = memory.observe(&on, Some(&map), &v_th, dynamics).unwrap();
                lif::backward_sloped(&on, Some(&map), &v_th, dynamics, upstream, &slopes, Down::Scaled).unwrap().dx.to_vec()
            });
            (codes.to_vec(), dx.chain(sloped).collect::<Vec<f32>>())
        };
        let (codes, dx) = run(&first);
        for device in devices::all() {
            let (found, gradients) = run(&device);
            assert!(found == codes, "{dynamics:?} held {held} on {}: other spikes", device.describe());
            same_bits(&format!("{dynamics:?} held {held} on {}", device.describe()), &gradients, &dx);
        }
    }
}

/// PDSG's gradient of a unit gradient at one step, so the slopes: dz·σ'(u − v_th).
fn bells(device: &Device, shape: [usize; 5], y: &[f64]) -> Vec<f64> {
    let [n, h, w, _, c] = shape;
    let gradient = Tensor::full(device, [n, h, w, 1, c], 1.0);
    let upstream = Upstream { gradient: &gradient, spread: Spread::Plain };
    let dynamics = Dynamics { steps: 1, leak: 1.0, reset: Reset::Hard };
    let (y, v_th) = (tensor(device, shape, y), Tensor::full(device, [], V_TH));
    wide(&lif::backward(&y, None, &v_th, dynamics, upstream, Credit::Pdsg, Down::Current).unwrap().dx)
}

/// The normal density around w/2.
fn bell(x: f64, w: f64) -> f64 {
    (-(x / w - 0.5).powi(2) / 2.0).exp() / ((2.0 * std::f64::consts::PI).sqrt() * w)
}

#[test]
fn membranes_that_do_not_differ_have_a_bell_one_wide() {
    for device in devices::all() {
        // A plane, and a layer without one.
        for shape in [[2, 3, 3, 1, 5], [2, 1, 1, 1, 300]] {
            let y = 0.1f32;
            let found = bells(&device, shape, &vec![f64::from(y); shape.iter().product()]);
            let want = bell(f64::from(y - V_TH), 1.0);
            assert!(found.iter().all(|slope| (slope - want).abs() < 1e-6), "{}: {:?} instead of {want}", device.describe(), &found[..2]);
        }
    }
}

/// Sums of squares lose a spread that is small beside its mean unless they are taken around a member.
#[test]
fn a_spread_far_from_zero_keeps_its_digits() {
    // Alternating between two neighbours of f32: deviation step/2·√(n/(n−1)).
    let (pixels, base, step) = (16.0f64, 0.7, 2f64.powi(-20));
    let low = f64::from((base / step).round() as f32 * step as f32);
    let y: Vec<f64> = (0..16).map(|pixel| low + step * f64::from(pixel % 2)).collect();
    let w = step / 2.0 * (pixels / (pixels - 1.0)).sqrt();
    for device in devices::all() {
        let found = bells(&device, [1, 4, 4, 1, 1], &y);
        for (found, y) in found.iter().zip(&y) {
            let want = bell(y - f64::from(V_TH), w);
            assert!((found - want).abs() <= 1e-5 * bell(w / 2.0, w), "{}: {found} instead of {want}", device.describe());
        }
    }
}

/// Three windows of steps: what a GPU keeps of the membranes in between. Its exponential rounds in its own way.
#[test]
fn bells_of_many_steps_agree() {
    let (shape, steps) = ([2, 3, 4, 19, 20], 19);
    let (y, dz) = (between("bits", shape.iter().product(), -0.5, 1.5), random("dz", shape.iter().product()));
    for (reset, leak) in [(Reset::Hard, 0.9), (Reset::Soft, 1.0)] {
        let dynamics = Dynamics { steps, leak, reset };
        let run = |device: &Device| {
            let (y, gradient, (_, _, map)) =
                (tensor(device, shape, &y), tensor(device, shape, &dz), super::common::affine(device, shape[4]));
            let upstream = Upstream { gradient: &gradient, spread: Spread::Plain };
            let v_th = Tensor::full(device, [], V_TH);
            wide(&lif::backward(&y, Some(&map), &v_th, dynamics, upstream, Credit::Pdsg, Down::Scaled).unwrap().dx)
        };
        let want = run(&devices::first());
        for device in devices::all() {
            for (i, (found, want)) in run(&device).iter().zip(&want).enumerate() {
                assert!((found - want).abs() <= 1e-5 * (1.0 + want.abs()), "{reset:?} on {}: [{i}] {found}, {want}", device.describe());
            }
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
