//! Event files for TensorBoard: the numbers of the events that a run records, as scalars.
//!
//! A file is a row of TFRecords: the length in 8 bytes and its checksum in 4, the message and its checksum, all little-endian
//! (tensorflow/core/lib/io/record_writer.h). The checksum is CRC-32C, rotated and shifted by a constant. A message is a
//! protobuf `Event` (tensorflow/core/util/event.proto), of which four fields are written here by hand.

use super::{Epoch, Event, Step, wilson};
use crate::base::{Error, Result};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes the events of a run into a folder that `tensorboard --logdir` reads: the robust track there, the natural one in
/// its subfolder `natural`, under the same tags.
#[derive(Debug)]
pub struct Board {
    folder: PathBuf,
    /// One a track, once it has anything to say.
    files: BTreeMap<Track, EventFile>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Track {
    Robust,
    Natural,
}

/// The numbers of one event at one place of their axis.
struct Point {
    step: i64,
    scalars: Vec<(String, f64)>,
}

impl Board {
    /// Removes the event files of an earlier run from `folder`.
    ///
    /// # Errors
    /// If one cannot be removed.
    pub fn clear(folder: &Path) -> Result<()> {
        let old = [Track::Robust, Track::Natural].into_iter().flat_map(|track| event_files(&track.folder(folder)));
        old.into_iter().try_for_each(|old| std::fs::remove_file(&old).map_err(|cause| Error::io("cannot remove", &old, &cause)))
    }

    /// A new board in `folder`, instead of an earlier run's.
    ///
    /// # Errors
    /// If the folder cannot be created, or a file of it not removed.
    pub fn create(folder: &Path) -> Result<Board> {
        Board::clear(folder)?;
        std::fs::create_dir_all(folder).map_err(|cause| Error::io("cannot create the folder", folder, &cause))?;
        Ok(Board { folder: folder.to_path_buf(), files: BTreeMap::new() })
    }

    /// Goes on behind the last whole record of the files in `folder`; where there are none, `earlier` events come first.
    ///
    /// # Errors
    /// If the folder or a file cannot be opened, read, cut or written.
    pub fn append(folder: &Path, earlier: &[Event]) -> Result<Board> {
        let mut board = Board { folder: folder.to_path_buf(), files: BTreeMap::new() };
        for track in [Track::Robust, Track::Natural] {
            if let Some(path) = event_files(&track.folder(folder)).pop() {
                board.files.insert(track, EventFile::append(&path)?);
            }
        }
        if board.files.is_empty() {
            board = Board::create(folder)?;
            earlier.iter().try_for_each(|event| board.record(event))?;
        }
        Ok(board)
    }

    /// Whether a run has written one into `folder`.
    pub fn exists(folder: &Path) -> bool {
        !event_files(folder).is_empty() || !event_files(&Track::Natural.folder(folder)).is_empty()
    }

    /// Write the numbers of `event`, if it has any.
    ///
    /// # Errors
    /// If a file cannot be created or written.
    pub fn record(&mut self, event: &Event) -> Result<()> {
        let Some((track, points)) = points(event) else { return Ok(()) };
        let file = match self.files.entry(track) {
            std::collections::btree_map::Entry::Occupied(file) => file.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => place.insert(EventFile::create(&track.folder(&self.folder))?),
        };
        file.write(&points)
    }
}

impl Track {
    fn named(name: &str) -> Track {
        if name == "natural" { Track::Natural } else { Track::Robust }
    }

    /// The track of a result's key, and the key without it.
    fn of_key(key: &str) -> (Track, &str) {
        key.strip_prefix("natural.").map_or((Track::Robust, key), |key| (Track::Natural, key))
    }

    fn folder(self, folder: &Path) -> PathBuf {
        match self {
            Track::Robust => folder.to_path_buf(),
            Track::Natural => folder.join("natural"),
        }
    }
}

/// What of `event` is drawn: epochs against their number from 1, steps against batches, accuracy against eps, results at 0.
fn points(event: &Event) -> Option<(Track, Vec<Point>)> {
    let at = |step: usize, scalars| vec![Point { step: step as i64, scalars }];
    let result = |key: &str, rest: &str, value: f64, images: usize| {
        let (track, key) = Track::of_key(key);
        (track, at(0, accuracy(format!("eval/{}{rest}", key.replace('.', "/")), value, images)))
    };
    match event {
        Event::Epoch(epoch) => Some((Track::named(&epoch.track), at(epoch.epoch + 1, of_epoch(epoch)))),
        Event::Step(step) => Some((Track::named(&step.track), at(step.step, of_step(step)))),
        Event::Result { key, percent, images } => Some(result(key, "", *percent, *images)),
        Event::Member { key, member } => Some(result(key, &format!("/{}", member.name), member.accuracy, member.images)),
        Event::Curve(curve) => {
            let tag = format!("eval/{}/{} against eps", curve.network, curve.attack);
            let point =
                |&[eps, percent]: &[f64; 2]| Point { step: eps.round() as i64, scalars: accuracy(tag.clone(), percent, curve.images) };
            Some((Track::named(&curve.track), curve.points.iter().map(point).collect()))
        }
        Event::Firing(firing) => {
            let of = |layer: &super::Layer| [("rate", layer.rate), ("silent", layer.silent)].map(|(what, x)| (what, layer.name.clone(), x));
            let scalars = firing.layers.iter().flat_map(of).map(|(what, name, x)| (format!("eval/snn/{what}/{name}"), x));
            Some((Track::named(&firing.track), at(0, scalars.collect())))
        }
        Event::Start(_) | Event::Saved(_) | Event::Phase(_) | Event::Checks { .. } => None,
        Event::Gallery(_) | Event::Note { .. } | Event::Finish { .. } => None,
    }
}

/// An accuracy in percent under its tag and, where its images were counted, the bounds of its interval and their number under
/// tags that begin with `ci95` and `images`: groups of their own, which do not crowd the accuracies.
fn accuracy(tag: String, percent: f64, images: usize) -> Vec<(String, f64)> {
    let bounds = wilson(percent, images).map(|bounds| {
        let [low, high] = bounds;
        [(format!("ci95/{tag}/low"), low), (format!("ci95/{tag}/high"), high), (format!("images/{tag}"), images as f64)]
    });
    [(tag, percent)].into_iter().chain(bounds.into_iter().flatten()).collect()
}

fn of_epoch(epoch: &Epoch) -> Vec<(String, f64)> {
    let Epoch { stage, loss, loss_parts, lr, images_per_s, .. } = epoch;
    let mut scalars =
        vec![(format!("{stage}/loss"), *loss), (format!("{stage}/lr"), *lr), (format!("{stage}/images_per_s"), *images_per_s)];
    scalars.extend(loss_parts.iter().map(|(part, value)| (format!("{stage}/loss/{part}"), *value)));
    scalars.extend(epoch.accuracies().flat_map(|(what, percent)| accuracy(format!("{stage}/{what}"), percent, epoch.images_of(what))));
    for (what, values) in [("threshold", &epoch.thresholds), ("rate", &epoch.rates)] {
        scalars.extend(epoch.layers.iter().zip(values).map(|(layer, value)| (format!("{stage}/{what}/{layer}"), *value)));
    }
    scalars
}

fn of_step(step: &Step) -> Vec<(String, f64)> {
    let Step { stage, loss, loss_parts, lr, .. } = step;
    let parts = loss_parts.iter().map(|(part, value)| (format!("{stage}/step/loss/{part}"), *value));
    [(format!("{stage}/step/loss"), *loss), (format!("{stage}/step/lr"), *lr)].into_iter().chain(parts).collect()
}

/// One event file.
#[derive(Debug)]
struct EventFile {
    path: PathBuf,
    file: File,
}

/// What every event file's name begins with; the second of its making and the writer follow.
const NAME: &str = "events.out.tfevents.";

/// The event files in `folder`, the oldest first; none where there is no folder.
fn event_files(folder: &Path) -> Vec<PathBuf> {
    let names =
        std::fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(NAME));
    let mut paths: Vec<PathBuf> = names.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

impl EventFile {
    fn create(folder: &Path) -> Result<EventFile> {
        std::fs::create_dir_all(folder).map_err(|cause| Error::io("cannot create the folder", folder, &cause))?;
        let now = now();
        let path = folder.join(format!("{NAME}{now:.0}.caltrop"));
        let file = File::create(&path).map_err(|cause| Error::io("cannot create", &path, &cause))?;
        let mut file = EventFile { path, file };
        let mut version = message::double(1, now);
        version.extend(message::bytes(3, b"brain.Event:2"));
        file.put(&record(&version))?;
        Ok(file)
    }

    /// Behind the last whole record of the file at `path`; what a crash cut off is dropped.
    fn append(path: &Path) -> Result<EventFile> {
        let cannot = |cause: std::io::Error| Error::io("cannot append to", path, &cause);
        let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(cannot)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(cannot)?;
        let whole = whole(&bytes) as u64;
        file.set_len(whole).map_err(cannot)?;
        file.seek(SeekFrom::Start(whole)).map_err(cannot)?;
        Ok(EventFile { path: path.to_path_buf(), file })
    }

    fn write(&mut self, points: &[Point]) -> Result<()> {
        let now = now();
        let records: Vec<u8> = points.iter().flat_map(|point| record(&event(now, point))).collect();
        self.put(&records)
    }

    /// One unbuffered write: a crash leaves whole records and at most one cut one.
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|cause| Error::io("cannot write", &self.path, &cause))
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// `Event { double wall_time = 1; int64 step = 2; Summary summary = 5; }`, `Summary { repeated Value value = 1; }`,
/// `Value { string tag = 1; float simple_value = 2; }`.
fn event(now: f64, point: &Point) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, value) in &point.scalars {
        let mut scalar = message::bytes(1, tag.as_bytes());
        scalar.extend(message::float(2, *value as f32));
        summary.extend(message::bytes(1, &scalar));
    }
    let mut event = message::double(1, now);
    event.extend(message::integer(2, point.step as u64));
    event.extend(message::bytes(5, &summary));
    event
}

/// Fields of a protobuf message: a key (number and wire type) and a value.
mod message {
    fn varint(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }

    fn field(number: u64, wire: u64, value: &[u8]) -> Vec<u8> {
        [&varint(number << 3 | wire), value].concat()
    }

    pub fn integer(number: u64, value: u64) -> Vec<u8> {
        field(number, 0, &varint(value))
    }

    pub fn double(number: u64, value: f64) -> Vec<u8> {
        field(number, 1, &value.to_le_bytes())
    }

    pub fn bytes(number: u64, value: &[u8]) -> Vec<u8> {
        field(number, 2, &[&varint(value.len() as u64), value].concat())
    }

    pub fn float(number: u64, value: f32) -> Vec<u8> {
        field(number, 5, &value.to_le_bytes())
    }
}

/// A TFRecord around `message`.
fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    [&length, &masked(&length).to_le_bytes()[..], message, &masked(message).to_le_bytes()].concat()
}

/// How many of `bytes` are whole records.
fn whole(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some((length, _)) = bytes[at..].split_first_chunk::<8>() {
        let end = usize::try_from(u64::from_le_bytes(*length)).ok().and_then(|length| length.checked_add(at + 16));
        let Some(end) = end.filter(|&end| end <= bytes.len()) else { break };
        if record(&bytes[at + 12..end - 4]) != bytes[at..end] {
            break;
        }
        at = end;
    }
    at
}

/// The checksum in a TFRecord: a CRC of data that holds CRCs would be weak.
fn masked(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), RFC 3720.
fn crc32c(bytes: &[u8]) -> u32 {
    let turn = |crc: u32| crc >> 1 ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| turn(crc)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Curve, Firing, Layer, Member};

    #[test]
    fn checksums_are_those_of_the_rfc() {
        let rising: Vec<u8> = (0..32).collect();
        let falling: Vec<u8> = (0..32).rev().collect();
        let known: [(&[u8], u32); 6] = [
            (&[0; 32], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&rising, 0x46dd_794e),
            (&falling, 0x113f_db5c),
            (b"123456789", 0xe306_9283),
            (b"", 0),
        ];
        for (bytes, crc) in known {
            assert_eq!(crc32c(bytes), crc, "{bytes:?}");
        }
    }

    /// A scalar as read: tag, step, value.
    type Scalar = (String, i64, f32);

    /// A reader of its own: scalars of whole, sound records; the first must say the version.
    fn scalars(bytes: &[u8]) -> Vec<Scalar> {
        fn varint(bytes: &mut &[u8]) -> u64 {
            let (mut value, mut shift) = (0, 0);
            loop {
                let byte = bytes[0];
                *bytes = &bytes[1..];
                value |= u64::from(byte % 128) << shift;
                shift += 7;
                if byte < 128 {
                    return value;
                }
            }
        }
        fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
            let mut found = Vec::new();
            while !bytes.is_empty() {
                let key = varint(&mut bytes);
                let value = match key % 8 {
                    0 => varint(&mut bytes).to_le_bytes().to_vec(),
                    wire => {
                        let length = [0, 8, bytes.len(), 0, 0, 4][wire as usize];
                        let length = if wire == 2 { varint(&mut bytes) as usize } else { length };
                        let (value, rest) = bytes.split_at(length);
                        bytes = rest;
                        value.to_vec()
                    }
                };
                found.push((key / 8, value));
            }
            found
        }
        let get = |fields: &[(u64, Vec<u8>)], number| fields.iter().find(|(n, _)| *n == number).map(|(_, value)| value.clone());
        let (mut at, mut found, mut first) = (0, Vec::new(), true);
        while at < bytes.len() {
            let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
            let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            let sum = |bytes: &[u8]| {
                let crc = crc32c(bytes);
                crc.rotate_left(17).wrapping_add(0xa282ead8)
            };
            let message = &bytes[at + 12..at + 12 + length];
            assert_eq!((word(at + 8), word(at + 12 + length)), (sum(&bytes[at..at + 8]), sum(message)));
            at += 16 + length;
            let event = fields(message);
            assert!(f64::from_le_bytes(get(&event, 1).unwrap().try_into().unwrap()) > 1.7e9);
            assert_eq!(get(&event, 3).is_some(), first);
            first = false;
            for (number, value) in get(&event, 5).map(|summary| fields(&summary)).unwrap_or_default() {
                assert_eq!(number, 1);
                let value = fields(&value);
                let step = i64::from_le_bytes(get(&event, 2).unwrap().try_into().unwrap());
                let number = f32::from_le_bytes(get(&value, 2).unwrap().try_into().unwrap());
                found.push((String::from_utf8(get(&value, 1).unwrap()).unwrap(), step, number));
            }
        }
        found
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("caltrop-board-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        folder
    }

    fn read(folder: &Path) -> Vec<Scalar> {
        let [file] = event_files(folder).try_into().unwrap();
        scalars(&std::fs::read(file).unwrap())
    }

    fn epoch(track: &str, number: usize) -> Event {
        Event::Epoch(Epoch {
            track: track.into(),
            stage: "snn".into(),
            epoch: number,
            loss: 1.5,
            loss_parts: [("ce".to_string(), 1.0), ("kl".to_string(), 0.5)].into(),
            adv_acc: Some(60.0),
            images: [("adv_acc".to_string(), 40)].into(),
            lr: 1e-3,
            images_per_s: 300.0,
            layers: vec!["features.2".into()],
            thresholds: vec![0.5],
            rates: vec![0.125],
            ..Epoch::default()
        })
    }

    fn scalar(tag: &str, step: i64, value: f32) -> Scalar {
        (tag.into(), step, value)
    }

    #[test]
    fn every_number_of_a_run_has_its_tag_and_place() {
        let folder = folder("tags");
        let mut board = Board::create(&folder).unwrap();
        let member = Event::Member {
            key: "snn.ensemble_fgsm".into(),
            member: Member { name: "PCW 1".into(), accuracy: 70.0, images: 0, ci95: None },
        };
        let step =
            Step { track: "natural".into(), stage: "ann".into(), epoch: 1, step: 300, loss: 2.5, loss_parts: BTreeMap::new(), lr: 0.5 };
        let points = vec![[0.0, 80.0], [8.0, 50.0]];
        let curve =
            Curve { track: "robust".into(), attack: "PGD-10".into(), network: "snn".into(), images: 0, points, intervals: Vec::new() };
        let layers = vec![Layer { name: "features.2".into(), rate: 0.25, silent: 0.5 }];
        let events = [
            Event::Note { text: "no number".into() },
            epoch("robust", 2),
            Event::Step(step),
            Event::Result { key: "natural.ann.pgd20".into(), percent: 30.0, images: 0 },
            member,
            Event::Curve(curve),
            Event::Firing(Firing { track: "robust".into(), layers }),
        ];
        events.iter().for_each(|event| board.record(event).unwrap());
        let robust = [
            scalar("snn/loss", 3, 1.5),
            scalar("snn/lr", 3, 1e-3),
            scalar("snn/images_per_s", 3, 300.0),
            scalar("snn/loss/ce", 3, 1.0),
            scalar("snn/loss/kl", 3, 0.5),
            scalar("snn/adv_acc", 3, 60.0),
            scalar("ci95/snn/adv_acc/low", 3, 44.5959), // Wilson's of 24 of 40
            scalar("ci95/snn/adv_acc/high", 3, 73.6517),
            scalar("images/snn/adv_acc", 3, 40.0),
            scalar("snn/threshold/features.2", 3, 0.5),
            scalar("snn/rate/features.2", 3, 0.125),
            scalar("eval/snn/ensemble_fgsm/PCW 1", 0, 70.0),
            scalar("eval/snn/PGD-10 against eps", 0, 80.0),
            scalar("eval/snn/PGD-10 against eps", 8, 50.0),
            scalar("eval/snn/rate/features.2", 0, 0.25),
            scalar("eval/snn/silent/features.2", 0, 0.5),
        ];
        let natural = [scalar("ann/step/loss", 300, 2.5), scalar("ann/step/lr", 300, 0.5), scalar("eval/ann/pgd20", 0, 30.0)];
        assert_eq!((read(&folder), read(&folder.join("natural"))), (robust.to_vec(), natural.to_vec()));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_resumed_board_goes_on_behind_what_a_crash_left_whole() {
        let folder = folder("resumed");
        let mut board = Board::create(&folder).unwrap();
        board.record(&epoch("robust", 0)).unwrap();
        let before = read(&folder);
        board.record(&epoch("robust", 1)).unwrap();
        let path = event_files(&folder).pop().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let second = whole(&bytes[..bytes.len() - 1]);
        assert_eq!((whole(&bytes), scalars(&bytes[..second])), (bytes.len(), before.clone()));
        // Cut anywhere in the last record, or with a length that promises more than memory has.
        let endless = [&bytes[..second], &u64::MAX.to_le_bytes()].concat();
        for damaged in (second..bytes.len()).map(|end| bytes[..end].to_vec()).chain([endless]) {
            std::fs::write(&path, damaged).unwrap();
            drop(Board::append(&folder, &[]).unwrap());
            assert_eq!(read(&folder), before);
        }
        assert!(Board::exists(&folder));
        Board::append(&folder, &[epoch("robust", 7)]).unwrap().record(&epoch("robust", 1)).unwrap();
        assert_eq!(read(&folder).len(), 2 * before.len());
        // A run that had no board so far is told from its beginning; a new run begins anew.
        Board::clear(&folder).unwrap();
        Board::append(&folder, &[epoch("robust", 2)]).unwrap().record(&epoch("robust", 3)).unwrap();
        let losses: Vec<Scalar> = read(&folder).into_iter().filter(|(tag, ..)| tag == "snn/loss").collect();
        assert_eq!(losses, [scalar("snn/loss", 3, 1.5), scalar("snn/loss", 4, 1.5)]);
        drop(Board::create(&folder).unwrap());
        assert!(!Board::exists(&folder));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
