//! A graph as bytes of an HDF5 file, laid out as the Python package `nir` does: `version`, and the group `node` with `type`,
//! `edges` and `nodes`, where each node is a group of its own with a `type` and its fields.

use super::graph::{Cells, Graph, Leaky, Node, Numbers, Pool, extents};
use crate::base::{Result, ensure, fail, nature};
use hdf5_pure::{Dataset, File, FileBuilder, FinishedGroup, Group, GroupBuilder};

/// The version of the package whose layout this is.
const VERSION: &str = "1.0.8";
/// How every HDF5 file begins.
pub const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";
/// More numbers (1 GiB of them), names or edges than this are a slip of the hand.
const MOST_NUMBERS: u64 = 1 << 28;
const MOST_NAMES: u64 = 1 << 16;
/// What we say of a whole graph or of a node begins so.
const OURS: &str = "caltrop_";
/// Arrays from this many numbers on are compressed.
const WORTH_COMPRESSING: usize = 256;

/// The bytes of `graph`; the same graph makes the same bytes. Errors: what the format cannot hold.
pub fn write(graph: &Graph) -> Result<Vec<u8>> {
    let mut file = FileBuilder::new();
    file.create_dataset("version").with_vlen_strings(&[VERSION]).with_shape(&[]);
    let mut root = file.create_group("node");
    let edges: Vec<&str> = graph.edges.iter().flat_map(|(from, to)| [from.as_str(), to.as_str()]).collect();
    root.create_dataset("edges").with_vlen_strings(&edges).with_shape(&[graph.edges.len() as u64, 2]);
    text(&mut root, "type", "NIRGraph");
    let mut nodes = root.create_group("nodes");
    for (name, node) in &graph.nodes {
        let group = put(nodes.create_group(name), node);
        nodes.add_group(group);
    }
    root.add_group(nodes.finish());
    if !graph.said.is_empty() {
        let mut said = root.create_group("metadata");
        graph.said.iter().for_each(|(key, value)| text(&mut said, &format!("{OURS}{key}"), value));
        root.add_group(said.finish());
    }
    file.add_group(root.finish());
    file.finish().map_err(|cause| fail!("hdf5: {cause}"))
}

fn put(mut group: GroupBuilder, node: &Node) -> FinishedGroup {
    let into = &mut group;
    match node {
        Node::Input(shape) | Node::Output(shape) => {
            text(into, "type", if matches!(node, Node::Input(_)) { "Input" } else { "Output" });
            integers(into, "shape", shape);
        }
        Node::Conv { weight, bias, stride, pad, input } => {
            text(into, "type", "Conv2d");
            array(into, "weight", &weight.shape, &weight.values);
            array(into, "bias", &[bias.len()], bias);
            integers(into, "stride", stride);
            integers(into, "padding", pad);
            integers(into, "dilation", &[1, 1]);
            integer(into, "groups", 1);
            if let Some(input) = input {
                integers(into, "input_shape", input);
            }
        }
        Node::Linear { weight, bias } => {
            text(into, "type", if bias.is_some() { "Affine" } else { "Linear" });
            array(into, "weight", &weight.shape, &weight.values);
            if let Some(bias) = bias {
                array(into, "bias", &[bias.len()], bias);
            }
        }
        Node::Scale(factors) => {
            text(into, "type", "Scale");
            array(into, "scale", &factors.shape, &factors.values);
        }
        Node::Cells(cells) => {
            text(into, "type", if cells.leaky.is_some() { "LIF" } else { "IF" });
            let mut all = |name: &str, value: f64| {
                array(into, name, &cells.shape, &vec![value as f32; cells.shape.iter().product()]);
            };
            all("r", cells.r);
            all("v_threshold", cells.v_threshold);
            all("v_reset", cells.v_reset);
            if let Some(Leaky { tau, v_leak }) = cells.leaky {
                all("tau", tau);
                all("v_leak", v_leak);
            }
            if let Some(said) = cells.said {
                let mut metadata = into.create_group("metadata");
                text(&mut metadata, V_TH, &said.to_string());
                into.add_group(metadata.finish());
            }
        }
        Node::Pool { pool, kernel, stride } => {
            text(into, "type", if *pool == Pool::Average { "AvgPool2d" } else { "SumPool2d" });
            integers(into, "kernel_size", kernel);
            integers(into, "stride", stride);
            integers(into, "padding", &[0, 0]);
        }
        Node::Flatten { input } => {
            text(into, "type", "Flatten");
            integers(into, "input_type", input);
            integer(into, "start_dim", 0);
            integer(into, "end_dim", -1);
        }
    }
    group.finish()
}

/// The threshold of Caltrop's neuron, in a node's metadata.
const V_TH: &str = "caltrop_v_th";

fn text(group: &mut GroupBuilder, name: &str, value: &str) {
    group.create_dataset(name).with_vlen_strings(&[value]).with_shape(&[]);
}

fn integer(group: &mut GroupBuilder, name: &str, value: i64) {
    group.create_dataset(name).with_i64_data(&[value]).with_shape(&[]);
}

fn integers(group: &mut GroupBuilder, name: &str, values: &[usize]) {
    let values: Vec<i64> = values.iter().map(|&value| value as i64).collect();
    group.create_dataset(name).with_i64_data(&values).with_shape(&[values.len() as u64]);
}

fn array(group: &mut GroupBuilder, name: &str, shape: &[usize], values: &[f32]) {
    let shape: Vec<u64> = shape.iter().map(|&extent| extent as u64).collect();
    let dataset = group.create_dataset(name).with_f32_data(values).with_shape(&shape);
    // Alike numbers are what deflate shortens; weights it does not.
    if values.len() >= WORTH_COMPRESSING && values.iter().all(|value| *value == values[0]) {
        dataset.with_chunks(&shape).with_deflate(4);
    }
}

/// The graph in `bytes`. Errors: no HDF5, truncated, no graph, a node that is not known or lacks a field, numbers of another
/// shape, NaN.
pub fn read(bytes: Vec<u8>) -> Result<Graph> {
    if !bytes.starts_with(SIGNATURE) {
        return Err(fail!("no HDF5 file but {}; a NIR graph is one", nature(&bytes).unwrap_or("something that is not known")));
    }
    let held = bytes.len();
    let broken = |cause: hdf5_pure::Error| fail!("a truncated or corrupt HDF5 file ({cause}, {held} bytes); copy or download it again");
    let file = File::from_bytes(bytes).map_err(broken)?;
    let wanted = file.superblock().eof_address;
    ensure!(held as u64 >= wanted, "truncated: {held} bytes of {wanted}; copy or download it again");
    let root = file.group("node").map_err(|cause| fail!("an HDF5 file without the group \"node\" of a NIR graph ({cause})"))?;
    let kind = word(&root, "type")?;
    ensure!(kind == "NIRGraph", "the file holds a lone {kind}; put it in a NIRGraph between an Input and an Output");
    let mut graph = Graph::default();
    let dataset = field(&root, "edges")?;
    let shape = shape(&dataset, "edges", MOST_NAMES)?;
    ensure!(shape.len() == 2 && shape[1] == 2, "edges are {}, pairs of names are wanted", extents(&shape));
    let names = dataset.read_string().map_err(|cause| fail!("edges: {cause}"))?;
    ensure!(names.len() == 2 * shape[0], "edges: {} names for {} pairs", names.len(), shape[0]);
    graph.edges = names.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
    let nodes = root.group("nodes").map_err(|cause| fail!("the graph has no nodes ({cause})"))?;
    for name in nodes.groups().map_err(broken)? {
        let node =
            nodes.group(&name).map_err(broken).and_then(|group| get(&group)).map_err(|error| error.within(format!("node {name}")))?;
        graph.nodes.insert(name, node);
    }
    if let Ok(said) = root.group("metadata") {
        for key in said.datasets().map_err(broken)? {
            if let Some(ours) = key.strip_prefix(OURS) {
                graph.said.insert(ours.to_string(), word(&said, &key)?);
            }
        }
    }
    Ok(graph)
}

fn get(group: &Group) -> Result<Node> {
    let kind = word(group, "type")?;
    Ok(match kind.as_str() {
        "Input" => Node::Input(sizes(group, "shape")?),
        "Output" => Node::Output(sizes(group, "shape")?),
        "Conv2d" => conv(group)?,
        "Linear" | "Affine" => {
            let weight = numbers(group, "weight")?;
            ensure!(weight.shape.len() == 2, "weight is {}, out x in is wanted", extents(&weight.shape));
            let bias = if kind == "Affine" { Some(bias(group, weight.shape[0])?) } else { None };
            Node::Linear { weight, bias }
        }
        "Scale" => Node::Scale(numbers(group, "scale")?),
        "IF" | "LIF" => cells(group, kind == "LIF")?,
        "AvgPool2d" | "SumPool2d" => {
            let pad = pair(group, "padding")?;
            ensure!(pad == [0, 0], "padding {}; Caltrop's pools have none", extents(&pad));
            let pool = if kind == "AvgPool2d" { Pool::Average } else { Pool::Sum };
            Node::Pool { pool, kernel: pair(group, "kernel_size")?, stride: pair(group, "stride")? }
        }
        "Flatten" => {
            let [start, end] = [whole(group, "start_dim")?, whole(group, "end_dim")?];
            let input = if has(group, "input_type") { sizes(group, "input_type")? } else { Vec::new() };
            // Some count the batch as dimension 0.
            let last = end == -1 || end + 1 == input.len() as i64;
            ensure!(matches!(start, 0 | 1) && last, "it flattens dimensions {start} to {end}; Caltrop flattens all of them (0 to -1)");
            Node::Flatten { input }
        }
        "NIRGraph" => return Err(fail!("a graph within the graph; put its nodes beside the others")),
        other => {
            return Err(fail!(
                "a {other}, which Caltrop has not; it reads Input, Output, Conv2d, Linear, Affine, Scale, IF, LIF, AvgPool2d, SumPool2d, Flatten"
            ));
        }
    })
}

fn conv(group: &Group) -> Result<Node> {
    let weight = numbers(group, "weight")?;
    ensure!(weight.shape.len() == 4, "weight is {}, C_out x C_in x height x width is wanted", extents(&weight.shape));
    let stride = pair(group, "stride")?;
    let (groups, dilation) = (whole(group, "groups")?, pair(group, "dilation")?);
    ensure!(groups == 1 && dilation == [1, 1], "groups {groups} and dilation {}; Caltrop's convolutions have 1 and 1", extents(&dilation));
    let kernel = [weight.shape[2], weight.shape[3]];
    let pad = match field(group, "padding")?.read_string() {
        Err(_) => pair(group, "padding")?,
        Ok(word) if word == ["valid"] => [0, 0],
        Ok(word) if word == ["same"] && stride == [1, 1] && kernel.iter().all(|side| side % 2 == 1) => kernel.map(|side| side / 2),
        Ok(word) => return Err(fail!("padding \"{}\" of a kernel {}, stride {}", word.join(" "), extents(&kernel), extents(&stride))),
    };
    let input = if has(group, "input_shape") { Some(pair(group, "input_shape")?) } else { None };
    let bias = bias(group, weight.shape[0])?;
    Ok(Node::Conv { weight, bias, stride, pad, input })
}

fn bias(group: &Group, outputs: usize) -> Result<Vec<f32>> {
    let bias = numbers(group, "bias")?;
    ensure!(bias.shape == [outputs], "bias is {}, weight has {outputs} outputs", extents(&bias.shape));
    Ok(bias.values)
}

fn cells(group: &Group, leaky: bool) -> Result<Node> {
    let (shape, v_threshold) = alike(group, "v_threshold")?;
    let same = |name: &str| {
        let (found, value) = alike(group, name)?;
        ensure!(found == shape, "{name} is {}, v_threshold {}", extents(&found), extents(&shape));
        Ok(value)
    };
    let r = same("r")?;
    let leaky = if leaky { Some(Leaky { tau: same("tau")?, v_leak: same("v_leak")? }) } else { None };
    // Files of older versions have no reset potential: it is 0.
    let v_reset = if has(group, "v_reset") { same("v_reset")? } else { 0.0 };
    let said = match group.group("metadata") {
        Ok(metadata) if has(&metadata, V_TH) => word(&metadata, V_TH)?.parse().ok(),
        _ => None,
    };
    Ok(Node::Cells(Cells { shape, r, leaky, v_threshold, v_reset, said }))
}

fn has(group: &Group, name: &str) -> bool {
    group.dataset(name).is_ok()
}

fn field(group: &Group, name: &str) -> Result<Dataset> {
    group.dataset(name).map_err(|cause| fail!("{name} is missing or cannot be read ({cause})"))
}

/// The extents of a field, if they multiply to at most `most`.
fn shape(dataset: &Dataset, name: &str, most: u64) -> Result<Vec<usize>> {
    let shape = dataset.shape().map_err(|cause| fail!("{name}: {cause}"))?;
    let count = shape.iter().try_fold(1u64, |count, &extent| count.checked_mul(extent)).unwrap_or(u64::MAX);
    ensure!(count <= most, "{name} has {count} elements, at most {most} are read");
    let size = dataset.element_size().map_err(|cause| fail!("{name}: {cause}"))?;
    ensure!(size <= MOST_WIDTH, "{name} has elements of {size} bytes, at most {MOST_WIDTH} are read");
    Ok(shape.into_iter().map(|extent| extent as usize).collect())
}

/// No number takes more bytes, and no name of a fixed length.
const MOST_WIDTH: u64 = 4096;

/// One string.
fn word(group: &Group, name: &str) -> Result<String> {
    let dataset = field(group, name)?;
    shape(&dataset, name, 1)?;
    let words = dataset.read_string().map_err(|cause| fail!("{name}: {cause}"))?;
    words.into_iter().next().ok_or_else(|| fail!("{name} is empty"))
}

fn numbers(group: &Group, name: &str) -> Result<Numbers> {
    let dataset = field(group, name)?;
    let shape = shape(&dataset, name, MOST_NUMBERS)?;
    let values = dataset.read_f32().map_err(|cause| fail!("{name}: {cause}"))?;
    ensure!(values.len() == shape.iter().product::<usize>(), "{name}: {} numbers for {}", values.len(), extents(&shape));
    ensure!(!values.is_empty(), "{name} is {}, which holds no number", extents(&shape));
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        return Err(fail!("{name}: element {at} is {}", values[at]));
    }
    Ok(Numbers { shape, values })
}

/// The one value of an array.
fn alike(group: &Group, name: &str) -> Result<(Vec<usize>, f64)> {
    let dataset = field(group, name)?;
    let shape = shape(&dataset, name, MOST_NUMBERS)?;
    let values = dataset.read_f64().map_err(|cause| fail!("{name}: {cause}"))?;
    let first = *values.first().ok_or_else(|| fail!("{name} is {}, which holds no number", extents(&shape)))?;
    ensure!(first.is_finite(), "{name}: element 0 is {first}");
    match values.iter().position(|&value| value != first) {
        Some(at) => Err(fail!("{name}: element 0 is {first}, element {at} is {}; the neurons of a layer are alike in Caltrop", values[at])),
        None => Ok((shape, first)),
    }
}

fn integer_list(group: &Group, name: &str) -> Result<Vec<i64>> {
    let dataset = field(group, name)?;
    shape(&dataset, name, MOST_DIMENSIONS)?;
    let numbers = dataset.read_f64().map_err(|cause| fail!("{name}: {cause}"))?;
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    match numbers.iter().find(|number| !(number.fract() == 0.0 && number.abs() <= EXACT)) {
        Some(number) => Err(fail!("{name} is {number}; a whole number is wanted")),
        None => Ok(numbers.into_iter().map(|number| number as i64).collect()),
    }
}

/// No signal has more dimensions.
const MOST_DIMENSIONS: u64 = 8;

fn whole(group: &Group, name: &str) -> Result<i64> {
    integer_list(group, name)?.first().copied().ok_or_else(|| fail!("{name} is empty"))
}

fn sizes(group: &Group, name: &str) -> Result<Vec<usize>> {
    let values = integer_list(group, name)?;
    let size = |&value: &i64| usize::try_from(value).map_err(|_| fail!("{name} is {values:?}; it cannot be negative"));
    values.iter().map(size).collect()
}

/// Down and right; one number stands for both.
fn pair(group: &Group, name: &str) -> Result<[usize; 2]> {
    match sizes(group, name)?[..] {
        [both] => Ok([both, both]),
        [down, right] => Ok([down, right]),
        ref other => Err(fail!("{name} has {} numbers, two are wanted", other.len())),
    }
}
