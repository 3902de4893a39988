//! The connection to the Pub/Sub API: TLS, HTTP/2 PINGs, windows. Lazy: made with the first call.

use std::time::Duration;

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Error};

use crate::config::SalesforceConfig;
use crate::error::{ErrorKind, Failure};

/// A host that does not take a connection in ten seconds is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// NAT tables and load balancers forget a silent connection after minutes and tell nobody.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(15);
/// Two of the largest responses (3 MB) may be on their way on one stream.
const STREAM_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
/// Unread bytes of all streams together: eight full streams, and never a reason to stall, since every reader
/// always drains. The library's 5 MB are used up by one route that is slow to be scheduled.
const CONNECTION_WINDOW_BYTES: u32 = 64 * 1024 * 1024;

/// # Errors
/// `Misconfigured`: an address or a CA file that cannot be used.
pub(super) fn endpoint(config: &SalesforceConfig) -> Result<Endpoint, Failure> {
    let unusable = |error: Error| {
        let message = format!("salesforce.pubsub_url: {} cannot be used", config.pubsub_url);
        Failure::new(ErrorKind::Misconfigured, message).caused_by(error)
    };
    let endpoint = Endpoint::from_shared(config.pubsub_url.clone())
        .and_then(|endpoint| endpoint.user_agent(concat!("sfbridge/", env!("CARGO_PKG_VERSION"))))
        .map_err(unusable)?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    // Plain text is for loopback, as the configuration has checked.
    if config.pubsub_url.starts_with("https://") {
        with_tls(endpoint, config)
    } else {
        Ok(endpoint)
    }
}

fn with_tls(endpoint: Endpoint, config: &SalesforceConfig) -> Result<Endpoint, Failure> {
    let system = ClientTlsConfig::new().with_native_roots();
    let Some(path) = &config.ca_file else {
        return endpoint.tls_config(system).map_err(|error| {
            Failure::new(
                ErrorKind::Misconfigured,
                "this system has no certificates to trust",
            )
            .remedy("install the system's CA certificates, or set salesforce.ca_file")
            .caused_by(error)
        });
    };
    let pem = std::fs::read(path).map_err(|error| {
        let message = format!("salesforce.ca_file: {} cannot be read", path.display());
        Failure::new(ErrorKind::Misconfigured, message).caused_by(error)
    })?;
    let private = Certificate::from_pem(pem);
    // An image may have no certificates of its own; then the file's are all there are.
    endpoint
        .clone()
        .tls_config(system.ca_certificate(private.clone()))
        .or_else(|_| endpoint.tls_config(ClientTlsConfig::new().ca_certificate(private)))
        .map_err(|error| {
            let message = format!(
                "salesforce.ca_file: {} is no bundle of certificates in PEM",
                path.display()
            );
            Failure::new(ErrorKind::Misconfigured, message).caused_by(error)
        })
}
