//! How a server is to be run.

use std::path::PathBuf;
use std::time::Duration;

use crate::Error;
use crate::keys::Keys;

/// What a server allows and how it shares out the machine.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who may ask; without keys everybody may.
    pub keys: Keys,
    /// Most bytes of a request.
    pub max_upload_bytes: u64,
    /// Longest recording.
    pub max_audio: Duration,
    /// Requests that are worked on or wait at once; those that come then are sent away with 429.
    pub max_requests: usize,
    /// Windows that are decoded together.
    pub batch_size: usize,
    /// Recordings that are read and turned into features at once.
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
    /// Where recordings are kept while they are worked on.
    pub temp_dir: PathBuf,
    /// At the end, requests have so long to finish.
    pub drain: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let n_cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            keys: Keys::default(),
            max_upload_bytes: 2 << 30,
            max_audio: Duration::from_secs(24 * 3600),
            max_requests: 128,
            batch_size: 16,
            n_readers: n_cores.max(2),
            deadline: Duration::from_secs(600),
            deadline_factor: 2.5,
            idle_upload: Duration::from_secs(30),
            model_ttl: None,
            temp_dir: std::env::temp_dir(),
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
