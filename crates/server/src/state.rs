//! What all requests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use prometheus::IntGauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Error;
use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::models::{Catalogue, Models};
use crate::settings::Settings;

/// What all requests share.
pub(crate) struct State {
    pub(crate) settings: Settings,
    pub(crate) models: Models,
    pub(crate) metrics: Metrics,
    /// Recordings that may be read at once.
    pub(crate) readers: Arc<Semaphore>,
    /// Requests that may be in work or wait.
    admission: Arc<Semaphore>,
    /// Whether the server is about to end.
    is_draining: AtomicBool,
}

/// The right of a request to be worked on.
pub(crate) struct Admission {
    _permit: OwnedSemaphorePermit,
    in_flight: IntGauge,
}

impl State {
    /// # Errors
    /// [`Error::Setting`] if a setting makes no sense.
    pub(crate) fn new(settings: Settings, catalogue: Catalogue) -> Result<Arc<Self>, Error> {
        settings.check()?;
        Ok(Arc::new(Self {
            models: Models::new(catalogue, settings.batch_size),
            metrics: Metrics::new(),
            readers: Arc::new(Semaphore::new(settings.n_readers)),
            admission: Arc::new(Semaphore::new(settings.max_requests)),
            is_draining: AtomicBool::new(false),
            settings,
        }))
    }

    /// Lets a request in.
    ///
    /// # Errors
    /// Status 429 if there are as many as may be, 503 if the server is about to end.
    pub(crate) fn admit(&self) -> Result<Admission, ApiError> {
        if self.is_draining() {
            return Err(ApiError::unavailable("The server is about to end.", 10));
        }
        let permit = self.admission.clone().try_acquire_owned();
        let _permit = permit.map_err(|_| ApiError::busy(self.seconds_until_room()))?;
        let in_flight = self.metrics.in_flight.clone();
        in_flight.inc();
        Ok(Admission { _permit, in_flight })
    }

    /// Takes no more requests from now on.
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
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
