//! Flags that say how the text of a window is searched for.

use clap::Args;

use super::values;

/// How many texts are tried, and what they may hold.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Search")]
pub(crate) struct SearchArgs {
    /// Texts to follow at once at temperature 0; 1: take the likeliest token
    ///
    /// 5 is what openai/whisper's command line does. The default is 1: on 60 strings
    /// of digits 5 made no fewer mistakes (21 for 20 of 1610 words), and took half as
    /// long again. With other models and hard recordings it may make fewer.
    #[arg(long, default_value = "1", value_name = "N", value_parser = values::sequences)]
    pub(crate) beam_size: usize,

    /// Stop a search in beams when N times this texts are at their end
    #[arg(long, default_value = "1", value_name = "FACTOR", value_parser = values::factor)]
    pub(crate) patience: f64,

    /// Texts to draw at temperatures above 0; the best is taken
    #[arg(long, default_value = "5", value_name = "N", value_parser = values::sequences)]
    pub(crate) best_of: usize,

    /// Prefer long texts: 0 to 1; none: compare log-probabilities per token
    #[arg(long, default_value = "none", value_name = "ALPHA|none")]
    pub(crate) length_penalty: super::Limit,

    /// Make tokens less likely that a window has already; 1: do not
    #[arg(long, default_value = "1", value_name = "FACTOR", value_parser = values::factor)]
    pub(crate) repetition_penalty: f64,

    /// Never write so many tokens in a row twice in a window; 0: allow it
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) no_repeat_ngram_size: usize,

    /// How the text of every window begins
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) prefix: Option<String>,

    /// Words to expect: names and terms, put before every window
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    pub(crate) hotwords: Option<String>,

    /// Show a window that was decoded above this temperature to no other
    #[arg(long, default_value_t = 0.5, value_name = "T", value_parser = values::temperature)]
    pub(crate) prompt_reset_on_temperature: f64,

    /// Never write tokens in which this regular expression matches
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true)]
    pub(crate) suppress_regex: Option<String>,

    /// Write numbers as words: no digits, no % $ £
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", action = clap::ArgAction::Set, hide_possible_values = true)]
    pub(crate) suppress_numerals: bool,

    /// Do not begin a window with a space or with its end
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true",
          default_missing_value = "true", action = clap::ArgAction::Set, hide_possible_values = true)]
    pub(crate) suppress_blank: bool,

    /// Latest time in a window at which its first segment may start; none: any
    #[arg(long, default_value = "1", value_name = "SECONDS|none")]
    pub(crate) max_initial_timestamp: super::Limit,

    /// Where the draws at temperatures above 0 start: the same, the same text
    #[arg(long, default_value_t = 0, value_name = "N", hide_default_value = true)]
    pub(crate) seed: u64,
}
