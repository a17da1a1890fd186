use super::*;
use crate::record::{Contender, Curve, Epoch, Firing, Layer, Report, Start};
use crate::report::{MOST_COMPARED, write_comparison};
use std::collections::BTreeMap;

/// A made-up run, `at` telling it from others.
fn report(at: usize, seed: u64) -> Report {
    let shift = at as f64 + 0.3 * seed as f64;
    let epoch = |stage: &str, epoch: usize| Epoch {
        track: "robust".into(),
        stage: stage.into(),
        epoch,
        loss: 1.5 - 0.05 * shift - 0.2 * epoch as f64,
        adv_acc: Some(50.0 + shift + 4.0 * epoch as f64),
        images: BTreeMap::from([("adv_acc".into(), 5000)]),
        ..Epoch::default()
    };
    let results =
        BTreeMap::from([("snn.clean".into(), 70.0 + shift), ("snn.pgd20".into(), 40.0 + shift), ("natural.snn.clean".into(), 90.0)]);
    let layer = |name: &str, rate| Layer { name: name.into(), rate, silent: 0.4 };
    let points = [0.0, 8.0, 16.0].map(|eps| [eps, 70.0 + shift - 2.0 * eps]);
    Report {
        start: Start { recipe: "r".into(), dataset: "d".into(), steps: 8, eps: 16.0, seed, ..Start::default() },
        images: results.keys().map(|key: &String| (key.clone(), 200)).collect(),
        results,
        epochs: (0..3 + at % 3).map(|k| epoch("ann", k)).chain([epoch("snn", 0)]).collect(),
        curves: vec![Curve {
            track: "robust".into(),
            attack: "PGD-10".into(),
            network: "snn".into(),
            images: 200,
            points: points.to_vec(),
            intervals: points.map(|[_, y]| [y - 3.0, y + 3.0]).to_vec(),
        }],
        firing: vec![Firing { track: "robust".into(), layers: vec![layer("features.2", 0.3), layer("features.5", 0.1 + 0.01 * shift)] }],
        ..Report::default()
    }
}

fn compared(seeds: &[usize]) -> Comparison {
    let contender = |(at, &seeds): (usize, &usize)| Contender {
        name: format!("run <{at}> of a long name"),
        folder: format!("runs/{at}"),
        reports: (0..seeds as u64).map(|seed| report(at, seed)).collect(),
        settings: Some(vec![vec![("ann.lr".into(), format!("0.{at}"))]; seeds]),
    };
    Comparison::of("1", &seeds.iter().enumerate().map(contender).collect::<Vec<_>>())
}

#[test]
fn as_many_as_can_be_make_a_page_on_which_each_is_found_by_its_letter() {
    let comparison = compared(&[1; MOST_COMPARED]);
    let page = page(&comparison).unwrap();
    assert!(
        !page.contains("http") && !page.contains("url(") && !page.contains("NaN") && !page.contains("run <"),
        "the page must stand alone"
    );
    assert_eq!(page.matches("<section>").count(), page.matches("</section>").count());
    // Two panels of results, one of eps; accuracy and loss of two stages; rate and silence.
    let panels: Vec<&str> = page.split("<svg ").skip(1).map(|rest| rest.split("</svg>").next().unwrap()).collect();
    assert_eq!(panels.len(), 2 + 1 + 4 + 2);
    for at in 0..MOST_COMPARED {
        let (letter, class) = (letter(at), ink(at).name());
        for panel in &panels {
            assert!(
                panel.contains(&format!("font-weight=\"600\">{letter}</text>")) && panel.contains(&format!("<circle class=\"f-{class}\"")),
                "{letter}: {panel}"
            );
        }
    }
    // Twelve runs have twelve looks: colour and stroke.
    let looks: std::collections::BTreeSet<_> = (0..MOST_COMPARED).map(|at| (ink(at).name(), stroke(at) == Stroke::Solid)).collect();
    assert_eq!(looks.len(), MOST_COMPARED);
    assert!(!page.contains("<polygon"), "bands of twelve lines hide one another");
    let dir = std::env::temp_dir().join(format!("caltrop-compare-{}", std::process::id()));
    let written = write_comparison(&comparison, &dir).unwrap();
    let names: Vec<_> = written.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_string()).collect();
    assert_eq!(names, ["report.json", "report.html", "results.png", "curves.png", "eps.png", "firing.png"]);
    for path in &written[2..] {
        let picture = image::open(path).unwrap().to_rgb8();
        for (name, rgb) in RUNS {
            assert!(picture.pixels().any(|pixel| pixel.0 == rgb), "{}: nothing in the colour of {name}", path.display());
        }
    }
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn two_runs_have_bands_a_difference_and_their_settings() {
    let page = page(&compared(&[1, 3])).unwrap();
    // 41.3 ± 0.3 of seeds 0, 1, 2: shifts 1, 1.3 and 1.6.
    for words in [
        "41.3\u{a0}±\u{a0}0.3\u{a0}%",
        "B less A",
        "+1.3",
        "<polygon",
        "ann.lr",
        "<td>0.0</td><td>0.1</td>",
        "natural twin",
        "seeds 0, 1, 2",
    ] {
        assert!(page.contains(words), "the page lacks {words}");
    }
    // The natural twins' 90 % is in the table, in no line.
    let comparison = compared(&[1, 1]);
    assert!(comparison.results.iter().any(|row| row.key == "natural.snn.clean"));
    let drawn = comparison.training.iter().chain(&comparison.curves);
    assert!(drawn.flat_map(|chart| chart.lines.iter().flatten()).flat_map(|line| &line.points).all(|point| point[1] < 89.0));
}

#[test]
fn what_no_run_has_is_left_out() {
    let bare = |at: usize| Report {
        start: Start { recipe: "r".into(), seed: at as u64, ..Start::default() },
        unfinished: true,
        ..Report::default()
    };
    let contender = |at: usize| Contender { name: format!("r{at}"), folder: String::new(), reports: vec![bare(at)], settings: None };
    let comparison = Comparison::of("1", &[contender(0), contender(1)]);
    let page = page(&comparison).unwrap();
    assert!(!page.contains("<svg") && page.contains("not finished") && page.contains("<td>0</td><td>1</td>"), "{page}");
    assert!(sheets(&comparison).is_empty());
}

#[test]
fn letters_keep_their_distance_and_stay_within_the_frame() {
    let places = figures::apart(vec![10.0, 11.0, 11.0, 60.0, 99.0, 100.0], 10.0, [0.0, 100.0]);
    assert_eq!(places, [10.0, 20.0, 30.0, 60.0, 90.0, 100.0]);
    assert_eq!(figures::apart(vec![50.0], 10.0, [0.0, 100.0]), [50.0]);
}

/// Red, green and blue of a style sheet's `--name: #rrggbb`, in light and dark.
fn shades(name: &str) -> [[u8; 3]; 2] {
    let sheet = include_str!("../style.css");
    let hex = |text: &str| [0, 2, 4].map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap());
    let all: Vec<[u8; 3]> = sheet.split(&format!("--{name}: #")).skip(1).map(hex).collect();
    [all[0], all[1]]
}

fn linear(rgb: [u8; 3]) -> [f64; 3] {
    rgb.map(|byte| f64::from(byte) / 255.0).map(|c| if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) })
}

fn times(matrix: &[[f64; 3]; 3], [r, g, b]: [f64; 3]) -> [f64; 3] {
    matrix.map(|row| row[0] * r + row[1] * g + row[2] * b)
}

/// Contrast as WCAG 2 has it.
fn contrast(one: [u8; 3], other: [u8; 3]) -> f64 {
    let [one, other] = [one, other].map(linear).map(|[r, g, b]| 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05);
    one.max(other) / one.min(other)
}

/// CIE 1976 lightness, a and b under D65.
fn lab(light: [f64; 3]) -> [f64; 3] {
    const XYZ: [[f64; 3]; 3] = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]];
    let [x, y, z] = times(&XYZ, light.map(|c| c.clamp(0.0, 1.0)));
    let [x, y, z] = [x / 0.95047, y, z / 1.08883].map(|t| if t > 216.0 / 24389.0 { t.cbrt() } else { t * 841.0 / 108.0 + 4.0 / 29.0 });
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

/// Machado, Oliveira & Fernandes, IEEE TVCG 15 (2009) 1291: protanopia, deuteranopia and tritanopia, of linear light.
const SIGHTS: [[[f64; 3]; 3]; 4] = [
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
];

#[test]
fn the_colours_of_runs_stay_apart_in_every_sight_and_stand_out_on_both_papers() {
    let card = shades("card");
    for (paper, card) in card.into_iter().enumerate() {
        let colours: Vec<[u8; 3]> = RUNS.iter().map(|(name, _)| shades(name)[paper]).collect();
        for (at, &colour) in colours.iter().enumerate() {
            assert!(contrast(colour, card) >= 3.0, "{colour:x?} on {card:x?}: {}", contrast(colour, card));
            for (other, sight) in colours[..at].iter().flat_map(|other| SIGHTS.iter().map(move |sight| (other, sight))) {
                let [one, two] = [colour, *other].map(|rgb| lab(times(sight, linear(rgb))));
                let apart = one.iter().zip(two).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
                assert!(apart >= 20.0, "{colour:x?} and {other:x?}: {apart} in {sight:?}");
            }
        }
    }
    for (name, rgb) in RUNS {
        assert_eq!(shades(name)[0], rgb, "{name}: pictures and pages differ");
    }
}
