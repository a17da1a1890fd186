//! What can be folded into a product: a factor and a shift a channel, in f64. Layouts are channels first.

use super::graph::{Node, Numbers};

/// x ↦ scale·x + shift, a channel each.
#[derive(Debug, Clone, PartialEq)]
pub struct Channels {
    /// Factors.
    pub scale: Vec<f64>,
    /// What is added.
    pub shift: Vec<f64>,
}

impl Channels {
    /// What changes nothing in `count` channels.
    pub fn same(count: usize) -> Channels {
        Channels { scale: vec![1.0; count], shift: vec![0.0; count] }
    }

    /// Whether nothing changes.
    pub fn is_same(&self) -> bool {
        self.factor() == Some(1.0)
    }

    /// Whether anything is added.
    pub fn shifts(&self) -> bool {
        self.shift.iter().any(|&shift| shift != 0.0)
    }

    /// The factor of all channels, where they share one and nothing is added.
    pub fn factor(&self) -> Option<f64> {
        let first = self.scale.first().copied().unwrap_or(1.0);
        (!self.shifts() && self.scale.iter().all(|&scale| scale == first)).then_some(first)
    }

    /// This, and `next` behind it.
    pub fn then(&mut self, next: &Channels) {
        for ((scale, shift), (by, more)) in self.scale.iter_mut().zip(&mut self.shift).zip(next.scale.iter().zip(&next.shift)) {
            (*scale, *shift) = (*scale * by, *shift * by + more);
        }
    }

    /// This, and a factor behind it.
    pub fn times(&mut self, factor: f64) {
        self.scale.iter_mut().chain(&mut self.shift).for_each(|number| *number *= factor);
    }

    /// Of the features that a flatten makes of channels of `pixels` each.
    pub fn flattened(&self, pixels: usize) -> Channels {
        let each = |numbers: &[f64]| numbers.iter().flat_map(|&number| std::iter::repeat_n(number, pixels)).collect();
        Channels { scale: each(&self.scale), shift: each(&self.shift) }
    }

    /// A node that does this to channels (`flat`: to features), by numbers on a diagonal.
    pub fn diagonal(&self, input: Option<[usize; 2]>) -> Node {
        let count = self.scale.len();
        let values = (0..count * count).map(|at| if at / count == at % count { self.scale[at / count] as f32 } else { 0.0 }).collect();
        let bias = self.shift.iter().map(|&shift| shift as f32).collect();
        if input.is_some() {
            let weight = Numbers { shape: vec![count, count, 1, 1], values };
            Node::Conv { weight, bias, stride: [1, 1], pad: [0, 0], input }
        } else {
            Node::Linear { weight: Numbers { shape: vec![count, count], values }, bias: Some(bias) }
        }
    }

    /// What `node` does to each of `count` channels, where it is a diagonal convolution or a scale that is the same for all
    /// pixels.
    pub fn of(node: &Node, count: usize) -> Option<Channels> {
        match node {
            Node::Conv { weight, bias, stride: [1, 1], pad: [0, 0], .. } if weight.shape == [count, count, 1, 1] => {
                let beside = weight.values.iter().enumerate().any(|(at, &value)| value != 0.0 && at / count != at % count);
                let scale = (0..count).map(|channel| f64::from(weight.values[channel * count + channel])).collect();
                (!beside).then(|| Channels { scale, shift: bias.iter().map(|&bias| f64::from(bias)).collect() })
            }
            Node::Scale(Numbers { shape, values }) if shape.first().is_none_or(|&first| first == count) && values.len() % count == 0 => {
                let pixels = values.len() / count;
                let alike = values.chunks_exact(pixels).all(|channel| channel.iter().all(|&value| value == channel[0]));
                let scale = values.chunks_exact(pixels).map(|channel| f64::from(channel[0])).collect();
                alike.then(|| Channels { scale, shift: vec![0.0; count] })
            }
            _ => None,
        }
    }
}

/// The numbers of a product, `[outputs, inputs, taps]` and `[outputs]`.
#[derive(Debug, Clone)]
pub struct Rows {
    weight: Vec<f64>,
    bias: Vec<f64>,
    inputs: usize,
    taps: usize,
}

impl Rows {
    /// A weight `[outputs, inputs, ...]`, and a bias where there is one.
    pub fn new(shape: &[usize], weight: &[f32], bias: Option<&[f32]>) -> Rows {
        let wide = |numbers: &[f32]| numbers.iter().map(|&number| f64::from(number)).collect();
        let bias = bias.map_or_else(|| vec![0.0; shape[0]], wide);
        Rows { weight: wide(weight), bias, inputs: shape[1], taps: shape[2..].iter().product() }
    }

    /// The product of what `map` makes of its input. Where `map` adds something, exact without zeros around the input alone.
    pub fn behind(&mut self, map: &Channels) {
        for (row, bias) in self.weight.chunks_exact_mut(self.inputs * self.taps).zip(&mut self.bias) {
            for ((taps, scale), shift) in row.chunks_exact_mut(self.taps).zip(&map.scale).zip(&map.shift) {
                *bias += taps.iter().sum::<f64>() * shift;
                taps.iter_mut().for_each(|weight| *weight *= scale);
            }
        }
    }

    /// What `map` makes of the product.
    pub fn before(&mut self, map: &Channels) {
        let rows = self.weight.chunks_exact_mut(self.inputs * self.taps).zip(&mut self.bias);
        for ((row, bias), (scale, shift)) in rows.zip(map.scale.iter().zip(&map.shift)) {
            row.iter_mut().for_each(|weight| *weight *= scale);
            *bias = *bias * scale + shift;
        }
    }

    /// What it adds to each of its outputs, taken out of it.
    pub fn take_bias(&mut self) -> Vec<f64> {
        let none = vec![0.0; self.bias.len()];
        std::mem::replace(&mut self.bias, none)
    }

    /// Weight and bias.
    pub fn rounded(&self) -> (Vec<f32>, Vec<f32>) {
        let narrow = |numbers: &[f64]| numbers.iter().map(|&number| number as f32).collect();
        (narrow(&self.weight), narrow(&self.bias))
    }
}
