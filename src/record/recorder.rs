//! Appends events to `run.jsonl`, whole lines only, and reads them back.

use super::Event;
use super::tensorboard::Board;
use crate::base::{Error, Result, ensure, fail, file};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Writes one event a line; each line is in the file when [`Recorder::record`] returns. The file is this recorder's alone:
/// lines of two runs would mix.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    file: File,
    board: Option<Board>,
}

impl Recorder {
    /// Goes on after the last whole line of the record at `path`, or begins one.
    ///
    /// # Errors
    /// If another recorder has the file, or it cannot be opened, read or cut.
    pub fn append(path: &Path) -> Result<Recorder> {
        let cannot = |cause: std::io::Error| Error::io("cannot append to", path, &cause);
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(cannot)?;
        let folder = path.parent().unwrap_or(path).display();
        ensure!(file::claim(&file), "another process writes to {folder}; wait for it, or choose another --out");
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(cannot)?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        if whole < bytes.len() {
            file.set_len(whole as u64).map_err(cannot)?;
            file.seek(SeekFrom::Start(whole as u64)).map_err(cannot)?;
        }
        Ok(Recorder { path: path.to_path_buf(), file, board: None })
    }

    /// Forgets what was recorded.
    ///
    /// # Errors
    /// If the file cannot be cut.
    pub fn clear(&mut self) -> Result<()> {
        let cut = self.file.set_len(0).and_then(|()| self.file.rewind());
        cut.map_err(|cause| Error::io("cannot write", &self.path, &cause))
    }

    /// Write what is recorded from now on for TensorBoard too.
    pub fn mirror(&mut self, board: Board) {
        self.board = Some(board);
    }

    /// Appends one event.
    ///
    /// # Errors
    /// If the line cannot be written, such as on a full disk.
    pub fn record(&mut self, event: &Event) -> Result<()> {
        let mut line = serde_json::to_vec(event).map_err(|cause| fail!("cannot write {}: {cause}", self.path.display()))?;
        line.push(b'\n');
        // One unbuffered write: a crash leaves whole lines and at most one cut one.
        self.file.write_all(&line).map_err(|cause| Error::io("cannot write", &self.path, &cause))?;
        self.board.as_mut().map_or(Ok(()), |board| board.record(event))
    }

    /// Waits until all events are on the disk: a checkpoint that a power cut spares must not know of more than the record.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|cause| Error::io("cannot write", &self.path, &cause))
    }
}

/// The events of the record at `path`. A last line without its end, as a crash leaves it, is ignored.
///
/// # Errors
/// If the file cannot be read, or a whole line is no event (with its number).
pub fn read_events(path: &Path) -> Result<Vec<Event>> {
    let bytes = std::fs::read(path).map_err(|cause| Error::io("cannot read", path, &cause))?;
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let lines = bytes[..whole].split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
    lines
        .map(|(at, line)| serde_json::from_slice(line).map_err(|cause| fail!("{} line {}: not an event: {cause}", path.display(), at + 1)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_and_goes_on_after_a_crash() {
        let path = std::env::temp_dir().join(format!("caltrop-record-{}.jsonl", std::process::id()));
        let note = |text: &str| Event::Note { text: text.into() };
        std::fs::write(&path, "{\"event\":\"note\",\"text\":\"of an earlier run\"}\n").unwrap();
        let mut recorder = Recorder::append(&path).unwrap();
        recorder.clear().unwrap();
        recorder.record(&note("one")).unwrap();
        recorder.record(&note("two\nlines")).unwrap();
        recorder.file.write_all(b"{\"event\":\"no").unwrap();
        assert_eq!(read_events(&path).unwrap(), [note("one"), note("two\nlines")]);
        drop(recorder);
        let mut recorder = Recorder::append(&path).unwrap();
        recorder.record(&note("three")).unwrap();
        assert_eq!(read_events(&path).unwrap(), [note("one"), note("two\nlines"), note("three")]);
        std::fs::write(&path, "{\"event\":\"note\",\"text\":\"x\"}\n{\"event\":\"nte\"}\n").unwrap();
        let text = read_events(&path).unwrap_err().to_string();
        assert!(text.contains("line 2: not an event"), "{text}");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn two_recorders_of_one_file_cannot_be() {
        let folder = std::env::temp_dir().join(format!("caltrop-record-twice-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("run.jsonl");
        let mut first = Recorder::append(&path).unwrap();
        first.record(&Event::Note { text: "one".into() }).unwrap();
        let text = Recorder::append(&path).unwrap_err().to_string();
        assert_eq!(text, format!("another process writes to {}; wait for it, or choose another --out", folder.display()));
        assert_eq!(read_events(&path).unwrap().len(), 1);
        drop(first);
        Recorder::append(&path).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_written_is_one_line() {
        let text = Recorder::append(Path::new("/no/such/folder/run.jsonl")).unwrap_err().to_string();
        assert!(text.starts_with("cannot append to /no/such/folder/run.jsonl: "), "{text}");
        if cfg!(target_os = "linux") {
            let file = OpenOptions::new().write(true).open("/dev/full").unwrap();
            let mut full = Recorder { path: "/dev/full".into(), file, board: None };
            assert!(full.record(&Event::Finish { seconds: 1.0 }).unwrap_err().to_string().starts_with("cannot write /dev/full: "));
        }
    }
}
