//! Flags of `boswell eval`.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum};

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
    // Before what takes the flags out of what was parsed.
    #[command(flatten)]
    pub(crate) given: Given,
    #[command(flatten)]
    pub(crate) recognition: RecognitionArgs,
}

/// What the command line says of [`RecognitionArgs`], as it could be said again.
#[derive(Debug, Default)]
pub(crate) struct Given(pub(crate) Vec<OsString>);

impl Args for Given {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

impl FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Self::default();
        given.update_from_arg_matches(matches)?;
        Ok(given)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let definition = RecognitionArgs::augment_args(Command::new("recognition"));
        for arg in definition.get_arguments() {
            let (id, Some(name)) = (arg.get_id().as_str(), arg.get_long()) else { continue };
            if matches.value_source(id) != Some(ValueSource::CommandLine) {
                continue;
            }
            for values in matches.get_raw_occurrences(id).into_iter().flatten() {
                let mut flag = OsString::from(format!("--{name}"));
                if arg.get_action().takes_values() {
                    flag.push("=");
                    flag.push(values.collect::<Vec<_>>().join(OsStr::new(",")));
                }
                self.0.push(flag);
            }
        }
        Ok(())
    }
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

    /// Compare two: models, flags in quotes, or files as of --hypotheses
    ///
    /// For example: --model base --compare "--beam-size 1" "--beam-size 5". Flags
    /// outside of the quotes are for both, and those in the quotes go first. Each
    /// side begins with a dash (flags), ends with .jsonl (a file), or is a model.
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
