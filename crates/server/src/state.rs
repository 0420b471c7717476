//! What all requests share.

use std::sync::Arc;

use prometheus::IntGauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::Error;
use crate::error::ApiError;
use crate::jobs::{Jobs, Signer};
use crate::metrics::Metrics;
use crate::models::{Catalogue, Models};
use crate::outside::Outside;
use crate::rates::Rates;
use crate::readers::AllReaders;
use crate::realtime::Secrets;
use crate::settings::Settings;

/// What all requests share.
pub(crate) struct State {
    pub(crate) settings: Settings,
    pub(crate) models: Models,
    pub(crate) metrics: Metrics,
    pub(crate) readers: AllReaders,
    /// How often clients ask, if that is limited.
    pub(crate) rates: Option<Rates>,
    /// Requests that may be in work or wait.
    admission: Arc<Semaphore>,
    /// Whether the server is about to end.
    is_draining: watch::Sender<bool>,
    jobs: Option<Arc<Jobs>>,
    pub(crate) outside: Outside,
    /// Keys for single realtime sessions.
    pub(crate) secrets: Secrets,
    /// Signs the news of jobs.
    pub(crate) signer: Option<Signer>,
}

/// The right of a request to be worked on.
pub(crate) struct Admission {
    _permit: OwnedSemaphorePermit,
    in_flight: IntGauge,
}

impl State {
    /// # Errors
    /// [`Error::Setting`] if a setting makes no sense, [`Error::Jobs`] if jobs cannot be kept, [`Error::Serve`] if
    /// the system does not give threads.
    pub(crate) fn new(settings: Settings, catalogue: Catalogue) -> Result<Arc<Self>, Error> {
        settings.check()?;
        let jobs = settings.jobs_dir.as_deref().map(|folder| Jobs::open(folder, settings.job_retention));
        Ok(Arc::new(Self {
            models: Models::new(catalogue, settings.batch_size, settings.model_memory),
            metrics: Metrics::new(),
            rates: settings.requests_per_minute.map(Rates::new),
            readers: AllReaders::start(settings.n_readers).map_err(Error::Serve)?,
            admission: Arc::new(Semaphore::new(settings.max_requests)),
            outside: Outside::new(&settings.outside_hosts),
            signer: settings.webhook_secret.as_deref().map(Signer::new),
            secrets: Secrets::default(),
            is_draining: watch::Sender::new(false),
            jobs: jobs.transpose()?.map(Arc::new),
            settings,
        }))
    }

    /// Sends a request away that there is no room for, before its recording arrives. Whoever sends slowly takes no room
    /// from others: that is what [`admit`](Self::admit) gives when all is there.
    ///
    /// # Errors
    /// Status 429 if as many are in work as may be, 503 if the server is about to end.
    pub(crate) fn check_room(&self) -> Result<(), ApiError> {
        if self.is_draining() {
            return Err(ApiError::unavailable("The server is about to end.", 10));
        }
        match self.admission.available_permits() {
            0 => Err(ApiError::busy(self.seconds_until_room())),
            _ => Ok(()),
        }
    }

    /// Lets a request in.
    ///
    /// # Errors
    /// Those of [`check_room`](Self::check_room).
    pub(crate) fn admit(&self) -> Result<Admission, ApiError> {
        self.check_room()?;
        let permit = self.admission.clone().try_acquire_owned();
        let _permit = permit.map_err(|_| ApiError::busy(self.seconds_until_room()))?;
        let in_flight = self.metrics.in_flight.clone();
        in_flight.inc();
        Ok(Admission { _permit, in_flight })
    }

    /// Takes no more requests from now on.
    pub(crate) fn drain(&self) {
        self.is_draining.send_replace(true);
    }

    pub(crate) fn is_draining(&self) -> bool {
        *self.is_draining.borrow()
    }

    /// Waits until the server is about to end.
    pub(crate) async fn drained(&self) {
        // The sender lives as long as `self`.
        let _ = self.is_draining.subscribe().wait_for(|is_draining| *is_draining).await;
    }

    /// The jobs.
    ///
    /// # Errors
    /// Status 501 if the server keeps none.
    pub(crate) fn jobs(&self) -> Result<Arc<Jobs>, ApiError> {
        self.jobs.clone().ok_or_else(ApiError::no_jobs)
    }

    /// About how long it takes until one of the requests is done, by what those before took.
    fn seconds_until_room(&self) -> u64 {
        let seconds = self.metrics.mean_wall_s() / self.settings.batch_size as f64;
        (seconds.ceil() as u64).clamp(1, 60)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.in_flight.dec();
    }
}
