//! Ctrl-C: the first asks to stop, the second stops.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use super::INTERRUPTED;

/// Whether the user has asked to stop.
pub(super) struct Interrupt {
    requested: Arc<AtomicBool>,
}

impl Interrupt {
    /// Listens for Ctrl-C from now on, and for the signals by which systems ask programs to end.
    ///
    /// # Errors
    /// If the system does not let us.
    pub(super) fn listen() -> Result<Self> {
        let requested = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&requested);
        let on_signal = move || {
            if shared.swap(true, Ordering::Relaxed) {
                std::process::exit(INTERRUPTED.into());
            }
            tracing::warn!("stopping and keeping what is done; Ctrl-C again stops at once");
        };
        ctrlc::set_handler(on_signal).context("cannot listen for Ctrl-C")?;
        Ok(Self { requested })
    }

    pub(super) fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }

    /// What to answer to whoever asks whether to go on.
    pub(super) fn flow(&self) -> ControlFlow<()> {
        if self.is_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
