use super::*;
use crate::base::rng::{Philox, Purpose};
use crate::record::{Curve, Epoch, Event, Firing, Gallery, GalleryItem, Layer, Member, Phase, Start};

const MEMBERS: [&str; 19] = [
    "PCW 1",
    "PCW 2",
    "PCW 3",
    "PCW 0.5",
    "PCW 0.25",
    "EXP-D 0.5",
    "EXP-D 1",
    "EXP-D 2",
    "EXP 0.5",
    "EXP 1",
    "EXP 2",
    "RECT 0.25",
    "RECT 0.5",
    "RECT 1",
    "RECT 2",
    "RECT 4",
    "STE",
    "BPTR",
    "Act",
];

/// A made-up run of both tracks, with numbers as the demo has them.
fn events() -> Vec<Event> {
    let text = String::from;
    let mut events = vec![Event::Start(Start {
        version: text("0.1.0 (1a2b3c4)"),
        recipe: text("fashion-mnist-7k"),
        dataset: text("fashion-mnist-7k"),
        network: text("vgg:16,A,32,A,64/256"),
        device: text("cpu (AVX-512)"),
        threads: 2,
        seed: 0,
        steps: 8,
        eps: 16.0,
        ..Start::default()
    })];
    for (track, gain) in [("robust", 0.0), ("natural", 6.0)] {
        for (stage, epochs) in [("ann", 6), ("snn", 3)] {
            for epoch in 0..epochs {
                let late = if stage == "snn" { 6.0 + epoch as f64 } else { epoch as f64 };
                let cents = |value: f64| (value * 100.0).round() / 100.0;
                let train_acc = cents(89.0 + gain - 30.0 * (-0.6 * late).exp() - if stage == "snn" { 2.0 } else { 0.0 });
                events.push(Event::Epoch(Epoch {
                    track: text(track),
                    stage: text(stage),
                    epoch,
                    loss: cents(if track == "robust" { 0.62 + 1.1 * (-0.7 * late).exp() } else { 0.2 + 0.7 * (-0.7 * late).exp() }),
                    train_acc: Some(train_acc),
                    adv_acc: (track == "robust").then_some(cents(train_acc - 14.0)),
                    val_clean: Some(84.0),
                    val_robust: Some(30.0),
                    images: [("train_acc", 5880), ("adv_acc", 5880), ("val_clean", 1000), ("val_robust", 60)]
                        .map(|(name, images)| (text(name), images))
                        .into(),
                    lr: 0.05,
                    images_per_s: 2000.0,
                    thresholds: if stage == "snn" { vec![0.832, 0.840, 0.567, 0.332] } else { Vec::new() },
                    ..Epoch::default()
                }));
            }
        }
        let prefix = if track == "natural" { "natural." } else { "" };
        let (results, curve) = match track {
            "robust" => ([86.8, 70.8, 84.5, 70.2, 63.2], [84.8, 82.0, 80.4, 74.8, 66.0, 55.2]),
            _ => ([88.9, 29.3, 87.9, 35.0, 21.6], [88.0, 80.4, 70.0, 48.4, 25.2, 11.6]),
        };
        let keys = ["ann.clean", "ann.pgd20", "snn.clean", "snn.ensemble_fgsm", "snn.ensemble_pgd20"];
        for ((key, percent), images) in keys.into_iter().zip(results).zip([1000, 1000, 1000, 500, 125]) {
            events.push(Event::Result { key: format!("{prefix}{key}"), percent, images });
            if key.contains("ensemble") {
                for (at, name) in MEMBERS.iter().enumerate() {
                    let above = 2.0 + (at * 7 % 11) as f64 * if track == "robust" { 0.8 } else { 3.5 };
                    let accuracy = ((percent + above) * 10.0).round() / 10.0;
                    events.push(Event::Member {
                        key: format!("{prefix}{key}"),
                        member: Member { name: text(name), accuracy, images, ci95: None },
                    });
                }
            }
        }
        let points = [0.0, 2.0, 4.0, 8.0, 16.0, 24.0].into_iter().zip(curve).map(|(eps, acc)| [eps, acc]).collect();
        events.push(Event::Curve(Curve {
            track: text(track),
            attack: text("PGD-10"),
            network: text("snn"),
            images: 250,
            points,
            intervals: Vec::new(),
        }));
        let layers = [("conv1", 0.31, 0.55), ("conv2", 0.21, 0.59), ("conv3", 0.13, 0.68), ("hidden", 0.08, 0.89)];
        let layers =
            layers.map(|(name, rate, silent)| Layer { name: text(name), rate: if track == "robust" { rate } else { rate / 2.0 }, silent });
        events.push(Event::Firing(Firing { track: text(track), layers: layers.to_vec() }));
        for (name, seconds, images_per_s) in [
            ("ann-train", 25.3, 1423.0),
            ("ann-pgd20", 1.8, 555.0),
            ("calibrate", 12.4, 57.0),
            ("snn-finetune", 61.0, 294.2),
            ("snn-infer", 0.31, 3225.0),
            ("snn-ensemble-fgsm", 9.4, 53.2),
            ("snn-ensemble-pgd20", 41.2, 3.03),
        ] {
            events.push(Event::Phase(Phase { name: format!("{prefix}{name}"), seconds, images_per_s }));
        }
        events.push(Event::Gallery(gallery(track)));
    }
    events.push(Event::Finish { seconds: 331.8 });
    events
}

/// Six rings of growing size, with noise as the attack.
fn gallery(track: &str) -> Gallery {
    const NAMES: [&str; 6] = ["T-shirt/top", "Pullover", "Trouser", "Bag", "Shirt", "Ankle boot"];
    let items = (0..6).map(|id| {
        let clean: Vec<u8> = (0..28 * 28).map(|at| ring(at % 28, at / 28, 3.0 + id as f32)).collect();
        let noise = Philox::stream(9, Purpose::Test, &[id as u64]);
        let moved = |(at, p): (usize, &u8)| p.saturating_add_signed(if noise.below(at as u64, 2) == 0 { 16 } else { -16 });
        let adversarial = clean.iter().enumerate().map(moved).collect();
        let fooled = if track == "robust" { id == 4 } else { id != 2 };
        let predicted_adversarial = NAMES[if fooled { (id + 2) % 6 } else { id }].to_string();
        let [label_name, predicted_clean] = [NAMES[id].to_string(), NAMES[id].to_string()];
        GalleryItem { label: id, label_name, clean, adversarial, predicted_clean, predicted_adversarial, track: track.to_string() }
    });
    Gallery { height: 28, width: 28, channels: 1, items: items.collect() }
}

/// Brightness at (x, y) of a soft ring around the middle.
fn ring(x: usize, y: usize, radius: f32) -> u8 {
    let off = (x as f32 - 13.5).hypot(y as f32 - 13.5) - radius;
    (255.0 * (1.0 - off.abs() / 4.0).max(0.0)) as u8
}

/// A folder of its own; `CALTROP_KEEP` names one that is kept, to look at.
fn folder(name: &str) -> PathBuf {
    let keep = std::env::var_os("CALTROP_KEEP").map(PathBuf::from);
    keep.unwrap_or_else(|| std::env::temp_dir().join(format!("caltrop-{}", std::process::id()))).join(name)
}

fn remove(dir: &Path) {
    if std::env::var_os("CALTROP_KEEP").is_none() {
        std::fs::remove_dir_all(dir).unwrap();
    }
}

#[test]
fn a_whole_run_gives_every_file_and_a_page_that_asks_for_nothing() {
    let dir = folder("whole");
    let report = Report::from_events(&events()).unwrap();
    let written = write(&report, &dir).unwrap();
    let names: Vec<_> = written.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["report.json", "report.html", "curves.png", "eps.png", "ensemble.png", "firing.png", "gallery.png"]);
    assert!(Report::read(&written[0]).unwrap() == report, "report.json says something else");
    let json = std::fs::read_to_string(&written[0]).unwrap();
    assert!(
        json.contains("\n    \"ann.clean\": 86.8,\n") && json.contains("\n    {\"name\": \"ann-train\", \"seconds\": 25.3, "),
        "{}",
        &json[..600]
    );
    let page = std::fs::read_to_string(&written[1]).unwrap();
    for word in
        ["63.2\u{a0}%", "21.6\u{a0}%", "✗", "RECT 0.25", "Ankle boot", "snn-ensemble-pgd20", "prefers-color-scheme", "5\u{a0}min 32\u{a0}s"]
    {
        assert!(page.contains(word), "the page lacks \"{word}\"");
    }
    // Wilson's bounds of 63.2 % of 125 and of 70.2 % of 500, on the page and in the words.
    for bounds in ["54.5\u{2013}71.1\u{a0}%", "66.0\u{2013}74.0\u{a0}%", "95\u{a0}% intervals 54.5"] {
        assert!(page.contains(bounds), "the page lacks {bounds}");
    }
    assert!(page.contains("<polygon ") && page.contains("250 images"), "no band around the curves");
    // Of 84 % of 1000 and of 30 % of 60 held-out images, whose numbers stand below the chart too.
    for words in ["81.6\u{2013}86.1\u{a0}%", "19.9\u{2013}42.5\u{a0}%", "epoch (1\u{202f}000 images, 60 of them attacked)"] {
        assert!(page.contains(words), "the page lacks {words}");
    }
    assert_eq!(report.epochs[0].intervals["val_clean"], crate::record::wilson(84.0, 1000).unwrap());
    assert!(!page.contains("http") && !page.contains("url(") && !page.contains("NaN"), "the page must stand alone");
    assert_eq!(page.matches("<img ").count(), page.matches(" alt=\"").count());
    assert_eq!(page.matches("<section>").count(), page.matches("</section>").count());
    for path in &written[2..] {
        let picture = image::open(path).unwrap().to_rgb8();
        assert!(picture.width() > 400 && picture.pixels().any(|p| p.0 != [255; 3]), "{} is empty", path.display());
    }
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 7, "something was left beside the report");
    remove(&dir);
}

#[test]
fn whatever_is_missing_is_left_out() {
    let all = events();
    for (name, keep) in [("bare", 1), ("train", 7)] {
        let dir = folder(name);
        let report = Report::from_events(&all[..keep]).unwrap();
        let written = write(&report, &dir).unwrap();
        assert_eq!(written.len(), if keep == 1 { 2 } else { 3 });
        let page = std::fs::read_to_string(&written[1]).unwrap();
        assert!(!page.contains("natural network") && !page.contains("<h2>Results") && !page.contains("NaN"));
        remove(&dir);
    }
    let robust: Vec<Event> = all[..all.len() / 2].to_vec();
    let page = page::write(&Report::from_events(&robust).unwrap()).unwrap();
    assert!(page.contains("63.2\u{a0}% of images withstand the attack") && !page.contains("Natural network"));
}

#[test]
fn numbers_that_are_none_and_words_that_are_markup_do_no_harm() {
    let dir = folder("odd");
    let mut report = Report::from_events(&events()).unwrap();
    report.start.recipe = "<script>alert(\"x\")</script>".into();
    report.epochs[2].loss = f64::NAN;
    report.curves[0].points[1][1] = f64::NAN;
    report.results.insert("snn.clean".into(), f64::NAN);
    report.phases[0].images_per_s = f64::INFINITY;
    let written = write(&report, &dir).unwrap();
    let page = std::fs::read_to_string(&written[1]).unwrap();
    assert!(!page.contains("<script>") && !page.contains("NaN") && !page.contains(">inf"), "markup or no number in the page");
    assert!(Report::read(&written[0]).unwrap().results["snn.clean"].is_nan());
    remove(&dir);
}

#[test]
fn what_cannot_be_written_is_one_line_and_leaves_nothing() {
    let mut report = Report::from_events(&events()).unwrap();
    let blocked = folder("blocked");
    std::fs::create_dir_all(blocked.parent().unwrap()).unwrap();
    std::fs::write(&blocked, b"a file").unwrap();
    let text = write(&report, &blocked).unwrap_err().to_string();
    assert!(text.starts_with("cannot create the folder") && !text.contains('\n'), "{text}");
    std::fs::remove_file(&blocked).unwrap();
    report.gallery.as_mut().unwrap().items[0].clean.pop();
    assert!(write(&report, &blocked).unwrap_err().to_string().contains("a picture has 783 values, 28x28x1 wants 784"));
    assert!(!blocked.exists());
}

#[test]
fn several_seeds_make_a_page_of_means_that_links_to_each() {
    let dir = folder("seeds");
    let moved = |event: Event, seed: u64| match event {
        Event::Start(start) => Event::Start(Start { seed, ..start }),
        Event::Result { key, percent, images } => {
            Event::Result { percent: ((percent + 0.8 * (seed % 5) as f64) * 10.0).round() / 10.0, key, images }
        }
        Event::Finish { .. } => Event::Finish { seconds: 300.5 },
        other => other,
    };
    let run = |seed| Report::from_events(&events().into_iter().map(|event| moved(event, seed)).collect::<Vec<_>>()).unwrap();
    let summary = Summary::of(&[run(0), run(1), run(17)]).unwrap();
    let written = write_summary(&summary, &dir).unwrap();
    let names: Vec<_> = written.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["report.json", "report.html", "seeds.png"]);
    let json = std::fs::read_to_string(&written[0]).unwrap();
    assert_eq!(serde_json::from_str::<Summary>(&json).unwrap(), summary);
    let page = std::fs::read_to_string(&written[1]).unwrap();
    // 63.2, 64.0 and 64.8: 64.0 ± 0.8.
    for word in ["64.0\u{a0}±\u{a0}0.8\u{a0}%", "seed-17/report.html", "54.5\u{2013}71.1\u{a0}%", "natural 22.4", "125 images"] {
        assert!(page.contains(word), "the page lacks \"{word}\"");
    }
    assert!(!page.contains("http") && !page.contains("url(") && !page.contains("NaN"), "the page must stand alone");
    assert_eq!(page.matches("<section>").count(), page.matches("</section>").count());
    assert!(image::open(&written[2]).unwrap().to_rgb8().pixels().any(|p| p.0 != [255; 3]));
    let one = Summary::of(&[run(0)]).unwrap();
    assert!(!seeds::page(&one).unwrap().contains("±\u{a0}"), "one seed has no deviation");
    remove(&dir);
}
