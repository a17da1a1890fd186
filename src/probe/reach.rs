//! How many synapses each input of a product reaches, borders exact.

use crate::base::Shape;
use crate::nn::Product;
use crate::tensor::Data;

/// A product's synapses, without their weights.
pub struct Synapses {
    /// Height and width of the kernel.
    sides: [usize; 2],
    stride: usize,
    pad: usize,
    outputs: usize,
    /// `[kh,kw,C_in]`: of C_out weights those that are not zero.
    weighted: Vec<u64>,
}

/// Operations of a product on some images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Operations {
    /// Of every synapse at every frame.
    pub dense: u64,
    /// Where neither input nor weight is zero.
    pub effective: u64,
    /// Spikes times the weights other than zero that they meet, each of the four under a pool by itself; of numbers none.
    pub synops: u64,
}

impl Synapses {
    /// Those of `product`. Waits for the device.
    pub fn of(product: &Product) -> Synapses {
        let weight = product.weight.value();
        let shape = weight.shape();
        let mut weighted = vec![0; shape[1] * shape[2] * shape[3]];
        for of_one_output in weight.to_vec().chunks_exact(weighted.len().max(1)) {
            weighted.iter_mut().zip(of_one_output).for_each(|(count, &weight)| *count += u64::from(weight != 0.0));
        }
        Synapses { sides: [shape[1], shape[2]], stride: product.stride, pad: product.pad, outputs: shape[0], weighted }
    }

    /// The operations on the input x `[N,H,W,F,C_in]`, each of its frames once. Waits for the device.
    pub fn operations(&self, x: &Data) -> Operations {
        let shape = x.shape();
        let [rows, columns] = [0, 1].map(|axis| Lines::new(shape[1 + axis], self.sides[axis], self.stride, self.pad));
        let pairs = (rows.taps() * columns.taps()) as u64;
        let dense = (shape[0] * shape[3] * shape[4] * self.outputs) as u64 * pairs;
        let reach = self.reach(&rows, &columns, shape[4]);
        let lines = [&rows, &columns];
        let (effective, synops) = match x {
            Data::Real(x) => (sum(&x.to_vec(), shape, lines, &reach, |number| u32::from(number != 0.0)), 0),
            Data::Spikes { codes, .. } => {
                let spikes = sum(&codes.to_vec(), shape, lines, &reach, u8::count_ones);
                (spikes, spikes)
            }
            // A nibble a step.
            Data::Quarters { codes, .. } => {
                let codes = codes.to_vec();
                let filled = |word: u32| ((word | word >> 1 | word >> 2 | word >> 3) & 0x1111_1111).count_ones();
                let added = |word: u32| ((word & 0x0f0f_0f0f) + (word >> 4 & 0x0f0f_0f0f)).to_le_bytes().map(u32::from).iter().sum();
                (sum(&codes, shape, lines, &reach, filled), sum(&codes, shape, lines, &reach, added))
            }
        };
        Operations { dense, effective, synops }
    }

    /// Of each kind of row and column `[rows,columns,C_in]`: the weights other than zero that an input there meets.
    fn reach(&self, rows: &Lines, columns: &Lines, channels: usize) -> Vec<u64> {
        let mut reach = Vec::with_capacity(rows.kinds.len() * columns.kinds.len() * channels);
        for (down, across) in rows.kinds.iter().flat_map(|down| columns.kinds.iter().map(move |across| (down, across))) {
            let tap = |&row: &usize| across.iter().map(move |&column| row * self.sides[1] + column);
            let taps: Vec<usize> = down.iter().flat_map(tap).collect();
            reach.extend((0..channels).map(|c| taps.iter().map(|tap| self.weighted[tap * channels + c]).sum::<u64>()));
        }
        reach
    }
}

/// The rows (or columns) of an input by what of a kernel ever lies over them. A position of the kernel over padding is over none.
struct Lines {
    /// The kernel's rows that lie over a row of this kind, each for one row of the output.
    kinds: Vec<Vec<usize>>,
    /// The kind of each row.
    kind_of: Vec<usize>,
}

impl Lines {
    fn new(extent: usize, side: usize, stride: usize, pad: usize) -> Lines {
        let outputs = (extent + 2 * pad).saturating_sub(side) / stride + 1;
        let mut lines = Lines { kinds: Vec::new(), kind_of: Vec::with_capacity(extent) };
        for at in 0..extent {
            let meets = |tap: &usize| (at + pad).checked_sub(*tap).is_some_and(|from| from % stride == 0 && from / stride < outputs);
            let taps: Vec<usize> = (0..side).filter(meets).collect();
            let known = lines.kinds.iter().position(|kind| *kind == taps);
            lines.kind_of.push(known.unwrap_or(lines.kinds.len()));
            if known.is_none() {
                lines.kinds.push(taps);
            }
        }
        lines
    }

    /// Pairs of a row and a kernel's row over it.
    fn taps(&self) -> usize {
        self.kind_of.iter().map(|&kind| self.kinds[kind].len()).sum()
    }
}

/// Σ over the elements of x `[N,H,W,…,C]` of how often each is active, times its reach.
fn sum<A: Copy>(x: &[A], shape: Shape, [rows, columns]: [&Lines; 2], reach: &[u64], active: impl Fn(A) -> u32) -> u64 {
    let (pixels, channels) = (shape[0] * shape[1] * shape[2], shape[4]);
    if x.is_empty() || pixels == 0 {
        return 0;
    }
    let mut total = 0;
    for (pixel, elements) in x.chunks_exact(x.len() / pixels).enumerate() {
        let (row, column) = (rows.kind_of[pixel / shape[2] % shape[1]], columns.kind_of[pixel % shape[2]]);
        let reach = &reach[(row * columns.kinds.len() + column) * channels..][..channels];
        for elements in elements.chunks_exact(channels) {
            total += elements.iter().zip(reach).map(|(&element, reach)| u64::from(active(element)) * reach).sum::<u64>();
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_rows_over_padding_are_over_no_row() {
        // 5 rows, kernel 3, padding 1: the first and the last row are met twice, the others three times.
        let lines = Lines::new(5, 3, 1, 1);
        let met: Vec<usize> = lines.kind_of.iter().map(|&kind| lines.kinds[kind].len()).collect();
        assert_eq!((met, lines.taps()), (vec![2, 3, 3, 3, 2], 13));
        // Stride 2: outputs at rows 0, 2, 4; an odd row lies under two of them, an even one under one.
        let lines = Lines::new(5, 3, 2, 1);
        let taps: Vec<&[usize]> = lines.kind_of.iter().map(|&kind| lines.kinds[kind].as_slice()).collect();
        assert_eq!(taps, [&[1][..], &[0, 2], &[1], &[0, 2], &[1]]);
        // Stride 2 without padding on 4 rows: the kernel of 3 fits once, and the last row is met by nothing.
        let lines = Lines::new(4, 3, 2, 0);
        assert_eq!((lines.taps(), lines.kinds[lines.kind_of[3]].len()), (3, 0));
    }
}
