//! A graph as NIR has it: nodes by name, edges between them. Shapes and weights are NIR's, which are PyTorch's: channels first.

use crate::base::{Result, ensure, fail};
use std::collections::{BTreeMap, BTreeSet};

/// Numbers of a shape, channels first.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbers {
    /// Extents.
    pub shape: Vec<usize>,
    /// As many numbers as the extents multiply to.
    pub values: Vec<f32>,
}

/// What a pool does with the numbers in its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    /// Their mean: `AvgPool2d`.
    Average,
    /// Their sum: `SumPool2d`.
    Sum,
}

/// A layer of alike neurons.
#[derive(Debug, Clone, PartialEq)]
pub struct Cells {
    /// The shape of the layer.
    pub shape: Vec<usize>,
    /// What a membrane gains of a current.
    pub r: f64,
    /// Time constant and resting potential of a `LIF`; None: an `IF`, which does not leak.
    pub leaky: Option<Leaky>,
    /// The potential that must be exceeded.
    pub v_threshold: f64,
    /// The potential behind a spike.
    pub v_reset: f64,
    /// The threshold that Caltrop's neuron had, where the node says so.
    pub said: Option<f32>,
}

/// What makes a neuron leak.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leaky {
    /// Time constant, in the unit of the time step.
    pub tau: f64,
    /// Where an idle membrane ends.
    pub v_leak: f64,
}

/// A node.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// Where a signal of this shape comes in.
    Input(Vec<usize>),
    /// Where one goes out.
    Output(Vec<usize>),
    /// `Conv2d` without groups or dilation.
    Conv {
        /// `[C_out,C_in,kh,kw]`.
        weight: Numbers,
        /// `[C_out]`.
        bias: Vec<f32>,
        /// Down, right.
        stride: [usize; 2],
        /// Zeros on either side: above and below, left and right.
        pad: [usize; 2],
        /// Height and width of what comes in; a file may leave it out.
        input: Option<[usize; 2]>,
    },
    /// `Affine`, or `Linear` where there is no bias.
    Linear {
        /// `[out,in]`.
        weight: Numbers,
        /// `[out]`.
        bias: Option<Vec<f32>>,
    },
    /// `Scale`: a factor for every number of the signal.
    Scale(Numbers),
    /// `IF` or `LIF`.
    Cells(Cells),
    /// `AvgPool2d` or `SumPool2d` without padding.
    Pool {
        /// Which of both.
        pool: Pool,
        /// Height and width of the window.
        kernel: [usize; 2],
        /// Down, right.
        stride: [usize; 2],
    },
    /// `Flatten` of all dimensions into one.
    Flatten {
        /// The shape of what comes in.
        input: Vec<usize>,
    },
}

impl Node {
    /// What it is called in NIR, with its shape.
    pub fn words(&self) -> String {
        match self {
            Node::Input(shape) => format!("an Input {}", extents(shape)),
            Node::Output(shape) => format!("an Output {}", extents(shape)),
            Node::Conv { weight, stride, pad, .. } => {
                format!("a Conv2d {}, stride {}, padding {}", extents(&weight.shape), extents(stride), extents(pad))
            }
            Node::Linear { weight, bias } => {
                format!("{} {}", if bias.is_some() { "an Affine" } else { "a Linear" }, extents(&weight.shape))
            }
            Node::Scale(factors) => format!("a Scale {}", extents(&factors.shape)),
            Node::Cells(cells) => format!("{} {}", if cells.leaky.is_some() { "a LIF" } else { "an IF" }, extents(&cells.shape)),
            Node::Pool { pool, kernel, stride } => {
                let kind = if *pool == Pool::Average { "an AvgPool2d" } else { "a SumPool2d" };
                format!("{kind} {}, stride {}", extents(kernel), extents(stride))
            }
            Node::Flatten { .. } => "a Flatten".into(),
        }
    }
}

/// `3x32x32`.
pub fn extents(shape: &[usize]) -> String {
    if shape.is_empty() { "scalar".into() } else { shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x") }
}

/// A graph. Edges into one node add up.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Graph {
    /// Nodes by name.
    pub nodes: BTreeMap<String, Node>,
    /// From, to.
    pub edges: Vec<(String, String)>,
    /// What the writer said of the whole, by key.
    pub said: BTreeMap<String, String>,
}

impl Graph {
    /// The name of its one node of a kind, called `what`. Errors: none or several.
    pub fn only(&self, what: &str, wanted: impl Fn(&Node) -> bool) -> Result<&str> {
        let mut found = self.nodes.iter().filter(|(_, node)| wanted(node)).map(|(name, _)| name.as_str());
        match (found.next(), found.next()) {
            (Some(name), None) => Ok(name),
            (None, _) => Err(fail!("the graph has no {what} node, one is wanted; give it one")),
            (Some(one), Some(other)) => Err(fail!("the graph has several {what} nodes ({one}, {other}), one is wanted")),
        }
    }

    /// The nodes that feed each node.
    pub fn inputs(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut inputs: BTreeMap<&str, BTreeSet<&str>> = self.nodes.keys().map(|name| (name.as_str(), BTreeSet::new())).collect();
        for (from, to) in &self.edges {
            inputs.entry(to).or_default().insert(from);
        }
        inputs
    }

    /// Errors: an edge of a node that is not there, an edge given twice, a node without an edge, a cycle.
    pub fn check(&self) -> Result<()> {
        let mut seen = BTreeSet::new();
        for (from, to) in &self.edges {
            for name in [from, to] {
                ensure!(self.nodes.contains_key(name), "edge {from} -> {to}: there is no node {name}");
            }
            ensure!(seen.insert((from, to)), "edge {from} -> {to} is given twice, which would count its signal twice; give it once");
        }
        for (name, node) in &self.nodes {
            let (into, out) = (self.edges.iter().any(|(_, to)| to == name), self.edges.iter().any(|(from, _)| from == name));
            ensure!(into || matches!(node, Node::Input(_)), "node {name}: no edge leads to it; every node but the Input needs one");
            ensure!(out || matches!(node, Node::Output(_)), "node {name}: no edge leads away from it; every node but the Output needs one");
        }
        let mut waiting = self.inputs();
        while let Some(ready) = waiting.iter().find(|(_, inputs)| inputs.is_empty()).map(|(name, _)| *name) {
            waiting.remove(ready);
            waiting.values_mut().for_each(|inputs| {
                inputs.remove(ready);
            });
        }
        let round: Vec<String> = waiting.keys().map(|name| name.to_string()).collect();
        ensure!(
            round.is_empty(),
            "the graph goes round in a circle through {}; recurrent graphs are not read",
            super::super::layout::list(&round)
        );
        Ok(())
    }
}
