//! Whisper's network and what belongs to it: weights, vocabulary, encoder, decoder. Mel in, logits out.

mod checkpoint;
mod dims;
mod error;
mod generation;
mod tokenizer;

pub use checkpoint::{Checkpoint, Dtype, Format, Share, Tensor};
pub use dims::Dims;
pub use error::Error;
pub use generation::Generation;
pub use tokenizer::{Special, StreamDecoder, Task, Tokenizer, Word, language_code, language_name};
