//! What a collector of OpenTelemetry gets of a server (feature `otlp`).
#![cfg(all(feature = "otlp", unix))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// What is asked of the collector: the head, and the body.
type Post = (String, Vec<u8>);

/// A collector that takes everything. Returns its address.
fn collector() -> (String, Receiver<Post>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (tell, posts) = channel();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = BufReader::new(connection.unwrap());
            while let Some(post) = post(&mut connection) {
                // The test may be over.
                drop(tell.send(post));
                connection.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            }
        }
    });
    (address, posts)
}

fn post(connection: &mut impl BufRead) -> Option<Post> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if connection.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head
        .lines()
        .find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length?];
    connection.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// A server, which is gone after the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Server {
    /// Starts it. Returns the address of its API.
    fn start(collector: &str) -> (Self, String) {
        let child = Command::new(env!("CARGO_BIN_EXE_boswell"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
            .env_remove("OTEL_SERVICE_NAME")
            .stderr(Stdio::piped())
            .spawn();
        let mut server = Self(child.unwrap());
        let mut lines = BufReader::new(server.0.stderr.take().unwrap()).lines().map(Result::unwrap);
        let address =
            lines.find_map(|line| Some(line[line.find("http://")?..].split_whitespace().next()?.to_owned()));
        // Nobody reads on, but what is written goes somewhere.
        thread::spawn(move || lines.count());
        (server, address.unwrap())
    }

    /// Asks it to end, and waits until it has.
    fn end(&mut self) {
        assert!(Command::new("kill").arg(self.0.id().to_string()).status().unwrap().success());
        let asked = Instant::now();
        while self.0.try_wait().unwrap().is_none() {
            assert!(asked.elapsed() < PATIENCE, "the server does not end");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn transcribe(server: &str) -> String {
    let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/pi.flac");
    let head = "--boundary\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n\
                --boundary\r\ncontent-disposition: form-data; name=\"file\"; filename=\"pi.flac\"\r\n\r\n";
    let recording = std::fs::read(recording).unwrap();
    let body = [head.as_bytes(), &recording, b"\r\n--boundary--\r\n"].concat();
    let answer = ureq::post(format!("{server}/audio/transcriptions"))
        .content_type("multipart/form-data; boundary=boundary")
        .send(&body);
    answer.unwrap().body_mut().read_to_string().unwrap()
}

/// Whether a protobuf message has a text as a field of that number, somewhere.
fn has_field(message: &[u8], number: u8, text: &str) -> bool {
    let field = [&[number << 3 | 2, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    message.windows(field.len()).any(|window| window == field)
}

#[test]
fn a_collector_gets_the_spans_of_a_request_before_the_server_ends() {
    const NAME: u8 = 5; // in a `Span`
    const STRING_VALUE: u8 = 1; // in an `AnyValue`
    let (address, posts) = collector();
    let (mut server, server_address) = Server::start(&address);
    assert!(transcribe(&server_address).contains("three one four"));
    server.end();
    let posts: Vec<Post> = posts.try_iter().collect();
    assert!(!posts.is_empty(), "nothing was sent");
    for (head, _) in &posts {
        assert!(head.starts_with("POST /v1/traces "), "{head}");
        assert!(head.contains("application/x-protobuf"), "{head}");
    }
    let has = |number, text| posts.iter().any(|(_, body)| has_field(body, number, text));
    for name in ["request", "upload", "read", "transcribe"] {
        assert!(has(NAME, name), "no span `{name}`");
    }
    for value in ["boswell", "/v1/audio/transcriptions", "POST"] {
        assert!(has(STRING_VALUE, value), "no attribute is `{value}`");
    }
}
