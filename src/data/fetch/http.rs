//! One file over HTTP, from where its part ends.

use super::interrupted;
use crate::base::watch::{self, Watch};
use crate::base::{Error, Result, ensure, fail, file};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;
use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body};

/// A server that is silent for so long is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often an interrupt is looked for.
const BLINK: Duration = Duration::from_millis(100);
/// The unit of the progress bar.
const MEGABYTE: u64 = 1_000_000;

/// Makes the file `part` the first `bytes` bytes of what is at `url`: what it holds already is kept, the rest is asked for.
///
/// # Errors
/// One line; the part stays, if anything is in it. An interrupt says how to go on.
pub(super) fn complete(url: &str, bytes: u64, part: &Path, watch: &dyn Watch) -> Result<()> {
    let mut file = open(part)?;
    let done = fill(url, bytes, part, &mut file, watch);
    if done.is_err() && file.metadata().is_ok_and(|meta| meta.is_file() && meta.len() == 0) {
        let _ = std::fs::remove_file(part); // nothing is lost either way
    }
    done
}

fn fill(url: &str, bytes: u64, part: &Path, file: &mut File, watch: &dyn Watch) -> Result<()> {
    let have = file.metadata().map_err(|cause| Error::io("cannot read", part, &cause))?.len();
    if have == bytes {
        return Ok(());
    }
    ensure!(have < bytes, "{}: {have} bytes, the published file has {bytes}; remove it to download it again", part.display());
    let answer = ask(url, have)?;
    let start = begin(&answer, url, have, bytes)?;
    if start < have {
        file.set_len(0).map_err(|cause| Error::io("cannot write", part, &cause))?;
    }
    let name = part.file_stem().unwrap_or_default().to_string_lossy();
    watch.begin(&format!("{name} (MB)"), bytes / MEGABYTE);
    watch.advance(start / MEGABYTE);
    append(answer.into_body(), url, start, bytes, part, file, watch)
}

/// The part, for this process alone: two that append would mix.
fn open(part: &Path) -> Result<File> {
    let opened = OpenOptions::new().append(true).create(true).open(part).map_err(|cause| Error::io("cannot write", part, &cause))?;
    ensure!(file::claim(&opened), "{}: another process is downloading it", part.display());
    Ok(opened)
}

fn ask(url: &str, from: u64) -> Result<Response<Body>> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(PATIENCE))
        .timeout_per_read(Some(PATIENCE))
        .user_agent(concat!("caltrop/", env!("CARGO_PKG_VERSION")));
    let request = config.build().new_agent().get(url);
    let request = if from == 0 { request } else { request.header(header::RANGE, format!("bytes={from}-")) };
    request.call().map_err(|cause| fail!("cannot reach {url}: {cause}; is there a network? --from URL takes a mirror"))
}

/// Where the answer's bytes begin: at `have`, or at 0 from a server that knows no ranges.
fn begin(answer: &Response<Body>, url: &str, have: u64, bytes: u64) -> Result<u64> {
    let status = answer.status();
    let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
    let (start, whole) = match status {
        StatusCode::OK => (0, answer.body().content_length()),
        StatusCode::PARTIAL_CONTENT => {
            // bytes FIRST-LAST/WHOLE, where WHOLE may be *
            let range = header(header::CONTENT_RANGE).and_then(|range| range.strip_prefix("bytes ")?.split_once('-'));
            let first = range.and_then(|(first, _)| first.trim().parse().ok());
            ensure!(first == Some(have), "{url}: bytes from {have} on were asked for, the server sends others; --from URL takes a mirror");
            (have, range.and_then(|(_, rest)| rest.rsplit_once('/')?.1.trim().parse().ok()))
        }
        _ => {
            let reason = status.canonical_reason().unwrap_or("no reason given").to_lowercase();
            return Err(fail!("{url}: the server answers {} ({reason}); --from URL takes a mirror", status.as_u16()));
        }
    };
    ensure!(
        whole.is_none_or(|whole| whole == bytes),
        "{url}: the server has a file of {} bytes, the published one has {bytes}; --from URL takes a mirror",
        whole.unwrap_or_default()
    );
    Ok(start)
}

/// Everything that still comes, behind the `at` bytes that are there.
fn append(body: Body, url: &str, mut at: u64, bytes: u64, part: &Path, file: &mut File, watch: &dyn Watch) -> Result<()> {
    let pieces = pieces(body)?;
    loop {
        watch::check().map_err(|_| interrupted(part, &format!("{at} of {bytes} bytes are there")))?;
        let cause = match pieces.recv_timeout(BLINK) {
            Ok(Ok(piece)) => {
                let next = at + piece.len() as u64;
                ensure!(next <= bytes, "{url}: more than the {bytes} bytes of the published file; --from URL takes a mirror");
                file.write_all(&piece).map_err(|cause| {
                    fail!("cannot write {}: {cause}; make room, and the same command goes on from there", part.display())
                })?;
                watch.advance(next / MEGABYTE - at / MEGABYTE);
                at = next;
                continue;
            }
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) if at == bytes => return Ok(()),
            Err(RecvTimeoutError::Disconnected) => "the server closed the connection".to_string(),
            Ok(Err(cause)) => cause.to_string(),
        };
        return Err(fail!("{url}: the download broke off after {at} of {bytes} bytes: {cause}; the same command goes on from there"));
    }
}

/// What a body brings, piece by piece, up to its end or an error. A thread waits for it, so that a silent server holds up no
/// interrupt; the thread ends with the body, or at the first piece that nobody takes.
fn pieces(body: Body) -> Result<Receiver<std::io::Result<Vec<u8>>>> {
    let (sender, pieces) = sync_channel(16);
    let mut reader = body.into_reader();
    let pump = move || {
        let mut piece = vec![0; 1 << 16];
        loop {
            let (read, more) = match reader.read(&mut piece) {
                Ok(0) => return,
                Ok(count) => (Ok(piece[..count].to_vec()), true),
                Err(cause) => (Err(cause), false),
            };
            if sender.send(read).is_err() || !more {
                return;
            }
        }
    };
    std::thread::Builder::new().name("download".into()).spawn(pump).map_err(|cause| fail!("cannot start a thread: {cause}"))?;
    Ok(pieces)
}
