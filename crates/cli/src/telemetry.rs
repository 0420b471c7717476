//! The server's spans, sent to a collector by OTLP over HTTP (feature `otlp`).
//!
//! `OTEL_EXPORTER_OTLP_ENDPOINT` and its relatives say where it is, as the specification of OpenTelemetry has them;
//! without one nothing is sent.

use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;
use ureq::Agent;

/// What says where the collector is.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
/// A collector that takes longer gets nothing.
const PATIENCE: Duration = Duration::from_secs(10);

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// The layer that spans go through; `None` if the environment names no collector, or it cannot be spoken with.
pub(crate) fn layer<S>() -> Option<OpenTelemetryLayer<S, SdkTracer>>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let is_named = ENDPOINTS.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    let provider = match is_named.then(provider)? {
        Ok(provider) => PROVIDER.get_or_init(|| provider),
        Err(error) => {
            tracing::warn!("no spans are sent: {error}");
            return None;
        }
    };
    Some(tracing_opentelemetry::layer().with_tracer(provider.tracer("boswell")))
}

/// Sends what is not sent yet.
pub(crate) fn end() {
    if let Some(Err(error)) = PROVIDER.get().map(|provider| provider.shutdown_with_timeout(PATIENCE)) {
        tracing::debug!("the last spans are lost: {error}");
    }
}

fn provider() -> Result<SdkTracerProvider, ExporterBuildError> {
    let config = Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).build();
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_http_client(Client(config.into()))
        .build()?;
    // OTEL_SERVICE_NAME goes first.
    let resource = match std::env::var_os("OTEL_SERVICE_NAME") {
        Some(_) => Resource::builder().build(),
        None => Resource::builder().with_service_name("boswell").build(),
    };
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// The exporter has a thread of its own, on which a request may block.
#[derive(Debug)]
struct Client(Agent);

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = self.0.run(request.map(|body| body.to_vec()))?.into_parts();
        let body = { body }.read_to_vec()?;
        Ok(Response::from_parts(parts, body.into()))
    }
}
