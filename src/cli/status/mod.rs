//! `sfbridge status`: what a running bridge does, asked of its admin listener.

mod table;

use std::io::{IsTerminal as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value as Json;

use self::table::Table;
use super::answer::{Output, Refused, shape, until_signal};
use crate::app::Exit;
use crate::config::{self, Secret};
use crate::error::{ErrorKind, Failure};
use crate::runtime::clock;

/// The bridge answers from memory.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Often enough for an eye, seldom enough for a log.
const WATCH_EVERY: Duration = Duration::from_secs(2);
/// Clears the screen and goes to its corner.
const CLEAR: &str = "\x1b[2J\x1b[H";

const JSON: &str = r#"As JSON, what the bridge answers on /api/routes; with --watch a line each time:
  {"bridge": "crm", "routes": [{"name": "account-changes", "direction": "to_kafka",
   "state": {"name": "halted", "since": "…", "why": "…", "remedy": "…"}, …}, …]}

A state is starting, streaming, idle, waiting, paused, draining or halted."#;

#[derive(Debug, clap::Args)]
#[command(
    mut_arg("output", shape(JSON)),
    after_help = "Examples:\n  sfbridge status --config config/sfbridge.yaml --watch\n  sfbridge status --url http://bridge-2:9400 --token-file /run/secrets/admin_token\n  sfbridge status --output json | jq '.routes[] | select(.state.name == \"halted\")'\n\nExit codes:\n  0 no route is halted\n  1 a route is halted, or the bridge does not answer\n  64 configuration"
)]
pub(super) struct Args {
    /// The bridge's admin listener; without it, `admin.listen` and `admin.token` of the configuration
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A file with the admin token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Show it again every two seconds, until it is interrupted
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    output: Output,
}

pub(super) fn run(arguments: &Args, file: &Path) -> Exit {
    let place = match place(arguments, file) {
        Ok(place) => place,
        Err(problems) => {
            eprintln!("{problems}");
            return Exit::Configuration;
        }
    };
    // Who watches ends it so.
    let interrupted = if arguments.watch {
        Exit::Clean
    } else {
        Exit::Failed
    };
    until_signal(interrupted, async || status(arguments, &place).await)
}

/// Where to ask, and as whom.
struct Place {
    url: String,
    token: Option<Secret>,
}

fn place(arguments: &Args, file: &Path) -> Result<Place, String> {
    let given = match &arguments.token_file {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| format!("sfbridge: {} cannot be read: {error}", path.display()))?;
            Some(Secret::new(text.trim()))
        }
    };
    if let Some(url) = &arguments.url {
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

async fn status(arguments: &Args, place: &Place) -> Result<Exit, Refused> {
    let client = reqwest::Client::builder()
        // The bridge is on this machine or beside it.
        .no_proxy()
        .timeout(ANSWER_TIMEOUT)
        .build()
        .map_err(|error| Failure::new(ErrorKind::Unknown, "no HTTP client can be made").caused_by(error))?;
    loop {
        match ask(&client, place).await {
            Ok(shown) if arguments.watch => {
                if again(arguments.output, &shown).is_err() {
                    return Ok(Exit::Clean);
                }
            }
            Ok(shown) => {
                let is_halted = table::is_halted(&shown);
                let table = || Table::new(&shown, clock::now_ms()).to_string();
                arguments.output.print(table, || shown.clone());
                return Ok(if is_halted { Exit::Failed } else { Exit::Clean });
            }
            // A bridge that starts again is waited for.
            Err(failure) if arguments.watch && failure.kind == ErrorKind::Transient => {
                eprintln!("sfbridge: {}", crate::error::chain(&failure));
            }
            Err(failure) => return Err(failure.into()),
        }
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

/// What there is now, over what was there before where somebody looks.
///
/// # Errors
/// When whoever reads has seen enough and closed the pipe.
fn again(output: Output, shown: &Json) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    let before = if out.is_terminal() { CLEAR } else { "" };
    let text = if output.is_json() {
        format!("{shown}\n")
    } else {
        format!("{before}{}", Table::new(shown, clock::now_ms()))
    };
    out.write_all(text.as_bytes())?;
    out.flush()
}

async fn ask(client: &reqwest::Client, place: &Place) -> Result<Json, Failure> {
    let url = format!("{}/api/routes", place.url);
    let unreached = |error: reqwest::Error| {
        Failure::new(
            ErrorKind::Transient,
            format!("the bridge at {} does not answer", place.url),
        )
        .remedy("start it, or name its admin listener with --url")
        .caused_by(error.without_url())
    };
    let mut request = client.get(url);
    if let Some(token) = &place.token {
        request = request.bearer_auth(token.expose());
    }
    let answer = request.send().await.map_err(unreached)?;
    let status = answer.status();
    if !status.is_success() {
        let message = format!("the bridge at {} answers {status}", place.url);
        let remedy = match status.as_u16() {
            401 => "give its admin token with --token-file",
            403 => {
                "without an admin token a bridge answers on loopback only: ask it there, or give it a token"
            }
            _ => "check that the URL is that of a bridge's admin listener",
        };
        return Err(Failure::new(ErrorKind::Denied, message).remedy(remedy));
    }
    answer.json().await.map_err(|error| {
        let message = format!("what answers at {} is no sfbridge", place.url);
        Failure::new(ErrorKind::Denied, message)
            .remedy("name the bridge's admin listener with --url")
            .caused_by(error.without_url())
    })
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
