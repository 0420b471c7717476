//! The command line: what may be said, and what each word means.

mod eval;
#[cfg(feature = "server")]
pub(crate) mod layers;
pub(crate) mod normalise;
mod npu;
mod search;
#[cfg(feature = "server")]
mod serve;
mod speech;
mod values;
mod words;

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};

use boswell_transcribe::SuppressTokens;
pub(crate) use eval::{EvalArgs, Given, NormaliserArg, ScoringArgs};
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
    /// Decode so many windows together
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..),
          help_heading = "Work")]
    pub(crate) batch: u32,
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

/// Which model, and how it is run.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelArgs {
    /// A model's name, or the path of a model file or folder
    ///
    /// Names are those of `boswell models list` and any ORG/REPOSITORY of the
    /// Hugging Face hub; what is not on this machine is fetched. Paths are Hugging
    /// Face folders, OpenAI's .pt files and whisper.cpp's ggml .bin files. The
    /// default, digits.en, is built in and knows only spoken English digits.
    #[arg(short, long, default_value = "digits.en", value_name = "NAME|PATH")]
    pub(crate) model: String,

    /// Never use the network: a model must be on this machine already
    ///
    /// Setting HF_HUB_OFFLINE=1 does the same.
    #[arg(long)]
    pub(crate) offline: bool,

    /// Processor threads to use; 0: one per physical core
    #[arg(long, default_value_t = 0, value_name = "N", hide_default_value = true)]
    pub(crate) threads: usize,

    /// The numbers that the network computes with
    #[arg(long, value_enum, default_value_t = PrecisionArg::F32)]
    pub(crate) precision: PrecisionArg,

    /// Do not keep packed weights in a file beside the model
    ///
    /// With --precision int8 or bf16, weights are converted for this processor when a
    /// model is loaded; kept in a file (MODEL.int8-….packed), they need not be the
    /// next time. It is made again when the model changes, and may be deleted.
    #[arg(long)]
    pub(crate) no_packed_weights: bool,

    /// For the sake of openai/whisper's users, who say `--fp16 False` on a CPU
    #[arg(long, hide = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", action = clap::ArgAction::Set)]
    pub(crate) fp16: bool,

    /// For the sake of openai/whisper's users, who say `--device cpu`
    #[arg(long, hide = true, value_enum, default_value_t = DeviceArg::Cpu)]
    pub(crate) device: DeviceArg,
}

/// What `--device` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceArg {
    Cpu,
}

/// What `--precision` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PrecisionArg {
    /// The fastest on this CPU that loses little: int8 where it multiplies bytes itself, else f32
    Auto,
    /// 32-bit floating point, exact as the reference
    F32,
    /// 16 bits for factors, 32 for sums: faster on CPUs with AMX or AMD's AVX-512 BF16
    Bf16,
    /// Bytes for factors, whole sums: the fastest, and a little less exact
    Int8,
}

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

#[cfg(test)]
mod tests {
    use boswell_audio::VadOptions;
    use clap::CommandFactory;

    use super::values::CountLimit;
    use super::*;

    fn parse(line: &[&str]) -> Result<Cli, clap::Error> {
        let line = ["boswell"].iter().chain(line).map(|&word| word.into());
        Cli::try_parse_from(normalise::normalise(line, &Cli::command()))
    }

    fn transcribe(line: &[&str]) -> TranscribeArgs {
        match parse(&[&["transcribe"], line].concat()).unwrap().command {
            Command::Transcribe(args) => *args,
            other => panic!("not transcribe: {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn underscores_and_dashes_are_alike() {
        let args = transcribe(&["--output_dir", "out_dir", "--initial_prompt=--a_b c_d", "my_talk.mp3"]);
        assert_eq!(args.output.output_dir, Some("out_dir".into()));
        assert_eq!(args.recognition.decoding.initial_prompt.as_deref(), Some("--a_b c_d"));
        assert_eq!(args.files, [PathBuf::from("my_talk.mp3")]);
    }

    #[test]
    fn switches_take_true_and_false_as_in_python() {
        let on = |line: &[&str]| transcribe(line).recognition.decoding.condition_on_previous_text;
        assert!(on(&["a.wav"]));
        assert!(on(&["--condition_on_previous_text", "True", "a.wav"]));
        assert!(!on(&["--condition_on_previous_text", "False", "a.wav"]));
        assert!(!on(&["--condition-on-previous-text=false", "a.wav"]));
        let args = transcribe(&["--without-timestamps", "a.wav"]);
        assert!(args.recognition.decoding.without_timestamps);
        assert_eq!(args.files, [PathBuf::from("a.wav")]);
        assert!(parse(&["transcribe", "--verbose", "False", "a.wav"]).is_ok_and(|cli| !cli.messages.verbose));
        assert!(parse(&["transcribe", "--verbose", "a.wav"]).is_ok_and(|cli| cli.messages.verbose));
        assert!(parse(&["transcribe", "--carry-initial-prompt=maybe", "a.wav"]).is_err());
    }

    #[test]
    fn what_openai_users_say_on_a_cpu_is_understood() {
        let args = transcribe(&["--fp16", "False", "--device", "cpu", "a.wav"]);
        assert!(!args.recognition.model.fp16 && args.recognition.model.device == DeviceArg::Cpu);
        assert!(parse(&["transcribe", "--device", "cuda", "a.wav"]).is_err());
    }

    #[test]
    fn after_two_dashes_everything_is_a_file() {
        let args = transcribe(&["--", "--output_dir", "-"]);
        assert_eq!(args.files, [PathBuf::from("--output_dir"), PathBuf::from("-")]);
    }

    #[test]
    fn limits_are_numbers_or_none() {
        let args = transcribe(&["--logprob_threshold", "-0.5", "--no-speech-threshold", "None", "a.wav"]);
        assert_eq!(args.recognition.fallback.logprob_threshold, Limit(Some(-0.5)));
        assert_eq!(args.recognition.fallback.no_speech_threshold, Limit(None));
        assert_eq!(args.recognition.fallback.compression_ratio_threshold, Limit(Some(2.4)));
        for bad in ["high", "nan", "inf", ""] {
            let line = ["transcribe", "--logprob-threshold", bad, "a.wav"];
            let message = parse(&line).unwrap_err().to_string();
            assert!(message.contains("a number or `none`"), "{bad}: {message}");
        }
    }

    #[test]
    fn searches_are_asked_for_as_openai_users_do() {
        let args = transcribe(&["--beam_size", "5", "--best_of", "None", "--length_penalty", "0.6", "a.wav"]);
        assert_eq!((args.recognition.search.beam_size, args.recognition.search.best_of), (5, 1));
        assert_eq!(
            (args.recognition.search.patience, args.recognition.search.length_penalty),
            (1.0, Limit(Some(0.6)))
        );
        let args = transcribe(&["--suppress_numerals", "a.wav"]);
        assert!(args.recognition.search.suppress_numerals && args.recognition.search.suppress_blank);
        assert_eq!((args.recognition.search.beam_size, args.recognition.search.best_of), (1, 5));
    }

    #[test]
    fn words_are_asked_for_as_openai_users_do() {
        let line =
            ["--word_timestamps", "True", "--max_line_width", "42", "--max_line_count", "None", "a.wav"];
        let args = transcribe(&line);
        assert!(args.recognition.words.word_timestamps && !args.recognition.words.highlight_words);
        assert_eq!(
            (args.recognition.words.max_line_width, args.recognition.words.max_line_count),
            (CountLimit(Some(42)), CountLimit(None))
        );
        assert_eq!(args.recognition.words.prepend_punctuations, "\"'“¿([{-");
        let args = transcribe(&["--hallucination_silence_threshold", "2", "--drop_loops", "False", "a.wav"]);
        assert_eq!(
            (args.recognition.guard.hallucination_silence_threshold, args.recognition.guard.drop_loops),
            (Limit(Some(2.0)), false)
        );
    }

    #[test]
    fn voice_activity_is_asked_for_as_its_users_do() {
        let vad = |line: &[&str]| {
            let args = transcribe(&[line, &["a.wav"]].concat());
            assert_eq!(args.files, [PathBuf::from("a.wav")]);
            args.recognition.speech.vad(args.recognition.decoding.batch_size > 1)
        };
        assert_eq!(vad(&[]), None);
        assert_eq!(vad(&["--batch-size", "8"]), Some(VadOptions::default()));
        for off in [["--no-vad"].as_slice(), &["--vad_filter", "False"], &["--vad=false"]] {
            assert_eq!(vad(&[off, &["--batch_size", "8"]].concat()), None);
        }
        for on in
            [["--vad"].as_slice(), &["--vad_filter", "True"], &["--vad", "True", "--vad_method", "silero"]]
        {
            assert_eq!(vad(on), Some(VadOptions::default()));
        }
        let line = ["--vad", "--vad_onset", "0.4", "--vad_offset", "0.3", "--min_speech_duration_ms", "250"];
        let found = vad(&line).unwrap();
        assert_eq!(
            (found.threshold, found.neg_threshold, found.min_speech_duration_ms),
            (0.4, Some(0.3), 250)
        );
        let line = [
            "--vad",
            "--min_silence_duration_ms=100",
            "--speech-pad-ms",
            "30",
            "--vad_max_speech_duration_s",
            "15",
        ];
        let found = vad(&line).unwrap();
        assert_eq!((found.min_silence_duration_ms, found.speech_pad_ms), (100, 30));
        assert_eq!(found.max_speech_duration_s, Some(15.0));
    }

    #[test]
    fn formats_come_with_commas_and_by_repeating() {
        let args = transcribe(&["-f", "srt,json", "--output_format", "txt", "a.wav"]);
        assert_eq!(args.output.output_format, [FormatArg::Srt, FormatArg::Json, FormatArg::Txt]);
    }

    #[test]
    fn a_bad_value_is_answered_with_what_is_expected() {
        let cases: &[(&[&str], &str)] = &[
            (&["--temperature", "-1"], "0 or more"),
            (&["--temperature-increment-on-fallback", "0"], "above 0"),
            (&["--max-new-tokens", "0"], "1.."),
            (&["--threads", "x"], "invalid digit"),
            (&["--task", "summarise"], "transcribe, translate"),
            (&["--output-format", "doc"], "txt, srt, vtt, tsv, json, lrc, all"),
            (&["--precision", "int4"], "auto, f32, bf16, int8"),
            (&["--suppress-tokens", "a"], "token numbers"),
            (&["--clip-timestamps", "1,x"], "seconds"),
            (&["--beam-size", "0"], "1 to 100"),
            (&["--best-of", "101"], "1 to 100"),
            (&["--patience", "0"], "above 0"),
            (&["--length-penalty", "x"], "a number or `none`"),
            (&["--max-line-width", "0"], "1 or more"),
            (&["--max-chars-per-second", "0"], "above 0"),
            (&["--vad-threshold", "1.5"], "0 to 1"),
            (&["--vad-max-speech-duration-s", "0"], "above 0"),
            (&["--vad", "--no-vad"], "cannot be used with"),
        ];
        for (flags, expected) in cases {
            let message = parse(&[&["transcribe"], *flags, &["a.wav"]].concat()).unwrap_err().to_string();
            assert!(message.contains(expected), "{flags:?}: {message}");
        }
    }

    #[test]
    fn help_fits_80_columns() {
        let mut command = Cli::command();
        command.build();
        let mut pages = vec![command.clone().render_long_help().to_string()];
        let mut left: Vec<clap::Command> = command.get_subcommands().cloned().collect();
        while let Some(mut command) = left.pop() {
            pages.push(command.render_help().to_string());
            pages.push(command.render_long_help().to_string());
            left.extend(command.get_subcommands().cloned());
        }
        assert!(pages.len() > 10);
        for line in pages.iter().flat_map(|page| page.lines()) {
            assert!(line.chars().count() <= 80, "too wide: {line}");
        }
    }
}
