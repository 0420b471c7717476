//! Deepgram's `/v1/listen`: live, and with recordings.

use serde_json::json;
use tokio::sync::mpsc;

use super::speaker::{pcm, speech};
use super::*;
use crate::deepgram::Session;
use crate::live::Protocol;

type Speaker = super::speaker::Speaker<Session>;

impl Speaker {
    fn new(server: &TestServer, query: &str) -> Self {
        let (tell, heard) = mpsc::channel(16);
        Self::begin(Session::open(server.state.clone(), parameters(query), tell).unwrap(), heard)
    }

    /// Sends sound, a quarter of a second at a time, and lets the engine keep up.
    async fn speak(&mut self, sound: &[u8]) {
        for piece in sound.chunks(8000) {
            let messages = self.session.take_bytes(piece);
            self.told.extend(messages);
            while self.session.is_listening() {
                self.hear().await;
            }
        }
    }

    /// Says something, and waits for a message that is the answer.
    async fn ask(&mut self, message: &str, is_answer: impl Fn(&Value) -> bool) -> Value {
        let n_before = self.told.len();
        self.say(&json!({"type": message}));
        loop {
            if let Some(answer) = self.told[n_before..].iter().find(|message| is_answer(message)) {
                return answer.clone();
            }
            self.hear().await;
        }
    }

    async fn close(&mut self) -> Value {
        self.ask("CloseStream", |message| message["type"] == "Metadata").await
    }

    fn finals(&self) -> impl Iterator<Item = &Value> {
        self.of("Results").filter(|results| results["is_final"] == true)
    }

    fn text(&self) -> String {
        let texts = self.finals().map(|results| transcript(results).to_owned());
        texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

fn parameters(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn transcript(results: &Value) -> &str {
    results["channel"]["alternatives"][0]["transcript"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn results_come_while_and_after_it_is_spoken() {
    let server = TestServer::new(Settings::default());
    let query = "model=nova-3&language=en-US&encoding=linear16&sample_rate=16000&interim_results=true\
                 &vad_events=true&endpointing=300&utterance_end_ms=1000&punctuate=true";
    let mut speaker = Speaker::new(&server, query);
    speaker.speak(&pcm(&speech())).await;
    let metadata = speaker.close().await;
    assert_eq!(speaker.text(), PI);
    assert!(speaker.of("Results").any(|results| results["is_final"] == false));
    assert!(speaker.finals().all(|results| results["speech_final"] == true));
    assert_eq!(speaker.of("SpeechStarted").count(), speaker.finals().count());
    let words: Vec<&Value> = speaker
        .finals()
        .flat_map(|results| results["channel"]["alternatives"][0]["words"].as_array().unwrap())
        .collect();
    let texts: Vec<&str> = words.iter().map(|word| word["word"].as_str().unwrap()).collect();
    assert_eq!(texts.join(" "), PI);
    let ends: Vec<f64> = words.iter().map(|word| word["end"].as_f64().unwrap()).collect();
    assert!(ends.is_sorted() && (7.5..8.5).contains(&ends[7]), "{ends:?}");
    // It is told once that nobody goes on speaking.
    let ended: Vec<_> =
        speaker.of("UtteranceEnd").map(|end| end["last_word_end"].as_f64().unwrap()).collect();
    assert_eq!(ended, [ends[7]]);
    assert_eq!(metadata["duration"], 10.46);
    assert!(speaker.session.is_over());
}

#[tokio::test(flavor = "multi_thread")]
async fn less_is_told_unless_asked_for() {
    let server = TestServer::new(Settings::default());
    let mut speaker =
        Speaker::new(&server, "encoding=linear16&sample_rate=16000&channels=2&endpointing=false");
    let both: Vec<i16> = speech().into_iter().flat_map(|sample| [sample, sample]).collect();
    speaker.speak(&pcm(&both)).await;
    speaker.close().await;
    assert_eq!(speaker.text(), PI);
    assert!(
        speaker
            .told
            .iter()
            .all(|message| ["Results", "Metadata"].contains(&message["type"].as_str().unwrap()))
    );
    assert!(
        speaker.of("Results").all(|results| results["is_final"] == true && results["speech_final"] == false)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_have_its_text_at_once() {
    let server = TestServer::new(Settings::default());
    let mut speaker = Speaker::new(&server, "encoding=linear16&sample_rate=16000");
    let is_final = |message: &Value| message["from_finalize"] == true;
    assert_eq!(transcript(&speaker.ask("Finalize", is_final).await), "", "nothing is an answer too");
    // Up to the pause after the third word, as one without pauses.
    speaker.speak(&pcm(&speech()[..8000 + 41_000])).await;
    let finalized = speaker.ask("Finalize", is_final).await;
    assert_eq!(finalized["speech_final"], false);
    assert!(speaker.text().ends_with("four"), "{}", speaker.text());
    assert!(speaker.session.take(&json!({"type": "KeepAlive"}).to_string()).is_empty());
    // What was said before is told before it is told that there is nothing more.
    speaker.speak(&pcm(&[&speech()[8000..20_000], &[0; 16_000]].concat())).await;
    let nothing = speaker.ask("Finalize", is_final).await;
    assert_eq!((transcript(&nothing), speaker.finals().last().unwrap()), ("", &nothing));
    assert!(speaker.text().ends_with("four three"), "{}", speaker.text());
    for unknown in ["no JSON", "{}", r#"{"type": "Configure"}"#] {
        let told = speaker.session.take(unknown);
        assert_eq!((&told[0]["type"], &told[0]["message"]), (&json!("Error"), &json!(unknown)));
    }
    speaker.close().await;
    assert!(speaker.session.take_bytes(&[0; 100]).is_empty());
}

#[tokio::test]
async fn what_cannot_be_listened_to_is_said_before_the_session() {
    let server = TestServer::new(Settings::default());
    let open = |query: &str| {
        let (tell, _heard) = mpsc::channel(1);
        Session::open(server.state.clone(), parameters(query), tell).err()
    };
    assert_eq!(open("encoding=mulaw&sample_rate=8000&model=digits.en"), None);
    let cases = [
        ("", "encoding"),
        ("encoding=opus", "encoding"),
        ("encoding=linear16", "sample_rate"),
        ("encoding=linear16&sample_rate=1", "sample_rate"),
        ("encoding=alaw&sample_rate=16000", "sample_rate"),
        ("encoding=mulaw&endpointing=soon", "endpointing"),
        ("encoding=mulaw&language=klingon", "language"),
        ("encoding=mulaw&model=unknown", "model"),
        ("encoding=mulaw&channels=0", "channels"),
        ("encoding=mulaw&channels=2&multichannel=true", "multichannel"),
        ("encoding=mulaw&interim_results=perhaps", "interim_results"),
        ("encoding=mulaw&utterance_end_ms=-1", "utterance_end_ms"),
    ];
    for (query, param) in cases {
        assert_eq!(open(query).expect(query).body()["error"]["param"], param, "{query}");
    }
}

#[tokio::test]
async fn a_key_is_a_token_or_a_subprotocol() {
    let server = TestServer::new(Settings { keys: Keys::new(["secret"]).unwrap(), ..Settings::default() });
    let ask = |headers: &[(&str, &str)]| {
        let upgrade = [
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let mut request = Request::get("/v1/listen?encoding=mulaw");
        for (name, value) in upgrade.iter().chain(headers) {
            request = request.header(*name, *value);
        }
        server.send(request.body(Body::empty()).unwrap())
    };
    assert_eq!(ask(&[]).await.status, 401);
    assert_eq!(ask(&[("sec-websocket-protocol", "token, guess")]).await.status, 401);
    // A key that lets in gets as far as the upgrade, for which there is no connection here.
    assert_eq!(ask(&[("sec-websocket-protocol", "token, secret")]).await.status, 426);
    assert_eq!(ask(&[("authorization", "Token secret")]).await.status, 426);
}

#[tokio::test]
async fn recordings_are_written_down_with_their_words() {
    let server = TestServer::new(Settings { max_upload_bytes: 1 << 20, ..Settings::default() });
    let post = |query: &str, kind: &str, body: Vec<u8>| {
        let request = Request::post(format!("/v1/listen?{query}")).header(header::CONTENT_TYPE, kind);
        server.send(request.body(Body::from(body)).unwrap())
    };
    let answer =
        post("model=nova-2&smart_format=true&utterances=true", "audio/flac", sample("pi.flac")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let body = answer.json();
    let channel = &body["results"]["channels"][0];
    assert_eq!(channel["alternatives"][0]["transcript"], PI);
    assert_eq!(channel["alternatives"][0]["words"].as_array().unwrap().len(), 8);
    assert_eq!(channel["detected_language"], "en");
    assert_eq!(body["results"]["utterances"].as_array().unwrap().len(), 8);
    let metadata = &body["metadata"];
    assert!(metadata["duration"].as_f64().unwrap() > 7.0 && metadata["sha256"].as_str().unwrap().len() == 64);
    let model = metadata["models"][0].as_str().unwrap();
    assert_eq!(metadata["model_info"][model]["name"], "digits.en");

    let cases = [
        ("", "audio/wav", Vec::new(), 400),
        ("", "audio/wav", b"no sound".to_vec(), 400),
        ("", "audio/wav", vec![0; 2 << 20], 413),
        ("", "application/json", b"{}".to_vec(), 400),
        ("", "application/json", b"no JSON".to_vec(), 400),
        ("", "application/json", br#"{"url": "http://127.0.0.1/a.wav"}"#.to_vec(), 400),
        ("model=unknown", "audio/flac", sample("pi.flac"), 404),
    ];
    for (query, kind, body, status) in cases {
        let answer = post(query, kind, body).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
}
