//! A small server that speaks the Hugging Face hub's protocol: descriptions, redirects to another host, ranges.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::json;
use sha1::Sha1;
use sha2::{Digest, Sha256};

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub(crate) const REPOSITORY: &str = "someone/whisper-test";

/// The server; it lives as long as the test's process.
pub(crate) struct Server {
    port: u16,
    state: Arc<Mutex<State>>,
}

/// What the server has, has seen, and does wrong.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) requests: Vec<Request>,
    /// So many transfers of large files break off half way.
    pub(crate) n_cut_off: usize,
    /// Large files arrive with one bit changed.
    pub(crate) is_corrupt: bool,
    /// The server sends the whole file when asked for a range.
    pub(crate) ignores_ranges: bool,
    /// Descriptions do not say sizes and checksums.
    pub(crate) is_terse: bool,
    /// Every request is answered with this status and `X-Error-Code`.
    pub(crate) refusal: Option<(u16, &'static str)>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) host: String,
    pub(crate) range: Option<String>,
    pub(crate) authorization: Option<String>,
}

impl Server {
    pub(crate) fn start(files: &[(&str, &[u8])]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let files = files.iter().map(|(name, content)| (name.to_string(), content.to_vec())).collect();
        let state = Arc::new(Mutex::new(State { files, ..State::default() }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                // A client that leaves early is not the server's trouble.
                std::thread::spawn(move || drop(answer(stream, port, &state)));
            }
        });
        Self { port, state }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The requests so far whose path contains `part`.
    pub(crate) fn requests(&self, part: &str) -> Vec<Request> {
        self.state().requests.iter().filter(|request| request.path.contains(part)).cloned().collect()
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn git_hash(bytes: &[u8]) -> String {
    hex(&Sha1::new_with_prefix(format!("blob {}\0", bytes.len())).chain_update(bytes).finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_large(name: &str) -> bool {
    name.ends_with(".safetensors")
}

fn answer(mut stream: TcpStream, port: u16, state: &Mutex<State>) -> std::io::Result<()> {
    let Some(request) = read_request(&stream)? else { return Ok(()) };
    let mut state = state.lock().unwrap();
    state.requests.push(request.clone());
    if let Some((status, code)) = state.refusal {
        drop(state);
        let code = if code.is_empty() { String::new() } else { format!("X-Error-Code: {code}\r\n") };
        return send(&mut stream, &request, &format!("{status} No"), &code, b"", 0);
    }
    let path = request.path.split('?').next().unwrap();
    if path == format!("/api/models/{REPOSITORY}/revision/main") {
        let body = describe(&state).to_string();
        drop(state);
        return send(
            &mut stream,
            &request,
            "200 OK",
            "Content-Type: application/json\r\n",
            body.as_bytes(),
            body.len(),
        );
    }
    if let Some(name) = path.strip_prefix(&format!("/{REPOSITORY}/resolve/{COMMIT}/")) {
        let Some(content) = state.files.get(name).cloned() else {
            drop(state);
            return send(&mut stream, &request, "404 Not Found", "X-Error-Code: EntryNotFound\r\n", b"", 0);
        };
        drop(state);
        if !is_large(name) {
            let headers = format!("ETag: \"{}\"\r\nX-Repo-Commit: {COMMIT}\r\n", git_hash(&content));
            return send(&mut stream, &request, "200 OK", &headers, &content, content.len());
        }
        let etag = sha256(&content);
        let headers = format!(
            "X-Linked-ETag: \"{etag}\"\r\nX-Linked-Size: {}\r\nX-Repo-Commit: {COMMIT}\r\nETag: \"0\"\r\n\
             Location: http://localhost:{port}/cdn/{name}?sign=a/b\r\n",
            content.len()
        );
        return send(&mut stream, &request, "302 Found", &headers, b"", 0);
    }
    if let Some(name) = path.strip_prefix("/cdn/") {
        let mut content = state.files[name].clone();
        if state.is_corrupt {
            content[7] ^= 1;
        }
        let range = request.range.as_ref().filter(|_| !state.ignores_ranges);
        let start = range.map_or(0, |range| {
            range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse::<usize>().unwrap()
        });
        let rest = &content[start..];
        let n_sent = if state.n_cut_off > 0 {
            state.n_cut_off -= 1;
            rest.len() / 2
        } else {
            rest.len()
        };
        drop(state);
        let headers = format!("Content-Range: bytes {start}-{}/{}\r\n", content.len() - 1, content.len());
        let (status, headers) =
            if range.is_some() { ("206 Partial Content", &*headers) } else { ("200 OK", "") };
        return send(&mut stream, &request, status, headers, &rest[..n_sent], rest.len());
    }
    drop(state);
    send(&mut stream, &request, "404 Not Found", "", b"", 0)
}

fn describe(state: &State) -> serde_json::Value {
    let sibling = |(name, content): (&String, &Vec<u8>)| {
        let mut file = json!({"rfilename": name});
        if !state.is_terse {
            file["size"] = json!(content.len());
            file["blobId"] = json!(git_hash(content));
            if is_large(name) {
                file["lfs"] = json!({"sha256": sha256(content), "size": content.len(), "pointerSize": 134});
            }
        }
        file
    };
    json!({"id": REPOSITORY, "sha": COMMIT, "siblings": state.files.iter().map(sibling).collect::<Vec<_>>()})
}

fn read_request(stream: &TcpStream) -> std::io::Result<Option<Request>> {
    let mut lines = BufReader::new(stream).lines();
    let Some(first) = lines.next().transpose()? else { return Ok(None) };
    let mut words = first.split(' ').map(str::to_owned);
    let mut request =
        Request { method: words.next().unwrap(), path: words.next().unwrap(), ..Request::default() };
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else { break };
        match name.to_lowercase().as_str() {
            "host" => request.host = value.into(),
            "range" => request.range = Some(value.into()),
            "authorization" => request.authorization = Some(value.into()),
            _ => {}
        }
    }
    Ok(Some(request))
}

/// Sends an answer whose body is said to have `length` bytes, whatever it has.
fn send(
    stream: &mut TcpStream,
    request: &Request,
    status: &str,
    headers: &str,
    body: &[u8],
    length: usize,
) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n")?;
    if request.method != "HEAD" {
        stream.write_all(body)?;
    }
    stream.flush()
}
