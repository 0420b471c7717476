//! From features to a transcript: windows, decoding, timestamps, output formats.
//!
//! [`Transcriber`] takes a recording's [`Spectrogram`](boswell_audio::Spectrogram) and gives its [`Transcript`]:
//!
//! ```text
//! Spectrogram ─► Walk: which window next, with which prompt, at which temperature
//!                  │
//!                  ├─► Model::encode, once per window
//!                  ├─► DecodeRow, step: logits → Rules → next token, until the end
//!                  └─◄ Decoded: retry, silence, or segments and where the next window starts
//! ```
//!
//! [`write()`] turns a transcript into a file in one of the [`Format`]s.

mod compression;
mod decode;
mod encoder;
mod error;
mod lanes;
mod language;
mod options;
mod output;
mod parts;
mod rules;
mod transcriber;
mod transcript;
mod windows;

#[cfg(test)]
mod golden;

pub use error::{Error, UnknownFormat};
pub use language::LanguageProbability;
pub use options::{Options, SuppressTokens};
pub use output::{Format, WriteOptions, write, write_console_line};
pub use transcriber::{Event, Stages, Transcriber};
pub use transcript::{Segment, Transcript, Word};
