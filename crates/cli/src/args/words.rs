//! Flags about words, and about how subtitles are laid out by them.

use clap::Args;

use super::values;

/// When words are spoken, and what subtitles make of it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Words and subtitles")]
pub(crate) struct WordArgs {
    /// Find when each word is spoken: words with times in the JSON
    ///
    /// Segments then begin and end with their words, in all formats.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", action = clap::ArgAction::Set, hide_possible_values = true)]
    pub(crate) word_timestamps: bool,

    /// Marks that belong to the word after them
    #[arg(
        long,
        value_name = "MARKS",
        allow_hyphen_values = true,
        hide_default_value = true,
        default_value = "\"'“¿([{-"
    )]
    pub(crate) prepend_punctuations: String,

    /// Marks that belong to the word before them
    #[arg(
        long,
        value_name = "MARKS",
        allow_hyphen_values = true,
        hide_default_value = true,
        default_value = "\"'.。,，!！?？:：”)]}、"
    )]
    pub(crate) append_punctuations: String,

    /// Underline each word as it is spoken, in srt and vtt
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", action = clap::ArgAction::Set, hide_possible_values = true)]
    pub(crate) highlight_words: bool,

    /// Most characters in a line of a subtitle
    #[arg(long, value_name = "N|none", value_parser = values::limit_on_count, default_value = "none",
          hide_default_value = true)]
    pub(crate) max_line_width: values::CountLimit,

    /// Most lines in a subtitle; with --max-line-width only
    #[arg(long, value_name = "N|none", value_parser = values::limit_on_count, default_value = "none",
          hide_default_value = true)]
    pub(crate) max_line_count: values::CountLimit,

    /// Most words in a subtitle
    #[arg(long, value_name = "N|none", value_parser = values::limit_on_count, default_value = "none",
          hide_default_value = true)]
    pub(crate) max_words_per_line: values::CountLimit,

    /// Let subtitles stay longer that have more characters than this a second
    ///
    /// As long as nothing else is to be shown. 17 to 21 are usual for adults.
    #[arg(long, value_name = "N", value_parser = values::factor)]
    pub(crate) max_chars_per_second: Option<f64>,

    /// Least time that a subtitle stays, as long as nothing else is to be shown
    #[arg(long, value_name = "SECONDS", value_parser = values::seconds)]
    pub(crate) min_duration: Option<f64>,

    /// Least time between two subtitles: the first ends earlier
    #[arg(long, value_name = "SECONDS", value_parser = values::seconds)]
    pub(crate) min_gap: Option<f64>,
}

/// Text that nobody said: what is dropped is listed in the JSON.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Made-up text")]
pub(crate) struct GuardArgs {
    /// Drop odd words in silences longer than this; needs --word-timestamps
    #[arg(long, default_value = "none", value_name = "SECONDS|none", allow_negative_numbers = true)]
    pub(crate) hallucination_silence_threshold: super::Limit,

    /// Write a phrase once that a window repeats on and on
    ///
    /// Six times at least, and 24 tokens. Such a window is decoded again first, as
    /// one that --compression-ratio-threshold fails; none there turns both off.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true",
          default_missing_value = "true", action = clap::ArgAction::Set, hide_possible_values = true)]
    pub(crate) drop_loops: bool,

    /// Drop the text of windows that fail at every temperature
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", action = clap::ArgAction::Set, hide_possible_values = true)]
    pub(crate) drop_failed: bool,

    /// Drop segments that are nothing but a known phrase: Thanks for watching!
    ///
    /// There are lists for 21 languages, of what models write where nobody speaks.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", action = clap::ArgAction::Set, hide_possible_values = true)]
    pub(crate) phrase_filter: bool,

    /// Drop segments that are nothing but this phrase; can be repeated
    #[arg(long, value_name = "PHRASE", allow_hyphen_values = true)]
    pub(crate) drop_phrase: Vec<String>,
}
