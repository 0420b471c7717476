//! `boswell serve`: flags of the server.

use std::net::SocketAddr;
use std::path::PathBuf;

use boswell_transcribe::AudioContext;
use clap::Args;

use super::{Limit, LogFormat, ModelArgs, values};

pub(super) const ABOUT: &str = "\
Answer over HTTP, as OpenAI's audio API does.

Programs that can talk to OpenAI find it at http://ADDRESS/v1. Without keys \
everybody who reaches the address may use it; by default that is this machine \
alone.";

/// `boswell serve …`
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen; 0.0.0.0:9000 is every network that this machine is in
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000", help_heading = "Clients")]
    pub(crate) listen: SocketAddr,

    /// Take flags from this TOML file, where neither the command line nor BOSWELL_FLAG
    /// in the environment has them
    #[arg(long, value_name = "FILE", help_heading = "Clients")]
    pub(crate) config: Option<PathBuf>,

    /// Speak Wyoming here, as Home Assistant does; 0.0.0.0:10300 is usual
    #[arg(long, value_name = "ADDRESS", help_heading = "Clients")]
    pub(crate) wyoming: Option<SocketAddr>,

    /// Let in who has this key; can be repeated
    ///
    /// KEY itself, or sha256: and its hash. Others see it on the command line:
    /// BOSWELL_API_KEYS in the environment takes keys too, with commas between.
    #[arg(long, value_name = "KEY", help_heading = "Clients")]
    pub(crate) api_key: Vec<String>,

    /// Requests that one client may send a minute
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Clients")]
    pub(crate) requests_per_minute: Option<u32>,

    /// Let web pages from there use the API; can be repeated
    #[arg(long, value_name = "ORIGIN", help_heading = "Clients")]
    pub(crate) cors_origin: Vec<String>,

    /// Encrypt connections with this certificate chain
    #[arg(long, value_name = "PEM", requires = "tls_key", help_heading = "Clients")]
    pub(crate) tls_certificate: Option<PathBuf>,

    /// The private key of the certificate
    #[arg(long, value_name = "PEM", requires = "tls_certificate", help_heading = "Clients")]
    pub(crate) tls_key: Option<PathBuf>,

    /// How messages on standard error are written
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text, help_heading = "Messages")]
    pub(crate) log_format: LogFormat,

    #[command(flatten)]
    pub(crate) model: ModelArgs,

    /// Serve this model too, from when somebody asks for it; can be repeated
    #[arg(long, value_name = "NAME|PATH", help_heading = "Model")]
    pub(crate) also_model: Vec<String>,

    /// Give a model another name; can be repeated
    ///
    /// OpenAI's names, such as whisper-1, mean the first model unless told
    /// otherwise.
    #[arg(long, value_name = "NAME=MODEL", value_parser = alias, help_heading = "Model")]
    pub(crate) alias: Vec<(String, String)>,

    /// Unload a model that nobody has used for so long
    #[arg(long, value_name = "SECONDS|none", default_value = "none", help_heading = "Model")]
    pub(crate) model_ttl: Limit,

    /// Most memory for the weights of all models together
    ///
    /// A model that is asked for makes those go that were used least lately.
    #[arg(long, value_name = "BYTES", value_parser = values::bytes, help_heading = "Model")]
    pub(crate) model_memory: Option<u64>,

    /// Decode so many windows of 30 s together
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=256),
          help_heading = "Work")]
    pub(crate) batch_size: u32,

    /// How much the encoder sees of recordings of less than 30 s
    ///
    /// auto makes short commands faster, see boswell transcribe --help.
    #[arg(long, value_name = "full|auto|N", default_value_t = AudioContext::Full, help_heading = "Work")]
    pub(crate) audio_context: AudioContext,

    /// Requests to work on or to keep waiting; further ones are answered 429
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..),
          help_heading = "Work")]
    pub(crate) max_requests: u32,

    /// Largest request
    #[arg(long, value_name = "BYTES", default_value = "2G", value_parser = values::bytes, help_heading = "Work")]
    pub(crate) max_upload: u64,

    /// Longest recording
    #[arg(long, value_name = "SECONDS", default_value = "86400", value_parser = values::seconds,
          help_heading = "Work")]
    pub(crate) max_audio: f64,

    /// Give a request up after so long, or 2.5 times its recording's length
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = values::seconds,
          help_heading = "Work")]
    pub(crate) deadline: f64,

    /// Keep jobs in this folder, so that a server that is killed goes on with them
    ///
    /// Without the flag it is ~/.local/state/boswell; none: there is no /v1/jobs.
    #[arg(long, value_name = "DIR|none", help_heading = "Work")]
    pub(crate) jobs_dir: Option<PathBuf>,

    /// Ask this host for recordings and tell it of jobs; can be repeated
    ///
    /// example.org, or *.example.org for all below it. Clients name addresses there
    /// as url and callback_url. Private addresses are never asked, unless named.
    #[arg(long, value_name = "HOST", help_heading = "Work")]
    pub(crate) outside_host: Vec<String>,

    /// Sign what is told of jobs with this secret: whsec_ and base64, or any text
    #[arg(long, value_name = "SECRET", help_heading = "Work")]
    pub(crate) webhook_secret: Option<String>,

    /// Remove jobs so long after their end
    #[arg(long, value_name = "SECONDS", default_value = "604800", value_parser = values::seconds,
          help_heading = "Work")]
    pub(crate) job_retention: f64,

    /// Keep recordings in this folder while they are worked on
    #[arg(long, value_name = "DIR", help_heading = "Work")]
    pub(crate) temp_dir: Option<PathBuf>,
}

/// NAME=MODEL
fn alias(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, model)) if !name.is_empty() && !model.is_empty() => Ok((name.into(), model.into())),
        _ => Err("expected NAME=MODEL".into()),
    }
}
