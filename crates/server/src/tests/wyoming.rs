//! The Wyoming protocol, over a socket of this machine.

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::speaker::{pcm, pi};
use super::*;
use crate::wyoming;

struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    async fn connect(server: &TestServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(wyoming::serve(listener, server.state.clone()));
        Self { stream: BufReader::new(TcpStream::connect(address).await.unwrap()) }
    }

    async fn send(&mut self, kind: &str, data: Value, payload: &[u8]) {
        let header = json!({"type": kind, "data": data, "payload_length": payload.len()});
        self.stream.write_all(format!("{header}\n").as_bytes()).await.unwrap();
        self.stream.write_all(payload).await.unwrap();
    }

    async fn receive(&mut self) -> (String, Value) {
        let mut line = String::new();
        self.stream.read_line(&mut line).await.unwrap();
        let header: Value = serde_json::from_str(&line).unwrap();
        let mut data = vec![0; header["data_length"].as_u64().unwrap() as usize];
        self.stream.read_exact(&mut data).await.unwrap();
        (header["type"].as_str().unwrap().to_owned(), serde_json::from_slice(&data).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_is_written_down_turn_after_turn() {
    let server = TestServer::new(Settings::default());
    let mut client = Client::connect(&server).await;
    client.send("describe", json!({}), b"").await;
    let (kind, info) = client.receive().await;
    assert_eq!((kind.as_str(), info["asr"][0]["models"][0]["name"].as_str()), ("info", Some("broken")));
    client.send("ping", json!({"text": "x"}), b"").await;
    assert_eq!(client.receive().await, ("pong".to_owned(), json!({"text": "x"})));
    let format = json!({"rate": 16000, "width": 2, "channels": 1});
    for _ in 0..2 {
        client.send("transcribe", json!({"language": "en"}), b"").await;
        client.send("audio-start", format.clone(), b"").await;
        for piece in pcm(&pi()).chunks(2048) {
            client.send("audio-chunk", format.clone(), piece).await;
        }
        client.send("audio-stop", json!({}), b"").await;
        assert_eq!(client.receive().await.0, "transcript-start");
        let mut text = String::new();
        let transcript = loop {
            let (kind, data) = client.receive().await;
            match kind.as_str() {
                "transcript-chunk" => text += data["text"].as_str().unwrap(),
                "transcript" => break data,
                other => panic!("{other}: {data}"),
            }
        };
        assert_eq!(
            (text.trim(), &transcript["text"], &transcript["language"]),
            (PI, &json!(PI), &json!("en"))
        );
        assert_eq!(client.receive().await.0, "transcript-stop");
    }
}

#[tokio::test]
async fn sound_that_cannot_be_is_refused_and_the_connection_goes_on() {
    let server = TestServer::new(Settings::default());
    let mut client = Client::connect(&server).await;
    client.send("audio-start", json!({"rate": 1}), b"").await;
    let (kind, error) = client.receive().await;
    assert_eq!((kind.as_str(), error["code"].as_str()), ("error", Some("invalid-audio")));
    client.send("transcribe", json!({"name": "unknown"}), b"").await;
    client.send("audio-chunk", json!({}), &[0; 8000]).await;
    client.send("audio-stop", json!({}), b"").await;
    let (kind, error) = client.receive().await;
    assert_eq!(kind, "error");
    assert!(error["text"].as_str().unwrap().contains("does not exist"));
    client.send("ping", json!({}), b"").await;
    assert_eq!(client.receive().await.0, "pong");
}
