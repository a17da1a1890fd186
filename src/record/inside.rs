//! What an inspection saw inside a spiking network.

use serde::Serialize;

/// A spiking network on some images, clean and, where something attacks, adversarial.
#[derive(Debug, Clone, PartialEq)]
pub struct Inside {
    /// The program's version.
    pub version: String,
    /// The network's file.
    pub checkpoint: String,
    /// Its architecture.
    pub arch: String,
    /// Where the images are from.
    pub source: String,
    /// T.
    pub steps: usize,
    /// Share of the membrane that survives a step.
    pub leak: f32,
    /// What a membrane does when it fires.
    pub reset: String,
    /// What made the adversarial images, in words (None: there are none).
    pub attack: Option<String>,
    /// Height, width, channels of an image.
    pub extent: [usize; 3],
    /// What the K classes are called.
    pub classes: Vec<String>,
    /// The layers of neurons, in the order of computation.
    pub layers: Vec<Seen>,
    /// The images.
    pub images: Vec<Inspected>,
}

/// A layer of neurons, over all images.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The threshold's name without `.v_th`.
    pub name: String,
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// The firing threshold.
    pub v_th: f32,
    /// On the clean images and, where there are any, on the adversarial ones.
    pub takes: Vec<Histogram>,
    /// What the attack changed.
    pub change: Option<Change>,
}

impl Seen {
    /// The index in `[H,W,C]` of the neuron at column, row, channel.
    pub fn neuron(&self, [x, y, c]: [usize; 3]) -> usize {
        (y * self.shape[2] + x) * self.shape[0] + c
    }

    /// Column, row, channel of the neuron with this index.
    pub fn place(&self, neuron: usize) -> [usize; 3] {
        let [channels, _, width] = self.shape;
        [neuron / channels % width, neuron / channels / width, neuron % channels]
    }
}

/// How many neurons (of all images) fired how often: `neurons[k]` fired k times, k from 0 to T.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// `[T + 1]`.
    pub neurons: Vec<u64>,
}

impl Histogram {
    /// Spikes a neuron and step, between 0 and 1.
    pub fn rate(&self) -> f64 {
        let spikes: u64 = self.neurons.iter().enumerate().map(|(count, &neurons)| count as u64 * neurons).sum();
        spikes as f64 / ((self.neurons.len() - 1) as u64 * self.all()).max(1) as f64
    }

    /// Share of the neurons that never fired.
    pub fn silent(&self) -> f64 {
        self.share(0)
    }

    /// Share of the neurons that fired at every step.
    pub fn saturated(&self) -> f64 {
        self.share(self.neurons.len() - 1)
    }

    /// Share of the neurons that fired so often.
    pub fn share(&self, count: usize) -> f64 {
        self.neurons[count] as f64 / self.all().max(1) as f64
    }

    fn all(&self) -> u64 {
        self.neurons.iter().sum()
    }
}

/// How the spikes of a layer differ between clean and adversarial images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// Share of (neuron, step) at which one of both spiked and the other not.
    pub flipped: f64,
    /// Share of the neurons that fired more or less often.
    pub neurons: f64,
}

/// One image.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspected {
    /// Its index in its set.
    pub id: u64,
    /// Its class.
    pub label: Option<usize>,
    /// Clean, and adversarial if there is an attack.
    pub takes: Vec<Take>,
    /// Neurons whose course is told, layer by layer.
    pub courses: Vec<Course>,
}

/// An image and what it caused.
#[derive(Debug, Clone, PartialEq)]
pub struct Take {
    /// `[H,W,C]` in `[0,1]`.
    pub pixels: Vec<f32>,
    /// `[T,K]`: the logits of every step.
    pub logits: Vec<f32>,
    /// The class that is seen in it.
    pub predicted: usize,
    /// The spikes of every layer, `[H,W,C,⌈T/8⌉]`: bit t % 8 of byte t / 8 is step t.
    pub spikes: Vec<Vec<u8>>,
}

/// One neuron through time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Course {
    /// The index of its layer.
    pub layer: usize,
    /// Its place: column, row, channel.
    pub at: [usize; 3],
    /// For each take the T currents and membranes.
    pub takes: Vec<Potential>,
}

/// Currents and membranes of a neuron.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Potential {
    /// `[T]`: the current x_t.
    pub x: Vec<f32>,
    /// `[T]`: the membrane u_t before its reset.
    pub u: Vec<f32>,
}

impl Inside {
    /// Bytes of a neuron's spikes.
    pub fn planes(&self) -> usize {
        self.steps.div_ceil(8)
    }

    /// The spikes of one neuron in `codes` `[H,W,C,⌈T/8⌉]`, step by step.
    pub fn train(&self, codes: &[u8], neuron: usize) -> Vec<bool> {
        let planes = self.planes();
        let bytes = &codes[neuron * planes..(neuron + 1) * planes];
        (0..self.steps).map(|t| bytes[t / 8] >> (t % 8) & 1 == 1).collect()
    }
}
