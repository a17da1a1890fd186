//! `caltrop predict`: logits, spikes and gradients of given images. Layouts in files are PyTorch's.

use super::args::{Common, Predict, StatisticsArg};
use super::commands::device;
use super::evaluate::{check_steps, lens, set_steps, suits};
use super::say;
use crate::autodiff::{Credit, Fire, Keep, Lens, Pass, Statistics, Want};
use crate::base::{Result, ensure, fail, file, usage};
use crate::checkpoint::{self, Kind, Named, TensorFile};
use crate::drive::credit;
use crate::loss;
use crate::nn::Model;
use crate::ops::blend::blend;
use crate::tensor::{Array, Tensor};

/// Answer for every image of the file.
pub fn predict(args: &Predict, common: &Common) -> Result<()> {
    let device = device(common)?;
    let lens = lens(&args.lens)?;
    if lens == Lens::Spiking(Credit::Assg) {
        return Err(usage!("--credit assg: it follows the iterations of an attack, and here is none; use another credit"));
    }
    check_steps("--steps", args.steps)?;
    file::writable(&args.out)?;
    let (mut model, _) = checkpoint::load(&args.checkpoint, &device)?;
    set_steps(&mut model, "--steps", args.steps)?;
    suits(&args.lens, &model)?;
    let input = TensorFile::open(&args.images)?;
    let within = |error: crate::base::Error| error.within(args.images.display());
    let (images, labels) = read(&model, &input, args.gradients).map_err(within)?;
    let statistics = match args.statistics {
        StatisticsArg::Running => Statistics::Running,
        StatisticsArg::Batch => Statistics::Batch,
    };
    checkpoint::save_tensors(&args.out, &answer(&model, &images, labels.as_deref(), lens, statistics)?)?;
    say(args.out.display())
}

/// Images `[N,H,W,C]` and labels, if they are wanted.
pub fn read(model: &Model, file: &TensorFile, labelled: bool) -> Result<(Tensor, Option<Vec<i32>>)> {
    let [channels, height, width] = model.spec().input;
    let shape = file.shape("images").ok_or_else(|| fail!("no tensor \"images\"; it holds {}", file.names().join(", ")))?;
    ensure!(
        shape.len() == 4 && shape[1..] == [channels, height, width],
        "images {shape:?}: the network wants [N, {channels}, {height}, {width}]"
    );
    ensure!(shape[0] > 0, "images {shape:?}: zero images");
    let values = file.floats("images")?;
    let bad = values.iter().position(|x| !(0.0..=1.0).contains(x));
    if let Some(at) = bad {
        return Err(fail!("images: element {at} is {}; pixels must lie in [0, 1] (divide by 255?)", values[at]));
    }
    let pixels = checkpoint::channels_last(&values, channels, height * width);
    let images = Tensor::from_slice(model.device(), [shape[0], height, width, channels], &pixels);
    if !labelled {
        return Ok((images, None));
    }
    let labels = file.integers("labels")?;
    ensure!(labels.len() == shape[0], "{} labels for {} images", labels.len(), shape[0]);
    let classes = model.spec().classes;
    if let Some(at) = labels.iter().position(|&label| label < 0 || label >= classes as i64) {
        return Err(fail!("label {} of image {at} is not below {classes} classes", labels[at]));
    }
    Ok((images, Some(labels.into_iter().map(|label| label as i32).collect())))
}

/// Images computed together where they do not see each other.
const BATCH: usize = 64;

fn answer(model: &Model, images: &Tensor, labels: Option<&[i32]>, lens: Lens, statistics: Statistics) -> Result<Vec<Named>> {
    let fire = if lens == Lens::Act { Fire::Relu } else { model.spec().fire() };
    let steps = if let Fire::Spike { steps } = fire { steps } else { 0 };
    let keep = if labels.is_some() { Keep::ForInput } else { Keep::Spikes };
    let pass = Pass { statistics, ..Pass::eval(fire, keep) };
    let (shape, classes) = (images.shape(), model.spec().classes);
    let n = shape[0];
    // Batch statistics tie all images together; otherwise they go through in slices.
    let batch = if statistics == Statistics::Batch { n } else { BATCH };
    let (mut logits, mut logits_t, mut dimages) = (Vec::new(), vec![Vec::new(); steps], Vec::new());
    let mut spikes: Vec<i64> = Vec::new();
    for start in (0..n).step_by(batch) {
        let end = (start + batch).min(n);
        crate::drive::watch::check()?;
        let (z, trace) = model.forward(&images.slice(start..end), &pass)?;
        crate::drive::sound(&z)?;
        logits.extend(z.to_vec());
        if steps > 0 {
            let (frames, each) = (trace.steps.shape()[3], trace.steps.to_vec());
            for (t, rows) in logits_t.iter_mut().enumerate() {
                // A network without neurons holds one frame for all steps.
                let row = |image: usize| (image * frames + if frames == 1 { 0 } else { t }) * classes;
                (0..end - start).for_each(|image| rows.extend_from_slice(&each[row(image)..row(image) + classes]));
            }
            let counts = model.activity(&trace).into_iter().map(|layer| layer.spikes as i64);
            if spikes.is_empty() {
                spikes = counts.collect()
            } else {
                spikes.iter_mut().zip(counts).for_each(|(total, more)| *total += more)
            }
        }
        if let Some(labels) = labels {
            let labels = Array::from_slice(model.device(), [end - start], &labels[start..end]);
            // The mean is over all images, not over this slice.
            let share = (end - start) as f32 / n as f32;
            let dlogits = blend(&[(&loss::cross_entropy(&z, &labels)?.dlogits, f64::from(share))])?;
            let gradients = model.backward_consuming(trace, &dlogits, credit(lens), Want::Input)?;
            dimages.extend(gradients.input.ok_or_else(|| fail!("model: no input gradient came back"))?.to_vec());
        }
    }
    let mut named: Vec<Named> = vec![("logits".into(), vec![n, classes], Kind::Floats(logits))];
    if steps > 0 {
        named.push(("logits_t".into(), vec![steps, n, classes], Kind::Floats(logits_t.concat())));
        named.push(("spikes".into(), vec![spikes.len()], Kind::Integers(spikes)));
    }
    if labels.is_some() {
        let values = checkpoint::channels_first(&dimages, shape[3], shape[1] * shape[2]);
        named.push(("dimages".into(), vec![n, shape[3], shape[1], shape[2]], Kind::Floats(values)));
    }
    Ok(named)
}
