//! The command line: what may be said, and what each word means.

mod decoding;
mod eval;
#[cfg(feature = "server")]
pub(crate) mod layers;
mod model;
pub(crate) mod normalise;
mod npu;
mod search;
#[cfg(feature = "server")]
mod serve;
mod speech;
mod values;
mod words;

use std::path::PathBuf;

use boswell_transcribe::AudioContext;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use decoding::{DecodingArgs, FallbackArgs, TaskArg};
pub(crate) use eval::{EvalArgs, Given, NormaliserArg, ScoringArgs};
pub(crate) use model::{DeviceArg, ModelArgs, PrecisionArg};
pub(crate) use npu::{BufferArg, DoctorArgs, NpuArgs, NpuCommand, NpuDevice, RunArgs};
pub(crate) use search::SearchArgs;
#[cfg(feature = "server")]
pub(crate) use serve::ServeArgs;
pub(crate) use speech::SpeechArgs;
pub(crate) use values::Limit;
pub(crate) use words::{GuardArgs, WordArgs};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const AFTER_HELP: &str = "\
Start here:
  boswell transcribe talk.mp3                 print what was said, with times
  boswell transcribe -f srt talk.mp3 > talk.srt
  boswell models list                         which models there are
  boswell models pull base                    fetch one for general speech

Exit codes: 0 all done, 1 something failed, 2 the command line is wrong,
130 stopped by Ctrl-C.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "boswell",
    version,
    about = "Writes down what was said: speech to text with Whisper models, on your CPU",
    after_help = AFTER_HELP,
    max_term_width = 80,
    styles = STYLES,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) messages: Messages,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How much is said on standard error.
#[derive(Debug, Args)]
#[command(next_help_heading = "Messages")]
pub(crate) struct Messages {
    /// Say nothing but errors, and draw no progress bar
    #[arg(short, long, global = true, conflicts_with = "verbose", display_order = 900)]
    pub(crate) quiet: bool,

    /// Say what happens in detail, on standard error
    #[arg(short, long, global = true, display_order = 901, value_name = "BOOL", hide_possible_values = true,
          num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
          hide_default_value = true, action = clap::ArgAction::Set)]
    pub(crate) verbose: bool,
}

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people
    Text,
    /// A JSON object a line, with time, level, and the request that it is about
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write down what is said in recordings
    #[command(long_about = TRANSCRIBE_ABOUT, after_long_help = TRANSCRIBE_NOTES)]
    Transcribe(Box<TranscribeArgs>),
    /// Answer over HTTP, as OpenAI's audio API does
    #[cfg(feature = "server")]
    #[command(long_about = serve::ABOUT)]
    Serve(Box<ServeArgs>),
    /// List, fetch, inspect and remove models
    Models(ModelsArgs),
    /// Measure how fast a model is on this machine
    #[command(long_about = BENCH_ABOUT)]
    Bench(Box<BenchArgs>),
    /// Measure how good a model is on recordings with known text
    #[command(long_about = eval::ABOUT)]
    Eval(Box<EvalArgs>),
    /// Look into NPU programs, run them, and check the NPU of this machine
    #[command(long_about = npu::ABOUT)]
    Npu(NpuArgs),
    /// Print the completions for a shell
    ///
    /// For bash, for example:
    /// boswell completions bash > ~/.local/share/bash-completion/completions/boswell
    Completions {
        /// The shell to complete in
        shell: clap_complete::Shell,
    },
    /// Print the manual page of the program or of one of its commands
    ///
    /// Read it with: boswell man transcribe | man -l -
    Man {
        /// The command whose page to print, for example: transcribe, or: models pull
        #[arg(value_name = "COMMAND")]
        commands: Vec<String>,
        /// Write all pages into this folder instead
        #[arg(short, long, value_name = "DIR", conflicts_with = "commands")]
        output_dir: Option<PathBuf>,
    },
}

const BENCH_ABOUT: &str = "\
Measure how fast a model is on this machine.

The sound is cut into windows of 30 s, and each is decoded on its own to a
fixed number of tokens: the same work whatever is said. `--model random:base`
measures a size without its weights (tiny, base, small, medium, turbo, large).";

/// `boswell bench`
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Measure on this recording; without it, on speech-like noise
    #[arg(long, value_name = "FILE", help_heading = "Work")]
    pub(crate) audio: Option<PathBuf>,
    /// Length of the noise
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = values::seconds,
          help_heading = "Work")]
    pub(crate) seconds: f64,
    /// Decode so many tokens in each window, or up to the end of the text
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..),
          help_heading = "Work")]
    pub(crate) tokens: u32,
    /// Decode timestamps too, as transcribe and serve do
    #[arg(long, help_heading = "Work")]
    pub(crate) timestamps: bool,
    /// Decode so many windows together
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..),
          help_heading = "Work")]
    pub(crate) batch: u32,
    /// How much the encoder sees of sound of less than 30 s, see boswell transcribe
    #[arg(long, value_name = "full|auto|N", default_value_t = AudioContext::Full, help_heading = "Work")]
    pub(crate) audio_context: AudioContext,
    /// Follow so many texts at once in each window
    #[arg(long, value_name = "N", default_value = "1", value_parser = values::sequences, help_heading = "Work")]
    pub(crate) beam_size: usize,
    /// Do it so many times; the figures are medians
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..),
          help_heading = "Work")]
    pub(crate) repeats: u32,
    /// Print one line of JSON in place of the table
    #[arg(long, help_heading = "Work")]
    pub(crate) json: bool,
}

/// `boswell models …`
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct ModelsArgs {
    #[command(subcommand)]
    pub(crate) command: ModelsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// Show the models that have a name, and those that are on this machine
    List,
    /// Fetch a model from the Hugging Face hub
    ///
    /// Models are kept in the cache that other programs use too:
    /// ~/.cache/huggingface/hub, or where HF_HOME or HF_HUB_CACHE say. A transfer
    /// that was cut off goes on where it stopped, and every file is checked against
    /// the hub's checksum. HF_ENDPOINT names another server, HF_TOKEN an access
    /// token for models that need one.
    Pull {
        /// A name from `boswell models list`, or any ORG/REPOSITORY of the hub
        name: String,
        /// Do not use the network: only say whether the model is here
        #[arg(long)]
        offline: bool,
    },
    /// Show what a model is: its shape, vocabulary and files
    Show {
        /// A model's name, or the path of a model file or folder
        #[arg(value_name = "NAME|PATH")]
        model: String,
    },
    /// Remove a model from this machine
    Rm {
        /// A name from `boswell models list`, or ORG/REPOSITORY
        name: String,
    },
}

/// `boswell transcribe …`
#[derive(Debug, Args)]
pub(crate) struct TranscribeArgs {
    /// Recordings to transcribe: any audio or video file; `-` is standard input
    ///
    /// The format is recognised by content: wav, flac, mp3, m4a, mp4, aac, ogg,
    /// opus, webm, mkv, aiff, caf, sph. Without a file, standard input is read when
    /// something is piped into it.
    #[arg(value_name = "FILES")]
    pub(crate) files: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) recognition: RecognitionArgs,
}

/// A model, and how it is run.
#[derive(Debug, Clone, Args)]
pub(crate) struct RecognitionArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) decoding: DecodingArgs,
    #[command(flatten)]
    pub(crate) search: SearchArgs,
    #[command(flatten)]
    pub(crate) fallback: FallbackArgs,
    #[command(flatten)]
    pub(crate) speech: SpeechArgs,
    #[command(flatten)]
    pub(crate) guard: GuardArgs,
    #[command(flatten)]
    pub(crate) words: WordArgs,
}

const TRANSCRIBE_ABOUT: &str = "\
Write down what is said in recordings.

Without --output-dir the transcript goes to standard output. Without \
--output-format that is one line per segment, printed as soon as it is found:
[00:00.000 --> 00:02.000] The text.";

const TRANSCRIBE_NOTES: &str = "\
Flags are spelled as in openai/whisper; --output_dir and --output-dir are the
same, and so are --flag, --flag=True and --flag True.

Ctrl-C keeps what was found so far and stops; a second Ctrl-C stops at once.

Exit codes: 0 all done, 1 some file failed (the others are done), 2 the command
line is wrong, 130 stopped by Ctrl-C.";

/// Where the transcript goes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Formats to write: several with commas or by repeating the flag
    ///
    /// Standard output takes one format. With --output-dir the default is all.
    #[arg(short = 'f', long, value_enum, value_delimiter = ',', value_name = "FORMAT")]
    pub(crate) output_format: Vec<FormatArg>,

    /// Write files named after the recordings into this folder
    ///
    /// The folder is made if it is missing. A file is complete or not there at all.
    #[arg(short = 'o', long, value_name = "DIR")]
    pub(crate) output_dir: Option<PathBuf>,
}

/// What `--output-format` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArg {
    /// Plain text, one line per segment
    Txt,
    /// SubRip subtitles
    Srt,
    /// WebVTT subtitles
    Vtt,
    /// Tab-separated start, end (milliseconds) and text
    Tsv,
    /// Everything that is known, with tokens and probabilities
    Json,
    /// Lyrics with times
    Lrc,
    /// All of these
    All,
}

#[cfg(test)]
mod tests;
