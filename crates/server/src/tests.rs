//! The router, called without a socket, with the model that knows spoken digits.

mod deepgram;
mod jobs;
mod neighbours;
mod realtime;
mod speaker;
mod wyoming;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use boswell_model::{Checkpoint, LoadOptions};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::ServiceExt;

use crate::api::router;
use crate::models::{Catalogue, LoadError};
use crate::state::State;
use crate::{Keys, Settings};

const PI: &str = "three one four one five nine two six";
const BOUNDARY: &str = "boundary-of-the-test";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn digits() -> Result<(Checkpoint, LoadOptions), LoadError> {
    let folder = repository().join("models/digits.en");
    let text = |name: &str| std::fs::read_to_string(folder.join(name));
    let packed = std::fs::File::open(folder.join("model.safetensors.zst"))?;
    let mut weights = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(packed)?.read_to_end(&mut weights)?;
    let (config, generation) = (text("config.json")?, text("generation_config.json")?);
    let checkpoint = Checkpoint::from_bytes("digits.en", &config, Some(&generation), weights)?;
    Ok((checkpoint, LoadOptions { threads: 1, ..LoadOptions::default() }))
}

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(repository().join("samples").join(name)).unwrap()
}

/// So many seconds of noise as a wav file.
fn noise(seconds: f64) -> Vec<u8> {
    let n_bytes = (seconds * 16_000.0) as u32 * 2;
    let mut wav = Vec::from(*b"RIFF");
    wav.extend((36 + n_bytes).to_le_bytes());
    wav.extend(*b"WAVEfmt ");
    wav.extend([16, 0, 0, 0, 1, 0, 1, 0]);
    wav.extend(16_000_u32.to_le_bytes());
    wav.extend(32_000_u32.to_le_bytes());
    wav.extend([2, 0, 16, 0]);
    wav.extend(*b"data");
    wav.extend(n_bytes.to_le_bytes());
    let mut rng = fastrand::Rng::with_seed(1);
    wav.extend((0..n_bytes).map(|_| rng.u8(..)));
    wav
}

struct TestServer {
    state: Arc<State>,
    router: Router,
}

/// An answer with everything that came.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

impl TestServer {
    fn new(settings: Settings) -> Self {
        let catalogue = Catalogue::new(
            ["digits.en", "second", "broken"].map(str::to_owned).to_vec(),
            |name| match name {
                "digits.en" | "second" => digits(),
                other => Err(format!("there is nothing in {other}").into()),
            },
        );
        let state = State::new(settings, catalogue).unwrap();
        Self { router: router(state.clone()), state }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)], file: Option<&[u8]>) -> Answer {
        self.send(form(path, fields, file)).await
    }

    /// The transcript of `pi.flac`.
    async fn transcribe(&self, fields: &[(&str, &str)]) -> Answer {
        let fields = [&[("model", "whisper-1")], fields].concat();
        self.post("/v1/audio/transcriptions", &fields, Some(&sample("pi.flac"))).await
    }
}

fn form(path: &str, fields: &[(&str, &str)], file: Option<&[u8]>) -> Request<Body> {
    form_with(path, fields, file.map(|file| ("file", file)))
}

/// A form whose recording has a name of its own.
fn form_with(path: &str, fields: &[(&str, &str)], file: Option<(&str, &[u8])>) -> Request<Body> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let part =
            format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(part.as_bytes());
    }
    if let Some((name, file)) = file {
        let head = format!(
            "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"a.flac\"\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(file);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    Request::post(path).header(header::CONTENT_TYPE, kind).body(Body::from(body)).unwrap()
}

/// The data of server-sent events.
fn events(text: &str) -> Vec<&str> {
    text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect()
}

#[tokio::test]
async fn every_format_has_the_text() {
    let server = TestServer::new(Settings::default());
    for format in ["json", "text", "verbose_json", "diarized_json"] {
        let answer = server.transcribe(&[("response_format", format)]).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(answer.text.contains(PI), "{format}: {}", answer.text);
    }
    let lrc = server.transcribe(&[("response_format", "lrc")]).await;
    assert!(lrc.text.starts_with("[00:00.00]three\n"), "{}", lrc.text);
    let srt = server.transcribe(&[("response_format", "srt")]).await;
    assert!(srt.text.starts_with("1\n00:00:0") && srt.text.contains("\nthree\n"), "{}", srt.text);
    let vtt = server.transcribe(&[("response_format", "vtt")]).await;
    assert!(vtt.text.starts_with("WEBVTT\n\n00:00:0"), "{}", vtt.text);
    assert_eq!(vtt.headers[header::CONTENT_TYPE], "text/plain; charset=utf-8");
}

#[tokio::test]
async fn openai_s_names_may_end_with_a_date() {
    let server = TestServer::new(Settings::default());
    let sound = sample("pi.flac");
    for (name, status) in [
        ("gpt-4o-mini-transcribe-2025-12-15", 200),
        ("gpt-4o-mini-transcribe-2025-12-1x", 404),
        ("digits.en-2025-12-15", 404),
        ("-2025-12-15", 404),
        ("überlänge", 404),
    ] {
        let answer = server.post("/v1/audio/transcriptions", &[("model", name)], Some(&sound)).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text);
    }
}

#[tokio::test]
async fn words_have_times_if_asked_for() {
    let server = TestServer::new(Settings::default());
    let fields = [("response_format", "verbose_json"), ("timestamp_granularities[]", "word")];
    let body = server.transcribe(&fields).await.json();
    let words: Vec<&str> =
        body["words"].as_array().unwrap().iter().map(|word| word["word"].as_str().unwrap()).collect();
    assert_eq!(words.join(" "), PI);
    let times = body["words"].as_array().unwrap().iter().map(|word| word["start"].as_f64().unwrap());
    assert!(times.is_sorted() && body.get("segments").is_none());
    assert_eq!(body["language"], "english");
}

#[tokio::test]
async fn a_stream_puts_the_text_together() {
    let server = TestServer::new(Settings::default());
    for format in ["json", "diarized_json", "verbose_json"] {
        let answer = server.transcribe(&[("stream", "true"), ("response_format", format)]).await;
        assert_eq!(answer.headers[header::CONTENT_TYPE], "text/event-stream");
        let events = events(&answer.text);
        assert_eq!(events.last(), Some(&"[DONE]"));
        let events: Vec<Value> =
            events[..events.len() - 1].iter().map(|event| serde_json::from_str(event).unwrap()).collect();
        let of = |kind: &'static str| events.iter().filter(move |event| event["type"] == kind);
        let deltas: String =
            of("transcript.text.delta").map(|event| event["delta"].as_str().unwrap()).collect();
        assert_eq!(deltas, PI);
        assert_eq!(of("transcript.text.done").next().unwrap()["text"], PI);
        let n_segments = if format == "json" { 0 } else { 8 };
        assert_eq!(
            events.iter().any(|event| event["type"] == "transcript.progress"),
            format == "verbose_json"
        );
        assert_eq!(of("transcript.text.segment").count(), n_segments);
    }
}

#[tokio::test]
async fn logprobs_put_together_are_the_text() {
    let server = TestServer::new(Settings::default());
    let text_of = |logprobs: &Value| {
        let tokens = logprobs.as_array().unwrap();
        assert!(tokens.iter().all(|token| token["logprob"].as_f64().unwrap() <= 0.0));
        let bytes = tokens.iter().flat_map(|token| token["bytes"].as_array().unwrap().clone());
        let bytes = bytes.map(|byte| byte.as_u64().unwrap() as u8).collect();
        assert_eq!(tokens[0]["token"], "three");
        String::from_utf8(bytes).unwrap()
    };
    let body = server.transcribe(&[("include[]", "logprobs")]).await.json();
    assert_eq!(text_of(&body["logprobs"]), PI);
    let answer = server.transcribe(&[("include[]", "logprobs"), ("stream", "true")]).await;
    let events = events(&answer.text);
    let done: Value = serde_json::from_str(events[events.len() - 2]).unwrap();
    assert_eq!(text_of(&done["logprobs"]), PI);
    let delta: Value = serde_json::from_str(events[0]).unwrap();
    assert_eq!(text_of(&delta["logprobs"]), "three");
    assert!(server.transcribe(&[]).await.json().get("logprobs").is_none());
}

#[tokio::test]
async fn what_cannot_be_done_is_answered_as_openai_does() {
    let server = TestServer::new(Settings { max_upload_bytes: 1 << 20, ..Settings::default() });
    let sound = sample("pi.flac");
    let too_long = noise(40.0);
    let too_short = noise(0.05);
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<&'a [u8]>, u16, &'a str);
    let cases: &[Case<'_>] = &[
        ("transcriptions", &[], Some(&sound), 400, "'model'"),
        ("transcriptions", &[("model", "whisper-1")], None, 400, "'file'"),
        ("transcriptions", &[("model", "whisper-1")], Some(b""), 400, "empty"),
        ("transcriptions", &[("model", "whisper-1")], Some(b"no sound at all"), 400, "Invalid file format"),
        ("transcriptions", &[("model", "whisper-1")], Some(&too_short), 400, "too short"),
        (
            "transcriptions",
            &[("model", "whisper-1")],
            Some(&too_long),
            413,
            "Maximum content size limit (1048576)",
        ),
        ("transcriptions", &[("model", "unknown")], Some(&sound), 404, "does not exist"),
        ("transcriptions", &[("model", "broken")], Some(&sound), 503, "cannot be loaded"),
        ("translations", &[("model", "whisper-1")], Some(&sound), 400, "cannot translate"),
        ("nonsense", &[], None, 404, "Invalid URL"),
    ];
    for (path, fields, file, status, message) in cases {
        let answer = server.post(&format!("/v1/audio/{path}"), fields, *file).await;
        assert_eq!(answer.status, *status, "{message}: {}", answer.text);
        let error = &answer.json()["error"];
        assert!(error["message"].as_str().unwrap().contains(message), "{error}");
        let names: Vec<_> = error.as_object().unwrap().keys().collect();
        assert_eq!(names, ["message", "type", "param", "code"]);
    }
    let answer = server.get("/v1/audio/transcriptions").await;
    assert_eq!(
        (answer.status, answer.json()["error"]["type"].clone()),
        (StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error".into())
    );
    let no_form = Request::post("/v1/audio/transcriptions").body(Body::from("{}")).unwrap();
    assert_eq!(server.send(no_form).await.status, 400);
}

#[tokio::test]
async fn who_sends_everything_first_hears_why_it_is_refused() {
    let server = TestServer::new(Settings {
        max_upload_bytes: 1 << 20,
        keys: Keys::new(["secret"]).unwrap(),
        ..Settings::default()
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = server.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let body = vec![0; 32 << 20];
    for (key, status) in [("guess", "401"), ("secret", "413")] {
        let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /v1/audio/transcriptions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
             content-type: multipart/form-data; boundary={BOUNDARY}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        connection.write_all(&body).await.expect("all of it is taken");
        let mut answer = [0; 12];
        connection.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, format!("HTTP/1.1 {status}").as_bytes());
    }
}

#[tokio::test]
async fn the_api_is_found_wherever_clients_look() {
    let server = TestServer::new(Settings::default());
    for prefix in ["", "/v1", "/openai/v1", "/api/v1"] {
        let list = server.get(&format!("{prefix}/models")).await.json();
        let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|model| model["id"].clone()).collect();
        assert!(ids.contains(&"digits.en".into()) && ids.contains(&"whisper-1".into()));
        assert_eq!(server.get(&format!("{prefix}/models/digits.en")).await.json()["object"], "model");
        let missing = server.get(&format!("{prefix}/models/some/other")).await;
        assert_eq!(
            (missing.status.as_u16(), missing.json()["error"]["code"].clone()),
            (404, "model_not_found".into())
        );
        let answer = server.post(&format!("{prefix}/audio/transcriptions"), &[], None).await;
        assert_eq!(answer.json()["error"]["param"], "model");
    }
}

#[tokio::test]
async fn who_has_no_key_may_only_look_whether_it_is_well() {
    let server = TestServer::new(Settings { keys: Keys::new(["secret"]).unwrap(), ..Settings::default() });
    assert_eq!(server.get("/health").await.status, 200);
    assert_eq!(server.get("/metrics").await.status, 200);
    let refused = server.get("/v1/models").await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.json()["error"]["code"], "invalid_api_key");
    let with_key = |key: &str| {
        let authorization = format!("Bearer {key}");
        Request::get("/v1/models").header(header::AUTHORIZATION, authorization).body(Body::empty()).unwrap()
    };
    assert_eq!(server.send(with_key("secret")).await.status, 200);
    assert_eq!(server.send(with_key("guess")).await.status, 401);
}

#[tokio::test]
async fn every_answer_has_a_name_and_a_time() {
    let server = TestServer::new(Settings::default());
    let answer = server.get("/health").await;
    assert!(answer.headers["x-request-id"].to_str().unwrap().starts_with("req_"));
    assert!(answer.headers.contains_key("openai-processing-ms"));
    let named = Request::get("/nothing").header("x-request-id", "mine").body(Body::empty()).unwrap();
    assert_eq!(server.send(named).await.headers["x-request-id"], "mine");
}

#[tokio::test]
async fn it_is_ready_when_the_model_is_there_and_not_at_the_end() {
    let server = TestServer::new(Settings::default());
    assert_eq!(server.get("/ready").await.status, 503);
    server.transcribe(&[]).await;
    assert_eq!(server.get("/ready").await.status, 200);
    assert_eq!(server.get("/api/ps").await.json()["models"][0]["id"], "digits.en");
    let metrics = server.get("/metrics").await.text;
    for line in [
        "boswell_http_requests_total{method=\"POST\",route=\"/v1/audio/transcriptions\",status=\"200\"} 1",
        "boswell_windows_total{model=\"digits.en\"} 1",
        "boswell_model_loaded{model=\"digits.en\"} 1",
        "boswell_requests_in_flight 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    server.state.drain();
    assert_eq!(server.get("/ready").await.status, 503);
    let answer = server.transcribe(&[]).await;
    assert_eq!((answer.status.as_u16(), answer.headers[header::RETRY_AFTER].to_str().unwrap()), (503, "10"));
}

#[tokio::test]
async fn a_model_that_nobody_uses_is_unloaded_and_comes_back() {
    let server = TestServer::new(Settings::default());
    server.transcribe(&[]).await;
    server.state.models.unload_idle(Duration::from_secs(3600));
    assert!(server.state.models.is_loaded("digits.en"));
    // What was submitted may still be on its way out of the engine.
    let started = Instant::now();
    while server.state.models.is_loaded("digits.en") && started.elapsed() < Duration::from_secs(10) {
        server.state.models.unload_idle(Duration::ZERO);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!server.state.models.is_loaded("digits.en"));
    assert_eq!(server.transcribe(&[]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_loaded_and_unloaded_by_hand() {
    let server = TestServer::new(Settings::default());
    let ask = |method: &str, id: &str| {
        let request = Request::builder().method(method).uri(format!("/api/ps/{id}"));
        server.send(request.body(Body::empty()).unwrap())
    };
    for (method, id, status) in [
        ("DELETE", "second", 409),
        ("POST", "second", 201),
        ("POST", "second", 409),
        ("DELETE", "second", 204),
        ("POST", "whisper-1", 201),
        ("POST", "unknown", 404),
        ("DELETE", "unknown", 404),
    ] {
        let answer = ask(method, id).await;
        assert_eq!(answer.status, status, "{method} {id}: {}", answer.text);
    }
    let used = server.state.models.engine("digits.en").await.unwrap();
    assert_eq!(ask("DELETE", "digits.en").await.status, 409);
    drop(used);
    assert_eq!(ask("DELETE", "digits.en").await.status, 204);
    assert!(!server.state.models.is_loaded("whisper-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn models_make_room_for_each_other() {
    let (checkpoint, options) = digits().unwrap();
    let bytes = options.weight_bytes(&checkpoint);
    let with_room_for = |n: u64| {
        TestServer::new(Settings { model_memory: Some(n * bytes + bytes / 2), ..Settings::default() })
    };
    let server = with_room_for(1);
    let sound = sample("pi.flac");
    for name in ["digits.en", "second", "digits.en"] {
        let answer = server.post("/v1/audio/transcriptions", &[("model", name)], Some(&sound)).await;
        assert_eq!(answer.json()["text"], PI, "{name}");
        let loaded = server.get("/api/ps").await.json();
        assert_eq!(
            (loaded["models"].as_array().unwrap().len(), &loaded["models"][0]["id"]),
            (1, &Value::from(name))
        );
        assert_eq!(loaded["memory"], serde_json::json!({"bytes": bytes, "limit": bytes + bytes / 2}));
    }
    // A model in use stays, and whoever waits for its room gets it.
    let engine = server.state.models.engine("digits.en").await.unwrap();
    let waiting = form("/v1/audio/transcriptions", &[("model", "second")], Some(&sound));
    let waiting = tokio::spawn(server.router.clone().oneshot(waiting));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(server.state.models.is_loaded("digits.en") && !waiting.is_finished());
    drop(engine);
    assert_eq!(waiting.await.unwrap().unwrap().status(), 200);

    let both = with_room_for(2);
    for name in ["digits.en", "second"] {
        both.state.models.engine(name).await.unwrap();
    }
    assert!(both.state.models.is_loaded("digits.en"));
    let none = with_room_for(0);
    assert_eq!(none.transcribe(&[]).await.status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_takes_the_work_along_and_who_comes_too_late_is_told_when_to_return() {
    let server = TestServer::new(Settings { max_requests: 1, ..Settings::default() });
    server.transcribe(&[]).await;
    let engine = server.state.models.engine("digits.en").await.unwrap();
    for stream in ["false", "true"] {
        let long = form(
            "/v1/audio/transcriptions",
            &[("model", "digits.en"), ("stream", stream)],
            Some(&noise(600.0)),
        );
        let router = server.router.clone();
        let request = tokio::spawn(async move {
            let response = router.oneshot(long).await.unwrap();
            let _ = response.into_body().collect().await;
        });
        let started = Instant::now();
        while engine.n_recordings() == 0 {
            assert!(
                !request.is_finished() && started.elapsed() < Duration::from_secs(120),
                "it never begins"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let refused = server.transcribe(&[]).await;
        assert_eq!(
            (refused.status.as_u16(), refused.json()["error"]["code"].clone()),
            (429, "rate_limit".into())
        );
        assert!(refused.headers.contains_key(header::RETRY_AFTER));
        request.abort();
        let left = Instant::now();
        while engine.n_recordings() > 0 {
            assert!(left.elapsed() < Duration::from_secs(5), "the work goes on");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        while server.transcribe(&[]).await.status == 429 {
            assert!(left.elapsed() < Duration::from_secs(10), "its place is not free");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_do_not_get_each_other_s_text() {
    let server = Arc::new(TestServer::new(Settings { batch_size: 3, ..Settings::default() }));
    let countdown = "nine eight seven six five four three two one zero";
    let clients = (0..8).map(|idx| {
        let server = server.clone();
        tokio::spawn(async move {
            let (name, text) = if idx % 2 == 0 { ("pi.flac", PI) } else { ("countdown.mp3", countdown) };
            let fields = [("model", "digits.en"), ("response_format", "text")];
            let answer = server.post("/v1/audio/transcriptions", &fields, Some(&sample(name))).await;
            assert_eq!(answer.text.trim(), text);
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn work_that_takes_too_long_is_given_up() {
    let settings =
        Settings { deadline: Duration::from_millis(1), deadline_factor: 0.0, ..Settings::default() };
    let server = TestServer::new(settings);
    let fields = [("model", "digits.en")];
    let answer = server.post("/v1/audio/transcriptions", &fields, Some(&noise(120.0))).await;
    assert_eq!(answer.status, 408);
    assert_eq!(answer.headers["x-should-retry"], "false");
}

#[tokio::test]
async fn a_recording_that_is_too_long_is_not_read_to_its_end() {
    let server = TestServer::new(Settings { max_audio: Duration::from_secs(60), ..Settings::default() });
    let fields = [("model", "digits.en")];
    let answer = server.post("/v1/audio/transcriptions", &fields, Some(&noise(120.0))).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text.contains("longer than 60 s"), "{}", answer.text);
}

#[tokio::test]
async fn the_page_comes_from_the_program_alone() {
    let server = TestServer::new(Settings { keys: Keys::new(["secret"]).unwrap(), ..Settings::default() });
    let page = server.get("/").await;
    assert_eq!(page.headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
    assert!(
        page.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("default-src 'self'")
    );
    let files = page.text.split('"').filter(|word| word.starts_with("page/"));
    let mut n_files = 0;
    for file in files {
        let answer = server.get(&format!("/{file}")).await;
        assert_eq!(answer.status, 200, "{file}");
        for import in answer.text.split('"').filter(|word| word.starts_with("./")) {
            assert_eq!(server.get(&format!("/page/{}", &import[2..])).await.status, 200, "{import}");
        }
        assert!(!answer.text.contains("https://"), "{file} asks for something elsewhere");
        n_files += 1;
    }
    assert!(n_files >= 3);
}

#[tokio::test]
async fn the_status_tells_which_device_did_what() {
    let server = TestServer::new(Settings::default());
    server.transcribe(&[]).await;
    let status = server.get("/status").await.json();
    let model = &status["models"][0];
    assert_eq!((model["id"].as_str(), model["languages"][0].as_str()), (Some("digits.en"), Some("english")));
    assert!(model["real_time_factor"].as_f64().unwrap() > 0.0);
    for stage in ["read", "encode", "decode"] {
        assert_eq!(model["stages"][stage]["device"], "cpu");
        assert!(model["stages"][stage]["seconds"].as_f64().unwrap() > 0.0);
    }
    assert!(status["device"]["name"].as_str().unwrap().starts_with("CPU"));
}

#[tokio::test]
async fn the_description_of_the_api_is_that_of_the_routes() {
    let server = TestServer::new(Settings::default());
    assert_eq!(server.get("/docs").await.status, 200);
    let description = server.get("/openapi.json").await.json();
    let paths = description["paths"].as_object().unwrap();
    assert!(paths.len() > 5);
    for (path, methods) in paths {
        for method in methods.as_object().unwrap().keys() {
            let request = Request::builder().method(method.to_uppercase().as_str()).uri(path.as_str());
            let answer = server.send(request.body(Body::empty()).unwrap()).await;
            let is_there = answer.status != 405 && !answer.text.contains("Invalid URL");
            assert!(is_there, "{method} {path}: {}", answer.text);
            let status = answer.status.as_str();
            assert!(methods[method]["responses"].get(status).is_some(), "{method} {path} answers {status}");
        }
    }
}
