//! From features to a transcript: windows, decoding, timestamps, output formats.
//!
//! [`Transcriber`] takes a recording's [`Spectrogram`](boswell_audio::Spectrogram) and gives its [`Transcript`]:
//!
//! ```text
//! Spectrogram ─► Course: clips, speech, parts
//!                  │
//!                Walk: which window next, with which prompt, at which temperature
//!                  │
//!                  ├─► Model::encode, once per window
//!                  ├─► Decode, step: logits → Rules → Search → next tokens, until the end
//!                  ├─► Aligner: where the decoder looks → when each word is spoken
//!                  └─◄ Decoded: retry, silence, or segments and where the next window starts
//! ```
//!
//! A [`Batch`] does the same for any number of recordings at once, whose windows it decodes together.
//!
//! [`write()`] turns a transcript into a file in one of the [`Format`]s.

mod align;
mod batch;
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
mod timeline;
mod transcriber;
mod transcript;
mod windows;

#[cfg(test)]
mod golden;

pub use batch::{Batch, Recording, Urgency};
pub use error::{Error, UnknownAudioContext, UnknownFormat};
pub use language::LanguageProbability;
pub use options::{AudioContext, Options, SuppressTokens};
pub use output::{Format, WriteOptions, write, write_console_line};
pub use transcriber::{Event, Stages, Transcriber};
pub use transcript::{DropReason, Dropped, Segment, TokenLogprob, Transcript, Word};
