//! A running bridge, as commands ask it: over its admin listener.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value as Json;

use crate::config::{self, Secret};
use crate::error::{ErrorKind, Failure};

/// The bridge answers from memory.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Which bridge is asked.
#[derive(Debug, clap::Args)]
pub(super) struct Bridge {
    /// The bridge's admin listener; without it, `admin.listen` and `admin.token` of the configuration
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A file with the admin token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Bridge {
    /// Where to ask, and as whom.
    ///
    /// # Errors
    /// When the configuration or the token's file cannot be read.
    pub(super) fn place(&self, file: &Path) -> Result<Place, String> {
        let given = match &self.token_file {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| format!("sfbridge: {} cannot be read: {error}", path.display()))?;
                Some(Secret::new(text.trim()))
            }
        };
        if let Some(url) = &self.url {
            // The configured token is for the configured bridge alone.
            return Ok(Place {
                url: with_scheme(url.trim_end_matches('/')),
                token: given,
            });
        }
        let admin = config::load(file)
            .map_err(|problems| problems.to_string())?
            .config
            .admin;
        Ok(Place {
            url: format!("http://{}", reachable(admin.listen)),
            token: given.or(admin.token),
        })
    }
}

/// `bridge-2:9400` is as good.
fn with_scheme(url: &str) -> String {
    if url.contains("://") {
        url.to_owned()
    } else {
        format!("http://{url}")
    }
}

/// What listens on every address is asked on loopback.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// A bridge's admin listener, and the token for it.
pub(super) struct Place {
    url: String,
    token: Option<Secret>,
}

impl Place {
    /// # Errors
    /// Transient when nothing answers; denied when the answer is a refusal, or none of a bridge.
    pub(super) async fn get(&self, path: &str) -> Result<Json, Failure> {
        self.ask(Method::GET, path, None).await
    }

    /// # Errors
    /// As [`Place::get`]; a refusal's own words are in it.
    pub(super) async fn post(&self, path: &str, body: &Json) -> Result<Json, Failure> {
        self.ask(Method::POST, path, Some(body)).await
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Json>) -> Result<Json, Failure> {
        let client = reqwest::Client::builder()
            // The bridge is on this machine or beside it.
            .no_proxy()
            .timeout(ANSWER_TIMEOUT)
            .build()
            .map_err(|error| {
                Failure::new(ErrorKind::Unknown, "no HTTP client can be made").caused_by(error)
            })?;
        let mut request = client.request(method, format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        if let Some(body) = body {
            request = request.header("X-Sfbridge", "1").json(body);
        }
        let answer = request.send().await.map_err(|error| {
            let message = format!("the bridge at {} does not answer", self.url);
            Failure::new(ErrorKind::Transient, message)
                .remedy("start it, or name its admin listener with --url")
                .caused_by(error.without_url())
        })?;
        if !answer.status().is_success() {
            return Err(self.refusal(answer).await);
        }
        answer.json().await.map_err(|error| {
            let message = format!("what answers at {} is no sfbridge", self.url);
            Failure::new(ErrorKind::Denied, message)
                .remedy("name the bridge's admin listener with --url")
                .caused_by(error.without_url())
        })
    }

    async fn refusal(&self, answer: reqwest::Response) -> Failure {
        let status = answer.status();
        let told: Option<Json> = answer.json().await.ok();
        let why = told.as_ref().and_then(|told| told["error"].as_str());
        let why = why.map_or_else(String::new, |why| format!(": {why}"));
        let message = format!("the bridge at {} answers {status}{why}", self.url);
        let remedy = match status.as_u16() {
            401 => "give its admin token with --token-file",
            403 => {
                "without an admin token a bridge answers on loopback only: ask it there, or give it a token"
            }
            400 => "correct what was asked for",
            _ => "check that the URL is that of a bridge's admin listener",
        };
        Failure::new(ErrorKind::Denied, message).remedy(remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_a_port_are_a_url() {
        assert_eq!(with_scheme("bridge-2:9400"), "http://bridge-2:9400");
        assert_eq!(with_scheme("https://b/x"), "https://b/x");
    }

    #[test]
    fn what_listens_everywhere_is_asked_on_loopback() {
        let asked = |listen: &str| reachable(listen.parse().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:9400"), "127.0.0.1:9400");
        assert_eq!(asked("[::]:9400"), "[::1]:9400");
        assert_eq!(asked("10.0.0.7:1"), "10.0.0.7:1");
    }
}
