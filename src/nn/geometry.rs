//! What a network is made of, computes and keeps, read off its shapes: nothing is run, no weight is looked at.

use super::{Block, Layer, Model, Neuron, Norm, Origin, Param, Product};
use crate::tensor::planes;

/// One row of the table of layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its name in the state dict, such as `features.0` (empty where it has nothing there).
    pub name: String,
    /// What it is, such as `conv 3x3`.
    pub kind: String,
    /// Channels, height, width of what it makes.
    pub output: [usize; 3],
    /// Its parameters.
    pub parameters: u64,
    /// Multiply-accumulates of one image in one step.
    pub macs: u64,
    /// What its product reads.
    pub operands: Operands,
}

/// What a product reads, and so how often it is computed for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operands {
    /// Numbers that are the same at every step: once.
    Held,
    /// Spikes, or sums of them: at each of T steps, and a multiplication is an addition.
    Spikes,
}

/// Bytes in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Parameters and running statistics.
    pub weights: u64,
    /// Copies of the weights in the order in which the CPU's products read them: forward, and backward in training.
    pub packed: u64,
    /// Gradients of the parameters.
    pub gradients: u64,
    /// The optimiser's momentum.
    pub momentum: u64,
    /// What a forward keeps for its backward.
    pub kept: u64,
    /// The largest gradients that are under way at once.
    pub working: u64,
}

impl Memory {
    /// The sum.
    pub fn total(&self) -> u64 {
        self.weights + self.packed + self.gradients + self.momentum + self.kept + self.working
    }
}

/// A network, measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Geometry {
    /// Its layers, from the input on.
    pub rows: Vec<Row>,
    /// T; 0 is the ANN.
    pub steps: usize,
    /// Numbers of its running statistics.
    statistics: u64,
    /// Bytes an image that a training forward keeps ([`crate::autodiff::Keep::All`]): the input of every product, the
    /// current of every neuron in f32, spikes a byte a neuron for 8 steps.
    kept: u64,
    /// Bytes an image that a forward for the spikes alone keeps.
    spikes: u64,
    /// Bytes an image of the largest gradients under way at once.
    working: u64,
    /// Bytes an image of the largest currents under way at once.
    flowing: u64,
}

impl Geometry {
    /// Parameters in all.
    pub fn parameters(&self) -> u64 {
        self.rows.iter().map(|row| row.parameters).sum()
    }

    /// Multiply-accumulates of one step of one image.
    pub fn macs(&self) -> u64 {
        self.rows.iter().map(|row| row.macs).sum()
    }

    /// Operations of an image over all T steps: what reads numbers once, what reads spikes T times (at T = 0 once).
    pub fn operations(&self) -> u64 {
        let times = |row: &Row| if row.operands == Operands::Held { 1 } else { self.steps.max(1) as u64 };
        self.rows.iter().map(|row| row.macs * times(row)).sum()
    }

    /// Bytes that training on `batch` images takes: one forward, all of it kept, and its backward. A loss of clean and
    /// adversarial logits (TRADES, MART) keeps two forwards.
    pub fn training(&self, batch: usize, forwards: usize) -> Memory {
        let (batch, numbers) = (batch as u64, 4 * self.parameters());
        Memory {
            weights: numbers + 4 * self.statistics,
            packed: 2 * numbers,
            gradients: numbers,
            momentum: numbers,
            kept: self.kept * batch * forwards as u64,
            working: self.working * batch,
        }
    }

    /// Bytes that logits of `batch` images take.
    pub fn inference(&self, batch: usize) -> Memory {
        let (batch, numbers) = (batch as u64, 4 * self.parameters());
        Memory {
            weights: numbers + 4 * self.statistics,
            packed: numbers,
            kept: self.spikes * batch,
            working: self.flowing * batch,
            ..Memory::default()
        }
    }
}

impl Model {
    /// The network's geometry at its own T.
    pub fn geometry(&self) -> Geometry {
        let [channels, height, width] = self.spec().input;
        let steps = self.spec().steps;
        let geometry = Geometry { rows: Vec::new(), steps, statistics: 0, kept: 0, spikes: 0, working: 0, flowing: 0 };
        let pixels = Flow { at: [channels, height, width], form: Form::Numbers, each: false, counted: false };
        let mut walk = Walk { geometry, flow: pixels, train_dropout: self.spec().dropout > 0.0 };
        self.layers().iter().for_each(|layer| walk.layer(layer));
        let logits = walk.bytes();
        walk.geometry.kept += logits;
        walk.geometry
    }
}

/// In what form a signal lies in memory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Numbers,
    Spikes,
    /// Pooled spikes: a nibble a step.
    Quarters,
}

/// The signal between two layers.
#[derive(Clone, Copy)]
struct Flow {
    /// Channels, height, width.
    at: [usize; 3],
    form: Form,
    /// Whether it has a frame for every step.
    each: bool,
    /// Whether something that is kept holds it already.
    counted: bool,
}

/// Goes through the layers as a forward does.
struct Walk {
    geometry: Geometry,
    flow: Flow,
    train_dropout: bool,
}

impl Walk {
    fn elements(&self) -> u64 {
        self.flow.at.iter().map(|&extent| extent as u64).product()
    }

    fn frames(&self) -> u64 {
        if self.flow.each { self.geometry.steps as u64 } else { 1 }
    }

    /// Bytes an image of the signal.
    fn bytes(&self) -> u64 {
        let planes = planes(self.geometry.steps) as u64;
        match self.flow.form {
            Form::Numbers => 4 * self.frames() * self.elements(),
            Form::Spikes => planes * self.elements(),
            Form::Quarters => 4 * planes * self.elements(),
        }
    }

    fn row(&mut self, name: &str, kind: String, parameters: u64, macs: u64) {
        let operands = if self.flow.each { Operands::Spikes } else { Operands::Held };
        self.geometry.rows.push(Row { name: name.into(), kind, output: self.flow.at, parameters, macs, operands });
    }

    fn layer(&mut self, layer: &Layer) {
        match layer {
            Layer::Product(product) => self.product(product),
            Layer::Neuron(neuron) => self.neuron(neuron),
            Layer::Norm(norm) => {
                self.keep();
                self.flow = Flow { form: Form::Numbers, counted: false, ..self.flow };
                self.norm(norm);
            }
            Layer::Block(block) => self.block(block),
            Layer::AveragePool => {
                let [channels, height, width] = self.flow.at;
                self.flow.at = [channels, height / 2, width / 2];
                self.flow.form = if self.flow.form == Form::Spikes { Form::Quarters } else { Form::Numbers };
                self.flow.counted = false;
                self.row("", "average pool 2x2".into(), 0, 0);
            }
            Layer::GlobalPool => {
                self.flow = Flow { at: [self.flow.at[0], 1, 1], form: Form::Numbers, counted: false, ..self.flow };
                self.row("", "average pool, all".into(), 0, 0);
            }
            Layer::Flatten => {
                // One plane of codes and one frame move nothing; who keeps the signal keeps the same memory.
                self.flow.at = [self.elements() as usize, 1, 1];
                self.row("", "flatten".into(), 0, 0);
            }
            Layer::Dropout(_) => {
                if self.train_dropout {
                    self.flow = Flow { form: Form::Numbers, counted: false, ..self.flow };
                }
                self.row("", "dropout".into(), 0, 0);
            }
        }
    }

    fn product(&mut self, product: &Product) {
        let shape = product.weight.value().shape();
        let (out, side, input) = (shape[0], [shape[1], shape[2]], self.bytes_as_numbers());
        self.keep();
        let [_, height, width] = self.flow.at;
        let reach = |extent: usize, side: usize| (extent + 2 * product.pad).saturating_sub(side) / product.stride + 1;
        self.flow = Flow { at: [out, reach(height, side[0]), reach(width, side[1])], form: Form::Numbers, counted: false, ..self.flow };
        let places = (self.flow.at[1] * self.flow.at[2]) as u64;
        let biases = product.bias.as_ref().map_or(0, |bias| bias.value().shape().count() as u64);
        let weights = shape.count() as u64;
        self.row(stem(&product.weight), product.kind(), weights + biases, places * weights);
        // Backward: the gradient of what it makes, and of what it reads.
        let made = self.bytes();
        self.geometry.working = self.geometry.working.max(made + input);
        self.geometry.flowing = self.geometry.flowing.max(made);
    }

    /// Bytes an image of the signal's gradient, or of the signal spelled out.
    fn bytes_as_numbers(&self) -> u64 {
        4 * self.frames() * self.elements()
    }

    /// Something keeps the signal.
    fn keep(&mut self) {
        if !self.flow.counted {
            self.geometry.kept += self.bytes();
            self.flow.counted = true;
        }
    }

    fn norm(&mut self, norm: &Norm) {
        let channels = norm.weight.value().shape().count() as u64;
        self.geometry.statistics += 2 * channels;
        self.row(stem(&norm.weight), "batch norm".into(), 2 * channels, 0);
    }

    /// Both ways start from a signal that is kept; so are the members of the sum, but for what a norm can make again.
    fn block(&mut self, block: &Block) {
        self.keep();
        let input = self.flow;
        block.stem.iter().for_each(|layer| self.layer(layer));
        let behind = self.flow;
        let way = |walk: &mut Walk, layers: &[Layer], start: Flow| {
            walk.flow = start;
            layers.iter().for_each(|layer| walk.layer(layer));
            if !matches!(layers.last(), Some(Layer::Norm(_))) {
                walk.keep();
            }
            walk.flow
        };
        let along = way(self, &block.branch, behind);
        let across = way(self, &block.shortcut, if block.origin == Origin::Input { input } else { behind });
        self.flow = Flow { form: Form::Numbers, each: along.each || across.each, counted: false, ..along };
        // Backward: the gradient of the sum and of its members.
        self.geometry.working = self.geometry.working.max(3 * self.bytes());
        self.geometry.flowing = self.geometry.flowing.max(3 * self.bytes());
        self.row(stem(&block.comb), "sum of both ways".into(), block.comb.value().shape().count() as u64, 0);
    }

    fn neuron(&mut self, neuron: &Neuron) {
        if let Some(norm) = &neuron.norm {
            self.norm(norm);
        }
        let current = self.bytes();
        self.keep();
        self.flow.counted = false;
        if self.geometry.steps > 0 {
            self.flow = Flow { form: Form::Spikes, each: true, counted: true, ..self.flow };
            let spikes = self.bytes();
            self.geometry.kept += spikes;
            self.geometry.spikes += spikes;
        }
        // Backward: the gradient of its spikes, of the current behind the norm, and of the current before it.
        let currents = if neuron.norm.is_some() { 2 * current } else { current };
        self.geometry.working = self.geometry.working.max(self.bytes_as_numbers() + currents);
        let kind = if self.geometry.steps > 0 { "neuron" } else { "relu (neuron at T > 0)" };
        self.row(stem(&neuron.v_th), kind.into(), 1, 0);
    }
}

/// The name of a parameter's layer.
fn stem(param: &Param) -> &str {
    param.name.rsplit_once('.').map_or("", |(stem, _)| stem)
}
