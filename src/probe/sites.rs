//! The layers of neurons, by the names that users type.

use crate::base::{Result, usage};
use crate::nn::Model;
use serde::Serialize;

/// A layer of neurons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Its threshold's name without `.v_th`.
    pub name: String,
    /// Channels, height, width.
    pub shape: [usize; 3],
}

/// One neuron of a layer, written `x,y,c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// Column.
    pub x: usize,
    /// Row.
    pub y: usize,
    /// Channel.
    pub c: usize,
}

/// All layers of neurons of a network, in the order of computation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sites(Vec<Site>);

impl Sites {
    /// Those of `model`.
    pub fn of(model: &Model) -> Sites {
        let rows = model.geometry().rows;
        // A row's name is that of its parameter; a neuron's own row is the one behind its norm's.
        let site = |name: &str| rows.iter().rev().find(|row| row.name == name).map(|row| Site { name: name.into(), shape: row.output });
        Sites(model.neurons().filter_map(|neuron| site(neuron.name())).collect())
    }

    /// They.
    pub fn all(&self) -> &[Site] {
        &self.0
    }

    /// The index of the layer `name`. Errors (usage): there is none; it lists those that are.
    pub fn find(&self, name: &str) -> Result<usize> {
        let found = self.0.iter().position(|site| site.name == name);
        found.ok_or_else(|| usage!("--layer {name}: no such layer of neurons; there are {}", self.listed()))
    }

    /// Names and extents in a line.
    fn listed(&self) -> String {
        let one = |site: &Site| format!("{} ({})", site.name, site.extent());
        self.0.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

impl Site {
    /// The number of its neurons.
    pub fn neurons(&self) -> usize {
        self.shape.iter().product()
    }

    /// Channels, height, width in words.
    pub fn extent(&self) -> String {
        let [channels, height, width] = self.shape;
        format!("{channels}x{height}x{width}")
    }

    /// The neuron that `text` (`x,y,c`) names. Errors (usage): three numbers are wanted, or one is out of range.
    pub fn place(&self, text: &str) -> Result<Place> {
        let [channels, height, width] = self.shape;
        let numbers: Vec<Option<usize>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
        let ranges = || format!("x from 0 to {}, y from 0 to {}, c from 0 to {}", width - 1, height - 1, channels - 1);
        match numbers[..] {
            [Some(x), Some(y), Some(c)] if x < width && y < height && c < channels => Ok(Place { x, y, c }),
            [Some(_), Some(_), Some(_)] => Err(usage!("--neuron {text}: {} has {} neurons: {}", self.name, self.extent(), ranges())),
            _ => Err(usage!("--neuron {text}: x,y,c is wanted, in {} {}", self.name, ranges())),
        }
    }

    /// The index of a neuron in `[H,W,C]`.
    pub fn index(&self, place: Place) -> usize {
        let [channels, _, width] = self.shape;
        (place.y * width + place.x) * channels + place.c
    }

    /// The neuron at an index in `[H,W,C]`.
    pub fn at(&self, index: usize) -> Place {
        let [channels, _, width] = self.shape;
        Place { x: index / channels % width, y: index / channels / width, c: index % channels }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{},{},{}", self.x, self.y, self.c)
    }
}
