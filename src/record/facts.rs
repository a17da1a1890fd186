//! In what runs differ that are compared, and what is to be known of it.

use super::comparison::{Contender, Fact};
use super::schema::Start;

/// Whether two runs were tested on the same images, as far as their records tell. The fingerprint is of all images, so that it
/// speaks of the test images only where as many were held out.
pub(super) fn same_images(one: &Start, other: &Start) -> bool {
    let known = |a: usize, b: usize| a > 0 && b > 0;
    let parts = |start: &Start| [start.train_images, start.validation_images, start.test_images];
    one.dataset == other.dataset
        && (one.test_images == other.test_images || !known(one.test_images, other.test_images))
        && (one.fingerprint == other.fingerprint
            || one.fingerprint.is_empty()
            || other.fingerprint.is_empty()
            || parts(one) != parts(other))
}

/// What differs, and the circumstances that do not.
pub(super) fn facts(contenders: &[Contender]) -> (Vec<Fact>, Vec<Fact>) {
    let of = |key: &str, value: &dyn Fn(&Start) -> String| {
        let one = |contender: &Contender| {
            distinct(contender.reports.iter().map(|report| value(&report.start)).filter(|value| !value.is_empty()).collect())
        };
        Fact { key: key.to_string(), values: contenders.iter().map(one).collect() }
    };
    let count = |n: usize| if n == 0 { String::new() } else { n.to_string() };
    let mut all = vec![
        of("program version", &|start| start.version.clone()),
        of("device", &|start| start.device.clone()),
        of("precision", &|start| start.precision.clone()),
        of("threads", &|start| count(start.threads)),
        of("training images", &|start| count(start.train_images)),
        of("held-out images", &|start| if start.train_images == 0 { String::new() } else { start.validation_images.to_string() }),
        of("test images", &|start| count(start.test_images)),
        of("data fingerprint", &|start| start.fingerprint.clone()),
        of("first weights", &|start| start.weights.clone()),
    ];
    // What recipes tell too, and by which keys: of runs without one the record has to.
    let told = [
        ("name", of("recipe", &|start| start.recipe.clone())),
        ("dataset", of("data", &|start| start.dataset.clone())),
        ("arch", of("network", &|start| start.network.clone())),
        ("snn.steps", of("time steps", &|start| start.steps.to_string())),
        ("eval.eps", of("eps of the attacks at test", &|start| start.eps.to_string())),
        ("seed", of("seed", &|start| start.seed.to_string())),
    ];
    let differs = |fact: &Fact| fact.values.iter().any(|value| *value != fact.values[0]);
    let mut settings = settings(contenders);
    if contenders.iter().any(|contender| contender.settings.is_none()) {
        settings.retain(|setting| told.iter().all(|(key, _)| *key != setting.key));
        all.extend(told.iter().map(|(_, fact)| fact.clone()).filter(differs));
    }
    let common = told.into_iter().map(|(_, fact)| fact).filter(|fact| !differs(fact));
    // What a record does not tell is no difference.
    let known = |fact: &Fact| fact.values.iter().flatten().cloned().collect::<Vec<_>>();
    let differs_where_known = |fact: &Fact| known(fact).iter().any(|value| *value != known(fact)[0]);
    let (circumstances, same): (Vec<Fact>, Vec<Fact>) = all.into_iter().partition(differs_where_known);
    let tells = |fact: &Fact| fact.values.iter().all(Option::is_some) && known(fact).iter().any(|value| value != "none");
    let common = common.chain(same).filter(tells).collect();
    (settings.into_iter().chain(circumstances).collect(), common)
}

/// The settings in which those recipes differ that are there.
fn settings(contenders: &[Contender]) -> Vec<Fact> {
    // What a recipe says of itself changes nothing.
    let words = |key: &str| key == "about";
    let mut keys: Vec<&String> = Vec::new();
    for (key, _) in contenders.iter().filter_map(|contender| contender.settings.as_ref()).flatten().flatten() {
        if !words(key) && !keys.contains(&key) {
            keys.push(key);
        }
    }
    let value = |contender: &Contender, key: &str| {
        let of = |settings: &Vec<(String, String)>| settings.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone());
        distinct(contender.settings.iter().flatten().filter_map(of).collect())
    };
    let fact = |key: &String| Fact { key: key.clone(), values: contenders.iter().map(|contender| value(contender, key)).collect() };
    let differs = |fact: &Fact| {
        let known: Vec<_> = fact.values.iter().zip(contenders).filter(|(_, contender)| contender.settings.is_some()).collect();
        known.iter().any(|(value, _)| value != &known[0].0)
    };
    keys.into_iter().map(fact).filter(differs).collect()
}

/// The values of the seeds of one run, each once.
fn distinct(values: Vec<String>) -> Option<String> {
    let mut kept: Vec<String> = Vec::new();
    for value in values {
        if !kept.contains(&value) {
            kept.push(value);
        }
    }
    (!kept.is_empty()).then(|| kept.join(", "))
}

pub(super) fn remarks(contenders: &[Contender]) -> Vec<String> {
    let mut remarks = Vec::new();
    for contender in contenders {
        let (name, all) = (&contender.name, contender.reports.len());
        match contender.reports.iter().filter(|report| report.unfinished).count() {
            0 => {}
            _ if all == 1 => remarks.push(format!("{name} is not finished; it is shown with what it has")),
            open => remarks.push(format!("{open} of the {all} runs of {name} are not finished; means are over what all have")),
        }
        if contender.settings.is_none() {
            remarks.push(format!("{name} has no recipe.toml; its settings are not compared"));
        }
    }
    let start = |contender: &Contender| contender.reports[0].start.clone();
    let first = start(&contenders[0]);
    for contender in &contenders[1..] {
        if !same_images(&first, &start(contender)) {
            remarks.push(format!(
                "{} and {} were not tested on the same images; their accuracies cannot be compared",
                contenders[0].name, contender.name
            ));
        } else if start(contender).eps != first.eps {
            remarks.push(format!(
                "{} was attacked at eps {}/255, {} at {}/255; their robust accuracies cannot be compared",
                contenders[0].name,
                first.eps,
                contender.name,
                start(contender).eps
            ));
        }
    }
    for (at, contender) in contenders.iter().enumerate() {
        if let Some(twin) = contenders[..at].iter().find(|other| other.reports == contender.reports) {
            remarks.push(format!("{} and {} hold the same record: one is a copy of the other", twin.name, contender.name));
        }
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Report;

    fn contender(name: &str, seeds: &[u64], settings: Option<&str>) -> Contender {
        let start = |seed| Start { recipe: "r".into(), dataset: "d".into(), version: "1".into(), steps: 8, seed, ..Start::default() };
        let reports: Vec<Report> = seeds.iter().map(|&seed| Report { start: start(seed), ..Report::default() }).collect();
        let pairs =
            |text: &str| text.split(' ').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect::<Vec<_>>();
        let settings = settings
            .map(|text| reports.iter().map(|report| [pairs(text), pairs(&format!("seed={}", report.start.seed))].concat()).collect());
        Contender { name: name.into(), folder: name.into(), reports, settings }
    }

    fn told(list: &[Fact]) -> Vec<String> {
        list.iter()
            .map(|fact| format!("{} {}", fact.key, fact.values.iter().map(|v| v.as_deref().unwrap_or("-")).collect::<Vec<_>>().join("|")))
            .collect()
    }

    #[test]
    fn settings_that_differ_are_named_with_each_value() {
        let both = [
            contender("a", &[0], Some("about=x ann.lr=0.1 bias=true")),
            contender("b", &[1, 2], Some("about=y ann.lr=0.2 keep=3 bias=true")),
        ];
        let (differences, common) = facts(&both);
        assert_eq!(told(&differences), ["ann.lr 0.1|0.2", "seed 0|1, 2", "keep -|3"]);
        assert!(told(&common).contains(&"program version 1|1".to_string()) && told(&common).contains(&"time steps 8|8".to_string()));
        assert!(remarks(&both).is_empty());
    }

    #[test]
    fn without_a_recipe_the_record_tells_what_it_can() {
        let mut both = [contender("a", &[0], None), contender("b", &[0], Some("ann.lr=0.2 snn.steps=4"))];
        both[1].reports[0].start.steps = 4;
        both[0].reports[0].unfinished = true;
        both[1].reports[0].start.precision = "bf16".into(); // and nothing of the other's
        assert_eq!(told(&facts(&both).0), ["time steps 8|4"]);
        assert_eq!(
            remarks(&both),
            ["a is not finished; it is shown with what it has", "a has no recipe.toml; its settings are not compared"]
        );
        let copies = [contender("a", &[0], Some("")), contender("b", &[0], Some(""))];
        assert_eq!(remarks(&copies), ["a and b hold the same record: one is a copy of the other"]);
    }

    #[test]
    fn a_fingerprint_speaks_of_the_test_images_where_as_many_are_held_out() {
        let start = |fingerprint: &str, held_out| Start {
            train_images: 90 - held_out,
            validation_images: held_out,
            test_images: 10,
            fingerprint: fingerprint.into(),
            ..Start::default()
        };
        assert!(same_images(&start("x", 0), &start("y", 9)) && same_images(&start("", 0), &start("y", 0)));
        assert!(!same_images(&start("x", 0), &start("y", 0)));
    }
}
