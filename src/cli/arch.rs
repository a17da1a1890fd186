//! `caltrop arch`: what a network is made of, before it is trained.

use super::args::Arch;
use super::import::size;
use super::outputs::answer;
use super::say;
use super::sheet::grouped;
use crate::base::{Result, file, usage};
use crate::nn::{Geometry, Memory, Operands, Spec};
use crate::ops::lif::Reset;
use crate::zoo;
use serde_json::{Value, json};

/// Print one, or list them.
pub fn arch(args: &Arch) -> Result<()> {
    let Some(name) = &args.name else { return list(args) };
    if args.batch == 0 {
        return Err(usage!("--batch 0: at least 1 image is needed"));
    }
    let spec = spec(name, args)?;
    if let Some(path) = args.json.as_deref().filter(|path| path.as_os_str() != "-") {
        file::writable(path)?;
    }
    let geometry = zoo::geometry(spec.clone())?;
    answer(&described(&spec, &geometry, args.batch), args.json.as_deref(), || table(&spec, &geometry, args.batch))
}

/// The network that was asked for. Image and classes are CIFAR-10's, or those of Tiny ImageNet for the network made for it.
fn spec(name: &str, args: &Arch) -> Result<Spec> {
    let (side, classes) = if name == "vgg11_tin" { (64, 200) } else { (32, 10) };
    let input = args.input.as_deref().map_or(Ok([3, side, side]), size)?;
    Ok(Spec {
        arch: name.to_string(),
        classes: args.classes.unwrap_or(classes),
        input,
        mean: vec![0.5; input[0].min(1 << 16)], // no number of them matters here
        std: vec![0.5; input[0].min(1 << 16)],
        bias: args.bias,
        steps: args.steps,
        leak: 1.0,
        reset: Reset::Hard,
        dropout: 0.2,
    })
}

fn list(args: &Arch) -> Result<()> {
    say(format!("{:<18} {:>9} {:>12} {:>14}", "architecture", "image", "parameters", "MACs a step"))?;
    for name in zoo::NAMES {
        let family = match name {
            "vgg:PLAN/HIDDEN" => "any plan, such as vgg:16,A,32,A,64/256 (features/hidden; A is a 2x2 average pool)",
            "resnetD" => "any depth D = 6n + 2, such as resnet56",
            "wrnD_K" => "any depth D = 6n + 4 and width K, such as wrn40_2",
            _ => "",
        };
        if !family.is_empty() {
            say(format!("{name:<18} {family}"))?;
            continue;
        }
        let spec = spec(name, args)?;
        let (input, geometry) = (extents(spec.input), zoo::geometry(spec)?);
        say(format!("{name:<18} {input:>9} {:>12} {:>14}", grouped(geometry.parameters()), grouped(geometry.macs())))?;
    }
    Ok(())
}

/// Forwards that TRADES and MART keep.
const PAIR: usize = 2;

fn table(spec: &Spec, geometry: &Geometry, batch: usize) -> String {
    let mut lines = vec![
        format!("{}, images of {}, {} classes, T = {}", spec.arch, extents(spec.input), spec.classes, spec.steps),
        format!("{:<20} {:<22} {:>12} {:>12} {:>16}", "layer", "kind", "output", "parameters", "MACs a step"),
    ];
    let blank = |count: u64| if count == 0 { String::new() } else { grouped(count) };
    lines.extend(geometry.rows.iter().map(|row| {
        let (parameters, macs) = (blank(row.parameters), blank(row.macs));
        format!("{:<20} {:<22} {:>12} {parameters:>12} {macs:>16}", row.name, row.kind, extents(row.output))
    }));
    let total = [geometry.parameters(), geometry.macs(), geometry.operations()].map(grouped);
    lines.push(format!("{:<20} {:<22} {:>12} {:>12} {:>16}", "total", "", "", total[0], total[1]));
    if spec.steps > 0 {
        lines.push(format!(
            "an image at T = {}: {} multiply-accumulates (what reads the image once, what reads spikes {} times)",
            spec.steps, total[2], spec.steps
        ));
    }
    let memory = |what: &str, memory: Memory| {
        let parts = [
            ("weights", memory.weights),
            ("their copies in the CPU's order", memory.packed),
            ("gradients", memory.gradients),
            ("momentum", memory.momentum),
            ("kept of the forward", memory.kept),
            ("under way", memory.working),
        ];
        let parts: Vec<String> =
            parts.iter().filter(|(_, bytes)| *bytes > 0).map(|(what, bytes)| format!("{what} {}", shown(*bytes))).collect();
        format!("{what:<36} {:>9}: {}", shown(memory.total()), parts.join(", "))
    };
    lines.push(format!("memory at batch {batch}, estimated from the shapes (currents f32, spikes a byte a neuron for 8 steps):"));
    lines.push(memory("  training on one kind of image", geometry.training(batch, 1)));
    lines.push(memory("  training on both (TRADES, MART)", geometry.training(batch, PAIR)));
    lines.push(memory("  inference", geometry.inference(batch)));
    lines.join("\n")
}

fn described(spec: &Spec, geometry: &Geometry, batch: usize) -> Value {
    let layers: Vec<Value> = geometry
        .rows
        .iter()
        .map(|row| {
            json!({"name": row.name, "kind": row.kind, "output": row.output, "parameters": row.parameters, "macs": row.macs,
                "reads_spikes": row.operands == Operands::Spikes})
        })
        .collect();
    let memory = |memory: Memory| {
        json!({"weights": memory.weights, "packed": memory.packed, "gradients": memory.gradients, "momentum": memory.momentum,
            "kept": memory.kept, "working": memory.working, "total": memory.total()})
    };
    json!({
        "arch": spec.arch, "classes": spec.classes, "input": spec.input, "bias": spec.bias, "steps": spec.steps, "batch": batch,
        "layers": layers, "parameters": geometry.parameters(), "macs_per_step": geometry.macs(), "macs_per_image": geometry.operations(),
        "memory_bytes": {
            "training": memory(geometry.training(batch, 1)), "training_pair": memory(geometry.training(batch, PAIR)),
            "inference": memory(geometry.inference(batch)),
        },
    })
}

fn extents(shape: [usize; 3]) -> String {
    shape.map(|extent| extent.to_string()).join("x")
}

/// Bytes in the largest unit that leaves a whole number before the point.
fn shown(bytes: u64) -> String {
    let units = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    let found = units.into_iter().find(|(_, size)| bytes as f64 >= *size);
    found.map_or(format!("{bytes} B"), |(unit, size)| format!("{:.1} {unit}", bytes as f64 / size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_units() {
        assert_eq!([12, 1500, 2_000_000, 4_100_000_000].map(shown), ["12 B", "1.5 kB", "2.0 MB", "4.1 GB"]);
    }
}
