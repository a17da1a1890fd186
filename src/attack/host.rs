//! Images on the host, for the attacks that decide image by image (docs/adr/0012).

use crate::base::{Result, ensure};
use crate::tensor::{Array, Tensor};

/// Rows of equal length, one an image (or an image's logits).
pub struct Rows {
    all: Vec<f32>,
    size: usize,
}

impl Rows {
    /// A copy of `tensor` `[N,…]`.
    pub fn of(tensor: &Tensor) -> Rows {
        let (shape, all) = (tensor.shape(), tensor.to_vec());
        Rows { size: all.len() / shape[0].max(1), all }
    }

    /// The rows `places` of these.
    pub fn gather(&self, places: &[usize]) -> Rows {
        Rows { all: places.iter().flat_map(|&place| &self[place]).copied().collect(), size: self.size }
    }

    /// Keep the rows for whose index `keep` holds, in their order.
    pub fn retain(&mut self, keep: impl Fn(usize) -> bool) {
        let mut to = 0;
        for from in (0..self.len()).filter(|&row| keep(row)) {
            self.all.copy_within(from * self.size..(from + 1) * self.size, to * self.size);
            to += 1;
        }
        self.all.truncate(to * self.size);
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.all.len() / self.size.max(1)
    }

    /// The rows as images of the shape of those in `like`.
    pub fn to_tensor(&self, like: &Tensor) -> Tensor {
        Tensor::from_slice(like.device(), like.shape().with_rows(self.len()), &self.all)
    }
}

impl std::ops::Index<usize> for Rows {
    type Output = [f32];
    fn index(&self, row: usize) -> &[f32] {
        &self.all[row * self.size..(row + 1) * self.size]
    }
}

impl std::ops::IndexMut<usize> for Rows {
    fn index_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.all[row * self.size..(row + 1) * self.size]
    }
}

/// Rows put one after the other, each `size` long.
pub fn stack(rows: Vec<Vec<f32>>, size: usize) -> Rows {
    Rows { all: rows.concat(), size }
}

/// The labels on the host. Errors: one that is no class of `classes`.
pub fn labels(labels: &Array<i32>, classes: usize) -> Result<Vec<usize>> {
    let class = |label: i32| {
        let class = usize::try_from(label).unwrap_or(usize::MAX);
        ensure!(class < classes, "attack: label {label}, and {classes} classes");
        Ok(class)
    };
    labels.to_vec().into_iter().map(class).collect()
}
