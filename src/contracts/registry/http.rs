//! HTTP to a registry, or to one of several that hold the same: the one that answered last is asked first, and
//! the next one when it does not answer or is unwell. No redirects, bounded answers, a time-out for each
//! request. URLs are cut out of every error.
//!
//! Every request of the interface may be made twice: registering what is registered changes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Certificate, Method, Url, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::config::{RegistryCredentials, SchemaRegistryConfig};
use crate::error::{ErrorKind, Failure};

use super::error::CallError;
use super::wire::reason;

/// Half of what a request may take, so that a host that is gone leaves time in the route's life for the next.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A registry answers from memory; one that writes waits for Kafka, some seconds at worst.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The widest event has a schema of some 200 KB; a list of ten thousand subjects is shorter than this too.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

pub(super) struct Http {
    hosts: Vec<Host>,
    /// Index of the host that answered last.
    serving: AtomicUsize,
    credentials: Option<RegistryCredentials>,
}

struct Host {
    /// Host and port, for messages.
    name: Arc<str>,
    base: String,
    client: reqwest::Client,
    /// It has answered as a registry does since the start: what says otherwise later stands in its place for a while.
    was_registry: AtomicBool,
}

pub(super) struct Ask {
    pub(super) method: Method,
    /// Below the base URL, escaped.
    pub(super) path: String,
    /// JSON.
    pub(super) body: Option<Vec<u8>>,
}

pub(super) enum Reply<T> {
    Done(T),
    /// A registry's own no, which the operation must understand.
    Refused(Refusal),
}

pub(super) struct Refusal {
    host: Arc<str>,
    pub(super) status: u16,
    pub(super) code: Option<i64>,
    pub(super) reason: String,
}

impl Refusal {
    pub(super) fn unforeseen(self) -> CallError {
        CallError::Unforeseen {
            host: self.host,
            status: self.status,
            code: self.code,
            reason: self.reason,
        }
    }
}

impl<T> Reply<T> {
    /// For operations that a registry has no reason to refuse.
    pub(super) fn done(self) -> Result<T, CallError> {
        match self {
            Self::Done(value) => Ok(value),
            Self::Refused(refusal) => Err(refusal.unforeseen()),
        }
    }
}

/// The body of every refusal. Some servers in front of a registry answer with other things.
#[derive(Deserialize, Default)]
struct RefusalBody {
    #[serde(default)]
    error_code: Option<i64>,
    #[serde(default)]
    message: String,
}

struct Answer {
    host: Arc<str>,
    status: u16,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

impl Http {
    pub(super) fn new(config: &SchemaRegistryConfig) -> Result<Self, Failure> {
        let roots = roots(config)?;
        let hosts = config.urls.iter().map(|url| Host::new(url, &roots));
        Ok(Self {
            hosts: hosts.collect::<Result<_, _>>()?,
            serving: AtomicUsize::new(0),
            credentials: config.credentials.clone(),
        })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().map(|host| &*host.name)
    }

    pub(super) async fn call<T: DeserializeOwned>(&self, ask: &Ask) -> Result<Reply<T>, CallError> {
        let first = self.serving.load(Ordering::Relaxed);
        let count = self.hosts.len();
        let mut error = None;
        for index in (0..count).map(|step| (first + step) % count) {
            let host = &self.hosts[index];
            let reply = match self.exchange(host, ask).await {
                Ok(answer) => host.remember(answer.judge()),
                Err(error) => Err(error),
            };
            match reply {
                Err(
                    next @ (CallError::Unreachable { .. }
                    | CallError::Unwell { .. }
                    | CallError::Displaced { .. }),
                ) => error = Some(next),
                settled => {
                    self.serving.store(index, Ordering::Relaxed);
                    return settled;
                }
            }
        }
        // The configuration has at least one URL.
        Err(error.unwrap_or_else(|| CallError::NotARegistry {
            host: "(none configured)".into(),
            status: 0,
        }))
    }

    async fn exchange(&self, host: &Host, ask: &Ask) -> Result<Answer, CallError> {
        let failed = |error: reqwest::Error| CallError::Unreachable {
            host: Arc::clone(&host.name),
            cause: Arc::new(error.without_url()),
        };
        let mut request = host
            .client
            .request(ask.method.clone(), format!("{}{}", host.base, ask.path))
            .header(ACCEPT, MEDIA_TYPE)
            .header(ACCEPT, "application/json");
        if let Some(body) = &ask.body {
            request = request.header(CONTENT_TYPE, MEDIA_TYPE).body(body.clone());
        }
        request = match &self.credentials {
            Some(RegistryCredentials::Basic { username, password }) => {
                request.basic_auth(username, Some(password.expose()))
            }
            Some(RegistryCredentials::Bearer(token)) => request.bearer_auth(token.expose()),
            None => request,
        };
        let mut response = request.send().await.map_err(failed)?;
        let told = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|told| told.to_str().ok());
        let mut answer = Answer {
            host: Arc::clone(&host.name),
            status: response.status().as_u16(),
            retry_after: told.and_then(|text| text.parse().ok()).map(Duration::from_secs),
            body: Vec::new(),
        };
        while let Some(part) = response.chunk().await.map_err(failed)? {
            if answer.body.len() + part.len() > BODY_BYTES_MAX {
                return Err(answer.not_a_registrys());
            }
            answer.body.extend_from_slice(&part);
        }
        Ok(answer)
    }
}

impl Host {
    fn new(url: &str, roots: &[Certificate]) -> Result<Self, Failure> {
        let unusable = |message: String| Failure::new(ErrorKind::Misconfigured, message);
        let parsed = Url::parse(url)
            .map_err(|error| unusable("schema_registry.url: this is no URL".to_owned()).caused_by(error))?;
        let host = parsed.host_str().unwrap_or_default();
        let name = match parsed.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("sfbridge/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            // Credentials must not follow a redirect to another host.
            .redirect(redirect::Policy::none())
            .https_only(parsed.scheme() == "https");
        if is_loopback(host) {
            // No proxy can reach it.
            builder = builder.no_proxy();
        }
        for root in roots {
            builder = builder.add_root_certificate(root.clone());
        }
        let client = builder.build().map_err(|error| {
            unusable(format!(
                "the HTTP client for the schema registry {name} cannot be set up"
            ))
            .caused_by(error.without_url())
        })?;
        Ok(Self {
            name: name.into(),
            base: url.trim_end_matches('/').to_owned(),
            client,
            was_registry: AtomicBool::new(false),
        })
    }

    /// A proxy answers with a page of its own while the registry behind it restarts: only where no registry was ever
    /// met is the URL wrong.
    fn remember<T>(&self, reply: Result<Reply<T>, CallError>) -> Result<Reply<T>, CallError> {
        match reply {
            Ok(Reply::Done(_)) => self.was_registry.store(true, Ordering::Relaxed),
            Err(CallError::NotARegistry { host, status }) if self.was_registry.load(Ordering::Relaxed) => {
                return Err(CallError::Displaced { host, status });
            }
            _ => {}
        }
        reply
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

fn roots(config: &SchemaRegistryConfig) -> Result<Vec<Certificate>, Failure> {
    let Some(path) = &config.ca_file else {
        return Ok(Vec::new());
    };
    let unusable = |error: Box<dyn std::error::Error + Send + Sync>| {
        let rule = "is no bundle of certificates in PEM";
        let message = format!("schema_registry.ca_file: {} {rule}", path.display());
        Failure::new(ErrorKind::Misconfigured, message).caused_by(error)
    };
    let pem = std::fs::read(path).map_err(|error| unusable(error.into()))?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| unusable(error.into()))?;
    if certificates.is_empty() {
        return Err(unusable("it holds no certificate".into()));
    }
    Ok(certificates)
}

impl Answer {
    /// Sorts out what has nothing to do with the operation.
    fn judge<T: DeserializeOwned>(self) -> Result<Reply<T>, CallError> {
        match self.status {
            200..=299 => match serde_json::from_slice(&self.body) {
                Ok(value) => Ok(Reply::Done(value)),
                Err(_) => Err(self.not_a_registrys()),
            },
            401 | 403 => Err(CallError::Refused {
                host: self.host,
                status: self.status,
            }),
            429 => Err(CallError::Throttled {
                host: self.host,
                retry_after: self.retry_after,
            }),
            300..=399 => Err(self.not_a_registrys()),
            500.. => Err(CallError::Unwell {
                code: self.refusal_body().error_code,
                host: self.host,
                status: self.status,
            }),
            _ => self.refused(),
        }
    }

    fn refused<T>(self) -> Result<Reply<T>, CallError> {
        let body = self.refusal_body();
        // A subject or a schema that is missing has a code of five digits; a path that is missing has not.
        if self.status == 404 && body.error_code.is_none_or(|code| code < 40_400) {
            return Err(self.not_a_registrys());
        }
        Ok(Reply::Refused(Refusal {
            host: self.host,
            status: self.status,
            code: body.error_code,
            reason: reason(&body.message),
        }))
    }

    fn refusal_body(&self) -> RefusalBody {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn not_a_registrys(&self) -> CallError {
        CallError::NotARegistry {
            host: Arc::clone(&self.host),
            status: self.status,
        }
    }
}
