//! A web server of a few lines, with the habits and faults of real ones.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How a server behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Sends the range that is asked for.
    Ranges,
    /// Sends the whole file, whatever is asked for.
    Whole,
    /// Closes the connection after so many bytes of the first answer; else as [`Manner::Ranges`].
    Cut(usize),
    /// Sends other addresses for a while, then as [`Manner::Ranges`].
    Elsewhere,
    /// Sends a little of the file, and waits.
    Slow,
    /// Sends the range from another byte on.
    Shifted,
    /// Says neither how long the file is nor which part comes, and closes the connection at its end.
    Silent,
}

/// A request: path, and the first byte that was asked for.
pub type Request = (String, Option<usize>);

/// A server on a port of its own, until the test ends.
pub struct Server {
    pub address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Serves `files` (name and bytes) below `/files/`.
    pub fn new(manner: Manner, files: &[(&str, &[u8])]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/files/", listener.local_addr().unwrap());
        let files: Vec<(String, Vec<u8>)> = files.iter().map(|(name, bytes)| (format!("/files/{name}"), bytes.to_vec())).collect();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(&stream.unwrap(), manner, &files, &seen);
            }
        });
        Server { address, requests }
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn answer(mut stream: &TcpStream, manner: Manner, files: &[(String, Vec<u8>)], seen: &Mutex<Vec<Request>>) {
    let lines: Vec<String> = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let path = lines[0].split(' ').nth(1).unwrap().to_string();
    let from: Option<usize> =
        lines.iter().find_map(|line| line.to_lowercase().strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok());
    let first = seen.lock().unwrap().is_empty();
    seen.lock().unwrap().push((path.clone(), from));
    let mut send = |head: String, body: &[u8]| {
        // A client that has heard enough hangs up.
        let _ = stream.write_all(format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").as_bytes()).and_then(|()| stream.write_all(body));
    };
    if let (Manner::Elsewhere, Some(name)) = (manner, path.strip_prefix("/files/")) {
        return send(format!("302 Found\r\nLocation: /moved/{name}\r\nContent-Length: 0"), b"");
    }
    let Some((_, file)) = files.iter().find(|(name, _)| *name == path.replace("/moved/", "/files/")) else {
        return send("404 Not Found\r\nContent-Length: 9".into(), b"not here\n");
    };
    let whole = file.len();
    match from {
        _ if manner == Manner::Silent => send("200 OK".into(), file),
        Some(from) if from >= whole => {
            send(format!("416 Range Not Satisfiable\r\nContent-Range: bytes */{whole}\r\nContent-Length: 0"), b"")
        }
        Some(from) if manner != Manner::Whole => {
            let start = from - usize::from(manner == Manner::Shifted);
            let head =
                format!("206 Partial Content\r\nContent-Range: bytes {start}-{}/{whole}\r\nContent-Length: {}", whole - 1, whole - start);
            send(head, &file[start..]);
        }
        _ => {
            let end = match manner {
                Manner::Cut(end) if first => end,
                Manner::Slow => whole / 2,
                _ => whole,
            };
            send(format!("200 OK\r\nContent-Length: {whole}"), &file[..end]);
            if manner == Manner::Slow {
                std::thread::sleep(Duration::from_secs(20));
            }
        }
    }
}
