//! Somebody who speaks live, whatever the protocol.

use tokio::sync::mpsc;

use super::*;
use crate::live::{Heard, Protocol};

/// A session, and what its client was told.
pub(super) struct Speaker<S> {
    pub(super) session: S,
    pub(super) heard: mpsc::Receiver<Heard>,
    pub(super) told: Vec<Value>,
    /// How often the engine has listened.
    pub(super) n_heard: usize,
}

impl<S: Protocol> Speaker<S> {
    /// Begins a session, of which the engine tells through `heard`.
    pub(super) fn begin(mut session: S, heard: mpsc::Receiver<Heard>) -> Self {
        let told = session.begin();
        Self { session, heard, told, n_heard: 0 }
    }

    /// Sends a message.
    pub(super) fn say(&mut self, message: &Value) {
        self.told.extend(self.session.take(&message.to_string()));
    }

    /// Takes what the engine has heard.
    pub(super) async fn hear(&mut self) {
        let heard = tokio::time::timeout(Duration::from_secs(60), self.heard.recv()).await;
        let heard = heard.expect("it is written down in time").expect("the session goes on");
        self.n_heard += 1;
        self.told.extend(self.session.hear(heard));
    }

    /// What was told of one type.
    pub(super) fn of(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.told.iter().filter(move |message| message["type"] == kind)
    }
}

/// Samples of `pi.flac` at 16 kHz.
pub(super) fn pi() -> Vec<i16> {
    let mut reader = boswell_audio::AudioReader::open(&repository().join("samples/pi.flac")).unwrap();
    let (mut samples, mut chunk) = (Vec::new(), Vec::new());
    while reader.next_chunk(&mut chunk).unwrap() {
        samples.extend(chunk.iter().map(|sample| (sample * 32_767.0) as i16));
    }
    samples
}

/// What is said in `pi.flac`, between silences.
pub(super) fn speech() -> Vec<i16> {
    [&[0; 8000], pi().as_slice(), &[0; 32_000]].concat()
}

/// Samples as bytes.
pub(super) fn pcm(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}
