//! Shapes: up to five extents, outermost first.

/// The extents of a contiguous tensor, outermost first; at most five.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    extents: [usize; 5],
    rank: usize,
}

impl Shape {
    /// A shape with these extents. Panics (a bug) above rank 5.
    pub fn new(extents: &[usize]) -> Self {
        let mut array = [1; 5];
        array[..extents.len()].copy_from_slice(extents);
        Shape { extents: array, rank: extents.len() }
    }

    /// The extents, outermost first.
    pub fn extents(&self) -> &[usize] {
        &self.extents[..self.rank]
    }

    /// The number of elements (1 for a scalar).
    pub fn count(&self) -> usize {
        self.extents().iter().product()
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The same shape with `rows` along the first axis. Panics (a bug) for a scalar.
    #[must_use]
    pub fn with_rows(mut self, rows: usize) -> Shape {
        assert!(self.rank > 0, "a scalar has no rows");
        self.extents[0] = rows;
        self
    }
}

impl std::ops::Index<usize> for Shape {
    type Output = usize;
    fn index(&self, axis: usize) -> &usize {
        &self.extents()[axis]
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(extents: [usize; N]) -> Self {
        Shape::new(&extents)
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        if self.rank == 0 {
            return f.write_str("scalar");
        }
        for (axis, extent) in self.extents().iter().enumerate() {
            write!(f, "{}{extent}", if axis > 0 { "x" } else { "" })?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}
