//! Models of any size with random weights, to measure with.

use half::f16;

use super::{Checkpoint, Dtype, Entry, Format, Naming, Storage};
use crate::{Dims, Generation};

/// Tokens of text; those after them are special.
const N_TEXT_TOKENS: usize = 50_257;

impl Checkpoint {
    /// A model with random weights, the same for the same dimensions: good for nothing but measurements.
    ///
    /// The weights are scaled so that activations stay of order one. Special tokens have embeddings of zero, so their
    /// logits are 0 and the greatest of the others is above: a multilingual model's decoding never ends by itself.
    pub fn random(name: &str, dims: Dims) -> Self {
        let mut file = File { bytes: Vec::new(), tensors: Vec::new(), rng: 0x9e37_79b9_7f4a_7c15 };
        file.tensors_of(&dims);
        Self {
            name: name.to_owned(),
            path: None,
            format: Format::Safetensors,
            dims,
            generation: Generation::new(&dims, name),
            naming: Naming::OpenAi,
            files: vec![Storage::Owned(file.bytes)],
            tensors: file.tensors.into_iter().collect(),
            tokens: None,
        }
    }
}

/// Tensors in f16, one after the other.
struct File {
    bytes: Vec<u8>,
    tensors: Vec<(String, Entry)>,
    rng: u64,
}

impl File {
    fn tensors_of(&mut self, dims: &Dims) {
        let (n_audio, n_text) = (dims.n_audio_state, dims.n_text_state);
        self.layer("encoder.conv1", &[n_audio, dims.n_mels, 3], true);
        self.layer("encoder.conv2", &[n_audio, n_audio, 3], true);
        for idx in 0..dims.n_audio_layer {
            self.block(&format!("encoder.blocks.{idx}"), n_audio, &["attn"]);
        }
        self.norm("encoder.ln_post", n_audio);
        // The positional table of the encoder is computed where a file has none.
        self.draw("decoder.positional_embedding", &[dims.n_text_ctx, n_text], 0.5);
        self.embedding(dims.n_vocab, n_text);
        for idx in 0..dims.n_text_layer {
            self.block(&format!("decoder.blocks.{idx}"), n_text, &["attn", "cross_attn"]);
        }
        self.norm("decoder.ln", n_text);
    }

    fn block(&mut self, name: &str, n_state: usize, attentions: &[&str]) {
        for attention in attentions {
            self.norm(&format!("{name}.{attention}_ln"), n_state);
            for part in ["query", "key", "value", "out"] {
                self.layer(&format!("{name}.{attention}.{part}"), &[n_state, n_state], part != "key");
            }
        }
        self.norm(&format!("{name}.mlp_ln"), n_state);
        self.layer(&format!("{name}.mlp.0"), &[4 * n_state, n_state], true);
        self.layer(&format!("{name}.mlp.2"), &[n_state, 4 * n_state], true);
    }

    fn layer(&mut self, name: &str, shape: &[usize], has_bias: bool) {
        let n_in: usize = shape[1..].iter().product();
        self.draw(&format!("{name}.weight"), shape, 1.0 / (n_in as f32).sqrt());
        if has_bias {
            self.draw(&format!("{name}.bias"), &shape[..1], 0.02);
        }
    }

    fn norm(&mut self, name: &str, n_state: usize) {
        self.add(&format!("{name}.weight"), &[n_state], |_, _| 1.0);
        self.add(&format!("{name}.bias"), &[n_state], |_, _| 0.0);
    }

    fn embedding(&mut self, n_vocab: usize, n_state: usize) {
        let scale = 3.0 / (n_state as f32).sqrt();
        self.add("decoder.token_embedding.weight", &[n_vocab, n_state], |idx, x| {
            if idx < N_TEXT_TOKENS * n_state { x * scale } else { 0.0 }
        });
    }

    fn draw(&mut self, name: &str, shape: &[usize], deviation: f32) {
        self.add(name, shape, |_, x| x * deviation);
    }

    /// Adds a tensor; `value` gets each index and a random number of mean 0 and deviation 1.
    fn add(&mut self, name: &str, shape: &[usize], value: impl Fn(usize, f32) -> f32) {
        let start = self.bytes.len();
        for idx in 0..shape.iter().product() {
            let random = self.random();
            self.bytes.extend(f16::from_f32(value(idx, random)).to_le_bytes());
        }
        let bytes = start..self.bytes.len();
        let entry = Entry { dtype: Ok(Dtype::F16), shape: shape.to_vec(), file_idx: 0, bytes };
        self.tensors.push((name.to_owned(), entry));
    }

    /// Uniform, with mean 0 and deviation 1 (xorshift).
    fn random(&mut self) -> f32 {
        self.rng ^= self.rng << 13;
        self.rng ^= self.rng >> 7;
        self.rng ^= self.rng << 17;
        let unit = (self.rng >> 40) as f32 / (1 << 24) as f32;
        (unit - 0.5) * 12_f32.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LoadOptions, Model, Precision, Scratch, Step};

    #[test]
    fn a_random_model_loads_and_never_ends() {
        let dims = Dims {
            n_mels: 80,
            n_audio_ctx: 50,
            n_audio_state: 64,
            n_audio_head: 1,
            n_audio_layer: 1,
            n_vocab: 51865,
            n_text_ctx: 448,
            n_text_state: 64,
            n_text_head: 1,
            n_text_layer: 2,
        };
        let checkpoint = Checkpoint::random("random", dims);
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            let model =
                Model::new(&checkpoint, &LoadOptions { threads: 1, precision, ..LoadOptions::default() })
                    .unwrap();
            let mut row = model.start(&model.encode(&[0.1; 80 * 100]));
            let mut logits = vec![0.0; 51865];
            let mut token = 50258;
            for _ in 0..10 {
                let mut step = [Step { row: &mut row, tokens: &[token], n_logits: 1 }];
                model.decode(&mut step, &mut logits, &mut Scratch::default());
                assert!(logits.iter().all(|x| x.is_finite()));
                let best = (0..51865).max_by(|i, j| logits[*i].total_cmp(&logits[*j])).unwrap();
                assert!(best < N_TEXT_TOKENS && logits[best] > 0.0);
                token = best as u32;
            }
        }
    }
}
