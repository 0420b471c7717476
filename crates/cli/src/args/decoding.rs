//! How text is chosen.

use boswell_transcribe::{AudioContext, SuppressTokens};
use clap::{Args, ValueEnum};

use super::{Limit, values};

/// How the text is found.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Decoding")]
pub(crate) struct DecodingArgs {
    /// The language spoken, for example: en, or: english; auto: detect it
    #[arg(short, long, default_value = "auto", value_name = "LANGUAGE")]
    pub(crate) language: String,

    /// Write what is said, or translate it into English
    #[arg(long, value_enum, default_value_t = TaskArg::Transcribe)]
    pub(crate) task: TaskArg,

    /// Text that the recording continues: names, spellings, style
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) initial_prompt: Option<String>,

    /// Put the initial prompt before every window, not only the first
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", action = clap::ArgAction::Set, hide_possible_values = true)]
    pub(crate) carry_initial_prompt: bool,

    /// Show the model the text of the windows before
    ///
    /// False makes windows independent: less consistent, but a model that repeats
    /// itself gets out of it.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true",
          default_missing_value = "true", action = clap::ArgAction::Set, hide_possible_values = true)]
    pub(crate) condition_on_previous_text: bool,

    /// Decode without times: one segment per window
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", action = clap::ArgAction::Set, hide_possible_values = true)]
    pub(crate) without_timestamps: bool,

    /// Most tokens to write per window of 30 s [default: as many as the model can]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_new_tokens: Option<u32>,

    /// How many windows to decode together: faster, for long recordings
    ///
    /// Above 1, the recording is cut at quiet moments into parts of up to 30 s,
    /// and each is transcribed on its own, without the text of the part before.
    /// Only what is speech is transcribed then, see --vad.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) batch_size: u32,

    /// How much the encoder sees of a window that a short recording does not fill
    ///
    /// full: 30 s, as models are trained; auto: the recording and 5 s more, at least
    /// 10 s, which is faster; N: so many rows of 20 ms, or what is recorded. Longer
    /// recordings are seen whole, and so is a window whose text fails.
    #[arg(long, alias = "audio-ctx", value_name = "full|auto|N", default_value_t = AudioContext::Full)]
    pub(crate) audio_context: AudioContext,

    /// Tokens never to write: numbers with commas; -1: the usual symbols; "": none
    #[arg(long, default_value = "-1", value_name = "TOKENS", allow_hyphen_values = true,
          value_parser = values::suppressed_tokens)]
    pub(crate) suppress_tokens: SuppressTokens,

    /// Parts to transcribe: start,end,start,end,… in seconds
    ///
    /// The last end may be left out: to the end of the recording.
    #[arg(long, value_name = "SECONDS", value_delimiter = ',', allow_negative_numbers = true, value_parser = values::seconds)]
    pub(crate) clip_timestamps: Vec<f64>,
}

/// What `--task` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TaskArg {
    /// The words as they are said
    Transcribe,
    /// The meaning, in English
    Translate,
}

/// When a window is decoded again, or taken for silence.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Doubtful windows")]
pub(crate) struct FallbackArgs {
    /// Randomness of the choice of words; 0: always the likeliest
    #[arg(long, default_value_t = 0.0, value_name = "T", allow_negative_numbers = true, value_parser = values::temperature)]
    pub(crate) temperature: f64,

    /// Add this to the temperature when a window fails, until 1; none: never
    #[arg(long, default_value = "0.2", value_name = "T|none", allow_negative_numbers = true,
          value_parser = values::increment)]
    pub(crate) temperature_increment_on_fallback: Limit,

    /// Of texts that fail at every temperature, take the likeliest; False: the last
    ///
    /// False is what openai/whisper does: the last text is drawn at temperature 1.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true",
          default_missing_value = "true", action = clap::ArgAction::Set, hide_possible_values = true)]
    pub(crate) keep_best_failed: bool,

    /// A window fails when its text compresses better than this: it repeats itself
    #[arg(long, default_value = "2.4", value_name = "RATIO|none", allow_negative_numbers = true)]
    pub(crate) compression_ratio_threshold: Limit,

    /// A window fails when its average log-probability is below this
    #[arg(long, default_value = "-1.0", value_name = "LOGPROB|none", allow_negative_numbers = true)]
    pub(crate) logprob_threshold: Limit,

    /// A failed window is silence when its no-speech probability is above this
    #[arg(long, default_value = "0.6", value_name = "PROB|none", allow_negative_numbers = true)]
    pub(crate) no_speech_threshold: Limit,
}
