//! A network as a graph.
//!
//! Batch norms, the pair of a block and the factors that a dialect's pools leave are maps a channel; a map is carried along
//! until a product takes it up: the one in front (its rows) or the one behind (its columns, where no zeros around the input
//! would be shifted). Where there is none, the map becomes a node.

use super::channels::{Channels, Rows};
use super::dialect::{Dialect, Factor, Unbiased};
use super::graph::{Graph, Node, Numbers, Pool};
use crate::base::{Result, ensure, fail};
use crate::checkpoint::Meta;
use crate::checkpoint::layout;
use crate::nn::{Block, Layer, Model, Neuron, Norm, Origin, Product, Role};
use crate::ops::norm::EPSILON;
use std::collections::BTreeMap;

/// The graph of `model` for the importer that `dialect` describes. Errors: an ANN, a leak or reset that cannot be said.
pub fn graph(model: &Model, meta: &Meta, dialect: &'static Dialect) -> Result<Graph> {
    let spec = model.spec();
    ensure!(
        spec.steps > 0,
        "the network is an ANN (T = 0), and NIR has no ReLU; convert it first: caltrop convert CHECKPOINT --steps 8 --out SNN"
    );
    dialect.can_say(spec.leak, spec.reset)?;
    let named = layout::tensors(model).into_iter();
    let tensors = named.filter_map(|(name, shape, kind)| Some((name, (shape, kind.floats()?)))).collect();
    let mut pen = Pen { graph: Graph::default(), tensors, dialect, pools: 0 };
    pen.graph.said = meta.to_map(spec);
    pen.graph.said.insert(super::DIALECT.into(), dialect.name.into());
    let pixels = Channels {
        scale: spec.std.iter().map(|&std| 1.0 / f64::from(std)).collect(),
        shift: spec.mean.iter().zip(&spec.std).map(|(&mean, &std)| -f64::from(mean) / f64::from(std)).collect(),
    };
    pen.graph.nodes.insert("input".into(), Node::Input(spec.input.to_vec()));
    let begin = Signal {
        sources: vec!["input".into()],
        extents: spec.input,
        form: Form::Image,
        held: None,
        map: pixels,
        called: "normalise".into(),
    };
    let mut end = pen.along(model.layers(), begin)?;
    pen.settle(&mut end)?;
    pen.add("output", Node::Output(end.shape()), &mut end)?;
    Ok(pen.graph)
}

/// Whether a signal still has pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `[C,H,W]`.
    Image,
    /// `[C·H·W]`.
    Flat,
}

/// A signal on its way: `map` of `held` of the sum of its sources.
#[derive(Clone)]
struct Signal {
    sources: Vec<String>,
    /// Channels, height, width; of a flat one features, 1, 1.
    extents: [usize; 3],
    form: Form,
    held: Option<Held>,
    map: Channels,
    /// The name of `map`, should it become a node.
    called: String,
}

impl Signal {
    fn shape(&self) -> Vec<usize> {
        if self.form == Form::Image { self.extents.to_vec() } else { vec![self.extents[0]] }
    }
}

/// A product that is not written yet.
#[derive(Clone)]
struct Held {
    name: String,
    shape: Vec<usize>,
    rows: Rows,
    stride: usize,
    pad: usize,
    /// Height and width of its input.
    input: [usize; 2],
}

struct Pen {
    graph: Graph,
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    dialect: &'static Dialect,
    pools: usize,
}

/// A node's name: that of the layer in the state dict, in letters that every importer takes.
fn node_name(name: &str) -> String {
    name.trim_end_matches(".weight").replace('.', "_")
}

impl Pen {
    /// Enter a node behind `signal`, which it takes the place of.
    fn add(&mut self, name: &str, node: Node, signal: &mut Signal) -> Result<()> {
        ensure!(self.graph.nodes.insert(name.into(), node).is_none(), "nir: two layers would be called {name}");
        self.graph.edges.extend(signal.sources.drain(..).map(|source| (source, name.to_string())));
        signal.sources = vec![name.into()];
        Ok(())
    }

    fn along(&mut self, layers: &[Layer], mut signal: Signal) -> Result<Signal> {
        for layer in layers {
            let [channels, height, width] = signal.extents;
            match layer {
                Layer::Product(product) => self.product(product, &mut signal)?,
                Layer::Neuron(neuron) => self.neuron(neuron, &mut signal)?,
                Layer::Norm(norm) => self.norm(norm, &mut signal),
                Layer::Block(block) => signal = self.block(block, signal)?,
                Layer::AveragePool => {
                    self.pools += 1;
                    self.pool(&format!("pool_{}", self.pools), [2, 2], &mut signal)?;
                    signal.extents = [channels, height / 2, width / 2];
                }
                Layer::GlobalPool => {
                    self.pool("global_pool", [height, width], &mut signal)?;
                    signal.extents = [channels, 1, 1];
                }
                Layer::Flatten => {
                    self.finish(&mut signal)?;
                    self.add("flatten", Node::Flatten { input: signal.extents.to_vec() }, &mut signal)?;
                    signal.map = signal.map.flattened(height * width);
                    (signal.extents, signal.form) = ([channels * height * width, 1, 1], Form::Flat);
                }
                Layer::Dropout(_) => {} // of training alone
            }
        }
        Ok(signal)
    }

    fn product(&mut self, product: &Product, signal: &mut Signal) -> Result<()> {
        self.finish(signal)?;
        if product.pad > 0 && signal.map.shifts() {
            self.settle(signal)?;
        }
        let [_, height, width] = signal.extents;
        let (shape, weight) = self.tensor(&product.weight.name)?.clone();
        let bias = product.bias.as_ref().map(|bias| self.tensor(&bias.name)).transpose()?;
        let mut rows = Rows::new(&shape, &weight, bias.map(|(_, values)| values.as_slice()));
        rows.behind(&signal.map);
        let out = |side: usize, kernel: usize| (side + 2 * product.pad - kernel) / product.stride + 1;
        signal.extents = match (product.weight.role, signal.form) {
            (Role::Matrix, Form::Flat) => [shape[0], 1, 1],
            (Role::Kernel, Form::Image) => [shape[0], out(height, shape[2]), out(width, shape[3])],
            _ => return Err(fail!("{}: the signal has another form than the product wants", product.weight.name)),
        };
        signal.map = Channels::same(shape[0]);
        let (stride, pad) = (product.stride, product.pad);
        signal.held = Some(Held { name: node_name(&product.weight.name), shape, rows, stride, pad, input: [height, width] });
        Ok(())
    }

    fn tensor(&self, name: &str) -> Result<&(Vec<usize>, Vec<f32>)> {
        self.tensors.get(name).ok_or_else(|| fail!("nir: the network has no tensor {name}"))
    }

    fn norm(&self, norm: &Norm, signal: &mut Signal) {
        let all = [norm.weight.value(), norm.bias.value(), &norm.running.mean, &norm.running.variance];
        let [weight, bias, mean, variance] = all.map(|tensor| tensor.to_vec().into_iter().map(f64::from).collect::<Vec<f64>>());
        let scale: Vec<f64> = weight.iter().zip(&variance).map(|(weight, variance)| weight / (variance + EPSILON).sqrt()).collect();
        let shift = (0..scale.len()).map(|channel| bias[channel] - mean[channel] * scale[channel]).collect();
        signal.map.then(&Channels { scale, shift });
        signal.called = node_name(&norm.weight.name);
    }

    fn neuron(&mut self, neuron: &Neuron, signal: &mut Signal) -> Result<()> {
        neuron.norm.iter().for_each(|norm| self.norm(norm, signal));
        self.settle(signal)?;
        let v_th = self.tensor(&neuron.v_th.name)?.1[0];
        let cells = self.dialect.cells(signal.shape(), neuron.leak, v_th);
        // A norm's neuron may bear its norm's name.
        self.add(&format!("{}_spikes", node_name(neuron.name())), Node::Cells(cells), signal)
    }

    /// Both ways end in nodes of their own or where the block began, and all of them lead to what follows.
    fn block(&mut self, block: &Block, mut signal: Signal) -> Result<Signal> {
        self.settle(&mut signal)?;
        let behind = self.along(&block.stem, signal.clone())?;
        let start = if block.origin == Origin::Input { signal } else { behind.clone() };
        let mut along = self.along(&block.branch, behind)?;
        let mut across = self.along(&block.shortcut, start)?;
        let pair = &self.tensor(&block.comb.name)?.1;
        let (across_by, along_by) = (f64::from(pair[0]), f64::from(pair[1]));
        along.map.times(along_by);
        across.map.times(across_by);
        across.called = node_name(&block.comb.name);
        self.settle(&mut along)?;
        self.settle(&mut across)?;
        along.sources.append(&mut across.sources);
        Ok(along)
    }

    fn pool(&mut self, name: &str, kernel: [usize; 2], signal: &mut Signal) -> Result<()> {
        self.finish(signal)?;
        let pool = self.dialect.pool;
        if pool == Pool::Sum {
            signal.map.scale.iter_mut().for_each(|scale| *scale /= (kernel[0] * kernel[1]) as f64);
        }
        self.add(name, Node::Pool { pool, kernel, stride: kernel }, signal)
    }

    /// Write the product that is held, with the map in its rows.
    fn finish(&mut self, signal: &mut Signal) -> Result<()> {
        let Some(Held { name, shape, mut rows, stride, pad, input }) = signal.held.take() else { return Ok(()) };
        rows.before(&signal.map);
        signal.map = Channels::same(shape[0]);
        let (values, bias) = rows.rounded();
        let matrix = shape.len() == 2;
        let weight = Numbers { shape, values };
        let node = if matrix {
            let unbiased = self.dialect.unbiased == Unbiased::Linear && bias.iter().all(|&bias| bias == 0.0);
            Node::Linear { weight, bias: (!unbiased).then_some(bias) }
        } else {
            Node::Conv { weight, bias, stride: [stride; 2], pad: [pad; 2], input: Some(input) }
        };
        self.add(&name, node, signal)
    }

    /// [`Pen::finish`], and the map as a node of its own where there is no product.
    fn settle(&mut self, signal: &mut Signal) -> Result<()> {
        self.finish(signal)?;
        if signal.map.is_same() {
            return Ok(());
        }
        let [channels, height, width] = signal.extents;
        let map = std::mem::replace(&mut signal.map, Channels::same(channels));
        let node = if self.dialect.factor == Factor::Scale && !map.shifts() {
            let values = map.flattened(height * width).scale.into_iter().map(|scale| scale as f32).collect();
            Node::Scale(Numbers { shape: signal.shape(), values })
        } else {
            map.diagonal((signal.form == Form::Image).then_some([height, width]))
        };
        let name = signal.called.clone();
        self.add(&name, node, signal)
    }
}
