//! How good transcripts are: figures that can be compared with others'.
//!
//! ```text
//! manifest ─► Item: recording, text, words ─┐
//! a program's text, words with times ───────┴─► Scorer ─► ItemScore ─► Report, compare
//! ```
//!
//! [`Normaliser`] makes texts comparable, exactly as openai/whisper does; [`align()`] finds what was written wrong.

mod align;
mod compare;
mod diff;
mod error;
mod manifest;
mod normalise;
mod report;
mod score;

pub use align::{Edit, align};
pub use compare::{Comparison, compare};
pub use diff::diff;
pub use error::Error;
pub use manifest::{Hypothesis, Item, TimedWord, hypotheses, read};
pub use normalise::Normaliser;
pub use report::{Hallucinations, Report, WordTimes};
pub use score::{Counts, ItemScore, Outcome, Scorer};
