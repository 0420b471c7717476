//! What can go wrong between features and transcript.

/// Why a recording could not be transcribed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A language that the model does not know.
    #[error(transparent)]
    Model(#[from] boswell_model::Error),

    /// A translation from a model that only transcribes.
    #[error("this model cannot translate: {reason}")]
    CannotTranslate {
        /// What about the model says so.
        reason: &'static str,
    },

    /// An option with a value that makes no sense.
    #[error("option {name} is {found}, expected {expected}")]
    Option {
        /// The option's name, as in [`crate::Options`].
        name: &'static str,
        /// What it was set to.
        found: String,
        /// What it may be set to.
        expected: String,
    },

    /// A start of the decode that leaves no room in the model's context.
    #[error("prompt, start tokens and prefix are {found} tokens, expected at most {limit}")]
    Context {
        /// The number of tokens.
        found: usize,
        /// The model's text context.
        limit: usize,
    },

    /// A model whose encoder does not see 30 s at once.
    #[error("the model's n_audio_ctx is {found}, expected {expected}")]
    Window {
        /// Rows of its audio features.
        found: usize,
        /// What 30 s have.
        expected: usize,
    },

    /// Only speech is to be decoded, and nobody listened for it.
    #[error("the recording's features come without voice activity, expected them with it")]
    VoiceActivity,

    /// A spectrogram that cannot be read.
    #[error("the recording's features cannot be read")]
    Features(#[from] boswell_audio::Error),
}

/// A name that is not one of the output formats.
#[derive(Debug, thiserror::Error)]
#[error("unknown output format `{found}`, expected txt, srt, vtt, tsv, json or lrc")]
pub struct UnknownFormat {
    /// The name as it was given.
    pub(crate) found: String,
}

/// A text that is no [`AudioContext`](crate::AudioContext).
#[derive(Debug, thiserror::Error)]
#[error("unknown audio context `{found}`, expected full, auto or a number of rows up to 1500")]
pub struct UnknownAudioContext {
    /// The text as it was given.
    pub(crate) found: String,
}
