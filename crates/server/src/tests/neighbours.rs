//! What clients of other servers ask for.

use super::*;

#[tokio::test]
async fn whisper_cpp_s_clients_need_no_model() {
    let server = TestServer::new(Settings::default());
    let pi = sample("pi.flac");
    let answer =
        server.post("/inference", &[("temperature_inc", "0.2"), ("language", "en")], Some(&pi)).await;
    assert_eq!(answer.json()["text"], PI);
    let answer = server.post("/inference", &[("response_format", "srt"), ("vad", "true")], Some(&pi)).await;
    assert!(answer.text.starts_with("1\n00:00:00,") && answer.text.contains("three"), "{}", answer.text);
    let answer = server.post("/inference", &[("vad", "perhaps")], Some(&pi)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

async fn asr(server: &TestServer, query: &str, recording: &[u8]) -> Answer {
    server.send(form_with(&format!("/asr?{query}"), &[], Some(("audio_file", recording)))).await
}

#[tokio::test]
async fn asr_answers_with_files() {
    let server = TestServer::new(Settings::default());
    let pi = sample("pi.flac");
    let answer = asr(&server, "", &pi).await;
    assert_eq!(answer.text.split_whitespace().collect::<Vec<_>>().join(" "), PI);
    assert_eq!(answer.headers["content-disposition"], "attachment; filename=\"a.txt\"");
    assert_eq!(answer.headers["asr-engine"], "boswell");
    let answer = asr(&server, "output=json&word_timestamps=true&language=en", &pi).await;
    assert_eq!(answer.json()["segments"][0]["words"][0]["word"], " three");
    for (query, param) in [("output=doc", "output"), ("task=sing", "task"), ("encode=perhaps", "encode")] {
        let answer = asr(&server, query, &pi).await;
        assert_eq!(
            (answer.status, &answer.json()["error"]["param"]),
            (StatusCode::BAD_REQUEST, &param.into())
        );
    }
}

#[tokio::test]
async fn samples_without_a_head_are_understood() {
    let server = TestServer::new(Settings::default());
    let wav = noise(1.0);
    let answer = asr(&server, "encode=false&output=json", &wav[44..]).await;
    assert_eq!((answer.status, &answer.json()["text"]), (StatusCode::OK, &"".into()));
    // As a file they are nothing.
    assert_eq!(asr(&server, "", &wav[44..]).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_language_is_told_with_how_sure_it_is() {
    let server = TestServer::new(Settings::default());
    let request = form_with("/detect-language", &[], Some(("audio_file", &sample("pi.flac"))));
    let answer = server.send(request).await.json();
    let expected =
        serde_json::json!({"detected_language": "english", "language_code": "en", "confidence": 1.0});
    assert_eq!(answer, expected);
}
