//! `docs/records.md` names every field of every event, and no other.

use super::{
    Checks, Curve, Epoch, Event, Firing, Gallery, GalleryItem, Layer, Length, Member, Phase, Saved, Search, Start, Step, Support, Verdict,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One of each event, every field there. Fields are spelled out, so that a new one does not compile until it is here.
fn samples() -> Vec<Event> {
    let text = String::new;
    let parts = || BTreeMap::from([("ce".to_string(), 1.0)]);
    let start = Start {
        version: text(),
        recipe: text(),
        dataset: text(),
        network: text(),
        device: text(),
        precision: text(),
        threads: 1,
        train_images: 1,
        validation_images: 1,
        test_images: 1,
        fingerprint: text(),
        weights: text(),
        seed: 0,
        steps: 8,
        eps: 8.0,
    };
    let epoch = Epoch {
        track: text(),
        stage: text(),
        epoch: 0,
        loss: 1.0,
        loss_parts: parts(),
        train_acc: Some(1.0),
        adv_acc: Some(1.0),
        val_clean: Some(1.0),
        val_robust: Some(1.0),
        test_clean: Some(1.0),
        images: BTreeMap::from([("train_acc".to_string(), 1)]),
        intervals: BTreeMap::new(),
        seconds: Some(1.0),
        lr: 1.0,
        images_per_s: 1.0,
        layers: vec![text()],
        thresholds: vec![1.0],
        rates: vec![1.0],
        memory_bytes: Some(1),
    };
    let item = GalleryItem {
        label: 0,
        label_name: text(),
        clean: vec![0],
        adversarial: vec![0],
        predicted_clean: text(),
        predicted_adversarial: text(),
        track: text(),
    };
    let search = Search { survivors: 1, broken: 1 };
    let checks = Checks {
        images: 1,
        zero_gradients: 0.1,
        blind_images: 1,
        support: vec![Support { layer: text(), share: 0.1 }],
        ascent: vec![1.0],
        square: search,
        transfer: search,
        deterministic: true,
        probabilities: false,
        curve: vec![Length { iterations: 1, robust_acc: 1.0 }],
        verdicts: vec![Verdict { sound: true, text: text() }],
    };
    vec![
        Event::Start(start),
        Event::Epoch(epoch),
        Event::Step(Step { track: text(), stage: text(), epoch: 0, step: 1, loss: 1.0, loss_parts: parts(), lr: 1.0 }),
        Event::Phase(Phase { name: text(), seconds: 1.0, images_per_s: 1.0 }),
        Event::Result { key: text(), percent: 1.0, images: 1 },
        Event::Member { key: text(), member: Member { name: text(), accuracy: 1.0, images: 1, ci95: None } },
        Event::Curve(Curve { track: text(), attack: text(), network: text(), images: 1, points: vec![[8.0, 1.0]], intervals: Vec::new() }),
        Event::Firing(Firing { track: text(), layers: vec![Layer { name: text(), rate: 0.1, silent: 0.1 }] }),
        Event::Gallery(Gallery { height: 1, width: 1, channels: 1, items: vec![item] }),
        Event::Note { text: text() },
        Event::Finish { seconds: 1.0 },
        Event::Saved(Saved { track: text(), stage: text(), epoch: 0, step: 1, seconds: 1.0 }),
        Event::Checks { key: text(), checks },
    ]
}

/// Where an event stands in [`samples`]: an event that is new does not compile until it has a place.
fn place(event: &Event) -> usize {
    match event {
        Event::Start(_) => 0,
        Event::Epoch(_) => 1,
        Event::Step(_) => 2,
        Event::Phase(_) => 3,
        Event::Result { .. } => 4,
        Event::Member { .. } => 5,
        Event::Curve(_) => 6,
        Event::Firing(_) => 7,
        Event::Gallery(_) => 8,
        Event::Note { .. } => 9,
        Event::Finish { .. } => 10,
        Event::Saved(_) => 11,
        Event::Checks { .. } => 12,
    }
}

/// The fields of an object and of objects in its lists; what is keyed by names of the run's own (`loss_parts`) is one field.
fn fields(prefix: &str, value: &Value, found: &mut BTreeSet<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let name = format!("{prefix}{key}");
        if let Some(item) = value.as_array().and_then(|items| items.first()).filter(|item| item.is_object()) {
            fields(&format!("{name}."), item, found);
        }
        found.insert(name);
    }
}

#[test]
fn the_page_names_every_field_and_no_other() {
    let mut recorded = BTreeSet::new();
    for (at, event) in samples().iter().enumerate() {
        assert_eq!(place(event), at);
        let json = serde_json::to_value(event).unwrap();
        let mut names = BTreeSet::new();
        fields("", &json, &mut names);
        assert!(names.remove("event"));
        let event = json["event"].as_str().unwrap();
        recorded.extend(names.into_iter().chain([String::new()]).map(|name| (event.to_string(), name)));
    }
    let page = include_str!("../../docs/records.md");
    let table = page.lines().skip_while(|line| !line.starts_with("| event |")).skip(2).take_while(|line| line.starts_with('|'));
    let cell = |line: &str, at: usize| line.split('|').nth(at).unwrap().trim().trim_matches('`').to_string();
    let named: Vec<(String, String)> = table.map(|line| (cell(line, 1), cell(line, 2))).collect();
    let once: BTreeSet<(String, String)> = named.iter().cloned().collect();
    assert_eq!(once.len(), named.len(), "a field stands twice in the page");
    assert_eq!(once, recorded);
}
