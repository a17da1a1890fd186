//! The lines of `run.jsonl` and their folding into a report.

use super::schema::{Checks, Curve, Epoch, Firing, Gallery, Member, Phase, Report, Saved, Start, Step, number};
use crate::base::{Result, fail};
use serde::{Deserialize, Serialize};

/// One line of `run.jsonl`: a JSON object whose field `event` says which.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run begins, or goes on after a resume.
    Start(Start),
    /// An epoch of training is done.
    Epoch(Epoch),
    /// A state was saved within an epoch, so that a run goes on from there. A report has no use for it.
    Saved(Saved),
    /// A few batches of training are done; reports leave these to `run.jsonl`.
    Step(Step),
    /// A phase is done.
    Phase(Phase),
    /// A result is known.
    Result {
        /// Such as `snn.clean`, with the prefix `natural.` in that track.
        key: String,
        /// 0 to 100.
        #[serde(deserialize_with = "number")]
        percent: f64,
        /// How many images it was measured on.
        images: usize,
    },
    /// A member of the ensemble behind result `key` is done.
    Member {
        /// The result's key.
        key: String,
        /// The member.
        #[serde(flatten)]
        member: Member,
    },
    /// The attack behind result `key` was looked at by the honesty checks.
    Checks {
        /// The result's key.
        key: String,
        /// What they found.
        #[serde(flatten)]
        checks: Checks,
    },
    /// Accuracy against eps is known.
    Curve(Curve),
    /// Firing rates are known.
    Firing(Firing),
    /// Images before and after an attack; several of these add up.
    Gallery(Gallery),
    /// A remark.
    Note {
        /// One sentence.
        text: String,
    },
    /// The run is complete.
    Finish {
        /// Wall time of the whole run.
        #[serde(deserialize_with = "number")]
        seconds: f64,
    },
}

impl Report {
    /// Folds the events of a run. What was done twice (after a resume) counts as it was done last.
    ///
    /// # Errors
    /// If there is no [`Event::Start`].
    pub fn from_events(events: &[Event]) -> Result<Report> {
        let mut report = Report::default();
        let mut started = false;
        let mut seconds = None;
        for event in events.iter().cloned() {
            match event {
                Event::Start(start) => {
                    started = true;
                    report.start = start;
                }
                Event::Epoch(new) => {
                    put(&mut report.epochs, new, |a, b| a.track == b.track && a.stage == b.stage && a.epoch == b.epoch);
                }
                Event::Saved(_) => {}
                Event::Step(_) => {}
                Event::Phase(new) => put(&mut report.phases, new, |a, b| a.name == b.name),
                Event::Result { key, percent, images } => {
                    report.images.insert(key.clone(), images);
                    report.results.insert(key, percent);
                }
                Event::Member { key, member } => put(report.ensemble.entry(key).or_default(), member, |a, b| a.name == b.name),
                Event::Checks { key, checks } => {
                    report.checks.insert(key, checks);
                }
                Event::Curve(new) => {
                    put(&mut report.curves, new, |a, b| a.track == b.track && a.attack == b.attack && a.network == b.network);
                }
                Event::Firing(new) => put(&mut report.firing, new, |a, b| a.track == b.track),
                Event::Gallery(new) => add_gallery(&mut report.gallery, new),
                Event::Note { text } => put(&mut report.notes, text, |a, b| a == b),
                Event::Finish { seconds: whole } => seconds = Some(whole),
            }
        }
        if !started {
            return Err(fail!("record: no start among {} events; the run's file is not complete", events.len()));
        }
        report.seconds = seconds
            .unwrap_or_else(|| report.phases.iter().map(|phase| phase.seconds).filter(|s| s.is_finite()).fold(0.0, |all, s| all + s));
        report.unfinished = !matches!(events.last(), Some(Event::Finish { .. }));
        report.find_intervals();
        Ok(report)
    }
}

/// Replaces the member that is the `same`, or appends.
fn put<T>(list: &mut Vec<T>, new: T, same: impl Fn(&T, &T) -> bool) {
    match list.iter_mut().find(|old| same(old, &new)) {
        Some(old) => *old = new,
        None => list.push(new),
    }
}

/// Galleries of one size add up, track by track; one of another size replaces what was there.
fn add_gallery(gallery: &mut Option<Gallery>, new: Gallery) {
    match gallery {
        Some(old) if (old.height, old.width, old.channels) == (new.height, new.width, new.channels) => {
            old.items.retain(|item| new.items.iter().all(|other| other.track != item.track));
            old.items.extend(new.items);
        }
        _ => *gallery = Some(new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Event {
        Event::Start(Start { version: "0.1.0".into(), recipe: "r".into(), threads: 2, steps: 8, eps: 16.0, ..Start::default() })
    }

    fn phase(name: &str, seconds: f64) -> Event {
        Event::Phase(Phase { name: name.into(), seconds, images_per_s: 9.0 })
    }

    #[test]
    fn an_event_is_one_tagged_line() {
        let line = serde_json::to_string(&phase("ann-train", 1.5)).unwrap();
        assert_eq!(line, r#"{"event":"phase","name":"ann-train","seconds":1.5,"images_per_s":9.0}"#);
        let member = Event::Member {
            key: "snn.ensemble_fgsm".into(),
            member: Member { name: "PCW 1".into(), accuracy: 70.0, images: 500, ci95: None },
        };
        let line = serde_json::to_string(&member).unwrap();
        assert_eq!(line, r#"{"event":"member","key":"snn.ensemble_fgsm","name":"PCW 1","accuracy":70.0,"images":500}"#);
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), member);
    }

    #[test]
    fn the_last_of_what_was_done_twice_counts() {
        let events = [start(), phase("a", 1.0), phase("b", 2.0), start(), phase("a", 3.0)];
        let report = Report::from_events(&events).unwrap();
        assert_eq!(report.phases.iter().map(|p| (p.name.as_str(), p.seconds)).collect::<Vec<_>>(), [("a", 3.0), ("b", 2.0)]);
        assert_eq!(report.seconds, 5.0);
        let whole = [start(), Event::Finish { seconds: 7.5 }];
        assert_eq!((Report::from_events(&whole).unwrap().seconds, report.unfinished), (7.5, true));
        let resumed = [whole.to_vec(), vec![start(), phase("c", 1.0)]].concat();
        assert!(!Report::from_events(&whole).unwrap().unfinished && Report::from_events(&resumed).unwrap().unfinished);
        assert!(Report::from_events(&[phase("a", 1.0)]).is_err());
    }

    #[test]
    fn a_report_has_its_circumstances_at_the_top_and_survives_json() {
        let result = Event::Result { key: "ann.clean".into(), percent: 86.5, images: 1000 };
        let report = Report::from_events(&[start(), result]).unwrap();
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(
            (json["recipe"].as_str(), json["steps"].as_u64(), json["results"]["ann.clean"].as_f64()),
            (Some("r"), Some(8), Some(86.5))
        );
        assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
        assert_eq!(serde_json::from_str::<Report>(r#"{"recipe":"x"}"#).unwrap().start.recipe, "x");
    }

    #[test]
    fn a_number_that_is_none_survives_as_nan() {
        let line = serde_json::to_string(&phase("a", f64::INFINITY)).unwrap();
        assert!(matches!(serde_json::from_str(&line).unwrap(), Event::Phase(p) if p.seconds.is_nan()));
    }
}
