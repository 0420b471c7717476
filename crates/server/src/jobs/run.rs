//! The work on the queue.

use std::sync::Arc;
use std::time::{Duration, Instant};

use boswell_transcribe::Urgency;
use tokio::sync::Notify;
use tracing::Instrument;

use super::store::End;
use super::{Job, Jobs, Running, webhook};
use crate::error::ApiError;
use crate::form::{Form, Upload};
use crate::request::{TranscriptionRequest, task};
use crate::state::State;
use crate::transcription::{Done, Found, Transcription};

/// Jobs that are worked on at once: enough for the decoder to have company from the next recording while one is read.
const N_WORKERS: usize = 4;
/// How long it is waited when the database refuses.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often old jobs are looked for.
const SWEEP: Duration = Duration::from_secs(60);

/// Works on the queue until the server is about to end. What is not done then is in the queue again.
pub(crate) async fn run(state: Arc<State>, jobs: Arc<Jobs>) {
    for _ in 0..N_WORKERS {
        tokio::spawn(work(state.clone(), jobs.clone()));
    }
    tokio::spawn(webhook::run(state.clone(), jobs.clone()));
    let mut sweep = tokio::time::interval(SWEEP);
    while !state.is_draining() {
        sweep.tick().await;
        match jobs.with_store(|jobs| jobs.store.remove_old(jobs.retention)).await {
            Ok(0) => {}
            Ok(n_removed) => tracing::info!(n_removed, "old jobs removed"),
            Err(error) => tracing::error!("cannot remove old jobs: {error}"),
        }
    }
}

async fn work(state: Arc<State>, jobs: Arc<Jobs>) {
    while !state.is_draining() {
        let queued = jobs.queued.notified();
        match jobs.with_store(|jobs| jobs.store.claim()).await {
            Ok(Some(job)) => {
                let span = tracing::info_span!("job", id = job.id);
                Attempt { state: &state, jobs: &jobs, job: &job }.run().instrument(span).await;
            }
            Ok(None) => {
                tokio::select! {
                    () = queued => {}
                    () = state.drained() => {}
                }
            }
            Err(error) => {
                tracing::error!("cannot look into the queue of jobs: {error}");
                tokio::time::sleep(PATIENCE).await;
            }
        }
    }
}

/// A job in work.
struct Attempt<'a> {
    state: &'a Arc<State>,
    jobs: &'a Arc<Jobs>,
    job: &'a Job,
}

impl Attempt<'_> {
    async fn run(self) {
        let Self { jobs, job: Job { id, .. }, .. } = self;
        let cancel = Arc::new(Notify::new());
        self.progress(0.0, &cancel);
        tokio::select! {
            end = self.transcribe(&cancel) => self.finish(end).await,
            () = cancel.notified() => jobs.forget(id),
            () = self.state.drained() => {
                let id = id.clone();
                if let Err(error) = jobs.with_store(move |jobs| jobs.store.put_back(&id)).await {
                    tracing::error!("cannot put a job back into the queue: {error}");
                }
            }
        }
        jobs.set_running(id, None);
        jobs.changed(id);
    }

    async fn transcribe(&self, cancel: &Arc<Notify>) -> Result<Done, ApiError> {
        let Self { state, jobs, job } = self;
        let request = request_of(job)?;
        let path = jobs.recording(&job.id);
        let file = std::fs::File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (n_bytes, file) = file.map_err(|error| {
            tracing::error!(id = job.id, "the recording of a job is lost: {error}");
            ApiError::internal()
        })?;
        let upload = Upload { file, name: job.file_name.clone(), n_bytes };
        let (model, options) = (&request.model, request.options.clone());
        let mut transcription =
            Transcription::begin((*state).clone(), upload, model, options, Urgency::Background).await?;
        while let Some(found) = transcription.next().await? {
            if let Found::Progress { done_s, total_s } = found {
                self.progress(done_s / total_s.max(f64::MIN_POSITIVE), cancel);
            }
        }
        transcription.finish().await
    }

    fn progress(&self, progress: f64, cancel: &Arc<Notify>) {
        let began = self.jobs.running(&self.job.id).map_or_else(Instant::now, |running| running.began);
        let running = Running { progress, began, cancel: cancel.clone() };
        self.jobs.set_running(&self.job.id, Some(running));
        self.jobs.changed(&self.job.id);
    }

    /// Stores what came of it, however long the disk refuses.
    async fn finish(&self, end: Result<Done, ApiError>) {
        let end = Arc::new(end.map(|done| {
            let result = serde_json::to_string(&done.transcript).expect("a transcript is JSON");
            (result, done.duration_s)
        }));
        loop {
            let (id, end) = (self.job.id.clone(), end.clone());
            let stored = self.jobs.with_store(move |jobs| match end.as_ref() {
                Ok((result, duration_s)) => {
                    jobs.store.finish(&id, &End::Succeeded { result, duration_s: *duration_s })
                }
                Err(error) => jobs.store.finish(&id, &End::Failed { error: &error.body().to_string() }),
            });
            match stored.await {
                Ok(_) => break self.jobs.forget(&self.job.id),
                Err(error) => tracing::error!(id = self.job.id, "cannot store a result: {error}"),
            }
            tokio::time::sleep(PATIENCE).await;
        }
    }
}

/// What was asked for when the job came in.
///
/// # Errors
/// Status 400 if the fields make no sense.
pub(super) fn request_of(job: &Job) -> Result<TranscriptionRequest, ApiError> {
    request(&mut Form::of(job.fields.clone()))
}

/// What a form asks for, whose `task` says whether to translate.
///
/// # Errors
/// Status 400 if it makes no sense.
pub(super) fn request(form: &mut Form) -> Result<TranscriptionRequest, ApiError> {
    let task = task(form)?;
    TranscriptionRequest::new(form, task)
}
