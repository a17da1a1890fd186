//! Pooling on the CPU, a row of pixels a task.

use crate::base::Shape;
use crate::device::{Cpu, Disjoint};
use crate::ops::vector::{LANES, simd};
use crate::tensor::{Array, Data, Tensor, planes};
use bytemuck::Pod;

pub fn average(cpu: &Cpu, x: &Data) -> Data {
    match x {
        Data::Real(x) => Data::Real(pool_rows(cpu, x, |[a, b, c, d]: [f32; 4]| ((a + b) + (c + d)) * 0.25)),
        Data::Spikes { codes, steps } => {
            Data::Quarters { codes: pool_rows(cpu, codes, |four: [u8; 4]| four.map(nibbles).iter().sum::<u32>()), steps: *steps }
        }
        Data::Quarters { .. } => average(cpu, &Data::Real(numbers(cpu, x))),
    }
}

/// A byte's bits, a nibble each.
#[inline(always)]
fn nibbles(code: u8) -> u32 {
    let x = u32::from(code);
    let x = (x | x << 12) & 0x000f_000f;
    let x = (x | x << 6) & 0x0303_0303;
    (x | x << 3) & 0x1111_1111
}

/// out[n,h,w,…] = pool of the four elements of x under it.
fn pool_rows<A: Pod + Default + Send + Sync, B: Pod + Default + Send>(
    cpu: &Cpu,
    x: &Array<A>,
    pool: impl Fn([A; 4]) -> B + Sync + Send,
) -> Array<B> {
    let shape = x.shape();
    let (height, width, inner) = (shape[1] / 2, shape[2] / 2, shape[3] * shape[4]);
    let mut y = Array::unspecified(x.device(), [shape[0], height, width, shape[3], shape[4]]);
    let out = Disjoint::new(y.host_mut());
    let line = shape[2] * inner;
    cpu.each(shape[0] * height, |row| {
        let (n, h) = (row / height, row % height);
        // SAFETY: each row is another part.
        let out = unsafe { out.part(row * width * inner..(row + 1) * width * inner) };
        let lines = &x.host()[(n * shape[1] + 2 * h) * line..(n * shape[1] + 2 * h + 2) * line];
        pool_line(cpu.isa(), lines, line, inner, out, &pool);
    });
    y
}

simd! {
    fn pool_line[A: Copy, B: Copy](x: &[A], line: usize, inner: usize, out: &mut [B], pool: &impl Fn([A; 4]) -> B) {
        for (w, out) in out.chunks_exact_mut(inner).enumerate() {
            let at = |dh: usize, dw: usize| &x[dh * line + (2 * w + dw) * inner..][..inner];
            let (a, b, c, d) = (at(0, 0), at(0, 1), at(1, 0), at(1, 1));
            // Whole vectors with a known length, which the compiler turns into one each; then the rest.
            let whole = inner / LANES * LANES;
            for i in (0..whole).step_by(LANES) {
                let (a, b, c, d) = (&a[i..i + LANES], &b[i..i + LANES], &c[i..i + LANES], &d[i..i + LANES]);
                for (j, out) in out[i..i + LANES].iter_mut().enumerate() {
                    *out = pool([a[j], b[j], c[j], d[j]]);
                }
            }
            for i in whole..inner {
                out[i] = pool([a[i], b[i], c[i], d[i]]);
            }
        }
    }
}

pub fn spread(cpu: &Cpu, dy: &Tensor, shape: Shape) -> Tensor {
    let inner = shape[3] * shape[4];
    let (height, width) = (shape[1] / 2, shape[2] / 2);
    by_pixel(cpu, dy, shape, |n, h, w, out| {
        if h / 2 >= height || w / 2 >= width {
            return out.fill(0.0);
        }
        let dy = &dy.host()[((n * height + h / 2) * width + w / 2) * inner..][..inner];
        out.iter_mut().zip(dy).for_each(|(dx, dy)| *dx = dy * 0.25);
    })
}

pub fn global_backward(cpu: &Cpu, dy: &Tensor, shape: Shape) -> Tensor {
    let inner = shape[3] * shape[4];
    let share = 1.0 / (shape[1] * shape[2]) as f32;
    by_pixel(cpu, dy, shape, |n, _, _, out| {
        out.iter_mut().zip(&dy.host()[n * inner..][..inner]).for_each(|(dx, dy)| *dx = dy * share);
    })
}

/// A tensor of `shape` whose pixels (n, h, w) are written by `write`.
fn by_pixel(cpu: &Cpu, like: &Tensor, shape: Shape, write: impl Fn(usize, usize, usize, &mut [f32]) + Sync + Send) -> Tensor {
    let inner = shape[3] * shape[4];
    let mut dx = Tensor::unspecified(like.device(), shape);
    let out = Disjoint::new(dx.host_mut());
    cpu.each(shape[0] * shape[1], |row| {
        // SAFETY: each row is another part.
        let out = unsafe { out.part(row * shape[2] * inner..(row + 1) * shape[2] * inner) };
        for (w, out) in out.chunks_exact_mut(inner.max(1)).enumerate() {
            write(row / shape[1], row % shape[1], w, out);
        }
    });
    dx
}

pub fn global(cpu: &Cpu, x: &Data) -> Tensor {
    let x = match x {
        Data::Real(x) => x.clone(),
        codes => numbers(cpu, codes),
    };
    let shape = x.shape();
    let (pixels, inner) = (shape[1] * shape[2], shape[3] * shape[4]);
    let share = 1.0 / pixels as f32;
    let mut y = Tensor::unspecified(x.device(), [shape[0], 1, 1, shape[3], shape[4]]);
    let out = Disjoint::new(y.host_mut());
    cpu.each(shape[0], |n| {
        // SAFETY: each image is another part.
        let out = unsafe { out.part(n * inner..(n + 1) * inner) };
        out.fill(0.0);
        for pixel in x.host()[n * pixels * inner..(n + 1) * pixels * inner].chunks_exact(inner.max(1)) {
            out.iter_mut().zip(pixel).for_each(|(sum, x)| *sum += x);
        }
        out.iter_mut().for_each(|sum| *sum *= share);
    });
    y
}

pub fn numbers(cpu: &Cpu, x: &Data) -> Tensor {
    match x {
        Data::Real(x) => x.clone(),
        Data::Spikes { codes, steps } => decode(cpu, codes, *steps, |code, t| f32::from(code >> t & 1)),
        Data::Quarters { codes, steps } => decode(cpu, codes, *steps, |code, t| (code >> (4 * t) & 15) as f32 * 0.25),
    }
}

fn decode<A: Pod + Default + Send + Sync>(
    cpu: &Cpu,
    codes: &Array<A>,
    steps: usize,
    value: impl Fn(A, usize) -> f32 + Sync + Send,
) -> Tensor {
    let shape = codes.shape();
    let (channels, stride) = (shape[4], planes(steps) * shape[4]);
    let mut x = Tensor::unspecified(codes.device(), [shape[0], shape[1], shape[2], steps, channels]);
    let out = Disjoint::new(x.host_mut());
    let pixels = shape[0] * shape[1] * shape[2];
    cpu.pieces(pixels, 64, |range| {
        // SAFETY: the pieces do not overlap.
        let out = unsafe { out.part(range.start * steps * channels..range.end * steps * channels) };
        for (pixel, out) in range.zip(out.chunks_exact_mut((steps * channels).max(1))) {
            let codes = &codes.host()[pixel * stride..][..stride];
            for (t, out) in out.chunks_exact_mut(channels).enumerate() {
                out.iter_mut().zip(&codes[t / 8 * channels..]).for_each(|(x, &code)| *x = value(code, t % 8));
            }
        }
    });
    x
}
