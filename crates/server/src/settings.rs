//! How a server is to be run.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::HeaderValue;
use boswell_transcribe::AudioContext;

use crate::Error;
use crate::keys::Keys;

/// What a server allows and how it shares out the machine.
#[derive(Clone)]
pub struct Settings {
    /// Who may ask; without keys everybody may.
    pub keys: Keys,
    /// Requests that one client may send a minute; `None`: any number.
    pub requests_per_minute: Option<u32>,
    /// Web pages from elsewhere that may use the API, such as `https://example.org`.
    pub cors_origins: Vec<String>,
    /// Certificate chain and private key, as PEM files; `None`: connections are not encrypted.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Most bytes of a request.
    pub max_upload_bytes: u64,
    /// Longest recording.
    pub max_audio: Duration,
    /// Requests that are worked on or wait at once; those that come then are sent away with 429.
    pub max_requests: usize,
    /// Windows that are decoded together.
    pub batch_size: usize,
    /// How much the encoder sees of short recordings, where a request does not say it.
    pub audio_context: AudioContext,
    /// Recordings that clients wait for and that are read and turned into features at once.
    pub n_readers: usize,
    /// A request takes at most this long after its recording was sent, or `deadline_factor` times the recording's
    /// length if that is longer.
    pub deadline: Duration,
    /// See `deadline`.
    pub deadline_factor: f64,
    /// A client that sends nothing for so long is given up.
    pub idle_upload: Duration,
    /// A model that nobody used for so long is unloaded; `None`: never.
    pub model_ttl: Option<Duration>,
    /// Most bytes for the weights of all models that are loaded; `None`: as many as there are.
    pub model_memory: Option<u64>,
    /// Where recordings are kept while they are worked on.
    pub temp_dir: PathBuf,
    /// Hosts that may be asked for recordings, and told of jobs: `example.org`, or `*.example.org`.
    pub outside_hosts: Vec<String>,
    /// What news of jobs is signed with.
    pub webhook_secret: Option<String>,
    /// Where jobs are kept; `None`: there are none.
    pub jobs_dir: Option<PathBuf>,
    /// Jobs are kept so long after their end.
    pub job_retention: Duration,
    /// Where the Wyoming protocol is spoken, if it is.
    pub wyoming: Option<SocketAddr>,
    /// At the end, requests have so long to finish.
    pub drain: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let n_cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            keys: Keys::default(),
            requests_per_minute: None,
            cors_origins: Vec::new(),
            tls: None,
            max_upload_bytes: 2 << 30,
            max_audio: Duration::from_secs(24 * 3600),
            max_requests: 128,
            batch_size: 16,
            audio_context: AudioContext::Full,
            n_readers: n_cores.max(2),
            deadline: Duration::from_secs(600),
            deadline_factor: 2.5,
            idle_upload: Duration::from_secs(30),
            model_ttl: None,
            model_memory: None,
            temp_dir: std::env::temp_dir(),
            outside_hosts: Vec::new(),
            webhook_secret: None,
            jobs_dir: None,
            job_retention: Duration::from_secs(7 * 24 * 3600),
            wyoming: None,
            drain: Duration::from_secs(30),
        }
    }
}

impl Settings {
    /// Checks that every number makes sense.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first that does not.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let counts = [
            ("max_upload_bytes", self.max_upload_bytes),
            ("max_requests", self.max_requests as u64),
            ("batch_size", self.batch_size as u64),
            ("n_readers", self.n_readers as u64),
        ];
        if let Some((name, found)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(Error::Setting { name, found: found.to_string(), expected: "1 or more" });
        }
        if self.requests_per_minute == Some(0) {
            let found = "0".to_owned();
            return Err(Error::Setting { name: "requests_per_minute", found, expected: "1 or more" });
        }
        if let Some(bad) = self.cors_origins.iter().find(|origin| HeaderValue::from_str(origin).is_err()) {
            let found = bad.clone();
            return Err(Error::Setting {
                name: "cors_origins",
                found,
                expected: "an origin such as https://example.org",
            });
        }
        if !(self.deadline_factor.is_finite() && self.deadline_factor >= 0.0) {
            let found = self.deadline_factor.to_string();
            return Err(Error::Setting { name: "deadline_factor", found, expected: "a number, 0 or more" });
        }
        Ok(())
    }

    /// How long the work on a recording of so many seconds may take.
    pub(crate) fn deadline_of(&self, duration_s: f64) -> Duration {
        self.deadline.max(Duration::from_secs_f64(duration_s * self.deadline_factor))
    }
}
