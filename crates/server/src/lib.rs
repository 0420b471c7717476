//! Boswell over HTTP: OpenAI's audio API, on one engine for each model.
//!
//! ```text
//! request ─► Form: texts in memory, the recording to disk ─► TranscriptionRequest: checked
//!                │
//!                ├─► Spectrogram, on one of a few threads that read
//!                ├─► Engine: one thread for each model, which decodes the recordings of all clients together
//!                └─► reply, or stream: as the client wants it
//! ```
//!
//! [`Server`] brings it to a socket. A client that leaves takes its work with it; what is too much is refused with a
//! time to come back.

mod api;
mod audio;
mod deepgram;
mod engine;
mod error;
mod form;
mod jobs;
mod keys;
mod linger;
mod live;
mod metrics;
mod models;
mod neighbours;
mod observe;
mod outside;
mod page;
mod rates;
mod readers;
mod realtime;
mod reply;
mod request;
mod serve;
mod settings;
mod state;
mod status;
mod stream;
mod transcription;
mod wav;
mod wyoming;

#[cfg(test)]
mod tests;

pub use error::Error;
pub use keys::Keys;
pub use models::{Catalogue, LoadError};
pub use serve::Server;
pub use settings::Settings;
