//! Flags about voice activity: where somebody speaks.

use boswell_audio::VadOptions;
use clap::{Args, ValueEnum};

use super::{Limit, values};

/// Where somebody speaks: the rest is not decoded. By Silero VAD.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Voice activity")]
pub(crate) struct SpeechArgs {
    /// Decode only speech [default: True with a --batch-size above 1]
    ///
    /// Silence, noise and most music cost next to no time then, and no text is
    /// made up for them.
    #[arg(long, alias = "vad-filter", value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", action = clap::ArgAction::Set, hide_possible_values = true)]
    pub(crate) vad: Option<bool>,

    /// Decode everything
    #[arg(long, conflicts_with = "vad")]
    pub(crate) no_vad: bool,

    /// For the sake of whisperX's users, who say `--vad_method silero`
    #[arg(long, hide = true, value_enum)]
    pub(crate) vad_method: Option<VadMethodArg>,

    /// Speech begins where it is at least so probable
    #[arg(long, alias = "vad-onset", value_name = "PROB", default_value = "0.5", value_parser = values::probability)]
    pub(crate) vad_threshold: f64,

    /// Speech ends where it is less probable [default: 0.15 below the threshold]
    #[arg(long, aliases = ["vad-offset", "neg-threshold"], value_name = "PROB|none", default_value = "none",
          hide_default_value = true, value_parser = values::limit_on_probability)]
    pub(crate) vad_neg_threshold: Limit,

    /// Shorter speech is none
    #[arg(long, alias = "min-speech-duration-ms", value_name = "MS", default_value_t = 0)]
    pub(crate) vad_min_speech_duration_ms: u32,

    /// Speech ends only where so much silence follows
    #[arg(long, alias = "min-silence-duration-ms", value_name = "MS", default_value_t = 2000)]
    pub(crate) vad_min_silence_duration_ms: u32,

    /// Longer speech is cut in two, at a pause if it has one; none: never
    #[arg(long, alias = "max-speech-duration-s", value_name = "SECONDS|none", default_value = "none",
          value_parser = values::limit_on_seconds)]
    pub(crate) vad_max_speech_duration_s: Limit,

    /// So much before and after speech is decoded too
    #[arg(long, alias = "speech-pad-ms", value_name = "MS", default_value_t = 400)]
    pub(crate) vad_speech_pad_ms: u32,
}

/// What `--vad-method` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum VadMethodArg {
    Silero,
}

impl SpeechArgs {
    /// What is taken for speech, if only speech is to be decoded.
    pub(crate) fn vad(&self, is_batched: bool) -> Option<VadOptions> {
        let is_on = self.vad.unwrap_or(is_batched) && !self.no_vad;
        is_on.then_some(VadOptions {
            threshold: self.vad_threshold,
            neg_threshold: self.vad_neg_threshold.0,
            min_speech_duration_ms: self.vad_min_speech_duration_ms,
            max_speech_duration_s: self.vad_max_speech_duration_s.0,
            min_silence_duration_ms: self.vad_min_silence_duration_ms,
            speech_pad_ms: self.vad_speech_pad_ms,
        })
    }
}
