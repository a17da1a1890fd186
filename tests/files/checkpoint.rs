//! What a checkpoint's metadata promises (docs/checkpoint.md): what is read back, what may be absent, what another version's says.

use caltrop::checkpoint::Meta;
use caltrop::nn::Spec;
use caltrop::ops::lif::Reset;
use std::collections::BTreeMap;

fn written() -> (Spec, Meta, BTreeMap<String, String>) {
    let spec = Spec {
        arch: "vgg:3,A/5".into(),
        classes: 3,
        input: [2, 4, 6],
        mean: vec![0.5, 0.25],
        std: vec![0.2, 0.1],
        bias: true,
        steps: 4,
        leak: 0.75,
        reset: Reset::Soft,
        dropout: 0.1,
    };
    let meta = Meta {
        dataset: Some("mnist".into()),
        recipe: Some("mine".into()),
        seed: 7,
        epoch: 3,
        validation: 0.02,
        raw_thresholds: vec![1.5, 0.1],
        scale: Some(0.3),
        metrics: [("clean".to_string(), 81.25)].into(),
    };
    let map = meta.to_map(&spec);
    (spec, meta, map)
}

#[test]
fn what_is_written_is_read_and_more_is_passed_over() {
    let (spec, meta, mut map) = written();
    map.insert("a key of next year".into(), "x".into());
    map.insert("version".into(), "9.9.9".into());
    assert_eq!(Meta::from_map(&map).unwrap(), (spec, meta));
}

/// docs/checkpoint.md: only these must be there.
#[test]
fn what_may_be_absent_has_a_value() {
    let (spec, _, mut map) = written();
    map.retain(|key, _| ["format", "arch", "classes", "input", "mean", "std", "bias", "steps"].contains(&key.as_str()));
    let (found, meta) = Meta::from_map(&map).unwrap();
    assert_eq!(found, Spec { leak: 1.0, reset: Reset::Hard, dropout: 0.0, ..spec });
    assert_eq!(meta, Meta::default());
    for key in map.clone().keys() {
        let mut less = map.clone();
        less.remove(key);
        assert!(Meta::from_map(&less).is_err(), "without {key}");
    }
}

#[test]
fn a_newer_format_is_told_with_both_versions_and_a_new_word_is_refused() {
    let (.., map) = written();
    let said = |key: &str, value: &str| {
        let mut map = map.clone();
        map.insert("version".into(), "3.1.0".into());
        map.insert(key.into(), value.into());
        Meta::from_map(&map).unwrap_err().to_string()
    };
    let newer = said("format", "caltrop-2");
    for word in ["caltrop-2", "caltrop-1", "use caltrop 3.1.0", env!("CARGO_PKG_VERSION")] {
        assert!(newer.contains(word) && !newer.contains('\n'), "{newer}");
    }
    assert!(said("format", "pt").contains("caltrop import"));
    assert!(said("reset", "none").contains("\"reset\" is \"none\""));
}
