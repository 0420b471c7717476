//! Recordings that are transcribed when there is time, whatever happens to the client or the server meanwhile.
//!
//! A job is accepted when its recording and its line in the [`Store`] are on the disk. [`run`] works on the queue, and
//! begins again with what a server left behind that was killed.

mod routes;
mod run;
mod store;
mod webhook;

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, broadcast};

use crate::Error;
use crate::form::Upload;
pub(crate) use routes::routes;
pub(crate) use run::run;
use store::Store;
pub(crate) use webhook::Signer;

/// Changes that are told to those who watch and read slowly.
const CHANGES_AHEAD: usize = 256;

/// All jobs of a server.
pub(crate) struct Jobs {
    store: Store,
    recordings: PathBuf,
    /// Told when there is something in the queue.
    queued: Notify,
    /// Names of jobs whose state has changed.
    changes: broadcast::Sender<String>,
    running: Mutex<HashMap<String, Running>>,
    /// Jobs are kept so long after their end.
    retention: Duration,
    /// No other server has the folder while this file is locked.
    _lock: File,
}

/// What is known of a job that is worked on, beside what is stored.
#[derive(Debug, Clone)]
struct Running {
    /// Between 0 and 1.
    progress: f64,
    began: std::time::Instant,
    cancel: Arc<Notify>,
}

/// A job as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) state: JobState,
    /// Higher ones go first.
    pub(crate) priority: i64,
    /// The fields of the form that it came in.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) file_name: String,
    /// Seconds since 1970.
    pub(crate) created_at: i64,
    pub(crate) started_at: Option<i64>,
    pub(crate) finished_at: Option<i64>,
    /// Length of the recording, when it is known.
    pub(crate) duration_s: Option<f64>,
    /// What went wrong, as the API tells it.
    pub(crate) error: Option<String>,
    /// How often somebody began to work on it.
    pub(crate) n_attempts: i64,
}

impl Job {
    /// A field of the form that it came in.
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Where a job is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum JobState {
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl JobState {
    pub(crate) const ALL: [Self; 5] =
        [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more happens to the job.
    pub(crate) fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

impl Jobs {
    /// The jobs that are kept in `folder`, which is made if it is missing. Those that were being worked on when the
    /// server ended are in the queue again.
    ///
    /// # Errors
    /// [`Error::Jobs`] if the folder or the database cannot be used.
    pub(crate) fn open(folder: &Path, retention: Duration) -> Result<Self, Error> {
        let failed = |source| Error::Jobs { folder: folder.to_owned(), source };
        let recordings = folder.join("recordings");
        std::fs::create_dir_all(&recordings).map_err(|error| failed(error.into()))?;
        let lock = File::create(folder.join("lock")).map_err(|error| failed(error.into()))?;
        lock.try_lock().map_err(|error| failed(format!("another server has it ({error})").into()))?;
        let store = Store::open(&folder.join("jobs.sqlite")).map_err(|error| failed(error.into()))?;
        let jobs = Self {
            store,
            recordings,
            queued: Notify::new(),
            changes: broadcast::Sender::new(CHANGES_AHEAD),
            running: Mutex::default(),
            retention,
            _lock: lock,
        };
        jobs.sweep();
        Ok(jobs)
    }

    /// Does something with the database, on a thread that may block.
    ///
    /// # Panics
    /// If `work` does.
    async fn with_store<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> T {
        let jobs = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&jobs)).await;
        done.expect("work on the database does not panic, and nobody ends it early")
    }

    /// Takes a job out of the queue and does nothing with it, as a server that is killed.
    #[cfg(test)]
    pub(crate) fn claim_for_test(&self) -> Option<String> {
        self.store.claim().ok()?.map(|job| job.id)
    }

    /// Where a job's recording is.
    fn recording(&self, id: &str) -> PathBuf {
        self.recordings.join(id)
    }

    /// Puts a recording on the disk, so that it is there after a loss of power too.
    ///
    /// # Errors
    /// Those of the disk.
    fn keep(&self, id: &str, upload: Upload) -> std::io::Result<()> {
        let (mut from, path) = (upload.file, self.recording(id));
        std::io::Seek::rewind(&mut from)?;
        let kept = File::create_new(&path).and_then(|mut to| {
            std::io::copy(&mut from, &mut to)?;
            to.sync_all()?;
            File::open(&self.recordings)?.sync_all()
        });
        if kept.is_err() {
            self.forget(id);
        }
        kept
    }

    /// Removes a job's recording.
    fn forget(&self, id: &str) {
        match std::fs::remove_file(self.recording(id)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(id, "cannot remove a recording: {error}");
            }
            _ => {}
        }
    }

    /// Removes recordings that no job needs: a server that was killed left them behind.
    fn sweep(&self) {
        let Ok(files) = std::fs::read_dir(&self.recordings) else { return };
        for file in files.flatten() {
            let id = file.file_name().to_string_lossy().into_owned();
            let is_needed = self.store.get(&id).is_ok_and(|job| job.is_some_and(|job| !job.state.is_final()));
            if !is_needed {
                self.forget(&id);
            }
        }
    }

    /// Tells those who watch that a job has changed.
    fn changed(&self, id: &str) {
        // Nobody may watch.
        let _ = self.changes.send(id.to_owned());
    }

    fn running(&self, id: &str) -> Option<Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn set_running(&self, id: &str, running: Option<Running>) {
        let mut all = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match running {
            Some(running) => all.insert(id.to_owned(), running),
            None => all.remove(id),
        };
    }
}
