//! Realtime sessions: what a client sends, and what it is told.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use tokio::sync::mpsc;

use super::speaker::{pcm, speech};
use super::*;
use crate::live::Protocol;
use crate::realtime::{Config, Session};

type Speaker = super::speaker::Speaker<Session>;

impl Speaker {
    fn new(server: &TestServer) -> Self {
        let (tell, heard) = mpsc::channel(16);
        Self::begin(Session::new(server.state.clone(), Config::new("digits.en"), tell), heard)
    }

    /// Sends sound, half a second at a time, and lets the engine keep up.
    async fn speak(&mut self, samples: &[i16]) {
        for piece in samples.chunks(8000) {
            let audio = BASE64_STANDARD.encode(pcm(piece));
            self.say(&json!({"type": "input_audio_buffer.append", "audio": audio}));
            while self.session.is_listening() {
                self.hear().await;
            }
        }
    }

    /// Waits for the text of what was said.
    async fn completed(&mut self) -> Value {
        loop {
            let done = self.of("conversation.item.input_audio_transcription.completed").next().cloned();
            if let Some(done) = done {
                return done;
            }
            self.hear().await;
        }
    }

    fn text(&self) -> String {
        let deltas = self.of("conversation.item.input_audio_transcription.delta");
        deltas.map(|event| event["delta"].as_str().unwrap()).collect()
    }
}

fn update(detection: Value) -> Value {
    let format = json!({"type": "audio/pcm", "rate": 16000});
    let input =
        json!({"format": format, "transcription": {"model": "digits.en"}, "turn_detection": detection});
    json!({"type": "session.update", "session": {"type": "transcription", "audio": {"input": input}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_is_written_down_while_and_after_it_is_spoken() {
    let server = TestServer::new(Settings::default());
    let mut speaker = Speaker::new(&server);
    speaker.say(&update(json!({"type": "server_vad", "silence_duration_ms": 1200})));
    speaker.speak(&speech()).await;
    let completed = speaker.completed().await;
    assert_eq!(completed["transcript"], PI);
    assert_eq!(speaker.text(), PI);
    let n_deltas = speaker.of("conversation.item.input_audio_transcription.delta").count();
    assert!(n_deltas > 1, "the text comes while it is spoken");
    let kinds: Vec<&str> = speaker.told.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let order = [
        "session.created",
        "session.updated",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.completed",
    ];
    let places = order.map(|kind| kinds.iter().position(|other| *other == kind).expect(kind));
    assert!(places.is_sorted(), "{kinds:?}");
    let items: Vec<&Value> =
        speaker.told.iter().map(|event| &event["item_id"]).filter(|id| !id.is_null()).collect();
    assert!(items.windows(2).all(|pair| pair[0] == pair[1]), "one turn, one item");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_is_listened_to_less_often_while_others_wait() {
    let server = TestServer::new(Settings { batch_size: 1, ..Settings::default() });
    let engine = server.state.models.engine("digits.en").await.unwrap();
    let mut n_heard = [0; 2];
    for (crowd, n_heard) in [0, 3].into_iter().zip(&mut n_heard) {
        let long = || form("/v1/audio/transcriptions", &[("model", "digits.en")], Some(&noise(900.0)));
        let others: Vec<_> =
            (0..crowd).map(|_| tokio::spawn(server.router.clone().oneshot(long()))).collect();
        while engine.n_recordings() < crowd {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut speaker = Speaker::new(&server);
        speaker.say(&update(json!({"type": "server_vad", "silence_duration_ms": 1200})));
        speaker.speak(&speech()).await;
        assert_eq!(speaker.completed().await["transcript"], PI);
        *n_heard = speaker.n_heard;
        assert_eq!(engine.is_crowded(), crowd > 0, "the others are still there");
        others.into_iter().for_each(|other| other.abort());
    }
    assert!(n_heard[1] < n_heard[0], "{n_heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn words_are_whole_wherever_turns_end() {
    // Pauses between the words are about as long as those that end turns: which of them do depends on where they lie.
    let server = TestServer::new(Settings::default());
    for n_before in [0, 800, 1900, 2800, 6500] {
        let mut speaker = Speaker::new(&server);
        speaker.say(&update(json!({"type": "server_vad"})));
        speaker.speak(&[vec![0; n_before], speech()].concat()).await;
        let n_turns = speaker.of("input_audio_buffer.committed").count();
        let completed = "conversation.item.input_audio_transcription.completed";
        while speaker.of(completed).count() < n_turns {
            speaker.hear().await;
        }
        let texts: Vec<&str> =
            speaker.of(completed).map(|event| event["transcript"].as_str().unwrap()).collect();
        assert_eq!(texts.join(" "), PI, "after {n_before} samples");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_silence_is_told_if_asked_for() {
    let server = TestServer::new(Settings::default());
    let mut speaker = Speaker::new(&server);
    speaker.say(&update(json!({"type": "server_vad", "idle_timeout_ms": 5000})));
    speaker.speak(&[0; 6 * 16_000]).await;
    speaker.speak(&speech()).await;
    speaker.speak(&[0; 2 * 16_000]).await;
    let idle: Vec<&Value> = speaker.of("input_audio_buffer.timeout_triggered").collect();
    let [idle] = idle[..] else { panic!("{} times", idle.len()) };
    assert_eq!((idle["audio_start_ms"].as_u64(), idle["audio_end_ms"].as_u64()), (Some(0), Some(5024)));
    let first = speaker.of("input_audio_buffer.committed").next().unwrap();
    assert_eq!(first["item_id"], idle["item_id"]);
    assert_eq!(speaker.completed().await["transcript"], "");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_detection_the_client_ends_turns() {
    let server = TestServer::new(Settings::default());
    let mut speaker = Speaker::new(&server);
    speaker.say(&update(Value::Null));
    speaker.say(&json!({"type": "input_audio_buffer.commit", "event_id": "mine"}));
    let error = speaker.of("error").next().unwrap()["error"].clone();
    assert_eq!(
        (error["code"].as_str(), error["event_id"].as_str()),
        (Some("input_audio_buffer_commit_empty"), Some("mine"))
    );
    speaker.speak(&speech()).await;
    speaker.say(&json!({"type": "input_audio_buffer.commit"}));
    assert_eq!(speaker.completed().await["transcript"], PI);
    assert_eq!(speaker.text(), PI);
    speaker.speak(&speech()[..16_000]).await;
    speaker.say(&json!({"type": "input_audio_buffer.clear"}));
    assert!(speaker.of("input_audio_buffer.cleared").next().is_some());
    speaker.say(&json!({"type": "input_audio_buffer.commit"}));
    assert_eq!(speaker.of("error").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn turns_are_told_in_the_order_in_which_they_were_spoken() {
    let server = TestServer::new(Settings::default());
    let mut speaker = Speaker::new(&server);
    speaker.say(&update(Value::Null));
    // Too short to be listened to before their end.
    let audio = BASE64_STANDARD.encode([0; 6_400 * 2]);
    for _ in 0..3 {
        speaker.say(&json!({"type": "input_audio_buffer.append", "audio": audio}));
        speaker.say(&json!({"type": "input_audio_buffer.commit"}));
    }
    let mut heard = Vec::new();
    while heard.len() < 3 {
        heard.push(speaker.heard.recv().await.unwrap());
    }
    let items = |speaker: &Speaker, kind: &str| -> Vec<Value> {
        speaker.of(kind).map(|event| event["item_id"].clone()).collect()
    };
    while let Some(heard) = heard.pop() {
        speaker.told.extend(speaker.session.hear(heard));
    }
    let told = items(&speaker, "conversation.item.input_audio_transcription.completed");
    assert_eq!(told.len(), 3);
    assert_eq!(told, items(&speaker, "input_audio_buffer.committed"));
}

#[tokio::test]
async fn what_is_not_understood_is_said_and_the_session_goes_on() {
    let server = TestServer::new(Settings::default());
    let mut speaker = Speaker::new(&server);
    for bad in [
        json!("no event"),
        json!({"type": "response.create"}),
        json!({"type": "session.update", "session": {"audio": {"input": {"transcription": {"model": "unknown"}}}}}),
    ] {
        speaker.say(&bad);
    }
    assert_eq!(speaker.of("error").count(), 3);
    speaker.say(
        &json!({"type": "transcription_session.update", "session": {"input_audio_format": "g711_ulaw"}}),
    );
    assert_eq!(speaker.of("transcription_session.updated").count(), 1);
}

#[tokio::test]
async fn a_session_needs_a_key_in_one_of_three_places() {
    let server = TestServer::new(Settings { keys: Keys::new(["secret"]).unwrap(), ..Settings::default() });
    let ask = |path: &str, headers: &[(&str, &str)]| {
        let upgrade = [
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let mut request = Request::get(path);
        for (name, value) in upgrade.iter().chain(headers) {
            request = request.header(*name, *value);
        }
        server.send(request.body(Body::empty()).unwrap())
    };
    assert_eq!(ask("/v1/realtime?intent=transcription", &[]).await.status, 401);
    // A key that lets in gets as far as the upgrade, for which there is no connection here.
    let key = [("sec-websocket-protocol", "realtime, openai-insecure-api-key.secret")];
    for answer in [
        ask("/v1/realtime", &key).await,
        ask("/v1/realtime?api_key=secret", &[]).await,
        ask("/v1/realtime", &[("authorization", "Bearer secret")]).await,
    ] {
        assert_eq!(answer.status, 426, "{}", answer.text);
    }
    // So does a secret that somebody with a key has asked for.
    for path in ["/v1/realtime/client_secrets", "/v1/realtime/transcription_sessions"] {
        let with = |key: &str, body: &Value| {
            let request = Request::post(path).header("authorization", format!("Bearer {key}"));
            server.send(request.body(Body::from(body.to_string())).unwrap())
        };
        let is_beta = path.ends_with("sessions");
        assert_eq!(with("guess", &json!({})).await.status, 401);
        let described = json!({
            "session": {"audio": {"input": {"format": {"type": "audio/pcmu"}}}},
            "input_audio_format": "g711_ulaw",
            "expires_after": {"seconds": 60},
        });
        let given = with("secret", &described).await.json();
        let (session, secret) =
            if is_beta { (&given, &given["client_secret"]) } else { (&given["session"], &given) };
        assert_eq!(session["audio"]["input"]["format"]["type"], "audio/pcmu", "{given}");
        let value = secret["value"].as_str().unwrap();
        assert_eq!(ask(&format!("/v1/realtime?api_key={value}"), &[]).await.status, 426);
        assert_eq!(with(value, &json!({})).await.status, 401, "a secret makes no secrets");
        let soon = json!({"expires_after": {"seconds": 1}});
        assert_eq!(with("secret", &soon).await.json()["error"]["param"], "expires_after.seconds");
    }
}
