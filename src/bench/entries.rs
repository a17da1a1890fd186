//! The table of what is measured: every op, forward and backward, as it occurs at a layer.

use super::data;
use super::layers::{Layer, Reads, Seat};
use crate::autodiff::{Credit, Surrogate};
use crate::base::rng::{Philox, Purpose};
use crate::base::{Result, Shape};
use crate::device::Device;
use crate::ops::lif::{self, Down, Spread, Upstream};
use crate::ops::norm::{self, Affine, Moving};
use crate::ops::percentile::{Percentile, percentile};
use crate::ops::pixel::{self, Noise};
use crate::ops::product::Weight;
use crate::ops::sgd::{self, Rates};
use crate::ops::{conv, convex, dropout, flatten, frames, loss, pool, relu};
use crate::tensor::{Data, Tensor};
use std::hint::black_box;

/// Where and on what an op is measured.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The layer.
    pub layer: &'static Layer,
    /// T; 0 is the layer in an ANN.
    pub steps: usize,
    /// Images.
    pub batch: usize,
    /// Share of the spikes that are there.
    pub density: f64,
}

/// An op ready to run.
pub struct Work {
    /// What it reads: `numbers`, or spikes and their density.
    pub form: String,
    /// Shapes of its first operands.
    pub shape: String,
    /// Bytes: every input read once, every output written once.
    pub bytes: u64,
    /// Multiply-accumulates of a dense product (0 for any other op).
    pub macs: u64,
    /// One run.
    pub run: Box<dyn FnMut() -> Result<()>>,
}

/// One op in one direction.
pub struct Entry {
    /// The op, one of [`OPS`].
    pub op: &'static str,
    /// Direction or variant.
    pub part: &'static str,
    prepare: Prepare,
}

type Prepare = fn(&Device, &Case) -> Result<Option<Work>>;

impl Entry {
    /// Make its inputs. None: the layer has no such op.
    pub fn prepare(&self, device: &Device, case: &Case) -> Result<Option<Work>> {
        (self.prepare)(device, case)
    }
}

/// The ops by name.
pub const OPS: [&str; 13] =
    ["conv", "lif", "relu", "norm", "pool", "dropout", "frames", "flatten", "convex", "loss", "pixel", "sgd", "percentile"];

/// The whole table.
pub const ENTRIES: &[Entry] = &[
    entry("conv", "forward", conv_forward),
    entry("conv", "backward-input", conv_backward_input),
    entry("conv", "backward-weight", conv_backward_weight),
    entry("conv", "backward-bias", conv_backward_bias),
    entry("lif", "forward", lif_forward),
    entry("lif", "backward-PCW", |device, case| lif_backward(device, case, Credit::Bptt(Surrogate::default()))),
    entry("lif", "backward-rate", |device, case| lif_backward(device, case, Credit::Rate)),
    entry("lif", "backward-PDSG", |device, case| lif_backward(device, case, Credit::Pdsg)),
    entry("lif", "backward-HART", |device, case| lif_backward(device, case, Credit::Hart(Surrogate::default()))),
    entry("lif", "backward-ASSG", lif_sharpened),
    entry("relu", "forward", relu_forward),
    entry("relu", "backward", relu_backward),
    entry("norm", "moments", norm_moments),
    entry("norm", "apply", norm_apply),
    entry("norm", "backward", norm_backward),
    entry("pool", "average", pool_average),
    entry("pool", "spread", pool_spread),
    entry("pool", "global", pool_global),
    entry("pool", "global-backward", pool_global_backward),
    entry("dropout", "forward", dropout_forward),
    entry("frames", "mean", frames_mean),
    entry("frames", "repeat", frames_repeat),
    entry("flatten", "forward", flatten_forward),
    entry("convex", "forward", convex_forward),
    entry("convex", "backward", convex_backward),
    entry("loss", "cross-entropy", |device, case| losses(device, case, Loss::CrossEntropy)),
    entry("loss", "kl", |device, case| losses(device, case, Loss::Kl)),
    entry("pixel", "noise", pixel_noise),
    entry("pixel", "signed-step", pixel_step),
    entry("sgd", "step", sgd_step),
    entry("percentile", "99.7", percentile_find),
];

const fn entry(op: &'static str, part: &'static str, prepare: Prepare) -> Entry {
    Entry { op, part, prepare }
}

impl Case {
    fn frames(&self) -> usize {
        self.layer.frames(self.steps)
    }

    /// `[N,H,W,F,C]` of the product's input.
    fn input(&self) -> [usize; 5] {
        [self.batch, self.layer.side, self.layer.side, self.frames(), self.layer.inputs]
    }

    /// `[N,H,W,F,C]` of the product's output, the current.
    fn current(&self) -> [usize; 5] {
        [self.batch, self.layer.side, self.layer.side, self.frames(), self.layer.outputs]
    }

    /// `[N,H,W,T,C]` of the neurons' output.
    fn output(&self) -> [usize; 5] {
        let [n, h, w, _, c] = self.current();
        [n, h, w, self.steps.max(1), c]
    }

    fn weight(&self) -> [usize; 4] {
        [self.layer.outputs, self.layer.kernel, self.layer.kernel, self.layer.inputs]
    }

    /// What the product reads.
    fn reads(&self, device: &Device) -> Data {
        match self.layer.reads {
            Reads::Spikes if self.steps > 0 => data::spikes(device, self.input(), self.density, 1),
            Reads::Quarters if self.steps > 0 => data::quarters(device, self.input(), self.density, 1),
            _ => Data::Real(data::numbers(device, self.input(), 1)),
        }
    }

    /// What the neurons write.
    fn writes(&self, device: &Device) -> Data {
        match self.steps {
            0 => Data::Real(data::numbers(device, self.output(), 2)),
            _ => data::spikes(device, self.output(), self.density, 2),
        }
    }

    /// A norm in front of the neurons.
    fn affine(&self, device: &Device) -> Option<Affine> {
        let channels = self.layer.outputs;
        let affine = || Affine { scale: Tensor::full(device, [channels], 0.9), shift: data::numbers(device, [channels], 3) };
        self.layer.norms().then(affine)
    }

    /// The gradient that reaches the neurons.
    fn upstream(&self, device: &Device) -> (Tensor, Spread) {
        let [n, h, w, f, c] = self.output();
        match self.layer.seat {
            Seat::BeforePool => (data::numbers(device, [n, h / 2, w / 2, f, c], 4), Spread::Quarters),
            _ => (data::numbers(device, [n, h, w, f, c], 4), Spread::Plain),
        }
    }

    fn of(&self, form: &Data) -> String {
        match form {
            Data::Real(_) => "numbers".into(),
            Data::Spikes { .. } => format!("spikes {:.3}", self.density),
            Data::Quarters { .. } => format!("quarters {:.3}", self.density),
        }
    }
}

/// Arrays that know their size.
trait Bytes {
    fn bytes(&self) -> u64;
}

impl Bytes for Tensor {
    fn bytes(&self) -> u64 {
        4 * self.shape().count() as u64
    }
}

impl Bytes for Data {
    fn bytes(&self) -> u64 {
        match self {
            Data::Real(tensor) => tensor.bytes(),
            Data::Spikes { codes, .. } => codes.shape().count() as u64,
            Data::Quarters { codes, .. } => 4 * codes.shape().count() as u64,
        }
    }
}

/// Bytes of f32 numbers of this shape.
fn numbers(shape: impl Into<Shape>) -> u64 {
    4 * shape.into().count() as u64
}

fn work(form: impl Into<String>, shape: impl Into<Shape>, bytes: u64, run: impl FnMut() -> Result<()> + 'static) -> Result<Option<Work>> {
    Ok(Some(Work { form: form.into(), shape: shape.into().to_string(), bytes, macs: 0, run: Box::new(run) }))
}

/// Keeps a result from being optimised away.
fn done<T>(result: T) -> Result<()> {
    drop(black_box(result));
    Ok(())
}

fn product(case: &Case, form: String, bytes: u64, run: impl FnMut() -> Result<()> + 'static) -> Result<Option<Work>> {
    let geometry = conv::Geometry::new(case.input().into(), case.weight().into(), 1, case.layer.kernel / 2)?;
    let shape = format!("{} * {}", geometry.input_shape(), geometry.weight_shape());
    Ok(Some(Work { form, shape, bytes, macs: geometry.macs(), run: Box::new(run) }))
}

fn conv_forward(device: &Device, case: &Case) -> Result<Option<Work>> {
    let (x, weight, pad) = (case.reads(device), Weight::new(data::numbers(device, case.weight(), 5)), case.layer.kernel / 2);
    let bytes = x.bytes() + weight.value().bytes() + numbers(case.current());
    product(case, case.of(&x), bytes, move || conv::forward(&x, &weight, None, 1, pad).and_then(done))
}

fn conv_backward_input(device: &Device, case: &Case) -> Result<Option<Work>> {
    let (dy, weight) = (data::numbers(device, case.current(), 6), Weight::new(data::numbers(device, case.weight(), 5)));
    let (input, pad) = (Shape::from(case.input()), case.layer.kernel / 2);
    let bytes = dy.bytes() + weight.value().bytes() + numbers(case.input());
    product(case, "numbers".into(), bytes, move || conv::backward_input(&dy, &weight, input, 1, pad).and_then(done))
}

fn conv_backward_weight(device: &Device, case: &Case) -> Result<Option<Work>> {
    let (x, dy) = (case.reads(device), data::numbers(device, case.current(), 6));
    let (weight, pad) = (Shape::from(case.weight()), case.layer.kernel / 2);
    let bytes = x.bytes() + dy.bytes() + numbers(case.weight());
    product(case, case.of(&x), bytes, move || conv::backward_weight(&x, &dy, weight, 1, pad).and_then(done))
}

fn conv_backward_bias(device: &Device, case: &Case) -> Result<Option<Work>> {
    let dy = data::numbers(device, case.current(), 6);
    work("numbers", dy.shape(), dy.bytes(), move || done(conv::backward_bias(&dy)))
}

fn lif_forward(device: &Device, case: &Case) -> Result<Option<Work>> {
    if case.steps == 0 || !case.layer.fires() {
        return Ok(None);
    }
    let (y, v_th) = data::currents(device, case.current(), case.steps, case.density, 7)?;
    let (affine, dynamics) = (unit(device, case), data::dynamics(case.steps));
    let bytes = y.bytes() + case.writes(device).bytes();
    work(neurons(case), y.shape(), bytes, move || lif::forward(&y, affine.as_ref(), &v_th, dynamics).and_then(done))
}

/// A norm that changes nothing, so that the rate of `currents` holds.
fn unit(device: &Device, case: &Case) -> Option<Affine> {
    let channels = [case.layer.outputs];
    case.layer.norms().then(|| Affine { scale: Tensor::full(device, channels, 1.0), shift: Tensor::zeros(device, channels) })
}

fn neurons(case: &Case) -> String {
    format!("T {} fires {:.3}", case.steps, case.density)
}

fn lif_backward(device: &Device, case: &Case, credit: Credit) -> Result<Option<Work>> {
    if case.steps == 0 || !case.layer.fires() {
        return Ok(None);
    }
    let (y, v_th) = data::currents(device, case.current(), case.steps, case.density, 7)?;
    let (affine, dynamics, (gradient, spread)) = (unit(device, case), data::dynamics(case.steps), case.upstream(device));
    let bytes = match credit {
        // The widths come first, and HART's gradient is one frame.
        Credit::Pdsg => 2 * y.bytes() + gradient.bytes() + numbers(case.current()),
        Credit::Hart(_) => y.bytes() + gradient.bytes() + numbers(case.current()) / case.frames() as u64,
        _ => y.bytes() + gradient.bytes() + numbers(case.current()),
    };
    work(neurons(case), y.shape(), bytes, move || {
        let upstream = Upstream { gradient: &gradient, spread };
        done(lif::backward(&y, affine.as_ref(), &v_th, dynamics, upstream, credit, Down::Current)?.dx)
    })
}

/// An iteration of ASSG: the statistics both ways, the slopes out and in.
fn lif_sharpened(device: &Device, case: &Case) -> Result<Option<Work>> {
    if case.steps == 0 || !case.layer.fires() {
        return Ok(None);
    }
    let (y, v_th) = data::currents(device, case.current(), case.steps, case.density, 7)?;
    let (affine, dynamics, (gradient, spread)) = (unit(device, case), data::dynamics(case.steps), case.upstream(device));
    let bytes = 2 * y.bytes() + 6 * numbers(case.output()) + gradient.bytes() + numbers(case.current());
    let mut memory = lif::Sharpness::default();
    work(neurons(case), y.shape(), bytes, move || {
        let slopes = memory.observe(&y, affine.as_ref(), &v_th, dynamics)?;
        let upstream = Upstream { gradient: &gradient, spread };
        done(lif::backward_sloped(&y, affine.as_ref(), &v_th, dynamics, upstream, &slopes, Down::Current)?.dx)
    })
}

fn relu_forward(device: &Device, case: &Case) -> Result<Option<Work>> {
    if case.steps > 0 || !case.layer.fires() {
        return Ok(None);
    }
    let (y, affine) = (data::numbers(device, case.current(), 7), case.affine(device));
    work("numbers", y.shape(), 2 * y.bytes(), move || done(relu::forward(&y, affine.as_ref())))
}

fn relu_backward(device: &Device, case: &Case) -> Result<Option<Work>> {
    if case.steps > 0 || !case.layer.fires() {
        return Ok(None);
    }
    let (y, affine, (gradient, spread)) = (data::numbers(device, case.current(), 7), case.affine(device), case.upstream(device));
    let bytes = 2 * y.bytes() + gradient.bytes();
    work("numbers", y.shape(), bytes, move || {
        relu::backward(&y, affine.as_ref(), Upstream { gradient: &gradient, spread }, Down::Scaled).and_then(done)
    })
}

fn norm_moments(device: &Device, case: &Case) -> Result<Option<Work>> {
    if !case.layer.norms() {
        return Ok(None);
    }
    let y = data::numbers(device, case.current(), 7);
    work("numbers", y.shape(), y.bytes(), move || norm::moments(&y).and_then(done))
}

fn norm_apply(device: &Device, case: &Case) -> Result<Option<Work>> {
    let Some(affine) = case.affine(device) else { return Ok(None) };
    let y = data::numbers(device, case.current(), 7);
    work("numbers", y.shape(), 2 * y.bytes(), move || norm::apply(&y, &affine).and_then(done))
}

fn norm_backward(device: &Device, case: &Case) -> Result<Option<Work>> {
    if !case.layer.norms() {
        return Ok(None);
    }
    let (y, dx) = (data::numbers(device, case.current(), 7), data::numbers(device, case.current(), 6));
    let (moments, weight) = (norm::moments(&y)?, Tensor::full(device, [case.layer.outputs], 1.0));
    work("numbers", y.shape(), 3 * y.bytes(), move || done(norm::backward(&dx, &y, &moments, &weight, Moving::Batch)?.dy))
}

fn pool_average(device: &Device, case: &Case) -> Result<Option<Work>> {
    if case.layer.seat != Seat::BeforePool {
        return Ok(None);
    }
    let x = case.writes(device);
    // A quarter of the numbers; of spikes half a byte a step, where a bit came in.
    let bytes = x.bytes() + if case.steps == 0 { x.bytes() / 4 } else { x.bytes() };
    work(case.of(&x), x.shape(), bytes, move || pool::average(&x).and_then(done))
}

fn pool_spread(device: &Device, case: &Case) -> Result<Option<Work>> {
    let (dy, Spread::Quarters) = case.upstream(device) else { return Ok(None) };
    let shape = Shape::from(case.output());
    work("numbers", dy.shape(), dy.bytes() + numbers(shape), move || done(pool::spread(&dy, shape)))
}

fn pool_global(device: &Device, case: &Case) -> Result<Option<Work>> {
    if case.layer.seat != Seat::LastFeatures {
        return Ok(None);
    }
    let (x, [n, _, _, f, c]) = (case.writes(device), case.output());
    work(case.of(&x), x.shape(), x.bytes() + numbers([n, f, c]), move || done(pool::global(&x)))
}

fn pool_global_backward(device: &Device, case: &Case) -> Result<Option<Work>> {
    if case.layer.seat != Seat::LastFeatures {
        return Ok(None);
    }
    let [n, _, _, f, c] = case.output();
    let (dy, shape) = (data::numbers(device, [n, 1, 1, f, c], 6), Shape::from(case.output()));
    work("numbers", shape, dy.bytes() + numbers(shape), move || done(pool::global_backward(&dy, shape)))
}

fn dropout_forward(device: &Device, case: &Case) -> Result<Option<Work>> {
    if case.layer.seat != Seat::Hidden {
        return Ok(None);
    }
    let (x, stream) = (data::numbers(device, case.output(), 8), Philox::stream(0, Purpose::Dropout, &[1]));
    work("numbers", x.shape(), 2 * x.bytes(), move || dropout::forward(&x, 0.2, stream).and_then(done))
}

fn frames_mean(device: &Device, case: &Case) -> Result<Option<Work>> {
    if case.layer.seat != Seat::Head || case.steps == 0 {
        return Ok(None);
    }
    let y = data::numbers(device, case.current(), 7);
    let bytes = y.bytes() + y.bytes() / case.steps as u64;
    work("numbers", y.shape(), bytes, move || done(frames::mean(&y)))
}

fn frames_repeat(device: &Device, case: &Case) -> Result<Option<Work>> {
    if case.frames() == 1 {
        return Ok(None);
    }
    let [n, h, w, steps, c] = case.current();
    let x = data::numbers(device, [n, h, w, 1, c], 7);
    work("numbers", x.shape(), x.bytes() * (1 + steps as u64), move || done(frames::repeat(&x, steps, 1.0)))
}

fn flatten_forward(device: &Device, case: &Case) -> Result<Option<Work>> {
    if case.layer.seat != Seat::LastFeatures {
        return Ok(None);
    }
    let x = case.writes(device);
    work(case.of(&x), x.shape(), 2 * x.bytes(), move || done(flatten::forward(x.clone())))
}

/// The sum at the end of a residual block, at the sizes of the layers between pools.
fn residual(case: &Case) -> bool {
    case.layer.seat == Seat::Inside && case.layer.reads == Reads::Spikes
}

fn convex_forward(device: &Device, case: &Case) -> Result<Option<Work>> {
    if !residual(case) {
        return Ok(None);
    }
    let [a, b] = [7, 8].map(|stream| data::numbers(device, case.current(), stream));
    let c = Tensor::full(device, [2], 0.5);
    work("numbers", a.shape(), 3 * a.bytes(), move || convex::forward(&a, &b, &c).and_then(done))
}

fn convex_backward(device: &Device, case: &Case) -> Result<Option<Work>> {
    if !residual(case) {
        return Ok(None);
    }
    let [a, b, dy] = [7, 8, 6].map(|stream| data::numbers(device, case.current(), stream));
    let c = Tensor::full(device, [2], 0.5);
    work("numbers", a.shape(), 5 * a.bytes(), move || done(convex::backward(&dy, &a, &b, &c)?.da))
}

enum Loss {
    CrossEntropy,
    Kl,
}

fn losses(device: &Device, case: &Case, which: Loss) -> Result<Option<Work>> {
    if case.layer.seat != Seat::Head {
        return Ok(None);
    }
    let [logits, clean] = [7, 8].map(|stream| data::numbers(device, [case.batch, case.layer.outputs], stream));
    let labels = data::labels(device, case.batch, case.layer.outputs);
    let (shape, bytes) = (logits.shape(), 2 * logits.bytes());
    match which {
        Loss::CrossEntropy => work("numbers", shape, bytes, move || done(loss::cross_entropy(&logits, &labels)?.dlogits)),
        Loss::Kl => work("numbers", shape, 2 * bytes, move || done(loss::kl(&logits, &clean)?.dadv)),
    }
}

/// `[N,H,W,C]` of the images, at the first layer.
fn images(case: &Case) -> Option<[usize; 4]> {
    (case.layer.reads == Reads::Pixels).then_some([case.batch, case.layer.side, case.layer.side, case.layer.inputs])
}

fn pixel_noise(device: &Device, case: &Case) -> Result<Option<Work>> {
    let Some(shape) = images(case) else { return Ok(None) };
    let (x, streams) = (data::pixels(device, shape, 9), (0..case.batch as u64).map(|id| Philox::stream(0, Purpose::Attack, &[id])));
    let streams: Vec<Philox> = streams.collect();
    work("pixels", shape, x.bytes(), move || pixel::noise(&x, Noise::Uniform(0.03), &streams).and_then(done))
}

fn pixel_step(device: &Device, case: &Case) -> Result<Option<Work>> {
    let Some(shape) = images(case) else { return Ok(None) };
    let (x, gradient) = (data::pixels(device, shape, 9), data::numbers(device, shape, 6));
    work("pixels", shape, 4 * x.bytes(), move || pixel::signed_step(&x, &x, &gradient, 0.01, 0.03).and_then(done))
}

fn sgd_step(device: &Device, case: &Case) -> Result<Option<Work>> {
    let [mut p, gradient, velocity] = [5, 6, 7].map(|stream| data::numbers(device, case.weight(), stream));
    let (shape, bytes, mut velocity) = (p.shape(), 5 * p.bytes(), Some(velocity));
    let rates = Rates { rate: 1e-3, momentum: 0.9, decay: 1e-3 };
    work("numbers", shape, bytes, move || sgd::step(&mut p, &gradient, &mut velocity, rates))
}

fn percentile_find(device: &Device, case: &Case) -> Result<Option<Work>> {
    if !case.layer.fires() {
        return Ok(None);
    }
    let (y, affine, which) = (data::numbers(device, case.current(), 7), case.affine(device), Percentile::new(99.7)?);
    work("numbers", y.shape(), y.bytes(), move || percentile(&y, affine.as_ref(), 1, which).and_then(done))
}
