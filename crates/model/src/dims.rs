//! The sizes of a Whisper network.

use boswell_kernels::MAX_HEAD_DIM;

use crate::Error;

/// The sizes of a Whisper network, named as in openai/whisper.
///
/// Dimensions that come out of a [`Checkpoint`](crate::Checkpoint) are possible ones: nothing is zero, heads divide
/// widths, and no product of them overflows. They are what the file claims; that the weights are there is proven by
/// [`Checkpoint::tensor`](crate::Checkpoint::tensor).
///
/// Source: `ModelDimensions` in openai/whisper `whisper/model.py`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dims {
    /// Mel bands: 80 or 128.
    pub n_mels: usize,
    /// Rows of the audio features: 1500 for 30 s.
    pub n_audio_ctx: usize,
    /// Width of the encoder.
    pub n_audio_state: usize,
    /// Attention heads of the encoder.
    pub n_audio_head: usize,
    /// Blocks of the encoder.
    pub n_audio_layer: usize,
    /// Tokens: 51864 (English only), 51865 or 51866 (multilingual).
    pub n_vocab: usize,
    /// Longest sequence of tokens: 448.
    pub n_text_ctx: usize,
    /// Width of the decoder.
    pub n_text_state: usize,
    /// Attention heads of the decoder.
    pub n_text_head: usize,
    /// Blocks of the decoder.
    pub n_text_layer: usize,
}

/// The largest of each dimension; about ten times what the largest models have.
const LIMITS: [(&str, usize); 10] = [
    ("n_mels", 128),
    ("n_audio_ctx", 1 << 15),
    ("n_audio_state", 1 << 14),
    ("n_audio_head", 1 << 8),
    ("n_audio_layer", 1 << 8),
    ("n_vocab", 1 << 20),
    ("n_text_ctx", 1 << 13),
    ("n_text_state", 1 << 14),
    ("n_text_head", 1 << 8),
    ("n_text_layer", 1 << 8),
];

impl Dims {
    /// Whether models of this vocabulary know other languages than English.
    pub fn is_multilingual(&self) -> bool {
        self.n_vocab >= 51865
    }

    /// Asks for every dimension by its name.
    pub(crate) fn by_name(size: impl Fn(&'static str) -> Result<usize, Error>) -> Result<Self, Error> {
        Ok(Self {
            n_mels: size("n_mels")?,
            n_audio_ctx: size("n_audio_ctx")?,
            n_audio_state: size("n_audio_state")?,
            n_audio_head: size("n_audio_head")?,
            n_audio_layer: size("n_audio_layer")?,
            n_vocab: size("n_vocab")?,
            n_text_ctx: size("n_text_ctx")?,
            n_text_state: size("n_text_state")?,
            n_text_head: size("n_text_head")?,
            n_text_layer: size("n_text_layer")?,
        })
    }

    /// Returns the dimensions if a network can have them.
    ///
    /// `file` is named in the error.
    pub(crate) fn checked(self, file: &str) -> Result<Self, Error> {
        let values = [
            self.n_mels,
            self.n_audio_ctx,
            self.n_audio_state,
            self.n_audio_head,
            self.n_audio_layer,
            self.n_vocab,
            self.n_text_ctx,
            self.n_text_state,
            self.n_text_head,
            self.n_text_layer,
        ];
        for ((name, limit), value) in LIMITS.into_iter().zip(values) {
            if value == 0 || value > limit {
                return Err(Error::field(file, name, value, format!("1 to {limit}")));
            }
        }
        if self.n_mels != 80 && self.n_mels != 128 {
            return Err(Error::field(file, "n_mels", self.n_mels, "80 or 128"));
        }
        for (name, state, n_head) in [
            ("n_audio_state", self.n_audio_state, self.n_audio_head),
            ("n_text_state", self.n_text_state, self.n_text_head),
        ] {
            if !state.is_multiple_of(n_head) {
                return Err(Error::field(file, name, state, format!("a multiple of its {n_head} heads")));
            }
            if state / n_head > MAX_HEAD_DIM {
                let expected = format!("at most {MAX_HEAD_DIM} for each of its {n_head} heads");
                return Err(Error::field(file, name, state, expected));
            }
        }
        if !self.n_audio_state.is_multiple_of(2) {
            return Err(Error::field(file, "n_audio_state", self.n_audio_state, "an even number"));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: Dims = Dims {
        n_mels: 80,
        n_audio_ctx: 1500,
        n_audio_state: 384,
        n_audio_head: 6,
        n_audio_layer: 4,
        n_vocab: 51865,
        n_text_ctx: 448,
        n_text_state: 384,
        n_text_head: 6,
        n_text_layer: 4,
    };

    #[test]
    fn possible_dimensions_pass() {
        assert_eq!(TINY.checked("f").unwrap(), TINY);
        let turbo = Dims {
            n_mels: 128,
            n_audio_state: 1280,
            n_audio_head: 20,
            n_audio_layer: 32,
            n_vocab: 51866,
            n_text_state: 1280,
            n_text_head: 20,
            ..TINY
        };
        assert_eq!(turbo.checked("f").unwrap(), turbo);
    }

    #[test]
    fn impossible_dimensions_are_named() {
        let cases = [
            (Dims { n_mels: 81, ..TINY }, "`f`: n_mels is 81, expected 80 or 128"),
            (Dims { n_text_layer: 0, ..TINY }, "`f`: n_text_layer is 0, expected 1 to 256"),
            (Dims { n_vocab: 1 << 40, ..TINY }, "`f`: n_vocab is 1099511627776, expected 1 to 1048576"),
            (
                Dims { n_audio_head: 7, ..TINY },
                "`f`: n_audio_state is 384, expected a multiple of its 7 heads",
            ),
            (
                Dims { n_text_state: 1024, n_text_head: 1, ..TINY },
                "`f`: n_text_state is 1024, expected at most 512 for each of its 1 heads",
            ),
            (
                Dims { n_audio_state: 15, n_audio_head: 3, ..TINY },
                "`f`: n_audio_state is 15, expected an even number",
            ),
        ];
        for (dims, message) in cases {
            assert_eq!(dims.checked("f").unwrap_err().to_string(), message);
        }
    }
}
