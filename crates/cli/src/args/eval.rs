//! Flags of `boswell eval`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::RecognitionArgs;

pub(super) const ABOUT: &str = "\
Measure how good a model is on recordings with known text.

MANIFEST is a file with an object of JSON a line (`audio`, `text`, perhaps
`words` with times), a folder of LibriSpeech, an .stm file of TED-LIUM, or
a .tsv file of Common Voice. Texts are compared as openai/whisper compares
them, so that the figures can be held against published ones.";

/// `boswell eval`
#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    /// The recordings and what is said in them
    pub(crate) manifest: PathBuf,

    #[command(flatten)]
    pub(crate) scoring: ScoringArgs,
    #[command(flatten)]
    pub(crate) recognition: RecognitionArgs,
}

/// What is measured, and what comes out.
#[derive(Debug, Args)]
#[command(next_help_heading = "Evaluation")]
pub(crate) struct ScoringArgs {
    /// What is done to texts before they are compared
    #[arg(long, value_enum, default_value_t = NormaliserArg::Auto)]
    pub(crate) normaliser: NormaliserArg,

    /// Score this text in place of a model's: lines of JSON with audio and text
    #[arg(long, value_name = "FILE", conflicts_with = "compare")]
    pub(crate) hypotheses: Option<PathBuf>,

    /// Compare two: files as of --hypotheses, models, or flags in quotes
    ///
    /// For example: --compare base "--model base --beam-size 5". Other flags of a
    /// model, outside of the quotes, are for neither.
    #[arg(long, num_args = 2, value_names = ["A", "B"], allow_hyphen_values = true)]
    pub(crate) compare: Option<Vec<String>>,

    /// Show what was written wrong, word by word
    #[arg(long)]
    pub(crate) diff: bool,

    /// Write what was found into this file, as --hypotheses reads it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["hypotheses", "compare"])]
    pub(crate) save: Option<PathBuf>,

    /// Only the first recordings
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,

    /// Print JSON in place of tables
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `--normaliser` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NormaliserArg {
    /// By the language, as openai/whisper's figures are computed
    Auto,
    /// Lower case; numbers, contractions, titles and spellings in one form
    English,
    /// Lower case, no marks
    Basic,
    /// Texts as they are
    None,
}
