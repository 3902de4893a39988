//! `sfbridge check`: whether the bridge could run as it is configured, asked of everything that it needs. Nothing is
//! written anywhere; the brokers note one transactional id that is nobody's. What is not reached is found out once,
//! within half a minute, and said at every line that it concerns.

mod kafka;
mod lines;
mod targets;

use std::path::Path;

use self::kafka::Kafka;
use self::lines::Lines;
use super::answer::{Output, Refused, shape, until_signal};
use super::cluster::KAFKA_TIMEOUT;
use super::contracts::check as contracts;
use super::contracts::org::{Org, Refusal};
use super::contracts::registry::Versions;
use super::progress::{Bar, waiting};
use crate::app::Exit;
use crate::config::{self, Config, Flow, RouteConfig};
use crate::error::Failure;
use crate::kafka::Connection;
use crate::routes::loop_guard::client_name;
use crate::salesforce::Salesforce;
use crate::telemetry::metrics::Metrics;

const REACH_ORG: &str =
    "check that salesforce.login_url can be reached from here, then run the command again";

const JSON: &str = r#"As JSON:
  {"lines": [{"verdict": "broken", "about": "kafka", "message": "…", "remedy": "…"}, …],
   "holds": 11, "warnings": 0, "broken": 1}

`verdict` is holds, warning or broken. `about` is configuration, salesforce, kafka, schema registry, `route <name>` or `route <name> → <topic>`. What holds has no `remedy`."#;

#[derive(Debug, clap::Args)]
#[command(
    mut_arg("output", shape(JSON)),
    after_help = "Examples:\n  sfbridge check --config config/sfbridge.yaml\n  sfbridge check --output json | jq '.lines[] | select(.verdict == \"broken\")'\n\nNothing is written. The right to use transactional ids is asked with sfbridge.<bridge>.@check, which is no route's: no running bridge is fenced. The right to read is asked by reading at the end. The right to write to a topic that is there cannot be asked.\n\nExit codes:\n  0 the bridge can run, with warnings perhaps\n  1 something is broken, or could not be checked\n  64 configuration"
)]
pub(super) struct Args {
    #[command(flatten)]
    output: Output,
}

pub(super) fn run(arguments: &Args, file: &Path) -> Exit {
    let mut lines = Lines::default();
    let remedy = "correct it; `sfbridge config example` shows every key";
    let loaded = match config::load(file) {
        Ok(loaded) => loaded,
        Err(problems) => {
            for problem in problems.to_string().lines() {
                lines.broken("configuration", problem, remedy);
            }
            arguments.output.print(|| lines.to_string(), || lines.json());
            return Exit::Configuration;
        }
    };
    lines.holds("configuration", format!("{} has no mistakes", file.display()));
    for problem in loaded.unsupported().to_string().lines() {
        lines.broken("configuration", problem, remedy);
    }
    until_signal(Exit::Failed, async || {
        check(&loaded.config, &mut lines).await?;
        arguments.output.print(|| lines.to_string(), || lines.json());
        Ok(if lines.is_broken() {
            Exit::Failed
        } else {
            Exit::Clean
        })
    })
}

async fn check(config: &Config, lines: &mut Lines) -> Result<(), Refused> {
    let salesforce = Salesforce::new(
        &config.salesforce,
        &client_name(&config.bridge.name),
        Metrics::new(),
    )?;
    let connection = Connection::new(config.kafka.clone(), &config.bridge.name);
    let mut versions = Versions::new(config)?;
    let asked = async {
        tokio::join!(
            salesforce.tokens.session(),
            connection.check(KAFKA_TIMEOUT),
            versions.reach()
        )
    };
    let (session, reached, registry) = waiting("asking Salesforce, Kafka and the registry", asked).await;
    let refusal = match session {
        Ok(session) => {
            let (user, org) = (session.user(), &session.organization_id);
            let host = session.my_domain_host();
            lines.holds("salesforce", format!("logged in to org {org} ({host}) as {user}"));
            None
        }
        Err(failure) => {
            lines.failed("salesforce", &failure, REACH_ORG);
            Some(Refusal::with(failure, REACH_ORG))
        }
    };
    let kafka = Kafka::new(config, connection, reached, lines)?;
    match registry {
        Some(Ok(())) => lines.holds("schema registry", "reached"),
        Some(Err(refusal)) => lines.broken("schema registry", refusal.message, refusal.remedy),
        None => {}
    }
    kafka.internal(lines).await;

    let org = Org::of(salesforce.clone(), refusal.clone());
    let is_to_kafka = |route: &&RouteConfig| matches!(route.flow, Flow::ToKafka(_));
    let mut bar = Bar::of_routes(config.routes.len() + config.routes.iter().filter(is_to_kafka).count());
    let contracts = contracts::report(config, &[], &org, &versions, &mut bar).await?;
    for route in &config.routes {
        bar.step();
        match &route.flow {
            Flow::ToKafka(flow) => {
                lines.take(&route.name, &contracts);
                kafka.outputs(route, flow, &org, lines).await;
            }
            Flow::ToSalesforce(flow) => {
                targets::check(route, flow, &salesforce, refusal.as_ref(), lines).await;
                kafka.source(route, flow, lines).await;
            }
        }
        kafka.dead_letters(route, lines).await;
    }
    Ok(())
}

/// A failure that is told at several lines.
fn told(refusal: &Refusal) -> Failure {
    refusal.clone().into()
}
