//! How spans leave: OTLP over gRPC, as the standard `OTEL_*` variables say.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::WithTonicConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracerProvider, SpanData, SpanExporter};
use tonic::transport::{Certificate, ClientTlsConfig};

/// The first of these variables that is set and not empty.
fn first(names: [&str; 2]) -> Option<String> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    names.into_iter().find_map(set)
}

/// `None` where the environment does not ask for traces.
///
/// # Errors
/// What of the environment cannot be followed.
pub(super) fn provider(bridge: &str, instance: &str) -> Result<Option<SdkTracerProvider>, String> {
    let endpoint = first([
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ]);
    let is = |name, value: &str| std::env::var(name).is_ok_and(|set| set.trim().eq_ignore_ascii_case(value));
    let Some(endpoint) =
        endpoint.filter(|_| !is("OTEL_SDK_DISABLED", "true") && !is("OTEL_TRACES_EXPORTER", "none"))
    else {
        return Ok(None);
    };
    let protocol = first([
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
    ]);
    if let Some(protocol) = protocol.filter(|protocol| protocol != "grpc") {
        return Err(format!(
            "OTEL_EXPORTER_OTLP_PROTOCOL is {protocol}: only grpc is spoken, to the collector's port 4317"
        ));
    }
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_tls_config(tls()?)
        .build()
        .map_err(|error| error.to_string())?;
    let watched = Watched {
        exporter,
        state: Arc::default(),
    };
    // Without the password that a URL may hold.
    let endpoint = endpoint.rsplit('@').next();
    tracing::info!(endpoint, "traces are exported");
    let provider = SdkTracerProvider::builder()
        .with_span_processor(BatchSpanProcessor::builder(watched).build())
        .with_resource(resource(bridge, instance))
        .build();
    Ok(Some(provider))
}

fn tls() -> Result<ClientTlsConfig, String> {
    let tls = ClientTlsConfig::new().with_enabled_roots();
    let Some(file) = first([
        "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
    ]) else {
        return Ok(tls);
    };
    let pem =
        std::fs::read(&file).map_err(|error| format!("OTEL_EXPORTER_OTLP_CERTIFICATE: {file}: {error}"))?;
    Ok(tls.ca_certificate(Certificate::from_pem(pem)))
}

/// Who sends. What the environment says of it goes before.
fn resource(bridge: &str, instance: &str) -> Resource {
    let ours = [
        ("service.name", "sfbridge"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", instance),
        ("sfbridge.bridge", bridge),
    ];
    let told = Resource::builder().build();
    let is_told = |name: &str| {
        let value = told.get(&name.to_owned().into());
        // The SDK's own stand-in.
        value.is_some_and(|value| !value.as_str().starts_with("unknown_service"))
    };
    let ours = ours
        .into_iter()
        .filter(|(name, _)| !is_told(name))
        .map(|(name, value)| KeyValue::new(name, value.to_owned()));
    Resource::builder().with_attributes(ours).build()
}

/// An exporter whose failures are told once, until it works again.
#[derive(Debug)]
struct Watched<E> {
    exporter: E,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    is_down: AtomicBool,
    /// Spans dropped since the exporter failed first.
    dropped: AtomicU64,
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    /// Never fails: the SDK would log every time.
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let State { is_down, dropped } = &*self.state;
        match self.exporter.export(batch).await {
            Ok(()) => {
                if is_down.swap(false, Ordering::Relaxed) {
                    let dropped = dropped.swap(0, Ordering::Relaxed);
                    tracing::info!(dropped, "traces are exported again");
                }
            }
            Err(error) => {
                dropped.fetch_add(spans, Ordering::Relaxed);
                if !is_down.swap(true, Ordering::Relaxed) {
                    tracing::warn!(why = %error, "traces cannot be exported: they are dropped until the collector takes them");
                }
            }
        }
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        let dropped = self.state.dropped.load(Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(dropped, "traces that could not be exported");
        }
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
