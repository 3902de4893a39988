//! `sfbridge simulate`: runs a Salesforce org on loopback until it is told to stop.
//!
//! Standard output gets one JSON line (`--output json`), or what runs where and a configuration to paste; exit
//! code 0 after Ctrl-C or SIGTERM, 64 when the org could not start: an argument names what cannot be had.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use serde_json::json;

use super::answer::{Output, print, shape};
use crate::app::Exit;
use crate::error::chain;
use crate::runtime::shutdown::Signals;
use crate::simulator::{CONTROL_HELP, Simulator, SimulatorSettings, TlsFiles};

const EXAMPLE: &str = "Examples:
  sfbridge simulate                       an org with 20 changes a second
  sfbridge simulate --rate 0 --prepared 300000 --delay-ms 50
  curl -X POST http://127.0.0.1:7012/control/end-streams -H 'content-type: application/json' -d '{\"with\":\"reset\"}'";

const JSON: &str = r#"As JSON, one line when it runs, and nothing more:
  {"pubsub_url": "…", "login_url": "…", "control_url": "…", "organization_id": "…"}"#;

/// Runs a simulated Salesforce org: Pub/Sub API, OAuth and REST on loopback, lively data, and faults on demand.
///
/// ```
/// use clap::Parser as _;
/// let args = sfbridge::cli::simulate::Args::parse_from(["simulate", "--rate", "5", "--pubsub", "127.0.0.1:0"]);
/// assert_eq!((args.rate, args.pubsub.port()), (5.0, 0));
/// ```
#[derive(Debug, Parser)]
#[command(mut_arg("output", shape(JSON)), after_help = EXAMPLE, after_long_help = long_help())]
pub struct Args {
    /// Where the Pub/Sub API listens; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:7011")]
    pub pubsub: SocketAddr,
    /// Where OAuth, REST and the control API listen
    #[arg(long, default_value = "127.0.0.1:7012")]
    pub http: SocketAddr,
    /// Things that happen in the org a second; 0 is none
    #[arg(long, default_value_t = 20.0, value_parser = rate)]
    pub rate: f64,
    /// Of the generated data: one seed, one story
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Account change events of about 1 KB that stand ready at the start
    #[arg(long, default_value_t = 0)]
    pub prepared: u64,
    /// PEM certificate of the Pub/Sub API; without one it speaks plaintext
    #[arg(long, requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// PEM key of the certificate
    #[arg(long, requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Seconds after which a quiet stream gets a keep-alive: 120s
    #[arg(long, default_value = "120s", value_parser = seconds)]
    pub keep_alive: Duration,
    /// Seconds after which a stream that is owed nothing ends
    #[arg(long, default_value = "60s", value_parser = seconds)]
    pub idle_limit: Duration,
    /// Network delay each way before the Pub/Sub API, in milliseconds
    #[arg(long, default_value_t = 0)]
    pub delay_ms: u64,
    /// PEM public key that JWT assertions are checked with; without one their signature is not
    #[arg(long)]
    pub jwt_public_key: Option<PathBuf>,
    #[command(flatten)]
    pub output: Output,
}

/// With the control API, whose lines stay lines wherever the help is shown.
fn long_help() -> String {
    let control: String = CONTROL_HELP
        .trim()
        .lines()
        .map(|line| format!("\n  {line}"))
        .collect();
    format!("{EXAMPLE}\n\nControl API on the HTTP port:{control}")
}

/// More than a thousand a second is what `--prepared` is for.
fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text
        .parse()
        .map_err(|_| "give a number of changes a second".to_owned())?;
    if (0.0..=10_000.0).contains(&rate) {
        Ok(rate)
    } else {
        Err("give 0 to 10000; use --prepared for more".into())
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text).parse::<f64>().ok();
    let seconds = number
        .and_then(|number| Duration::try_from_secs_f64(number).ok())
        .filter(|time| !time.is_zero());
    seconds.ok_or_else(|| "give seconds above zero, such as 120s".to_owned())
}

pub(super) fn run(args: Args) -> Exit {
    super::on_runtime(async |signals| execute(args, signals).await)
}

async fn execute(args: Args, signals: &mut Signals) -> Exit {
    let output = args.output;
    let settings = match settings(args) {
        Ok(settings) => settings,
        Err(message) => return fail(&message),
    };
    let credentials = settings.clone();
    let org = match Simulator::start(settings).await {
        Ok(org) => org,
        Err(error) => return fail(&chain(&error)),
    };
    output.print_line(|| introduction(&org, &credentials), || json_line(&org));
    signals.next().await;
    if !output.is_json() {
        print(&format!("{}\n", summary(&org)));
    }
    Exit::Clean
}

fn fail(message: &str) -> Exit {
    eprintln!("sfbridge simulate: {message}");
    Exit::Configuration
}

fn settings(args: Args) -> Result<SimulatorSettings, String> {
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => Some(TlsFiles {
            certificate_pem: read(certificate)?,
            key_pem: read(key)?,
        }),
        _ => None,
    };
    Ok(SimulatorSettings {
        pubsub: args.pubsub,
        http: args.http,
        tls,
        rate: args.rate,
        seed: args.seed,
        prepared: args.prepared,
        keep_alive: args.keep_alive,
        idle_limit: args.idle_limit,
        delay: Duration::from_millis(args.delay_ms),
        jwt_public_key_pem: args.jwt_public_key.as_deref().map(read).transpose()?,
        ..SimulatorSettings::default()
    })
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

fn json_line(org: &Simulator) -> serde_json::Value {
    json!({
        "pubsub_url": org.pubsub_url(),
        "login_url": org.login_url(),
        "control_url": format!("{}/control", org.login_url()),
        "organization_id": org.organization_id(),
    })
}

/// What runs, and how to use it.
fn introduction(org: &Simulator, settings: &SimulatorSettings) -> String {
    let mut text = format!(
        "A simulated Salesforce org runs.\n\
         \x20 Pub/Sub API  {}\n\
         \x20 OAuth, REST  {}\n\
         \x20 control      {}/control (sfbridge simulate --help lists the requests)\n\
         \x20 topics       {}\n\n\
         A configuration that reads from it (the client's secret is no secret here):\n\n",
        org.pubsub_url(),
        org.login_url(),
        org.login_url(),
        org.topic_names().join(" "),
    );
    // Writing to a String does not fail.
    let _ = write!(
        text,
        "bridge:\n  name: demo\n\
         salesforce:\n  login_url: {}\n  pubsub_url: {}\n  auth:\n    flow: client_credentials\n\
         \x20   client_id: {}\n    client_secret: {}\n\
         kafka:\n  bootstrap_servers: 127.0.0.1:9092\n\
         routes:\n  - name: account-changes\n    from:\n      salesforce: /data/AccountChangeEvent\n\
         \x20     start: earliest\n    to:\n      kafka: salesforce.cdc.{{entity}}\n      format: json\n\n\
         Ctrl-C ends it.",
        org.login_url(),
        org.pubsub_url(),
        settings.client_id,
        settings.client_secret,
    );
    text
}

fn summary(org: &Simulator) -> String {
    let counts = |name: &String| org.topic_counts(name).ok();
    let delivered: u64 = org
        .topic_names()
        .iter()
        .filter_map(counts)
        .map(|topic| topic.events_delivered)
        .sum();
    format!(
        "{delivered} events delivered, {} tokens issued",
        org.org_counts().tokens_issued
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_and_wrong_ones_refused() {
        let args = Args::parse_from([
            "simulate",
            "--keep-alive",
            "0.5s",
            "--idle-limit",
            "7",
            "--output",
            "json",
        ]);
        assert_eq!(
            (args.keep_alive, args.idle_limit),
            (Duration::from_millis(500), Duration::from_secs(7))
        );
        for wrong in [
            ["--keep-alive", "0s"],
            ["--rate", "-1"],
            ["--rate", "NaN"],
            ["--tls-cert", "only.pem"],
        ] {
            assert!(
                Args::try_parse_from([&["simulate"][..], &wrong].concat()).is_err(),
                "{wrong:?}"
            );
        }
    }

    #[tokio::test]
    async fn the_introduction_names_the_addresses_that_were_chosen() {
        let settings = SimulatorSettings::default();
        let org = Simulator::start(settings.clone()).await.expect("the org starts");
        let text = introduction(&org, &settings);
        assert!(
            text.contains(&org.pubsub_url()) && text.contains(org.login_url()),
            "{text}"
        );
        assert!(
            text.contains("\n  auth:\n    flow: client_credentials\n    client_id: "),
            "{text}"
        );
        assert_eq!(json_line(&org)["pubsub_url"], org.pubsub_url());
    }
}
