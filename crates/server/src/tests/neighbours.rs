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
    let verbose = [("response_format", "verbose_json"), ("beam_size", "-1"), ("no_timestamps", "false")];
    let answer = server.post("/inference", &verbose, Some(&pi)).await.json();
    assert_eq!(answer["segments"][1]["words"][0]["word"], "one");
    let in_one = [("response_format", "verbose_json"), ("no_timestamps", "true")];
    let answer = server.post("/inference", &in_one, Some(&pi)).await.json();
    assert_eq!(answer["segments"].as_array().unwrap().len(), 1, "{answer}");
    assert!(answer["segments"][0].get("words").is_none());
    for n_rows in ["0", "768", "1"] {
        let answer = server.post("/inference", &[("audio_ctx", n_rows)], Some(&pi)).await;
        assert_eq!(answer.json()["text"], PI, "{n_rows} rows, but never less than is recorded");
    }
    for (param, value) in [("vad", "perhaps"), ("audio_ctx", "1501")] {
        let answer = server.post("/inference", &[(param, value)], Some(&pi)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{param}");
    }
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

#[tokio::test]
async fn amanuensis_clients_get_everything_without_asking() {
    let server = TestServer::new(Settings::default());
    let pi = sample("pi.flac");
    let answer = server.post("/transcribe", &[("enable_diarization", "false")], Some(&pi)).await.json();
    assert_eq!((&answer["text"], &answer["words"][7]["word"]), (&PI.into(), &"six".into()));
    assert_eq!(answer["segments"][0]["text"], " three");
    let fields = [("model", "second"), ("response_format", "lrc")];
    let answer = server.post("/transcribe", &fields, Some(&pi)).await;
    assert!(answer.text.starts_with("[00:00.00]three\n"), "{}", answer.text);
    let page = server.get("/web").await;
    assert_eq!(
        (page.status, page.headers[header::LOCATION].to_str().unwrap()),
        (StatusCode::TEMPORARY_REDIRECT, "./")
    );
}

#[tokio::test]
async fn speech_is_found_without_a_model() {
    let server = TestServer::new(Settings::default());
    let pi = sample("pi.flac");
    let spans = async |fields: &[(&str, &str)]| {
        let answer = server.post("/v1/audio/speech/timestamps", fields, Some(&pi)).await.json();
        let ms = |span: &Value| (span["start"].as_u64().unwrap(), span["end"].as_u64().unwrap());
        answer.as_array().unwrap().iter().map(ms).collect::<Vec<_>>()
    };
    let joined = spans(&[("model", "silero_vad_v5")]).await;
    assert!(joined.len() == 1 && joined[0].0 < 500 && joined[0].1 > 6000, "{joined:?}");
    let words = spans(&[("min_silence_duration_ms", "100"), ("max_speech_duration_s", "inf")]).await;
    assert_eq!(words.len(), 8, "{words:?}");
    assert!(words.iter().all(|(start, end)| start < end) && words.is_sorted());
    assert!(!server.state.models.is_loaded("digits.en"));
    for (fields, file, param) in [
        (&[("threshold", "2")][..], Some(&pi[..]), "threshold"),
        (&[], None, "file"),
        (&[], Some(b"?"), "file"),
    ] {
        let answer = server.post("/v1/audio/speech/timestamps", fields, file).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["error"]["param"]), (400, &param.into()));
    }
}
