//! Floor 4: what travels forward (signals), what is kept (a trace), and what comes back (gradients).
//!
//! Autodiff here is a trace by value: `Model::forward` returns logits and a [`Trace`]; `Model::backward` takes the
//! trace, the logits' gradient, and says how credit returns and what is wanted. Nothing is stored in a layer, so
//! one forward serves any number of backwards, each with its own surrogate.

use crate::base::{Error, Result, Shape, rng::Philox, usage};
use crate::ops::blend::blend;
use crate::ops::lif::Spread;
use crate::ops::norm::{Affine, Moments};
use crate::tensor::{Data, Tensor};
use std::fmt;

pub use crate::ops::lif::{Credit, Surrogate, SurrogateKind};

/// How the frames of a signal relate to the T steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frames {
    /// One frame that stands for T equal ones.
    Held(usize),
    /// T frames.
    Each(usize),
}

impl Frames {
    /// T.
    pub fn steps(self) -> usize {
        match self {
            Frames::Held(steps) | Frames::Each(steps) => steps,
        }
    }
}

/// An activation on its way: `[N,H,W,F,C]`, F = 1 when held.
#[derive(Clone)]
pub struct Signal {
    /// The activation.
    pub data: Data,
    /// What its frames stand for.
    pub frames: Frames,
}

/// A gradient on its way back: of a held signal the sum over steps (F = 1); of any other one frame a step, or one
/// frame (F = 1) when it is the same at every step.
#[derive(Clone)]
pub struct Grad {
    /// `[N,H,W,F,C]`, of the signal, or of its 2x2 pool.
    pub tensor: Tensor,
    /// Whether it belongs to the pool above the signal.
    pub spread: Spread,
}

impl Grad {
    /// A gradient of the signal itself.
    pub fn plain(tensor: Tensor) -> Grad {
        Grad { tensor, spread: Spread::Plain }
    }
}

/// What the neurons do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fire {
    /// ReLU: the network is its ANN (T = 0).
    Relu,
    /// Spikes over so many steps.
    Spike {
        /// T ≥ 1.
        steps: usize,
    },
}

/// Which statistics batch norm uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistics {
    /// The running ones (eval mode).
    Running,
    /// The batch's (train mode); they come back in the trace.
    Batch,
}

/// What a trace keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    /// Spikes alone, for counting: no backward.
    Spikes,
    /// Enough for the gradient of the input.
    ForInput,
    /// Enough for all gradients.
    All,
}

/// One forward pass, described.
#[derive(Debug, Clone, Copy)]
pub struct Pass {
    /// What the neurons do.
    pub fire: Fire,
    /// Batch norm's statistics.
    pub statistics: Statistics,
    /// Dropout's draws (None: off).
    pub dropout: Option<Philox>,
    /// What to keep.
    pub keep: Keep,
}

impl Pass {
    /// Eval mode: running statistics, no dropout.
    pub fn eval(fire: Fire, keep: Keep) -> Pass {
        Pass { fire, statistics: Statistics::Running, dropout: None, keep }
    }

    /// Train mode: batch statistics, dropout drawn from `dropout`, everything kept.
    pub fn train(fire: Fire, dropout: Philox) -> Pass {
        Pass { fire, statistics: Statistics::Batch, dropout: Some(dropout), keep: Keep::All }
    }
}

/// Which gradients a backward computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Of the images (an attack: no weight gradient is ever computed).
    Input,
    /// Of the parameters.
    Params,
    /// Of both.
    Both,
}

impl Want {
    /// Whether parameters are wanted.
    pub fn params(self) -> bool {
        self != Want::Input
    }

    /// Whether the input is wanted.
    pub fn input(self) -> bool {
        self != Want::Params
    }
}

/// What one layer keeps of its forward.
#[allow(clippy::large_enum_variant)] // one a layer, handles to tensors: the size is nothing beside what they hold
pub enum Saved {
    /// A product: its input (only the shape when parameters will not be wanted).
    Product {
        /// The input.
        x: Option<Data>,
        /// Its shape.
        shape: Shape,
        /// Its frames.
        frames: Frames,
    },
    /// Norm and neuron: the current before both.
    Neuron {
        /// The current (None when only spikes are kept).
        y: Option<Tensor>,
        /// The normalisation that was applied.
        affine: Option<Affine>,
        /// The moments behind it.
        moments: Option<Moments>,
        /// Frames of the current.
        frames: Frames,
        /// The spikes (None for ReLU).
        spikes: Option<Data>,
        /// The slope of each spike `[N,H,W,T,C]`, where an attack's iterations decide it ([`Credit::Assg`]) or who asks gives it
        /// ([`Credit::Given`]).
        slopes: Option<Tensor>,
    },
    /// A norm with no neuron behind it.
    Norm {
        /// Its input (None where no gradient will ask for it).
        y: Option<Tensor>,
        /// The input's shape.
        shape: Shape,
        /// The normalisation that was applied.
        affine: Affine,
        /// The moments behind it.
        moments: Moments,
        /// Frames of the input.
        frames: Frames,
    },
    /// A residual block: what the layers inside keep, and the two members of its sum.
    Block {
        /// Of the layers before the fork.
        stem: Vec<Saved>,
        /// Of the branch.
        branch: Vec<Saved>,
        /// Of the shortcut.
        shortcut: Vec<Saved>,
        /// What shortcut and branch gave.
        members: [Member; 2],
    },
    /// A change of shape: the shape that came in.
    Shape(Shape),
    /// Dropout: the draws, and T.
    Mask {
        /// The draws (None: it was off).
        stream: Option<Philox>,
        /// Frames that came in.
        frames: Frames,
    },
}

/// A member of a block's sum.
pub struct Member {
    /// In the form in which it came (None where parameters will not be wanted, or where a norm's input tells it).
    pub data: Option<Data>,
    /// Its shape.
    pub shape: Shape,
}

impl Saved {
    /// What the layers without layers inside kept, in the order of computation: itself, or those of a block.
    pub fn leaves(&self) -> Vec<&Saved> {
        match self {
            Saved::Block { stem, branch, shortcut, .. } => stem.iter().chain(branch).chain(shortcut).flat_map(Saved::leaves).collect(),
            leaf => vec![leaf],
        }
    }

    /// The same, to be added to.
    pub fn leaves_mut(&mut self) -> Vec<&mut Saved> {
        match self {
            Saved::Block { stem, branch, shortcut, .. } => {
                stem.iter_mut().chain(branch).chain(shortcut).flat_map(Saved::leaves_mut).collect()
            }
            leaf => vec![leaf],
        }
    }
}

/// What a forward kept, layer by layer.
pub struct Trace {
    /// One entry a layer.
    pub saved: Vec<Saved>,
    /// The pass that made it.
    pub pass: Pass,
    /// The logits of every step, `[N,1,1,F,K]`.
    pub steps: Tensor,
    /// What their frames stand for.
    pub frames: Frames,
}

/// Gradients of a backward.
pub struct Gradients {
    /// By parameter slot; None where a parameter has no gradient (v_th at T = 0, or where the credit does not reach it).
    pub params: Vec<Option<Tensor>>,
    /// Of the images `[N,H,W,C]`, if wanted.
    pub input: Option<Tensor>,
}

impl Gradients {
    /// Add the parameter gradients of `other` (two forwards, one step).
    ///
    /// Errors: gradients of another network.
    pub fn absorb(&mut self, other: Gradients) -> Result<()> {
        for (mine, theirs) in self.params.iter_mut().zip(other.params) {
            match (mine.as_mut(), theirs) {
                (Some(mine), Some(theirs)) => *mine = blend(&[(mine, 1.0), (&theirs, 1.0)])?,
                (None, theirs) => *mine = theirs,
                (Some(_), None) => {}
            }
        }
        Ok(())
    }
}

/// The names of `--credit`.
const CREDITS: [&str; 5] = ["bptt", "rate", "pdsg", "hart", "assg"];

/// A way to look at a spiking network for its gradients: one member of an ensemble attack.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lens {
    /// The spiking network, blame returning as said.
    Spiking(Credit),
    /// The ReLU network of the same weights, forward and backward ("Act").
    Act,
}

impl Lens {
    /// A lens from a surrogate's name and γ. Errors (usage): unknown names, γ not positive.
    pub fn surrogate(name: &str, gamma: f32) -> Result<Lens> {
        Ok(Lens::Spiking(Credit::Bptt(Surrogate::new(name.parse()?, gamma)?)))
    }

    /// A lens from `--credit`: bptt, rate, pdsg, hart, assg. Errors (usage): another name.
    pub fn credit(name: &str) -> Result<Lens> {
        match name {
            "bptt" => Ok(Lens::default()),
            "rate" | "bptr" => Ok(Lens::Spiking(Credit::Rate)),
            "pdsg" => Ok(Lens::Spiking(Credit::Pdsg)),
            "hart" => Ok(Lens::Spiking(Credit::Hart(Surrogate::default()))),
            "assg" => Ok(Lens::Spiking(Credit::Assg)),
            _ => Err::<Lens, Error>(usage!("--credit {name}: no such credit{}", crate::base::suggest(name, CREDITS))),
        }
    }
}

impl Default for Lens {
    /// BPTT with PCW, γ = 1.
    fn default() -> Self {
        Lens::Spiking(Credit::default())
    }
}

impl fmt::Display for Lens {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Lens::Spiking(Credit::Bptt(surrogate)) => write!(f, "{surrogate}"),
            Lens::Spiking(Credit::Rate) => f.write_str("BPTR"),
            Lens::Spiking(Credit::Pdsg) => f.write_str("PDSG"),
            Lens::Spiking(Credit::Assg) => f.write_str("ASSG"),
            Lens::Spiking(Credit::Given) => f.write_str("given slopes"),
            Lens::Spiking(Credit::Hart(surrogate)) => write!(f, "HART {surrogate}"),
            Lens::Act => f.write_str("Act"),
        }
    }
}
