//! The Wyoming protocol, version 1.9, which Home Assistant speaks with its voice services.
//!
//! Events go both ways over one connection: a line of JSON, then JSON data, then bytes. A client sends a turn's sound
//! in pieces and gets its text, segment by segment and then as a whole; then it may send another.

mod announce;
mod frame;

use std::io::{Seek, SeekFrom, Write};
use std::sync::Arc;

use boswell_model::language_code;
use boswell_transcribe::{Options, Urgency};
use serde_json::{Value, json};
use tokio::io::{BufReader, BufWriter};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::error::{ApiError, chain};
use crate::form::Upload;
use crate::reply::has_text;
use crate::state::State;
use crate::transcription::{Found, Transcription};
use crate::wav::{HEADER_BYTES, PcmFormat};
pub(crate) use announce::Announcement;
use frame::{Frame, FrameError};

/// More than an hour of sound as Home Assistant sends it.
const MAX_SOUND_BYTES: u64 = 128 << 20;

/// Speaks with everybody who connects, until the server is about to end.
pub(crate) async fn serve(listener: TcpListener, state: Arc<State>) {
    loop {
        let connection = tokio::select! {
            connection = listener.accept() => connection,
            () = state.drained() => return,
        };
        match connection {
            Ok((stream, _)) => drop(tokio::spawn(speak(stream, state.clone()))),
            // Too many open files, most likely: others will close some.
            Err(error) => {
                tracing::warn!("cannot take a Wyoming connection: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn speak(stream: TcpStream, state: Arc<State>) {
    let _ = stream.set_nodelay(true);
    let (read, write) = stream.into_split();
    let mut client =
        Client { state, read: BufReader::new(read), write: BufWriter::new(write), turn: Turn::default() };
    match client.run().await {
        Ok(()) | Err(FrameError::Io(_)) => {}
        Err(error) => tracing::warn!("a Wyoming client is not understood: {}", chain(&error)),
    }
}

/// A connection.
struct Client {
    state: Arc<State>,
    read: BufReader<OwnedReadHalf>,
    write: BufWriter<OwnedWriteHalf>,
    turn: Turn,
}

/// What is being said.
#[derive(Default)]
struct Turn {
    model: Option<String>,
    language: Option<String>,
    sound: Option<Sound>,
}

/// Sound as it arrives, in a wav file whose header is written at the end.
struct Sound {
    file: std::fs::File,
    format: PcmFormat,
    n_bytes: u64,
}

impl Client {
    async fn run(&mut self) -> Result<(), FrameError> {
        loop {
            let next = tokio::select! {
                next = Frame::read(&mut self.read) => next?,
                () = self.state.drained() => return Ok(()),
            };
            let Some(frame) = next else { return Ok(()) };
            match frame.kind.as_str() {
                "describe" => self.send("info", &info(&self.state)).await?,
                "ping" => self.send("pong", &json!({"text": frame.data["text"]})).await?,
                "transcribe" => {
                    let text = |name: &str| frame.data[name].as_str().map(str::to_owned);
                    self.turn = Turn { model: text("name"), language: text("language"), sound: None };
                }
                "audio-start" => self.begin(&frame).await?,
                "audio-chunk" => self.hear(&frame).await?,
                "audio-stop" => self.finish().await?,
                // Events of other services.
                _ => {}
            }
        }
    }

    async fn send(&mut self, kind: &str, data: &Value) -> Result<(), FrameError> {
        Frame::write(kind, data, &mut self.write).await
    }

    async fn refuse(&mut self, text: &str, code: &str) -> Result<(), FrameError> {
        self.turn.sound = None;
        self.send("error", &json!({"text": text, "code": code})).await
    }

    async fn begin(&mut self, frame: &Frame) -> Result<(), FrameError> {
        match Sound::new(&frame.data, &self.state) {
            Ok(sound) => {
                self.turn.sound = Some(sound);
                Ok(())
            }
            Err(reason) => self.refuse(&reason, "invalid-audio").await,
        }
    }

    async fn hear(&mut self, frame: &Frame) -> Result<(), FrameError> {
        if self.turn.sound.is_none() {
            self.begin(frame).await?;
        }
        let Some(sound) = &mut self.turn.sound else { return Ok(()) };
        sound.n_bytes += frame.payload.len() as u64;
        if sound.n_bytes > MAX_SOUND_BYTES {
            return self.refuse("the recording is too long", "too-long").await;
        }
        // A piece is a few kilobytes, which the system only notes down.
        match sound.file.write_all(&frame.payload) {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::error!("cannot store sound: {error}");
                self.refuse("the server has no room to store the recording", "storage").await
            }
        }
    }

    /// Writes down what was said.
    async fn finish(&mut self) -> Result<(), FrameError> {
        let Turn { model, language, sound } = std::mem::take(&mut self.turn);
        let Some(sound) = sound else { return Ok(()) };
        if sound.n_bytes == 0 {
            return self.send("transcript", &json!({"text": ""})).await;
        }
        let language = language.as_deref().and_then(language_code).map(str::to_owned);
        let options = Options {
            language,
            temperatures: vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
            drop_loops: true,
            keep_best_failed: true,
            ..Options::default()
        };
        let model = model.unwrap_or_else(|| self.state.models.first().to_owned());
        match self.transcribe(sound, &model, options).await? {
            Ok(()) => Ok(()),
            Err(error) => {
                let message = error.body()["error"]["message"].as_str().unwrap_or_default().to_owned();
                self.refuse(&message, "transcription-failed").await
            }
        }
    }

    async fn transcribe(
        &mut self,
        sound: Sound,
        model: &str,
        options: Options,
    ) -> Result<Result<(), ApiError>, FrameError> {
        let begun = async {
            let upload = sound.into_upload().map_err(|error| {
                tracing::error!("cannot store sound: {error}");
                ApiError::storage()
            })?;
            let _admission = self.state.admit()?;
            Transcription::begin(self.state.clone(), upload, model, options, Urgency::Live).await
        };
        let mut transcription = match begun.await {
            Ok(transcription) => transcription,
            Err(error) => return Ok(Err(error)),
        };
        self.send("transcript-start", &json!({})).await?;
        loop {
            match transcription.next().await {
                Ok(Some(Found::Segment(segment))) if has_text(&segment) => {
                    self.send("transcript-chunk", &json!({"text": segment.text})).await?;
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => return Ok(Err(error)),
            }
        }
        match transcription.finish().await {
            Ok(done) => {
                let (text, language) = (done.transcript.text.trim(), &done.transcript.language);
                self.send("transcript", &json!({"text": text, "language": language})).await?;
                self.send("transcript-stop", &json!({})).await?;
                Ok(Ok(()))
            }
            Err(error) => Ok(Err(error)),
        }
    }
}

impl Sound {
    /// Sound in the format that an event names: 16 kHz, 16 bits, one channel, unless it says otherwise.
    fn new(data: &Value, state: &State) -> Result<Self, String> {
        let number = |name: &str, usual: u64| data[name].as_u64().unwrap_or(usual);
        let usual = PcmFormat::USUAL;
        let rate = number("rate", usual.rate.into());
        let (width, channels) =
            (number("width", usual.width.into()), number("channels", usual.channels.into()));
        if !(1_000..=192_000).contains(&rate) || !(1..=4).contains(&width) || !(1..=8).contains(&channels) {
            return Err(format!("sound of {rate} Hz, {width} bytes, {channels} channels cannot be read"));
        }
        let header = SeekFrom::Start(HEADER_BYTES);
        let file = tempfile::tempfile_in(&state.settings.temp_dir);
        let file =
            file.and_then(|mut file| file.seek(header).map(|_| file)).map_err(|error| error.to_string())?;
        let format = PcmFormat { rate: rate as u32, width: width as u16, channels: channels as u16 };
        Ok(Self { file, format, n_bytes: 0 })
    }

    /// The wav file.
    fn into_upload(mut self) -> std::io::Result<Upload> {
        self.file.rewind()?;
        self.file.write_all(&self.format.wav_header(self.n_bytes))?;
        Ok(Upload { file: self.file, name: String::new(), n_bytes: self.n_bytes + HEADER_BYTES })
    }
}

/// What this service can do.
fn info(state: &State) -> Value {
    let attribution = json!({"name": "Boswell", "url": ""});
    let version = env!("CARGO_PKG_VERSION");
    let models: Vec<Value> = state
        .models
        .languages()
        .into_iter()
        .map(|(name, languages)| {
            json!({
                "name": name,
                "languages": languages,
                "attribution": attribution,
                "installed": true,
                "description": name,
                "version": version,
            })
        })
        .collect();
    json!({
        "asr": [{
            "name": "boswell",
            "attribution": attribution,
            "installed": true,
            "description": "Writes down what was said",
            "version": version,
            "supports_transcript_streaming": true,
            "requires_external_vad": true,
            "models": models,
        }],
        "tts": [], "handle": [], "intent": [], "wake": [], "mic": [], "snd": [],
    })
}
