//! What the instructions must do, from the tables of the PTX ISA ("Matrix Fragments for mma.m16n8k16", "ldmatrix",
//! "shfl.sync") and IEEE 754, written without a look at the emulator.

/// Lanes of a warp.
pub const LANES: usize = 32;

/// The element (row, column) of the 16x16 A that register `r`, half `h` of `lane` holds.
pub fn place_a(lane: usize, r: usize, h: usize) -> (usize, usize) {
    let i = 2 * r + h; // a0 … a7
    let row = if [0, 1, 4, 5].contains(&i) { lane / 4 } else { lane / 4 + 8 };
    (row, lane % 4 * 2 + (i & 1) + if i >= 4 { 8 } else { 0 })
}

/// The element (row, column) of the 16x8 B that register `r`, half `h` of `lane` holds.
pub fn place_b(lane: usize, r: usize, h: usize) -> (usize, usize) {
    let i = 2 * r + h; // b0 … b3
    (lane % 4 * 2 + (i & 1) + if i >= 2 { 8 } else { 0 }, lane / 4)
}

/// The element (row, column) of the 16x8 C that number `i` of `lane` is.
pub fn place_c(lane: usize, i: usize) -> (usize, usize) {
    (if i < 2 { lane / 4 } else { lane / 4 + 8 }, lane % 4 * 2 + (i & 1))
}

/// A product of one instruction: d and the largest number that is met on the way to each of its elements.
pub struct Product {
    /// [lane, 4].
    pub d: Vec<f64>,
    /// [lane, 4].
    pub largest: Vec<f64>,
}

/// d = c + a·b of registers a [lane, 4], b [lane, 2] (pairs of bf16) and c [lane, 4].
pub fn mma(a: &[u32], b: &[u32], c: &[f32]) -> Product {
    let half = |word: u32, h: usize| f64::from(f32::from_bits((word >> (16 * h)) << 16));
    let (mut left, mut right) = ([[0.0; 16]; 16], [[0.0; 8]; 16]);
    for (lane, h) in (0..LANES).flat_map(|lane| [(lane, 0), (lane, 1)]) {
        for r in 0..4 {
            let (row, column) = place_a(lane, r, h);
            left[row][column] = half(a[lane * 4 + r], h);
        }
        for r in 0..2 {
            let (row, column) = place_b(lane, r, h);
            right[row][column] = half(b[lane * 2 + r], h);
        }
    }
    let mut product = Product { d: Vec::new(), largest: Vec::new() };
    for (lane, i) in (0..LANES).flat_map(|lane| (0..4).map(move |i| (lane, i))) {
        let (row, column) = place_c(lane, i);
        let (mut sum, mut largest) = (f64::from(c[lane * 4 + i]), f64::from(c[lane * 4 + i]).abs());
        for k in 0..16 {
            let term = left[row][k] * right[k][column];
            sum += term;
            largest = largest.max(term.abs()).max(sum.abs());
        }
        product.d.push(sum);
        product.largest.push(largest);
    }
    product
}

/// ldmatrix.x4 of rows of four words: lane l receives in register i the numbers 2·(l%4) and 2·(l%4)+1 of row l/4 of matrix
/// i, whose row r lies at `rows[8i + r]`; transposed, of column l/4.
pub fn ldmatrix(tile: &[u32], rows: &[u32], transposed: bool) -> Vec<u32> {
    let number = |matrix: usize, row: usize, column: usize| {
        let word = tile[rows[matrix * 8 + row] as usize * 4 + column / 2];
        word >> (16 * (column % 2)) & 0xffff
    };
    let mut out = Vec::new();
    for (lane, i) in (0..LANES).flat_map(|lane| (0..4).map(move |i| (lane, i))) {
        let (line, at) = (lane / 4, lane % 4 * 2);
        let [low, high] = [at, at + 1].map(|at| if transposed { number(i, at, line) } else { number(i, line, at) });
        out.push(low | high << 16);
    }
    out
}

/// The lane that a shuffle of `width` lanes reads, by its kind: index, xor, up, down.
pub fn shuffled(kind: Shuffle, lane: usize, by: usize, width: usize) -> usize {
    let first = lane / width * width;
    let wanted = match kind {
        Shuffle::Index => first + by % width,
        Shuffle::Xor => lane ^ by,
        Shuffle::Up if lane < first + by => lane,
        Shuffle::Up => lane - by,
        Shuffle::Down => lane + by,
    };
    if wanted < first + width { wanted } else { lane }
}

/// The kinds of shuffles.
#[derive(Debug, Clone, Copy)]
pub enum Shuffle {
    Index,
    Xor,
    Up,
    Down,
}

/// A butterfly over `values` (a power of two): what every lane has in the end.
pub fn butterfly<T: Copy>(values: &[T], add: impl Fn(T, T) -> T) -> Vec<T> {
    let (mut values, mut far) = (values.to_vec(), values.len() / 2);
    while far > 0 {
        values = (0..values.len()).map(|lane| add(values[lane], values[lane ^ far])).collect();
        far /= 2;
    }
    values
}

/// The bf16 nearest to x, ties to the even one: of the two neighbours in f64, the nearer. NaN has no one answer.
pub fn bf16(x: f32) -> u32 {
    let below = x.to_bits() >> 16; // towards 0
    if x.is_infinite() {
        return below;
    }
    let above = below + 1;
    // Beyond the largest bf16 stands what would follow it, were there no infinity.
    let number = |bits: u32| match f32::from_bits(bits << 16) {
        v if v.is_infinite() => f64::from(v.signum()) * 2f64.powi(128),
        v => f64::from(v),
    };
    let (down, up) = ((f64::from(x) - number(below)).abs(), (number(above) - f64::from(x)).abs());
    let even = if below.is_multiple_of(2) { below } else { above };
    if down < up {
        below
    } else if up < down {
        above
    } else {
        even
    }
}
