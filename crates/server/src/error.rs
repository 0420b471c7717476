//! What can go wrong, and the one place where that becomes an answer.

use axum::Json;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Why a server could not be started or run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },

    /// The connections broke down.
    #[error("the server stopped")]
    Serve(#[source] std::io::Error),

    /// The folder where jobs are kept cannot be used.
    #[error("cannot keep jobs in `{}`", folder.display())]
    Jobs {
        /// The folder.
        folder: std::path::PathBuf,
        /// What the system or the database said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// The certificate or its key cannot be used.
    #[error("cannot encrypt with `{}` and `{}`", certificates.display(), key.display())]
    Tls {
        /// The certificate chain.
        certificates: std::path::PathBuf,
        /// The private key.
        key: std::path::PathBuf,
        /// What is wrong with them.
        source: std::io::Error,
    },

    /// A setting that makes no sense.
    #[error("{name} is {found}, expected {expected}")]
    Setting {
        /// The setting's name.
        name: &'static str,
        /// What it was set to.
        found: String,
        /// What it may be set to.
        expected: &'static str,
    },
}

/// What a client is told instead of a result, in the words and with the status codes of OpenAI's API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    kind: &'static str,
    code: Option<&'static str>,
    param: Option<String>,
    message: String,
    retry_after_s: Option<u64>,
    /// Whether OpenAI's clients shall try again; `None`: as they think best.
    should_retry: Option<bool>,
}

const INVALID: &str = "invalid_request_error";
const SERVER: &str = "server_error";

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, kind, code: None, param: None, message, retry_after_s: None, should_retry: None }
    }

    /// The request makes no sense.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, INVALID, message)
    }

    /// A parameter of the request makes no sense.
    pub(crate) fn param(param: &str, message: impl Into<String>) -> Self {
        Self { param: Some(param.to_owned()), ..Self::invalid(message) }
    }

    /// A parameter that has to be there is not.
    pub(crate) fn missing(param: &str) -> Self {
        let error = Self::param(param, format!("Missing required parameter: '{param}'."));
        Self { code: Some("missing_required_parameter"), ..error }
    }

    /// What was sent is no recording.
    pub(crate) fn format(message: impl Into<String>) -> Self {
        Self { code: Some("unsupported_format"), ..Self::param("file", message) }
    }

    /// The request comes without one of the keys.
    pub(crate) fn key(message: &str) -> Self {
        let error = Self::new(StatusCode::UNAUTHORIZED, INVALID, message);
        Self { code: Some("invalid_api_key"), ..error }
    }

    /// There is no such model.
    pub(crate) fn no_model(name: &str) -> Self {
        let message = format!("The model '{name}' does not exist or you do not have access to it.");
        let error = Self::new(StatusCode::NOT_FOUND, INVALID, message);
        Self { code: Some("model_not_found"), param: Some("model".to_owned()), ..error }
    }

    /// There is no such job.
    pub(crate) fn no_job(id: &str) -> Self {
        let error = Self::new(StatusCode::NOT_FOUND, INVALID, format!("There is no job '{id}'."));
        Self { code: Some("job_not_found"), param: Some("id".to_owned()), ..error }
    }

    /// The server keeps no jobs.
    pub(crate) fn no_jobs() -> Self {
        let message = "This server keeps no jobs: it was started without a folder for them.";
        Self::new(StatusCode::NOT_IMPLEMENTED, SERVER, message)
    }

    /// It cannot be done in this state of things.
    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self { should_retry: Some(false), ..Self::new(StatusCode::CONFLICT, INVALID, message) }
    }

    /// The place is for WebSockets alone.
    pub(crate) fn no_websocket(rejection: &WebSocketUpgradeRejection) -> Self {
        Self::new(StatusCode::UPGRADE_REQUIRED, INVALID, format!("Expected a WebSocket: {rejection}"))
    }

    /// There is no such place.
    pub(crate) fn no_route(method: &str, path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, INVALID, format!("Invalid URL ({method} {path})"))
    }

    /// There is such a place, and nothing to do there with this method.
    pub(crate) fn no_method(method: &str, path: &str) -> Self {
        let message = format!("Not allowed to {method} on {path}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, INVALID, message)
    }

    /// The request has more bytes than it may have.
    pub(crate) fn too_large(limit: u64, found: u64) -> Self {
        let message = format!("413: Maximum content size limit ({limit}) exceeded ({found} bytes read)");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, SERVER, message)
    }

    /// The request says that it will have more bytes than it may have.
    pub(crate) fn announced_too_large(limit: u64, announced: u64) -> Self {
        let message =
            format!("413: Maximum content size limit ({limit}) exceeded ({announced} bytes announced)");
        Self { message, ..Self::too_large(limit, announced) }
    }

    /// The client sends its request too slowly.
    pub(crate) fn too_slow() -> Self {
        let message = "The request did not arrive in time.";
        Self { should_retry: Some(false), ..Self::new(StatusCode::REQUEST_TIMEOUT, INVALID, message) }
    }

    /// The work took longer than a request may.
    pub(crate) fn deadline(limit_s: u64) -> Self {
        let message =
            format!("The transcription was not done after {limit_s} s: send the recording in parts.");
        Self { should_retry: Some(false), ..Self::new(StatusCode::REQUEST_TIMEOUT, SERVER, message) }
    }

    /// There is too much to do already.
    pub(crate) fn busy(retry_after_s: u64) -> Self {
        let message = "The server has as many requests as it takes at once. Please try again later.";
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message);
        Self { code: Some("rate_limit"), retry_after_s: Some(retry_after_s), ..error }
    }

    /// The client asks too often.
    pub(crate) fn too_often(retry_after_s: u64) -> Self {
        let message = "Rate limit reached: too many requests a minute. Please try again later.";
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message);
        Self { code: Some("rate_limit_exceeded"), retry_after_s: Some(retry_after_s), ..error }
    }

    /// The server is not able to do it now: it loads a model, or is about to end.
    pub(crate) fn unavailable(message: impl Into<String>, retry_after_s: u64) -> Self {
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, SERVER, message);
        Self { retry_after_s: Some(retry_after_s), ..error }
    }

    /// Nothing more fits on the disk.
    pub(crate) fn storage() -> Self {
        let message = "The server has no room to store the recording.";
        let error = Self::new(StatusCode::INSUFFICIENT_STORAGE, SERVER, message);
        Self { code: Some("insufficient_storage"), ..error }
    }

    /// It is the server's fault; what exactly is in its log.
    pub(crate) fn internal() -> Self {
        let message = "The server had an error while processing your request. Sorry about that!";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, SERVER, message)
    }

    /// The body of the answer, and what a stream of events tells when it breaks off.
    pub(crate) fn body(&self) -> serde_json::Value {
        let Self { message, kind, param, code, .. } = self;
        json!({"error": {"message": message, "type": kind, "param": param, "code": code}})
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(should_retry) = self.should_retry {
            let value = HeaderValue::from_static(if should_retry { "true" } else { "false" });
            headers.insert(HeaderName::from_static("x-should-retry"), value);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<boswell_audio::Error> for ApiError {
    fn from(error: boswell_audio::Error) -> Self {
        use boswell_audio::Error as Audio;
        match &error {
            Audio::NotAudio { .. } => Self::format(
                "Invalid file format. Supported formats: ['flac', 'm4a', 'mp3', 'mp4', 'mpeg', 'mpga', 'oga', \
                 'ogg', 'wav', 'webm']",
            ),
            Audio::Temporary(_) => {
                tracing::error!("{}", chain(&error));
                Self::storage()
            }
            Audio::Read { .. } => {
                tracing::error!("{}", chain(&error));
                Self::internal()
            }
            _ => Self::format(format!(
                "The audio file could not be decoded or its format is not supported. ({error})"
            )),
        }
    }
}

impl From<boswell_transcribe::Error> for ApiError {
    fn from(error: boswell_transcribe::Error) -> Self {
        use boswell_transcribe::Error as Transcribe;
        match error {
            Transcribe::Features(error) => error.into(),
            Transcribe::Option { name, .. } => Self::param(name, error.to_string()),
            Transcribe::Model(_) => Self::param("language", error.to_string()),
            Transcribe::CannotTranslate { .. } => Self::param("model", error.to_string()),
            Transcribe::Context { .. } => Self::param("prompt", error.to_string()),
            Transcribe::Window { .. } | Transcribe::VoiceActivity => {
                tracing::error!("{error}");
                Self::internal()
            }
        }
    }
}

/// An error with all its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
