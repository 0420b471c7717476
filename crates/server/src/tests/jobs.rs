//! Jobs, through the router.

use super::*;
use crate::jobs;

/// A server that keeps jobs in `folder`, and works on them if it is to.
fn server(folder: &Path, works: bool) -> TestServer {
    let settings = Settings { jobs_dir: Some(folder.to_owned()), ..Settings::default() };
    let server = TestServer::new(settings);
    if works {
        tokio::spawn(jobs::run(server.state.clone(), server.state.jobs().unwrap()));
    }
    server
}

impl TestServer {
    async fn send_job(&self, fields: &[(&str, &str)], file: &[u8], key: Option<&str>) -> Answer {
        let fields = [&[("model", "digits.en")], fields].concat();
        let mut request = form("/v1/jobs", &fields, Some(file));
        if let Some(key) = key {
            request.headers_mut().insert("idempotency-key", key.parse().unwrap());
        }
        self.send(request).await
    }

    async fn job(&self, id: &Value) -> Value {
        self.get(&format!("/v1/jobs/{}", id.as_str().unwrap())).await.json()
    }

    async fn delete(&self, id: &Value) -> Answer {
        let path = format!("/v1/jobs/{}", id.as_str().unwrap());
        self.send(Request::delete(path).body(Body::empty()).unwrap()).await
    }

    /// Waits until the job is in a state.
    async fn wait(&self, id: &Value, state: &str) -> Value {
        let started = Instant::now();
        loop {
            let job = self.job(id).await;
            if job["status"] == state {
                return job;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "still {job}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn a_job_is_done_and_its_result_is_there_in_any_format() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), true);
    let fields = [("timestamp_granularities[]", "word"), ("response_format", "verbose_json")];
    let answer = server.send_job(&fields, &sample("pi.flac"), None).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let id = answer.json()["id"].clone();
    let path = format!("/v1/jobs/{}", id.as_str().unwrap());
    let told = server.get(&format!("{path}/events")).await;
    let told: Vec<Value> =
        events(&told.text).iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    assert_eq!(told.last().unwrap()["status"], "succeeded");
    assert!(told.iter().map(|job| job["progress"].as_f64().unwrap()).is_sorted());
    let result = server.get(&format!("{path}/result")).await.json();
    assert_eq!((result["text"].as_str(), result["words"].as_array().unwrap().len()), (Some(PI), 8));
    for (format, start) in
        [("srt", "1\n00:00:0"), ("tsv", "start\tend\ttext\n"), ("text", "three one"), ("lrc", "[00:0")]
    {
        let answer = server.get(&format!("{path}/result?format={format}")).await;
        assert!(answer.text.starts_with(start), "{format}: {}", answer.text);
    }
    assert_eq!(server.get(&format!("{path}/result?format=xml")).await.status, 400);
    assert!(std::fs::read_dir(folder.path().join("recordings")).unwrap().next().is_none());
    assert_eq!(server.get("/v1/jobs").await.json()["data"][0]["id"], id);
    assert_eq!(server.delete(&id).await.json()["deleted"], true);
    assert_eq!(server.get(&path).await.status, 404);
}

#[tokio::test]
async fn what_is_sent_twice_is_done_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), false);
    let sound = sample("pi.flac");
    let first = server.send_job(&[], &sound, Some("mine")).await;
    let second = server.send_job(&[], &sound, Some("mine")).await;
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (202, 200));
    assert_eq!(first.json()["id"], second.json()["id"]);
    let other = server.send_job(&[("priority", "9")], &sound, Some("other")).await.json();
    assert_eq!(other["queue_position"], 0);
    assert_eq!(server.job(&first.json()["id"]).await["queue_position"], 1);
}

#[tokio::test]
async fn a_server_that_was_killed_goes_on_with_what_it_had_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let ids = {
        let killed = server(folder.path(), false);
        let sound = sample("pi.flac");
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(killed.send_job(&[], &sound, None).await.json()["id"].clone());
        }
        // One is taken out of the queue, and a recording is left behind of which nobody knows.
        assert_eq!(killed.state.jobs().unwrap().claim_for_test().unwrap(), ids[0].as_str().unwrap());
        std::fs::write(folder.path().join("recordings/job_unknown"), "").unwrap();
        ids
    };
    let server = server(folder.path(), true);
    for id in &ids {
        server.wait(id, "succeeded").await;
        let path = format!("/v1/jobs/{}/result", id.as_str().unwrap());
        assert_eq!(server.get(&path).await.json()["text"], PI);
    }
    // A job has succeeded before its recording is gone: the other order could lose it.
    let is_left = || std::fs::read_dir(folder.path().join("recordings")).unwrap().next().is_some();
    for _ in 0..500 {
        if !is_left() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!is_left(), "recordings are left behind");
}

#[tokio::test]
async fn jobs_can_be_cancelled_before_and_while_they_are_worked_on() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), false);
    let waiting = server.send_job(&[], &noise(600.0), None).await.json()["id"].clone();
    assert_eq!(server.delete(&waiting).await.json()["status"], "cancelled");
    let running = server.send_job(&[], &noise(600.0), None).await.json()["id"].clone();
    tokio::spawn(jobs::run(server.state.clone(), server.state.jobs().unwrap()));
    server.wait(&running, "running").await;
    let path = format!("/v1/jobs/{}/result", running.as_str().unwrap());
    assert_eq!(server.get(&path).await.status, 409);
    assert_eq!(server.delete(&running).await.json()["status"], "cancelled");
    let started = Instant::now();
    while std::fs::read_dir(folder.path().join("recordings")).unwrap().next().is_some() {
        assert!(started.elapsed() < Duration::from_secs(10), "its recording is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(server.job(&running).await["status"], "cancelled");
}

#[tokio::test]
async fn what_is_no_recording_fails_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), true);
    let id = server.send_job(&[], b"no sound at all", None).await.json()["id"].clone();
    let job = server.wait(&id, "failed").await;
    assert_eq!(job["error"]["code"], "unsupported_format");
}

#[tokio::test]
async fn what_makes_no_sense_is_not_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), false);
    let sound = sample("pi.flac");
    for (field, status) in [(("priority", "high"), 400), (("task", "sing"), 400), (("model", "unknown"), 404)]
    {
        assert_eq!(server.send_job(&[field], &sound, None).await.status, status, "{field:?}");
    }
    assert_eq!(server.send_job(&[], b"", None).await.status, 400);
    assert_eq!(server.get("/v1/jobs/job_0").await.json()["error"]["code"], "job_not_found");
    assert_eq!(TestServer::new(Settings::default()).get("/v1/jobs").await.status, 501);
    let second = State::new(server.state.settings.clone(), Catalogue::new(vec!["m".into()], |_| digits()));
    assert!(second.is_err(), "two servers in one folder");
}

/// Answers one request with `content`, and returns what was asked.
async fn answer_once(listener: tokio::net::TcpListener, content: Vec<u8>) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut asked = String::new();
    loop {
        let mut piece = [0; 4096];
        let n = stream.read(&mut piece).await.unwrap();
        asked.push_str(&String::from_utf8_lossy(&piece[..n]));
        let length = asked
            .to_lowercase()
            .split("content-length: ")
            .nth(1)
            .map(|rest| rest.split("\r\n").next().unwrap().parse::<usize>().unwrap());
        let body = asked.split_once("\r\n\r\n").map(|(_, body)| body.len());
        if n == 0 || body.is_some_and(|body| body >= length.unwrap_or(0)) {
            break;
        }
    }
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", content.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&content).await.unwrap();
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_comes_from_an_address_and_the_news_of_its_job_goes_to_one() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        jobs_dir: Some(folder.path().to_owned()),
        outside_hosts: vec!["127.0.0.1".to_owned()],
        webhook_secret: Some("secret".to_owned()),
        ..Settings::default()
    };
    let server = TestServer::new(settings);
    tokio::spawn(jobs::run(server.state.clone(), server.state.jobs().unwrap()));
    let listen = || tokio::net::TcpListener::bind("127.0.0.1:0");
    let (files, news) = (listen().await.unwrap(), listen().await.unwrap());
    let url = format!("http://{}/talks/pi.flac?x", files.local_addr().unwrap());
    let callback = format!("http://{}/done", news.local_addr().unwrap());
    let (files, news) =
        (tokio::spawn(answer_once(files, sample("pi.flac"))), tokio::spawn(answer_once(news, Vec::new())));
    let fields = [("model", "digits.en"), ("url", url.as_str()), ("callback_url", callback.as_str())];
    let job = server.post("/v1/jobs", &fields, None).await;
    assert_eq!(
        (job.status.as_u16(), job.json()["file_name"].as_str()),
        (202, Some("pi.flac")),
        "{}",
        job.text
    );
    assert!(files.await.unwrap().starts_with("GET /talks/pi.flac?x "));
    let told = news.await.unwrap();
    let (head, body) = told.split_once("\r\n\r\n").unwrap();
    let header = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next().unwrap()
    };
    let news: Value = serde_json::from_str(body).unwrap();
    assert_eq!((news["type"].as_str(), &news["data"]["id"]), (Some("job.succeeded"), &job.json()["id"]));
    let at = header("webhook-timestamp").parse().unwrap();
    let signature = crate::jobs::Signer::new("secret").sign(header("webhook-id"), at, body);
    assert_eq!(header("webhook-signature"), signature);

    for (name, value) in [
        ("url", "http://localhost/a"),
        ("url", "http://169.254.169.254/"),
        ("callback_url", "http://example.org/"),
    ] {
        let answer = server.post("/v1/jobs", &[("model", "digits.en"), (name, value)], None).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["error"]["param"].as_str()),
            (400, Some(name)),
            "{value}"
        );
    }
}
