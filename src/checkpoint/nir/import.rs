//! A graph as a network of an architecture: layer by layer, each finds its node behind those of the layer before.
//!
//! What the architecture has no layer for (factors and shifts a channel) is carried along as a map: the graph's signal is
//! `map` of the network's. The next layer takes it up: a product in its columns, a norm as its own, a neuron in its threshold; or
//! the product before in its rows.

use super::channels::{Channels, Rows};
use super::dialect::Dialect;
use super::graph::{Graph, Node, Pool, extents};
use crate::base::{Result, ensure, fail};
use crate::checkpoint::layout;
use crate::nn::{Block, Layer, MIN_THRESHOLD, Model, Neuron, Norm, Origin, Product, Role};
use crate::ops::norm::EPSILON;
use std::collections::{BTreeMap, BTreeSet};

/// The numbers of a network's state dict, PyTorch's layouts, by name.
pub type Numbers = BTreeMap<String, Vec<f32>>;

/// What a graph holds of a network.
pub struct Found {
    /// Its parameters and running statistics.
    pub numbers: Numbers,
    /// Leak of the neurons.
    pub leak: Option<f64>,
    /// Factor and shift a channel between the pixels and the network's first layer.
    pub pixels: Channels,
}

/// What `graph` holds of `model`, whose own numbers do not matter. Errors: a node that does not fit the layer in its place, by name.
pub fn fit(graph: &Graph, model: &Model, dialect: &'static Dialect) -> Result<Found> {
    let input = graph.only("Input", |node| matches!(node, Node::Input(_)))?;
    let reader = Reader {
        graph,
        inputs: graph.inputs(),
        used: BTreeSet::from([input]),
        dialect,
        arch: &model.spec().arch,
        numbers: Numbers::new(),
        leak: None,
        pixels: None,
    };
    let channels = model.spec().input[0];
    let begin =
        Signal { sources: BTreeSet::from([input]), extents: model.spec().input, flat: false, map: Channels::same(channels), last: None };
    reader.whole(model, begin)
}

/// A signal on its way: the graph's, the sum of what its sources give, is `map` of the network's.
#[derive(Clone)]
struct Signal<'a> {
    sources: BTreeSet<&'a str>,
    extents: [usize; 3],
    flat: bool,
    map: Channels,
    /// The layer before, if it can still take the map up.
    last: Option<Last>,
}

/// A layer whose numbers can still be changed.
#[derive(Clone)]
enum Last {
    Product { node: String, weight: String, bias: Option<String>, shape: Vec<usize> },
    Norm { weight: String, bias: String },
}

struct Reader<'a> {
    graph: &'a Graph,
    inputs: BTreeMap<&'a str, BTreeSet<&'a str>>,
    used: BTreeSet<&'a str>,
    dialect: &'static Dialect,
    arch: &'a str,
    numbers: Numbers,
    leak: Option<f64>,
    pixels: Option<Channels>,
}

impl<'a> Reader<'a> {
    fn whole(mut self, model: &Model, begin: Signal<'a>) -> Result<Found> {
        let mut end = self.along(model.layers(), begin)?;
        self.absorb(&mut end);
        self.settle(&mut end)?;
        ensure!(end.map.is_same(), "what leads to the Output changes the logits, where {} ends in its linear layer", self.arch);
        self.next(&mut end, "the Output", |node| matches!(node, Node::Output(_)))?;
        let left: Vec<String> = self.graph.nodes.keys().filter(|name| !self.used.contains(name.as_str())).cloned().collect();
        ensure!(left.is_empty(), "{} has no layer for node {}", self.arch, layout::list(&left));
        let pixels = self.pixels.unwrap_or_else(|| Channels::same(model.spec().input[0]));
        Ok(Found { numbers: self.numbers, leak: self.leak, pixels })
    }

    /// The nodes whose inputs are the signal's sources.
    fn behind(&self, signal: &Signal<'a>) -> Vec<(&'a str, &'a Node)> {
        let fed = self.inputs.iter().filter(|(name, inputs)| **inputs == signal.sources && !self.used.contains(*name));
        fed.map(|(name, _)| (*name, &self.graph.nodes[*name])).collect()
    }

    /// Whether node `name` ends in a sum of several edges, with nothing but maps between.
    fn ends_in_a_sum(&self, name: &str, channels: usize) -> bool {
        self.inputs.iter().filter(|(_, inputs)| inputs.contains(name)).any(|(next, inputs)| {
            inputs.len() > 1 || Channels::of(&self.graph.nodes[*next], channels).is_some() && self.ends_in_a_sum(next, channels)
        })
    }

    /// Take up the nodes behind the signal that are maps a channel.
    fn absorb(&mut self, signal: &mut Signal<'a>) {
        let channels = signal.extents[0];
        while let Some((name, map)) = self.behind(signal).into_iter().find_map(|(name, node)| Some((name, Channels::of(node, channels)?))) {
            self.pass(signal, name, &map);
        }
    }

    fn pass(&mut self, signal: &mut Signal<'a>, name: &'a str, map: &Channels) {
        signal.map.then(map);
        self.used.insert(name);
        signal.sources = BTreeSet::from([name]);
    }

    /// The node behind the signal that is `wanted`, called `what`, behind as many maps as there are.
    fn next(&mut self, signal: &mut Signal<'a>, what: &str, wanted: impl Fn(&Node) -> bool) -> Result<(&'a str, &'a Node)> {
        loop {
            let behind = self.behind(signal);
            if let Some((name, node)) = behind.iter().find(|(_, node)| wanted(node)) {
                self.used.insert(name);
                signal.sources = BTreeSet::from([*name]);
                return Ok((name, node));
            }
            let channels = signal.extents[0];
            // What ends in a sum is the shortcut of a block, not the way to the next layer.
            let map = behind.iter().find_map(|(name, node)| {
                let map = Channels::of(node, channels)?;
                (!self.ends_in_a_sum(name, channels)).then_some((*name, map))
            });
            if let Some((name, map)) = map {
                self.pass(signal, name, &map);
                continue;
            }
            let sources: Vec<String> = signal.sources.iter().map(|name| name.to_string()).collect();
            let found: Vec<String> = behind.iter().map(|(name, node)| format!("{name}, {}", node.words())).collect();
            return Err(if found.is_empty() {
                fail!("behind node {}, where {} has {what}, no node has that as its whole input", sources.join(" and "), self.arch)
            } else {
                fail!("node {}, stands where {} has {what}", found.join(" and "), self.arch)
            });
        }
    }

    fn along(&mut self, layers: &[Layer], mut signal: Signal<'a>) -> Result<Signal<'a>> {
        for layer in layers {
            match layer {
                Layer::Product(product) => self.product(product, &mut signal)?,
                Layer::Neuron(neuron) => self.neuron(neuron, &mut signal)?,
                // Maps behind it, if there are any, are taken up at the end of its way.
                Layer::Norm(norm) => self.norm(norm, &mut signal),
                Layer::Block(block) => signal = self.block(block, signal)?,
                Layer::AveragePool => {
                    let [channels, height, width] = signal.extents;
                    self.pool([2, 2], &mut signal)?;
                    signal.extents = [channels, height / 2, width / 2];
                }
                Layer::GlobalPool => {
                    let [channels, height, width] = signal.extents;
                    if [height, width] != [1, 1] || self.behind(&signal).iter().any(|(_, node)| matches!(node, Node::Pool { .. })) {
                        self.pool([height, width], &mut signal)?;
                    }
                    signal.extents = [channels, 1, 1];
                }
                Layer::Flatten => self.flatten(&mut signal)?,
                Layer::Dropout(_) => {}
            }
        }
        Ok(signal)
    }

    fn flatten(&mut self, signal: &mut Signal<'a>) -> Result<()> {
        self.settle(signal)?;
        let [channels, height, width] = signal.extents;
        let flat = self.behind(signal).iter().any(|(_, node)| matches!(node, Node::Linear { .. }));
        if !(flat && height * width == 1) {
            let (name, node) = self.next(signal, "a Flatten", |node| matches!(node, Node::Flatten { .. }))?;
            if let Node::Flatten { input } = node {
                ensure!(
                    input.is_empty() || *input == [channels, height, width],
                    "node {name} flattens {}, where {} has {channels}x{height}x{width}",
                    extents(input),
                    self.arch
                );
            }
        }
        signal.map = signal.map.flattened(height * width);
        (signal.extents, signal.flat) = ([channels * height * width, 1, 1], true);
        Ok(())
    }

    fn product(&mut self, product: &Product, signal: &mut Signal<'a>) -> Result<()> {
        let wanted = layout::torch_shape(&product.weight);
        let matrix = product.weight.role == Role::Matrix;
        let (stride, pad) = ([product.stride; 2], [product.pad; 2]);
        let kind = if matrix { "a linear layer".into() } else { format!("stride {}, padding {}", extents(&stride), extents(&pad)) };
        let what = format!("{} ({}, {kind})", product.weight.name.trim_end_matches(".weight"), extents(&wanted));
        let first = self.pixels.is_none();
        let (name, node) = self.next(signal, &what, |node| match node {
            Node::Linear { weight, .. } => matrix && weight.shape == wanted,
            Node::Conv { weight, stride: found, pad: around, .. } => {
                !matrix && weight.shape == wanted && *found == stride && *around == pad
            }
            _ => false,
        })?;
        let (weight, bias) = match node {
            Node::Conv { weight, bias, .. } => (weight, Some(bias.as_slice())),
            Node::Linear { weight, bias } => (weight, bias.as_deref()),
            _ => return Err(fail!("node {name}: {} is no product", node.words())),
        };
        if first {
            // The network subtracts means and divides by deviations itself.
            self.pixels = Some(std::mem::replace(&mut signal.map, Channels::same(signal.extents[0])));
        }
        self.settle(signal)?;
        ensure!(
            product.pad == 0 || !signal.map.shifts(),
            "node {name}: something is added to what it reads, and zeros around it are not; add it behind the convolution"
        );
        let mut rows = Rows::new(&wanted, &weight.values, bias);
        rows.behind(&signal.map);
        let shift = rows.take_bias();
        self.numbers.insert(product.weight.name.clone(), rows.rounded().0);
        let [_, height, width] = signal.extents;
        let out = |side: usize, kernel: usize| (side + 2 * product.pad - kernel) / product.stride + 1;
        signal.extents = if matrix { [wanted[0], 1, 1] } else { [wanted[0], out(height, wanted[2]), out(width, wanted[3])] };
        signal.map = Channels { scale: vec![1.0; wanted[0]], shift };
        signal.last = Some(Last::Product {
            node: name.to_string(),
            weight: product.weight.name.clone(),
            bias: product.bias.as_ref().map(|bias| bias.name.clone()),
            shape: wanted,
        });
        Ok(())
    }

    /// The norm becomes the map.
    fn norm(&mut self, norm: &Norm, signal: &mut Signal<'a>) {
        let channels = signal.extents[0];
        let map = std::mem::replace(&mut signal.map, Channels::same(channels));
        self.write_norm(&norm.weight.name, &norm.bias.name, &map);
        let stem = norm.weight.name.trim_end_matches("weight");
        self.numbers.insert(format!("{stem}running_mean"), vec![0.0; channels]);
        // Such that its deviation is 1 to the last bit.
        self.numbers.insert(format!("{stem}running_var"), vec![(1.0 - EPSILON) as f32; channels]);
        signal.last = Some(Last::Norm { weight: norm.weight.name.clone(), bias: norm.bias.name.clone() });
    }

    fn write_norm(&mut self, weight: &str, bias: &str, map: &Channels) {
        let narrow = |numbers: &[f64]| numbers.iter().map(|&number| number as f32).collect();
        self.numbers.insert(weight.into(), narrow(&map.scale));
        self.numbers.insert(bias.into(), narrow(&map.shift));
    }

    fn neuron(&mut self, neuron: &Neuron, signal: &mut Signal<'a>) -> Result<()> {
        let shape = if signal.flat { vec![signal.extents[0]] } else { signal.extents.to_vec() };
        let what = format!("{} (neurons {})", neuron.name(), extents(&shape));
        let (name, node) = self.next(signal, &what, |node| matches!(node, Node::Cells(_)))?;
        let Node::Cells(cells) = node else { return Err(fail!("node {name}: {} is no neuron", node.words())) };
        // One number stands for a whole layer.
        let one = cells.shape.iter().product::<usize>() == 1;
        ensure!(one || cells.shape == shape, "node {name}, {}, stands where {} has {what}", node.words(), self.arch);
        let dynamics = self.dialect.dynamics(cells).map_err(|error| error.within(format!("node {name}")))?;
        let leak = *self.leak.get_or_insert(dynamics.leak);
        ensure!(
            (leak - dynamics.leak).abs() <= 1e-6,
            "node {name} keeps a share of {} of its membrane a step, others {leak}; all neurons of a network leak alike in Caltrop",
            dynamics.leak
        );
        let mut v_th = dynamics.v_th / dynamics.gain;
        let channels = signal.extents[0];
        match &neuron.norm {
            Some(norm) => self.norm(norm, signal),
            None => self.settle(signal)?,
        }
        if let Some(factor) = signal.map.factor().filter(|&factor| factor > 0.0) {
            v_th /= factor;
        } else {
            return Err(fail!("node {name}: what it reads is scaled or shifted a channel, where {} has nothing that could", self.arch));
        }
        let mut threshold = v_th as f32;
        if let Some(said) = cells.said.filter(|&said| near(said, threshold)) {
            threshold = said;
        }
        ensure!(
            threshold >= MIN_THRESHOLD,
            "node {name}: a threshold of {threshold}, at least {MIN_THRESHOLD} is wanted; multiply it and the weights before it by one number"
        );
        self.numbers.insert(neuron.v_th.name.clone(), vec![threshold]);
        (signal.map, signal.last) = (Channels::same(channels), None);
        Ok(())
    }

    fn block(&mut self, block: &Block, mut signal: Signal<'a>) -> Result<Signal<'a>> {
        let name = block.comb.name.trim_end_matches(".convex.comb");
        self.settle(&mut signal)?;
        let behind = self.along(&block.stem, signal.clone())?;
        let start = if block.origin == Origin::Input { signal } else { behind.clone() };
        let along = self.along(&block.branch, behind)?;
        let across = self.along(&block.shortcut, start)?;
        let mut pair = vec![1.0; 2];
        let mut sources = BTreeSet::new();
        // The pair's order: the shortcut comes first.
        for (number, mut way) in pair.iter_mut().zip([across, along.clone()]) {
            self.absorb(&mut way);
            self.settle(&mut way)?;
            let factor = way.map.factor();
            *number = factor
                .ok_or_else(|| fail!("block {name}: a way is scaled or shifted a channel, where {} has nothing that could", self.arch))?
                as f32;
            sources.extend(way.sources);
        }
        self.numbers.insert(block.comb.name.clone(), pair);
        let channels = along.extents[0];
        Ok(Signal { sources, map: Channels::same(channels), last: None, ..along })
    }

    fn pool(&mut self, kernel: [usize; 2], signal: &mut Signal<'a>) -> Result<()> {
        self.settle(signal)?;
        let what = format!("a mean over {}", extents(&kernel));
        let fits = |node: &Node| matches!(node, Node::Pool { kernel: found, stride, .. } if *found == kernel && *stride == kernel);
        let (_, node) = self.next(signal, &what, fits)?;
        if matches!(node, Node::Pool { pool: Pool::Sum, .. }) {
            signal.map.times((kernel[0] * kernel[1]) as f64);
        }
        Ok(())
    }

    /// Let the layer before take the map up, where it can.
    fn settle(&mut self, signal: &mut Signal<'a>) -> Result<()> {
        let Some(last) = signal.last.take() else { return Ok(()) };
        let map = std::mem::replace(&mut signal.map, Channels::same(signal.extents[0]));
        match last {
            Last::Norm { weight, bias } => {
                let wide = |name: &str| self.numbers[name].iter().map(|&number| f64::from(number)).collect();
                let mut whole = Channels { scale: wide(&weight), shift: wide(&bias) };
                whole.then(&map);
                self.write_norm(&weight, &bias, &whole);
            }
            Last::Product { node, weight, bias, shape } => {
                ensure!(
                    bias.is_some() || !map.shifts(),
                    "node {node} adds a bias, where {} has neither a bias nor a norm behind {}",
                    self.arch,
                    weight.trim_end_matches(".weight")
                );
                let mut rows = Rows::new(&shape, &self.numbers[&weight], None);
                rows.before(&map);
                let (values, added) = rows.rounded();
                self.numbers.insert(weight, values);
                if let Some(bias) = bias {
                    self.numbers.insert(bias, added);
                }
            }
        }
        Ok(())
    }
}

/// Whether `said` is `found` but for rounding.
pub fn near(said: f32, found: f32) -> bool {
    (said - found).abs() <= 1e-5 * found.abs().max(f32::MIN_POSITIVE)
}
