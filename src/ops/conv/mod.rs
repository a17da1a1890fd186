//! Convolution: `y[n,oh,ow,f,co] = b[co] + Σ_{kh,kw,ci} w[co,kh,kw,ci] · x[n, oh·s+kh−p, ow·s+kw−p, f, ci]`.
//!
//! Contract: every result is written (`=`), none added to. x may be numbers or spike codes; gradients are numbers.
//! A linear layer is the 1x1 convolution of a 1x1 image: `[N,1,1,F,in]` by `[out,1,1,in]`.

mod cpu;
mod gpu;
mod patches;
mod spikes;
mod strided;
mod winograd;

use crate::base::{Result, Shape, ensure};
use crate::device::Device;
use crate::ops::lif::{self, Dynamics};
use crate::ops::norm::{self, Affine, Moments};
use crate::ops::product::Weight;
use crate::ops::relu;
use crate::tensor::{Data, Tensor};
use bytemuck::{Pod, Zeroable};

/// The extents of a convolution, checked once; passed by value to kernels.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Geometry {
    /// N, images.
    pub images: u32,
    /// F, frames stored an image.
    pub frames: u32,
    /// Input height.
    pub in_height: u32,
    /// Input width.
    pub in_width: u32,
    /// C_in.
    pub in_channels: u32,
    /// Output height.
    pub out_height: u32,
    /// Output width.
    pub out_width: u32,
    /// C_out.
    pub out_channels: u32,
    /// Kernel height.
    pub kernel_height: u32,
    /// Kernel width.
    pub kernel_width: u32,
    /// Stride, both ways.
    pub stride: u32,
    /// Zero padding, all four sides.
    pub pad: u32,
}

impl Geometry {
    /// The geometry of `input` `[N,H,W,F,C_in]` by `weight` `[C_out,kh,kw,C_in]`.
    ///
    /// Errors: other ranks, channels that differ, a stride of 0, a kernel larger than the padded image.
    pub fn new(input: Shape, weight: Shape, stride: usize, pad: usize) -> Result<Geometry> {
        ensure!(input.rank() == 5, "conv: the signal wants shape NxHxWxFxC, got {input}");
        ensure!(weight.rank() == 4, "conv: the weight wants shape C_out x kh x kw x C_in, got {weight}");
        ensure!(weight[3] == input[4], "conv: weight wants {} input channels, signal has {}", weight[3], input[4]);
        ensure!(stride > 0, "conv: stride 0; use 1 or more");
        ensure!(
            pad < weight[1].max(1) && pad < weight[2].max(1),
            "conv: padding {pad} wants a kernel larger than {}x{}",
            weight[1],
            weight[2]
        );
        let (height, width) = (input[1] + 2 * pad, input[2] + 2 * pad);
        ensure!(
            weight[1] >= 1 && weight[2] >= 1 && weight[1] <= height && weight[2] <= width,
            "conv: kernel {}x{} does not fit an image of {}x{} padded by {pad}",
            weight[1],
            weight[2],
            input[1],
            input[2]
        );
        let (out_height, out_width) = ((height - weight[1]) / stride + 1, (width - weight[2]) / stride + 1);
        let rows = input[0] * input[3] * (out_height * out_width).max(input[1] * input[2]);
        ensure!(rows < 1 << 31, "conv: {rows} pixels and frames in a batch of {}, at most 2^31 - 1; lower the batch", input[0]);
        // Kernels pack a pixel's row and column into one word.
        ensure!(height < 1 << 15 && width < 1 << 15, "conv: an image of {}x{} padded by {pad}; at most 32767 a side", input[1], input[2]);
        Ok(Geometry {
            images: input[0] as u32,
            frames: input[3] as u32,
            in_height: input[1] as u32,
            in_width: input[2] as u32,
            in_channels: input[4] as u32,
            out_height: out_height as u32,
            out_width: out_width as u32,
            out_channels: weight[0] as u32,
            kernel_height: weight[1] as u32,
            kernel_width: weight[2] as u32,
            stride: stride as u32,
            pad: pad as u32,
        })
    }

    /// `[N,H,W,F,C_in]`.
    pub fn input_shape(&self) -> Shape {
        [self.images, self.in_height, self.in_width, self.frames, self.in_channels].map(|x| x as usize).into()
    }

    /// `[N,OH,OW,F,C_out]`.
    pub fn output_shape(&self) -> Shape {
        [self.images, self.out_height, self.out_width, self.frames, self.out_channels].map(|x| x as usize).into()
    }

    /// `[C_out,kh,kw,C_in]`.
    pub fn weight_shape(&self) -> Shape {
        [self.out_channels, self.kernel_height, self.kernel_width, self.in_channels].map(|x| x as usize).into()
    }

    /// kh · kw.
    pub fn taps(&self) -> usize {
        (self.kernel_height * self.kernel_width) as usize
    }

    /// kh · kw · C_in, the numbers under a patch.
    pub fn patch(&self) -> usize {
        self.taps() * self.in_channels as usize
    }

    /// The 1x1 convolution of the output.
    fn pointwise(&self) -> Geometry {
        Geometry { kernel_height: 1, kernel_width: 1, stride: 1, pad: 0, ..*self }
    }

    fn extents(&self) -> Extents {
        Extents {
            images: self.images as usize,
            frames: self.frames as usize,
            in_height: self.in_height as usize,
            in_width: self.in_width as usize,
            in_channels: self.in_channels as usize,
            out_height: self.out_height as usize,
            out_width: self.out_width as usize,
            out_channels: self.out_channels as usize,
            kernel_height: self.kernel_height as usize,
            kernel_width: self.kernel_width as usize,
            stride: self.stride as usize,
            pad: self.pad as usize,
        }
    }

    /// Multiply-accumulates of one direction, borders counted as inside.
    pub fn macs(&self) -> u64 {
        self.output_shape().count() as u64 * u64::from(self.kernel_height * self.kernel_width * self.in_channels)
    }
}

/// [`Geometry`] in the type of indices.
struct Extents {
    images: usize,
    frames: usize,
    in_height: usize,
    in_width: usize,
    in_channels: usize,
    out_height: usize,
    out_width: usize,
    out_channels: usize,
    kernel_height: usize,
    kernel_width: usize,
    stride: usize,
    pad: usize,
}

/// y = conv(x, w) + bias. Errors: those of [`Geometry::new`], a bias of another length.
pub fn forward(x: &Data, weight: &Weight, bias: Option<&Tensor>, stride: usize, pad: usize) -> Result<Tensor> {
    let geometry = checked(x, weight, bias, stride, pad)?;
    match x.device() {
        Device::Gpu(gpu) => Ok(gpu::forward(gpu, &geometry, x, weight, bias)),
        Device::Cpu(cpu) => Ok(cpu::forward(cpu, &geometry, x, weight, bias)),
    }
}

/// y and its moments over everything but channels (a GPU sums them while y is on the chip). Errors: as [`forward`], and
/// those of [`norm::moments`].
pub fn forward_moments(x: &Data, weight: &Weight, bias: Option<&Tensor>, stride: usize, pad: usize) -> Result<(Tensor, Moments)> {
    let geometry = checked(x, weight, bias, stride, pad)?;
    match x.device() {
        Device::Gpu(gpu) if geometry.output_shape().count() > 0 => Ok(gpu::forward_moments(gpu, &geometry, x, weight, bias)),
        _ => {
            let y = forward(x, weight, bias, stride, pad)?;
            let moments = norm::moments(&y)?;
            Ok((y, moments))
        }
    }
}

/// The neuron behind a product.
#[derive(Clone, Copy)]
pub struct Firing<'a> {
    /// The normalisation.
    pub affine: Option<&'a Affine>,
    /// The threshold, `[]`.
    pub v_th: &'a Tensor,
    /// The dynamics.
    pub dynamics: Dynamics,
}

/// Whether the current y of a fused product and neuron is wanted: a backward needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepCurrent {
    /// It is returned.
    Yes,
    /// It never leaves the chip (of a GPU), or the cache (of a CPU fed by spikes).
    No,
}

/// Spikes of the neuron behind y = conv(x, w) + bias, and y if it is kept. Errors: as [`forward`] and [`lif::forward`].
pub fn fire(
    x: &Data,
    weight: &Weight,
    bias: Option<&Tensor>,
    stride: usize,
    pad: usize,
    firing: Firing,
    keep: KeepCurrent,
) -> Result<(Option<Tensor>, Data)> {
    let geometry = checked(x, weight, bias, stride, pad)?;
    lif::check(geometry.output_shape(), firing.affine, firing.dynamics)?;
    match x.device() {
        Device::Gpu(gpu) if gpu::fires(x) => Ok(gpu::fire(gpu, &geometry, x, weight, bias, firing, keep)),
        Device::Cpu(cpu) if keep == KeepCurrent::No && cpu::fires(&geometry, x) => {
            Ok((None, cpu::fire(cpu, &geometry, x, weight, bias, firing)))
        }
        _ => {
            let y = forward(x, weight, bias, stride, pad)?;
            let spikes = lif::forward(&y, firing.affine, firing.v_th, firing.dynamics)?;
            Ok(((keep == KeepCurrent::Yes).then_some(y), spikes))
        }
    }
}

/// z = max(0, scale·y + shift) behind y = conv(x, w) + bias, and y if it is kept. Errors: as [`forward`].
pub fn rectify(
    x: &Data,
    weight: &Weight,
    bias: Option<&Tensor>,
    stride: usize,
    pad: usize,
    affine: Option<&Affine>,
    keep: KeepCurrent,
) -> Result<(Option<Tensor>, Tensor)> {
    let geometry = checked(x, weight, bias, stride, pad)?;
    match x.device() {
        Device::Gpu(gpu) => Ok(gpu::rectify(gpu, &geometry, x, weight, bias, affine, keep)),
        Device::Cpu(_) => {
            let y = forward(x, weight, bias, stride, pad)?;
            let z = relu::forward(&y, affine);
            Ok(((keep == KeepCurrent::Yes).then_some(y), z))
        }
    }
}

fn checked(x: &Data, weight: &Weight, bias: Option<&Tensor>, stride: usize, pad: usize) -> Result<Geometry> {
    let geometry = Geometry::new(x.shape(), weight.value().shape(), stride, pad)?;
    if let Some(bias) = bias {
        ensure!(
            bias.shape().count() == weight.value().shape()[0],
            "conv: bias wants {} numbers, got {}",
            geometry.out_channels,
            bias.shape()
        );
    }
    Ok(geometry)
}

/// dx `[N,H,W,F,C_in]` of dy `[N,OH,OW,F,C_out]`; F is dy's own. `input` is the shape of x (its F is not read). A CPU may
/// transform its operands (3e-5 of the largest result): fast, and good enough for the signs that an attack takes.
pub fn backward_input(dy: &Tensor, weight: &Weight, input: Shape, stride: usize, pad: usize) -> Result<Tensor> {
    let geometry = upward(dy, weight, input, stride, pad)?;
    match dy.device() {
        Device::Gpu(gpu) => Ok(gpu::backward_input(gpu, &geometry, dy, weight)),
        Device::Cpu(cpu) => Ok(cpu::backward_input(cpu, &geometry, dy, weight)),
    }
}

/// [`backward_input`] as a direct sum on every device, as close to f64 as the forward. Training wants it: a threshold's
/// gradient may be 30,000 times smaller than what it is summed from (docs/bugs.md).
pub fn backward_input_direct(dy: &Tensor, weight: &Weight, input: Shape, stride: usize, pad: usize) -> Result<Tensor> {
    let geometry = upward(dy, weight, input, stride, pad)?;
    match dy.device() {
        Device::Gpu(gpu) => Ok(gpu::backward_input(gpu, &geometry, dy, weight)),
        Device::Cpu(cpu) => Ok(cpu::backward_input_direct(cpu, &geometry, dy, weight)),
    }
}

/// The geometry of an input gradient with dy's frames.
fn upward(dy: &Tensor, weight: &Weight, input: Shape, stride: usize, pad: usize) -> Result<Geometry> {
    let input = Shape::new(&[input[0], input[1], input[2], dy.shape()[3], input[4]]);
    let geometry = Geometry::new(input, weight.value().shape(), stride, pad)?;
    ensure!(dy.shape() == geometry.output_shape(), "conv: the gradient wants {}, got {}", geometry.output_shape(), dy.shape());
    Ok(geometry)
}

/// dw `[C_out,kh,kw,C_in]` = Σ over images, pixels and frames.
pub fn backward_weight(x: &Data, dy: &Tensor, weight: Shape, stride: usize, pad: usize) -> Result<Tensor> {
    let geometry = Geometry::new(x.shape(), weight, stride, pad)?;
    ensure!(dy.shape() == geometry.output_shape(), "conv: the gradient wants {}, got {}", geometry.output_shape(), dy.shape());
    match x.device() {
        Device::Gpu(gpu) => Ok(gpu::backward_weight(gpu, &geometry, x, dy)),
        Device::Cpu(cpu) => Ok(cpu::backward_weight(cpu, &geometry, x, dy)),
    }
}

/// db `[C_out]` = Σ of dy over everything but channels.
pub fn backward_bias(dy: &Tensor) -> Tensor {
    match dy.device() {
        Device::Gpu(gpu) => gpu::backward_bias(gpu, dy),
        Device::Cpu(cpu) => cpu::backward_bias(cpu, dy),
    }
}
