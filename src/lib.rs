//! Caltrop: adversarially robust spiking neural networks through conversion.
//!
//! A ReLU network is trained to resist attacks, converted to spiking neurons, finetuned through time, and attacked in many ways
//! (Özdenizci & Legenstein, "Adversarially Robust Spiking Neural Networks Through Conversion", TMLR 2024, arXiv 2311.09266), on
//! the CPU or on kernels of its own, with no deep-learning framework. The program `caltrop` is a command line over this library.
//!
//! # A first program
//!
//! Build a small spiking network, ask it about four embedded images, and attack them:
//!
//! ```
//! use caltrop::attack::{Attack, Noise, Targets, Victim};
//! use caltrop::autodiff::Lens;
//! use caltrop::drive::{Seen, upload};
//! use caltrop::ops::{lif::Reset, loss::predictions, pixel::Ball};
//! use caltrop::{base, data, device::Device, nn::Spec, zoo};
//!
//! # fn main() -> base::Result<()> {
//! let device = Device::cpu(Some(1))?; // or Device::named("cuda", None)?
//! let data = data::load("fashion-mnist-7k", None)?;
//! let spec = Spec {
//!     arch: "vgg:8,A,16,A/32".into(), // two convolutions, each with a pool behind it, and a hidden layer
//!     classes: 10,
//!     input: [1, 28, 28],
//!     mean: data.mean.clone(),
//!     std: data.std.clone(),
//!     bias: true,
//!     steps: 4, // 0 is the ReLU network
//!     leak: 1.0,
//!     reset: Reset::Hard,
//!     dropout: 0.0,
//! };
//! let network = zoo::build(&device, spec, 1)?; // untrained; checkpoint::load reads one that was
//!
//! let batch = data.test.batch(0..4)?;
//! let (images, labels) = upload(&network, &batch);
//! let victim = Seen { model: &network };
//! let logits = victim.logits(&images, Lens::default())?; // [4, 10]
//! println!("predicted {:?}, labelled {:?}", predictions(&logits)?.to_vec(), batch.labels);
//!
//! let (attack, ball) = (Attack::Pgd { iterations: 3 }, Ball::linf(8.0 / 255.0));
//! let targets = Targets { images: &images, labels: &labels, ids: &batch.ids };
//! let adversarial = attack.perturb(&victim, &targets, Lens::default(), ball, &Noise::new(0, 0))?;
//! let moved = ball.norm.distance(&adversarial.to_vec(), &images.to_vec());
//! assert!(moved > 0.0 && moved <= 8.0 / 255.0 + 1e-6);
//! # Ok(())
//! # }
//! ```
//!
//! `examples/` go on from here: `own_network` (layers of your own, trained, converted, finetuned, evaluated), `own_attack` (an attack
//! against [`attack::Victim`]) and `own_surrogate` (a surrogate gradient of your own, [`nn::Model::slope`]).
//!
//! # The rooms
//!
//! Each module imports those above it alone (`docs/ARCHITECTURE.md` has the floors and the invariants).
//!
//! | room | what a library user finds there |
//! |---|---|
//! | [`base`] | [`base::Result`] and its one-line errors, shapes, [`base::rng::Philox`] |
//! | [`data`] | data sets by name, batches, augmentation |
//! | [`record`], [`report`] | what a run writes down, and the page that is made of it |
//! | [`device`] | [`device::Device`]: the CPU, a GPU, the emulator of one |
//! | [`tensor`] | [`tensor::Tensor`], and the forms of an activation |
//! | [`ops`] | every operation with its backward, one a module |
//! | [`autodiff`] | [`autodiff::Pass`], [`autodiff::Trace`], [`autodiff::Credit`] (how blame returns through spikes), [`autodiff::Lens`] |
//! | [`nn`] | [`nn::Layer`], [`nn::Model`], [`nn::Spec`] |
//! | [`loss`], [`optim`] | cross-entropy, TRADES, MART; SGD and its schedules |
//! | [`zoo`] | networks by name, and [`zoo::Maker`] for layers of your own |
//! | [`attack`] | attacks on any [`attack::Victim`] |
//! | [`convert`] | an ANN becomes a spiking network |
//! | [`checkpoint`] | networks as files, PyTorch's among them |
//! | [`drive`] | recipes, training, evaluation |
//! | [`probe`] | what happens inside: spikes, membranes, operations, accuracy over time |
//! | [`selftest`], [`mod@bench`] | does a device compute right, and how fast |
//! | [`cli`] | the command line |
//!
//! # What holds everywhere
//!
//! - **Layouts** are channels-last: images `[N,H,W,C]` in `[0,1]`, activations `[N,H,W,F,C]` with F frames of time, weights
//!   `[C_out,kh,kw,C_in]`, logits `[N,K]`. Only [`checkpoint`] knows PyTorch's.
//! - **Units**: the library's radii are in pixels of `[0,1]`; the command line, recipes and [`drive::Question`] count l-inf in 1/255.
//! - **Nothing has a mode.** ReLU or spikes, statistics, dropout, surrogates are arguments of a forward or a backward.
//! - **Randomness** is a function of seed and place: the same on every device, on any number of threads, in any batch.
//! - **Errors** are one line: what, the values, the cure. What a caller can cause is a [`base::Error`]; a panic is a bug, and said to be one
//!   where a function can be misused. A device that fails in the middle of work unwinds: run what may meet that in [`device::catch`].

#![deny(missing_docs)]

pub mod attack;
pub mod autodiff;
pub mod base;
pub mod bench;
pub mod checkpoint;
#[allow(rustdoc::broken_intra_doc_links)] // its doc comments are help texts, whose brackets are no links
pub mod cli;
pub mod convert;
pub mod data;
pub mod device;
pub mod drive;
pub mod loss;
pub mod nn;
pub mod ops;
pub mod optim;
pub mod probe;
pub mod record;
pub mod report;
pub mod selftest;
pub mod tensor;
pub mod zoo;
