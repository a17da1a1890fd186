//! The receptive field of a product's output: which inputs it reads, with which weights, and what they bring.

use super::Place;
use super::source::Source;
use crate::base::{Result, ensure};
use crate::device::Precision;
use crate::nn::Product;
use crate::ops::pool;
use crate::tensor::Data;
use serde::Serialize;
use std::collections::BTreeMap;

/// Where a product's output looks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Field {
    /// Channels, height, width of the input (of a linear layer: before it was flattened).
    pub input: [usize; 3],
    /// Column and row of the field's first position; below 0 it lies in the padding.
    pub corner: [i64; 2],
    /// Positions of the field, downwards.
    pub rows: usize,
    /// Positions of the field, across.
    pub columns: usize,
    /// Inputs within the image: positions times channels.
    pub inputs: usize,
    /// What they are.
    pub form: Form,
    /// The product's bias (0: it has none).
    pub bias: f32,
}

/// What a product reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// 0 or 1.
    Spikes,
    /// Means of four spikes: 0, 1/4, 1/2, 3/4 or 1.
    Quarters,
    /// Any numbers.
    Numbers,
}

/// What a field brings at one step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fired {
    /// Inputs that are not 0.
    pub fired: usize,
    /// Σ weight·value over them, in f64.
    pub sum: f64,
    /// What each brings, the strongest first.
    pub contributions: Vec<Contribution>,
    /// `[rows][columns]`: channels that are not 0 (None: outside of the image).
    pub counts: Vec<Vec<Option<usize>>>,
    /// `[rows][columns]`: Σ weight·value over channels.
    pub brings: Vec<Vec<Option<f64>>>,
}

/// What one input brings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Contribution {
    /// The input.
    pub input: Place,
    /// What it is at this step.
    pub value: f32,
    /// Its weight.
    pub weight: f32,
    /// weight·value.
    pub product: f64,
    /// The same behind all norms and factors: what it adds to the current x_t.
    pub adds: f64,
}

/// An input that differs between two images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// The input.
    pub input: Place,
    /// Before and after.
    pub values: [f32; 2],
    /// Its weight.
    pub weight: f32,
    /// By how much it changes the current x_t.
    pub adds: f64,
}

impl Fired {
    /// The inputs that differ in `other`, the strongest change first.
    pub fn changes(&self, other: &Fired) -> Vec<Change> {
        let mut inputs: BTreeMap<Place, Change> = BTreeMap::new();
        for (side, fired) in [self, other].into_iter().enumerate() {
            for &Contribution { input, value, weight, adds, .. } in &fired.contributions {
                let change = inputs.entry(input).or_insert(Change { input, values: [0.0; 2], weight, adds: 0.0 });
                change.values[side] = value;
                change.adds += if side == 0 { -adds } else { adds };
            }
        }
        let mut changes: Vec<Change> = inputs.into_values().filter(|change| change.values[0] != change.values[1]).collect();
        changes.sort_by(|a, b| b.adds.abs().total_cmp(&a.adds.abs()));
        changes
    }
}

/// One input within the image.
struct Tap {
    input: Place,
    /// Row and column in the field.
    cell: [usize; 2],
    /// Its index in the numbers `[H,W,F,C]` at F = 0.
    at: usize,
    weight: f32,
}

/// A field, and the numbers that it reads.
pub(super) struct Reach {
    pub field: Field,
    taps: Vec<Tap>,
    numbers: Vec<f32>,
    /// Stored frames, and the stride between them.
    frames: (usize, usize),
    precision: Precision,
}

impl Reach {
    /// The field of the output of `product` at `place`; x is its input `[1,H,W,F,C]`, which comes from `of`.
    pub fn of(product: &Product, x: &Data, of: &Source, place: Place) -> Reach {
        let shape = x.shape();
        let [height, width, frames, channels] = [1, 2, 3, 4].map(|axis| shape[axis]);
        let kernel = product.weight.value().shape();
        let weights = product.weight.value().slice(place.c..place.c + 1).to_vec();
        let bias = product.bias.as_ref().map_or(0.0, |bias| bias.value().to_vec()[place.c]);
        let form = match x {
            Data::Spikes { .. } => Form::Spikes,
            Data::Quarters { .. } => Form::Quarters,
            Data::Real(_) => Form::Numbers,
        };
        let (mut taps, input, corner, [rows, columns]);
        if let Source::Flat { shape, .. } = of {
            // Feature (h·W + w)·C + c of a linear layer (ops::flatten).
            let [h, w, c] = [1, 2, 4].map(|axis| shape[axis]);
            let tap = |(at, &weight): (usize, &f32)| {
                let place = Place { x: at / c % w, y: at / c / w, c: at % c };
                Tap { input: place, cell: [place.y, place.x], at, weight }
            };
            taps = weights.iter().enumerate().map(tap).collect();
            (input, corner, [rows, columns]) = ([c, h, w], [0, 0], [h, w]);
        } else {
            let first = |at: usize| (at * product.stride) as i64 - product.pad as i64;
            (input, corner, [rows, columns]) = ([channels, height, width], [first(place.x), first(place.y)], [kernel[1], kernel[2]]);
            taps = Vec::new();
            for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
                let (x, y) = (corner[0] + column as i64, corner[1] + row as i64);
                if !(0..width as i64).contains(&x) || !(0..height as i64).contains(&y) {
                    continue;
                }
                let (x, y) = (x as usize, y as usize);
                taps.extend((0..channels).map(|c| Tap {
                    input: Place { x, y, c },
                    cell: [row, column],
                    at: (y * width + x) * frames * channels + c,
                    weight: weights[(row * columns + column) * channels + c],
                }));
            }
        }
        let field = Field { input, corner, rows, columns, inputs: taps.len(), form, bias };
        let precision = x.device().precision();
        Reach { field, taps, numbers: pool::numbers(x).to_vec(), frames: (frames, channels), precision }
    }

    /// What it brings at step t (from 0), `gain` times as much to the current; the network's own sum with the bias was `kept`.
    ///
    /// Errors: the two differ by more than rounding.
    pub fn fired(&self, t: usize, gain: f64, kept: f32, within: &str) -> Result<Fired> {
        let (frames, stride) = self.frames;
        let frame = if frames == 1 { 0 } else { t * stride };
        let Field { rows, columns, .. } = self.field;
        let (mut counts, mut brings) = (vec![vec![None; columns]; rows], vec![vec![None; columns]; rows]);
        let (mut sum, mut size, mut contributions) = (0.0, 0.0, Vec::new());
        for tap in &self.taps {
            let value = self.numbers[tap.at + frame];
            let product = f64::from(tap.weight) * f64::from(value);
            let [row, column] = tap.cell;
            *counts[row][column].get_or_insert(0) += usize::from(value != 0.0);
            *brings[row][column].get_or_insert(0.0) += product;
            if value != 0.0 {
                contributions.push(Contribution { input: tap.input, value, weight: tap.weight, product, adds: product * gain });
                sum += product;
                size += product.abs();
            }
        }
        contributions.sort_by(|a, b| b.product.abs().total_cmp(&a.product.abs()));
        let bias = f64::from(self.field.bias);
        let off = (sum + bias - f64::from(kept)).abs();
        // A sum of so many terms in f32, in any order; operands in bf16 have 8 bits.
        let rounding = (self.taps.len() + 8) as f64 * 2f64.powi(-24) * (size + bias.abs());
        let operands = if self.precision == Precision::Bf16 { 2f64.powi(-7) * size } else { 0.0 };
        ensure!(
            off <= rounding + operands,
            "{within}: step {}: its inputs add up to {}, the network computed {kept}; the device computes wrong (caltrop selftest tells)",
            t + 1,
            sum + bias
        );
        Ok(Fired { fired: contributions.len(), sum, contributions, counts, brings })
    }
}
