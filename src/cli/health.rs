//! `sfbridge health`: the health check of a container that has nothing else to ask with. It asks the admin listener
//! what anybody may ask, so it needs no token.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;
use serde_json::json;

use super::answer::{Output, Refused, shape, until_signal};
use super::bridge::reachable;
use crate::app::Exit;
use crate::config;
use crate::error::{ErrorKind, Failure};

/// The bridge answers from memory; platforms ask every few seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

const JSON: &str = r#"As JSON:
  {"url": "http://127.0.0.1:9400/ready", "healthy": true, "answer": "ready\n"}"#;

#[derive(Debug, clap::Args)]
#[command(
    mut_arg("output", shape(JSON)),
    after_help = "Examples:\n  sfbridge health --config config/sfbridge.yaml\n  sfbridge health --live\n  sfbridge health --url http://127.0.0.1:9400\n\nExit codes:\n  0 it says yes\n  1 it says no, or does not answer within three seconds\n  64 configuration"
)]
pub(super) struct Args {
    /// Ask whether the process lives, not whether its routes are as they should be
    #[arg(long)]
    live: bool,
    /// The bridge's admin listener; without it, `admin.listen` of the configuration. A URL with a path is asked as it is
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    output: Output,
}

pub(super) fn run(arguments: &Args, file: &Path) -> Exit {
    let url = match url(arguments, file.to_owned()) {
        Ok(url) => url,
        Err(problems) => {
            eprintln!("{problems}");
            return Exit::Configuration;
        }
    };
    until_signal(Exit::Failed, async || ask(url, arguments.output).await)
}

fn url(arguments: &Args, file: PathBuf) -> Result<Url, String> {
    let text = match &arguments.url {
        Some(url) => url.clone(),
        None => {
            let loaded = config::load(&file).map_err(|problems| problems.to_string())?;
            format!("http://{}", reachable(loaded.config.admin.listen))
        }
    };
    asked(&text, arguments.live)
}

/// What is asked of a listener: `/ready` or `/live`, or the path that the URL has.
fn asked(text: &str, live: bool) -> Result<Url, String> {
    let mut url = Url::parse(text).map_err(|error| format!("sfbridge: {text:?} is no URL: {error}"))?;
    if url.path() == "/" {
        url.set_path(if live { "live" } else { "ready" });
    }
    Ok(url)
}

async fn ask(url: Url, output: Output) -> Result<Exit, Refused> {
    let silent = |error: reqwest::Error| {
        Failure::new(ErrorKind::Transient, format!("{url} does not answer")).caused_by(error.without_url())
    };
    let client = reqwest::Client::builder()
        // The bridge is on this machine or beside it.
        .no_proxy()
        .timeout(ANSWER_TIMEOUT)
        .build()
        .map_err(silent)?;
    let answer = client.get(url.clone()).send().await.map_err(silent)?;
    let healthy = answer.status().is_success();
    let said = answer.text().await.map_err(silent)?;
    output.print(
        || said.clone(),
        || json!({"url": url.as_str(), "healthy": healthy, "answer": said}),
    );
    Ok(if healthy { Exit::Clean } else { Exit::Failed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_asked_for_its_health_and_a_path_is_asked_as_it_is() {
        let asked = |url, live| asked(url, live).unwrap().to_string();
        assert_eq!(
            asked("http://127.0.0.1:9400", false),
            "http://127.0.0.1:9400/ready"
        );
        assert_eq!(
            asked("http://127.0.0.1:9400/", true),
            "http://127.0.0.1:9400/live"
        );
        assert_eq!(asked("http://127.0.0.1:7012/x", false), "http://127.0.0.1:7012/x");
    }
}
