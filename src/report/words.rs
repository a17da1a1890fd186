//! The report in words: names of results, numbers, and the story in a few sentences.

use crate::record::{Report, strength};

/// `63.2 %`, held together by a space that does not break.
pub(super) fn percent(value: f64) -> String {
    if value.is_finite() { format!("{value:.1}\u{a0}%") } else { "none".to_string() }
}

/// The bounds of an interval: `81.6–86.1 %`.
pub(super) fn range([low, high]: [f64; 2]) -> String {
    format!("{low:.1}\u{2013}{high:.1}\u{a0}%")
}

/// Seconds for people, each number tied to its unit: `0.84 s`, `12.3 s`, `4 min 12 s`, `2 h 05 min`.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        s if !s.is_finite() || s < 0.0 => "unknown".to_string(),
        s if s < 9.995 => format!("{s:.2}\u{a0}s"),
        s if s < 119.5 => format!("{s:.0}\u{a0}s"),
        s if s < 7199.5 => format!("{}\u{a0}min {:02}\u{a0}s", (s.round() as u64) / 60, (s.round() as u64) % 60),
        s => format!("{}\u{a0}h {:02}\u{a0}min", (s / 60.0).round() as u64 / 60, (s / 60.0).round() as u64 % 60),
    }
}

/// A count with thin spaces between thousands.
pub(super) fn count(value: f64) -> String {
    if !value.is_finite() {
        return "unknown".to_string();
    }
    let digits = if value < 99.95 { format!("{value:.1}") } else { format!("{value:.0}") };
    let whole = digits.split('.').next().map_or(0, str::len);
    let spaced = digits
        .chars()
        .enumerate()
        .map(|(at, c)| if at > 0 && at < whole && (whole - at).is_multiple_of(3) { format!("\u{202f}{c}") } else { c.to_string() });
    spaced.collect()
}

/// An attack as people write it: `pgd20` is PGD-20, `apgd_ce` APGD-CE.
fn attack_name(attack: &str) -> String {
    let mut name = String::new();
    for c in attack.chars() {
        if c.is_ascii_digit() && name.ends_with(|last: char| last.is_ascii_alphabetic()) {
            name.push('-');
        }
        name.push(if c == '_' { '-' } else { c.to_ascii_uppercase() });
    }
    name
}

/// Whether a result is AutoAttack's.
pub(super) fn is_autoattack(key: &str) -> bool {
    key.ends_with(".autoattack")
}

/// The attack of a result key, `None` for clean images: `snn.ensemble_pgd20` is "the PGD-20 ensemble".
fn attack_of(key: &str) -> Option<String> {
    match key.split_once('.').map_or(key, |(_, attack)| attack) {
        "clean" => None,
        _ if is_autoattack(key) => Some("AutoAttack".to_string()),
        attack => Some(match attack.strip_prefix("ensemble_") {
            Some(member) => format!("the {} ensemble", attack_name(member)),
            None => attack_name(attack),
        }),
    }
}

/// A result key (without track) as a row's name: `Spiking network under the PGD-20 ensemble`.
pub(super) fn result_name(key: &str) -> String {
    let network = match key.split_once('.') {
        Some(("snn", _)) => "Spiking network",
        Some(("ann", _)) => "ReLU network",
        _ => return key.to_string(),
    };
    match attack_of(key) {
        None => format!("{network}, clean images"),
        Some(attack) => format!("{network} under {attack}"),
    }
}

/// The keys of all results, without track, in order.
pub(super) fn result_keys(report: &Report) -> Vec<&str> {
    let mut keys: Vec<&str> = report.results.keys().map(|key| key.strip_prefix("natural.").unwrap_or(key)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// How many images `key` was measured on, in either track.
pub(super) fn image_count(report: &Report, key: &str) -> Option<usize> {
    report.images.get(key).or_else(|| report.images.get(&format!("natural.{key}"))).copied()
}

/// How many members the ensemble behind `key` has.
pub(super) fn member_count(report: &Report, key: &str) -> Option<usize> {
    [key, &format!("natural.{key}")].into_iter().filter_map(|key| report.ensemble.get(key)).map(Vec::len).max().filter(|&n| n > 0)
}

/// The result that says most: the hardest attack on the last network.
pub(super) fn hardest(report: &Report) -> Option<&str> {
    hardest_key(&result_keys(report))
}

/// The same of these keys (without track).
pub(super) fn hardest_key<'a>(keys: &[&'a str]) -> Option<&'a str> {
    let rank = |key: &&str| (key.starts_with("snn."), strength(key.split_once('.').map_or(key, |(_, attack)| attack)));
    keys.iter().copied().filter(|key| attack_of(key).is_some()).max_by_key(rank)
}

/// The clean result of the last network.
pub(super) fn clean(report: &Report) -> Option<&str> {
    clean_key(&result_keys(report))
}

/// The same of these keys (without track).
pub(super) fn clean_key<'a>(keys: &[&'a str]) -> Option<&'a str> {
    ["snn.clean", "ann.clean"].into_iter().find(|key| keys.contains(key))
}

/// The page's headline.
pub(super) fn headline(report: &Report) -> String {
    let of = |track, key: Option<&str>| key.and_then(|key| report.result(track, key)).filter(|v| v.is_finite());
    let clean = of("robust", clean(report)).or(of("natural", clean(report)));
    match (of("robust", hardest(report)), of("natural", hardest(report)), clean) {
        (Some(robust), Some(natural), _) => {
            format!("{} of images withstand the attack, {} without robust training", percent(robust), percent(natural))
        }
        (Some(robust), None, _) => format!("{} of images withstand the attack", percent(robust)),
        (None, Some(natural), _) => format!("{} of images withstand the attack, without robust training", percent(natural)),
        (None, None, Some(clean)) => format!("{} of images are recognised", percent(clean)),
        (None, None, None) => "A run and how it went".to_string(),
    }
}

/// What stands below the headline: how sure its numbers are.
pub(super) fn sureness(report: &Report) -> Option<String> {
    let key = hardest(report).or(clean(report))?;
    let bounds: Vec<String> = ["robust", "natural"].into_iter().filter_map(|track| report.interval(track, key)).map(range).collect();
    let images = image_count(report, key).filter(|_| !bounds.is_empty())?;
    let plural = if bounds.len() == 1 { "" } else { "s" };
    Some(format!("95\u{a0}% interval{plural} {}, on {} test images", bounds.join(" and "), count_whole(images)))
}

/// What was done and what came out, a paragraph a string.
pub(super) fn story(report: &Report) -> Vec<String> {
    let spiking = report.epochs.iter().any(|e| e.stage == "snn") || report.results.keys().any(|key| key.contains("snn."));
    let compared = report.has_track("robust") && report.has_track("natural");
    let mut told = Vec::new();

    let network = if report.start.network.is_empty() { "A network".to_string() } else { format!("The network {}", report.start.network) };
    let images = if report.start.dataset.is_empty() { String::new() } else { format!(" on {}", report.start.dataset) };
    let mut done = match (report.has_track("robust"), spiking) {
        (true, true) => format!(
            "{network} was trained{images} with images made to fool it, converted into a spiking network of {} time steps, and finetuned as such, again under attack.",
            report.start.steps
        ),
        (true, false) => format!("{network} was trained{images}."),
        (false, true) => format!(
            "{network} was trained{images}, converted into a spiking network of {} time steps, and finetuned as such.",
            report.start.steps
        ),
        (false, false) => format!("{network} was trained{images}."),
    };
    if compared {
        done += " The natural network beside it went the same way and never met an attack.";
    }
    told.push(done);

    let sure = |track: &str, key: &str| {
        let value = report.result(track, key)?;
        Some(report.interval(track, key).map_or(percent(value), |bounds| format!("{} ({})", percent(value), range(bounds))))
    };
    let both = |key: &str| match (sure("robust", key), sure("natural", key)) {
        (Some(robust), natural) => Some((robust, natural)),
        (None, Some(only)) => Some((only, None)),
        (None, None) => None,
    };
    let on = |key: &str| image_count(report, key).map_or("the test images".to_string(), |n| format!("{} test images", count_whole(n)));
    let mut outcome = Vec::new();
    if let Some((key, (robust, natural))) = clean(report).and_then(|key| Some((key, both(key)?))) {
        outcome.push(match natural {
            Some(natural) => format!("Of {} as they are, the robust network recognises {robust}, the natural one {natural}.", on(key)),
            None => format!("Of {} as they are, the network recognises {robust}.", on(key)),
        });
    }
    if let Some((key, (robust, natural))) = hardest(report).and_then(|key| Some((key, both(key)?))) {
        let attack = attack_of(key).unwrap_or_default();
        let how = match member_count(report, key) {
            Some(n) if is_autoattack(key) => format!("{attack}, {n} attacks of which an image has to withstand every one"),
            Some(n) => format!("{attack}, the same attack with {n} different gradients of which an image has to withstand every one"),
            None => attack,
        };
        let survivors = match natural {
            Some(natural) => format!("the robust network still recognises {robust} and the natural one {natural}"),
            None => format!("{robust} are still recognised"),
        };
        outcome.push(format!("When {how}, may change each pixel by up to {}/255, {survivors} (of {}).", report.start.eps, on(key)));
    }
    if let (true, Some(key)) = (compared, clean(report)) {
        let price = report.result("natural", key).zip(report.result("robust", key)).map(|(natural, robust)| natural - robust);
        if let Some(price) = price.filter(|price| *price >= 0.05) {
            outcome.push(format!("The price of robustness is {price:.1} points of clean accuracy."));
        }
    }
    if !outcome.is_empty() {
        told.push(outcome.join(" "));
    }
    told
}

/// A whole number with thin spaces between thousands.
pub(super) fn count_whole(n: usize) -> String {
    if n < 100 { n.to_string() } else { count(n as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_read_well() {
        assert_eq!(result_name("snn.ensemble_pgd20"), "Spiking network under the PGD-20 ensemble");
        assert_eq!(result_name("ann.clean"), "ReLU network, clean images");
        assert_eq!(result_name("ann.apgd_ce"), "ReLU network under APGD-CE");
        assert_eq!(result_name("snn.autoattack"), "Spiking network under AutoAttack");
        assert_eq!(hardest_key(&["snn.pgd20", "snn.autoattack", "snn.clean"]), Some("snn.autoattack"));
        for (ensemble, says_more) in [("fgsm", false), ("rfgsm", false), ("pgd20", true), ("apgd_ce50", true)] {
            let (ensemble, autoattack) = (format!("snn.ensemble_{ensemble}"), "snn.autoattack");
            let hardest = if says_more { ensemble.as_str() } else { autoattack };
            assert_eq!(hardest_key(&[autoattack, &ensemble, "ann.autoattack", "snn.pgd1000", "snn.noise"]), Some(hardest));
        }
        assert_eq!(result_name("other"), "other");
        assert_eq!([0.5, 75.9, 252.0, 7500.0].map(|s| duration(s).replace('\u{a0}', " ")), ["0.50 s", "76 s", "4 min 12 s", "2 h 05 min"]);
        assert_eq!((count(7.25), count(472.0), count(12345.6)), ("7.2".into(), "472".into(), "12\u{202f}346".into()));
    }
}
