//! The server on its socket, from the first model to the last request.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use tokio::signal;

use crate::api::router;
use crate::models::Catalogue;
use crate::settings::Settings;
use crate::state::State;
use crate::wyoming::Announcement;
use crate::{Error, jobs, wyoming};

/// A client has so long for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// How often it is looked for models that nobody uses.
const SWEEP: Duration = Duration::from_secs(1);

/// A server that has its address and does not answer yet.
pub struct Server {
    state: Arc<State>,
    listener: TcpListener,
    wyoming: Option<TcpListener>,
    address: SocketAddr,
}

impl Server {
    /// Takes an address; from now on clients can connect, and wait.
    ///
    /// # Errors
    /// [`Error::Listen`] if it cannot be had, [`Error::Setting`] if a setting makes no sense.
    pub fn bind(address: SocketAddr, settings: Settings, catalogue: Catalogue) -> Result<Self, Error> {
        let state = State::new(settings, catalogue)?;
        let failed = |source| Error::Listen { address: address.to_string(), source };
        let listener = TcpListener::bind(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let wyoming = state.settings.wyoming.map(|address| {
            let failed = |source| Error::Listen { address: address.to_string(), source };
            let listener = TcpListener::bind(address).map_err(failed)?;
            listener.set_nonblocking(true).map_err(failed)?;
            Ok(listener)
        });
        Ok(Self { state, listener, wyoming: wyoming.transpose()?, address })
    }

    /// The address, with the port that the system chose if it was to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Loads the first model and answers until Ctrl-C or a request to terminate. Then nothing new is taken, and what is
    /// in work has [`Settings::drain`] to come to an end.
    ///
    /// # Errors
    /// [`Error::Serve`] if connections cannot be taken any more, [`Error::Tls`] if they cannot be encrypted.
    pub fn run(self) -> Result<(), Error> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::Serve)?;
        let served = runtime.block_on(self.serve());
        // Recordings that are being read when time is up are not waited for.
        runtime.shutdown_background();
        served
    }

    async fn serve(self) -> Result<(), Error> {
        let Self { state, listener, wyoming, .. } = self;
        let handle = Handle::new();
        tokio::spawn(end_on_signal(state.clone(), handle.clone()));
        tokio::spawn(load_first(state.clone()));
        let mut announced = None;
        if let Some(wyoming) = wyoming {
            announced = wyoming.local_addr().ok().and_then(announce);
            let listener = tokio::net::TcpListener::from_std(wyoming).map_err(Error::Serve)?;
            tokio::spawn(wyoming::serve(listener, state.clone()));
        }
        if let Ok(jobs) = state.jobs() {
            tokio::spawn(jobs::run(state.clone(), jobs));
        }
        if let Some(ttl) = state.settings.model_ttl {
            tokio::spawn(unload_idle(state.clone(), ttl));
        }
        allow_many_files();
        let tls = state.settings.tls.clone();
        let service = router(state).into_make_service_with_connect_info::<SocketAddr>();
        let mut server = axum_server::from_tcp(listener).map_err(Error::Serve)?.handle(handle);
        server.http_builder().http1().header_read_timeout(HEAD_TIMEOUT);
        let served = match tls {
            None => server.serve(service).await,
            Some((certificates, key)) => {
                let config = RustlsConfig::from_pem_file(&certificates, &key).await;
                let config = config.map_err(|source| Error::Tls { certificates, key, source })?;
                server.acceptor(RustlsAcceptor::new(config)).serve(service).await
            }
        };
        drop(announced);
        served.map_err(Error::Serve)
    }
}

/// Tells the local network of the Wyoming service. Without that it has to be named by hand.
fn announce(address: SocketAddr) -> Option<Announcement> {
    Announcement::new(address).unwrap_or_else(|error| {
        tracing::warn!("cannot announce the Wyoming service to the local network: {error}");
        None
    })
}

/// Takes as many connections and files as the system allows at most: the usual limit of 1024 is soon reached by clients
/// that send slowly.
fn allow_many_files() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
            tracing::debug!("the number of open files stays as it is: {error}");
        }
    }
}

/// The first model is loaded before anybody asks for it.
async fn load_first(state: Arc<State>) {
    // What goes wrong is in the log, and the first client will be told.
    let _ = state.models.engine(state.models.first()).await;
}

async fn unload_idle(state: Arc<State>, ttl: Duration) {
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        sweep.tick().await;
        state.models.unload_idle(ttl);
    }
}

/// Waits for a signal and lets the server come to its end; a second signal ends it at once.
async fn end_on_signal(state: Arc<State>, handle: Handle<SocketAddr>) {
    asked_to_end().await;
    tracing::info!("ending: requests in work have {} s to finish", state.settings.drain.as_secs());
    state.drain();
    handle.graceful_shutdown(Some(state.settings.drain));
    asked_to_end().await;
    handle.shutdown();
}

/// Waits for Ctrl-C, or for the system to ask the program to terminate.
async fn asked_to_end() {
    #[cfg(unix)]
    {
        let Ok(mut terminate) = signal::unix::signal(signal::unix::SignalKind::terminate()) else {
            return drop(signal::ctrl_c().await);
        };
        tokio::select! {
            _ = signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    drop(signal::ctrl_c().await);
}
