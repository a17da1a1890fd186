use super::graph::{Cells, Leaky, Numbers, Pool};
use super::*;
use hdf5::SIGNATURE;

fn cpu() -> Device {
    Device::cpu(Some(1)).expect("one thread")
}

fn spec() -> Spec {
    Spec {
        arch: "resnet8".into(),
        classes: 3,
        input: [1, 4, 4],
        mean: vec![0.5],
        std: vec![0.25],
        bias: true,
        steps: 2,
        leak: 0.5,
        reset: Reset::Hard,
        dropout: 0.0,
    }
}

fn exported() -> Graph {
    let model = zoo::build(&cpu(), spec(), 1).expect("a network");
    export::graph(&model, &Meta::default(), &DIALECTS[0]).expect("a graph")
}

/// What reading a graph says of it.
fn refusal(change: impl Fn(&mut Graph)) -> String {
    let mut graph = exported();
    change(&mut graph);
    let bytes = hdf5::write(&graph).expect("bytes");
    read(bytes, &Said::default(), &cpu()).map(|_| ()).expect_err("a refusal").to_string()
}

#[test]
fn a_graph_comes_back_to_the_bit() {
    let graph = exported();
    let bytes = hdf5::write(&graph).expect("bytes");
    assert_eq!(hdf5::write(&graph).expect("bytes"), bytes);
    let back = hdf5::read(bytes).expect("a graph");
    assert_eq!(back, graph);
    // The residual sum is two edges into one node, and nothing is left of the norms.
    let fed = back.inputs();
    assert_eq!(fed["features_3_act2_spikes"].len(), 2);
    assert!(back.nodes.keys().all(|name| !name.contains("bn")));
}

#[test]
fn the_threshold_is_the_last_number_that_does_not_fire() {
    for dialect in &DIALECTS {
        for (leak, v_th) in [(1.0, 1.0f32), (0.9, 0.7), (0.3, 0.031)] {
            let cells = dialect.cells(vec![4], leak, v_th);
            let back = dialect.dynamics(&cells).expect(dialect.name);
            assert_eq!(cells.said.unwrap_or((back.v_th / back.gain) as f32), v_th, "{}", dialect.name);
            assert!((back.leak - f64::from(leak)).abs() < 1e-7, "{}: {} for {leak}", dialect.name, back.leak);
        }
    }
    let Cells { v_threshold, .. } = DIALECTS[0].cells(vec![1], 1.0, 1.0);
    assert!(v_threshold < 1.0 && v_threshold as f32 == 1.0f32.next_down(), "NIR fires above its threshold, Caltrop at it");
}

fn cells(graph: &mut Graph, name: &str, change: impl Fn(&mut Cells)) {
    match graph.nodes.get_mut(name) {
        Some(Node::Cells(cells)) => change(cells),
        other => panic!("{name} is {other:?}"),
    }
}

fn weight(graph: &mut Graph, name: &str, change: impl Fn(&mut Numbers)) {
    match graph.nodes.get_mut(name) {
        Some(Node::Conv { weight, .. } | Node::Linear { weight, .. }) => change(weight),
        other => panic!("{name} is {other:?}"),
    }
}

/// One change of a graph.
type Change = fn(&mut Graph);

#[test]
fn what_does_not_fit_is_named_in_one_line() {
    let first = "features_2_spikes";
    let cases: [(&str, Change); 19] = [
        ("node classifier_1: weight: element 2 is NaN", |graph| weight(graph, "classifier_1", |weight| weight.values[2] = f32::NAN)),
        ("node features_0: bias is 3, weight has 16 outputs", |graph| {
            if let Some(Node::Conv { bias, .. }) = graph.nodes.get_mut("features_0") {
                bias.truncate(3);
            }
        }),
        ("node features_0, a Conv2d 16x1x3x3, stride 2x2, padding 1x1, stands where resnet8 has features.0", |graph| {
            if let Some(Node::Conv { stride, .. }) = graph.nodes.get_mut("features_0") {
                *stride = [2, 2];
            }
        }),
        ("edge features_0 -> nowhere: there is no node nowhere", |graph| graph.edges.push(("features_0".into(), "nowhere".into()))),
        ("given twice", |graph| graph.edges.push(graph.edges[0].clone())),
        ("node features_0: no edge leads to it", |graph| graph.edges.retain(|(_, to)| to != "features_0")),
        ("goes round in a circle", |graph| graph.edges.push(("features_2_spikes".into(), "features_0".into()))),
        ("every node but the Input needs one", |graph| {
            graph.nodes.retain(|name, _| name == "input");
            graph.nodes.insert("input".into(), Node::Output(vec![3]));
            graph.edges = vec![];
        }),
        ("several Output nodes", |graph| {
            graph.nodes.insert("again".into(), Node::Output(vec![3]));
            graph.edges.push(("classifier_1".into(), "again".into()));
        }),
        ("v_reset is 0.5; Caltrop's neurons are reset to 0", |graph| cells(graph, "features_2_spikes", |cells| cells.v_reset = 0.5)),
        ("v_leak is 0.25", |graph| {
            cells(graph, "features_2_spikes", |cells| cells.leaky = Some(Leaky { tau: 2.0, v_leak: 0.25 }));
        }),
        ("say whose time step is meant", |graph| {
            cells(graph, "features_2_spikes", |cells| cells.leaky = Some(Leaky { tau: 0.5, v_leak: 0.0 }));
        }),
        ("leak alike in Caltrop", |graph| {
            cells(graph, "features_3_act1_spikes", |cells| cells.leaky = Some(Leaky { tau: 4.0, v_leak: 0.0 }));
        }),
        ("v_threshold is -1; it must be positive", |graph| cells(graph, "features_2_spikes", |cells| cells.v_threshold = -1.0)),
        ("r is 0, so a membrane would gain 0 times", |graph| cells(graph, "features_2_spikes", |cells| cells.r = 0.0)),
        ("features_2_spikes, a LIF 2x8, stands where resnet8 has features.2 (neurons 16x4x4)", |graph| {
            cells(graph, "features_2_spikes", |cells| cells.shape = vec![2, 8]);
        }),
        ("behind node classifier_1, where resnet8 has the Output, no node has that as its whole input", |graph| {
            graph.nodes.insert("side".into(), Node::Pool { pool: Pool::Sum, kernel: [2, 2], stride: [2, 2] });
            graph.edges.push(("features_0".into(), "side".into()));
            graph.edges.push(("side".into(), "output".into()));
        }),
        ("classifier_1, a Linear 2x2, stands where resnet8 has classifier.1", |graph| {
            graph
                .nodes
                .insert("classifier_1".into(), Node::Linear { weight: Numbers { shape: vec![2, 2], values: vec![1.0; 4] }, bias: None });
        }),
        ("the checkpoint's \"steps\" is \"many\"", |graph| {
            graph.said.insert("steps".into(), "many".into());
        }),
    ];
    assert!(exported().nodes.contains_key(first));
    for (words, change) in cases {
        let said = refusal(change);
        assert!(said.contains(words) && !said.contains('\n'), "wanted: {words}\nsaid: {said}");
    }
}

#[test]
fn files_that_are_cut_or_changed_are_refused_or_read() {
    let bytes = hdf5::write(&exported()).expect("bytes");
    for (text, words) in [(&b"{\"a\": 1}"[..], "no HDF5 file"), (b"\x93NUMPY", "a NumPy array"), (SIGNATURE, "truncated or corrupt")] {
        let said = read(text.to_vec(), &Said::default(), &cpu()).map(|_| ()).expect_err("a refusal").to_string();
        assert!(said.contains(words), "{said}");
    }
    let said = read(bytes[..bytes.len() / 2].to_vec(), &Said::default(), &cpu()).map(|_| ()).expect_err("a refusal").to_string();
    assert!(said.contains(&format!("truncated: {} bytes of {}", bytes.len() / 2, bytes.len())), "{said}");
    // The numbers at the end of a file fill most of it; its structure is what matters.
    for cut in (0..bytes.len()).step_by(bytes.len() / 200) {
        assert!(hdf5::read(bytes[..cut].to_vec()).is_err(), "{cut} bytes of {}", bytes.len());
    }
    let mut state = 11u64;
    for _ in 0..400 {
        let mut changed = bytes.clone();
        for _ in 0..4 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let at = (state >> 33) as usize % bytes.len();
            changed[at] = (state >> 20) as u8;
        }
        // Either is right; a panic is not.
        let _ = super::read(changed, &super::Said::default(), &crate::device::Device::cpu(Some(1)).expect("a device"));
    }
}
