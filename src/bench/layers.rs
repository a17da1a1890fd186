//! The layers that the ops are measured at: those of VGG-11 on CIFAR's images and of the demo's network.

/// In which form a layer's product finds its input in a spiking network (in an ANN all are numbers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// The image: one frame for all steps.
    Pixels,
    /// Spikes.
    Spikes,
    /// Spikes behind a 2x2 pool.
    Quarters,
}

/// What stands behind a layer's product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seat {
    /// Norm and neuron.
    Inside,
    /// Norm, neuron and a 2x2 pool.
    BeforePool,
    /// Norm and neuron, then the classifier.
    LastFeatures,
    /// A neuron and dropout.
    Hidden,
    /// Nothing: the logits.
    Head,
}

/// A product and what surrounds it.
#[derive(Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its network, one of [`NETWORKS`].
    pub network: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// Height and width of input and output.
    pub side: usize,
    /// C_in.
    pub inputs: usize,
    /// C_out.
    pub outputs: usize,
    /// Kernel height and width.
    pub kernel: usize,
    /// Form of the input.
    pub reads: Reads,
    /// What follows.
    pub seat: Seat,
}

impl Layer {
    /// Whether there is a neuron behind the product.
    pub fn fires(&self) -> bool {
        self.seat != Seat::Head
    }

    /// Whether there is a norm behind the product.
    pub fn norms(&self) -> bool {
        matches!(self.seat, Seat::Inside | Seat::BeforePool | Seat::LastFeatures)
    }

    /// Frames of the product's input and output.
    pub fn frames(&self, steps: usize) -> usize {
        if self.reads == Reads::Pixels { 1 } else { steps.max(1) }
    }
}

/// The networks of the table.
pub const NETWORKS: [&str; 2] = ["vgg11", "demo"];

const fn conv(network: &'static str, name: &'static str, side: usize, [inputs, outputs]: [usize; 2], reads: Reads, seat: Seat) -> Layer {
    Layer { network, name, side, inputs, outputs, kernel: 3, reads, seat }
}

const fn linear(network: &'static str, name: &'static str, [inputs, outputs]: [usize; 2], seat: Seat) -> Layer {
    Layer { network, name, side: 1, inputs, outputs, kernel: 1, reads: Reads::Spikes, seat }
}

/// All of them. conv6 of vgg11 is conv5 before a pool.
pub const LAYERS: [Layer; 16] = [
    conv("vgg11", "conv1", 32, [3, 64], Reads::Pixels, Seat::BeforePool),
    conv("vgg11", "conv2", 16, [64, 128], Reads::Quarters, Seat::Inside),
    conv("vgg11", "conv3", 16, [128, 256], Reads::Spikes, Seat::BeforePool),
    conv("vgg11", "conv4", 8, [256, 512], Reads::Quarters, Seat::Inside),
    conv("vgg11", "conv5", 8, [512, 512], Reads::Spikes, Seat::Inside),
    conv("vgg11", "conv6", 8, [512, 512], Reads::Spikes, Seat::BeforePool),
    conv("vgg11", "conv7", 4, [512, 512], Reads::Quarters, Seat::Inside),
    conv("vgg11", "conv8", 4, [512, 512], Reads::Spikes, Seat::LastFeatures),
    linear("vgg11", "fc1", [8192, 4096], Seat::Hidden),
    linear("vgg11", "fc2", [4096, 4096], Seat::Hidden),
    linear("vgg11", "fc3", [4096, 10], Seat::Head),
    conv("demo", "conv1", 28, [1, 16], Reads::Pixels, Seat::BeforePool),
    conv("demo", "conv2", 14, [16, 32], Reads::Quarters, Seat::BeforePool),
    conv("demo", "conv3", 7, [32, 64], Reads::Quarters, Seat::LastFeatures),
    linear("demo", "fc1", [3136, 256], Seat::Hidden),
    linear("demo", "fc2", [256, 10], Seat::Head),
];
