//! Whisper's network and what belongs to it: weights, vocabulary, encoder, decoder. Mel in, logits out.

mod checkpoint;
mod decoder;
mod dims;
mod encoder;
mod error;
mod generation;
mod layer;
mod loader;
mod network;
mod packed;
mod tokenizer;

pub use boswell_kernels::{InstructionSet, Precision};
pub use checkpoint::{Checkpoint, Dtype, Format, Share, Tensor};
pub use decoder::{Row, Scratch, Step, Watch};
pub use dims::Dims;
pub use encoder::AudioFeatures;
pub use error::Error;
pub use generation::Generation;
pub use network::{LoadOptions, Model};
pub use tokenizer::{Special, StreamDecoder, Task, Tokenizer, Word, language_code, language_name};
