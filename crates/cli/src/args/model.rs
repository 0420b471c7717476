//! Which model computes, and with what.

use clap::{Args, ValueEnum};

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
