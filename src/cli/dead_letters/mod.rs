//! `sfbridge dead-letters`: what could not be delivered, why, what to do about it, and sent again once it is done.
//! `list` and `show` only read; they ask Kafka, and `show` asks the org or the registry what a value is.

mod list;
mod redrive;
mod show;
mod time;
mod value;

use std::path::Path;
use std::sync::Arc;

use clap::Subcommand;

use super::answer::{self, JsonArray, Output, Refused, shape};
use super::cluster::reached;
use super::named;
use crate::app::Exit;
use crate::config::{Config, RouteConfig};
use crate::kafka::{Connection, Topics};
use crate::routes::redrive::Selection;
use crate::runtime::shutdown::Signals;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List dead letters: address, time, route, kind, attempts, whether it was redriven, and the error
    List(list::Args),
    /// Show one dead letter: the record, the error, what to do about it, and the command that sends it again
    Show(show::Args),
    /// Send dead letters through their route again
    Redrive(redrive::Args),
}

/// Which dead letters are meant.
#[derive(Debug, Clone, clap::Args)]
struct Chosen {
    /// Only those of this kind, such as poison or contract
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only those stored at this time or later: 2026-11-27T10:00:00Z, 2026-11-27, or 2h for two hours ago
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    since: Option<i64>,
    /// Only those stored before this time
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    until: Option<i64>,
}

impl Chosen {
    fn selection(&self, route: Option<&str>) -> Selection {
        Selection {
            route: route.map(str::to_owned),
            kind: self.kind.clone(),
            since_ms: self.since,
            until_ms: self.until,
            ..Selection::default()
        }
    }
}

/// The configuration, and the way to its Kafka.
struct Desk<'a> {
    config: &'a Config,
    /// As given on the command line.
    file: &'a Path,
    connection: Connection,
    topics: Topics,
}

pub(super) fn run(arguments: &Args, file: &Path) -> Exit {
    answer::signalled(file, async |config, signals| {
        Box::pin(work(&arguments.what, &config, file, signals)).await
    })
}

async fn work(what: &What, config: &Config, file: &Path, signals: &mut Signals) -> Result<Exit, Refused> {
    if let What::Redrive(arguments) = what {
        named::route(config, &arguments.route)?;
    }
    let (connection, topics) = tokio::select! {
        reached = reached(config) => reached?,
        () = signals.next() => return Ok(Exit::Failed),
    };
    let desk = Desk {
        config,
        file,
        connection,
        topics,
    };
    match what {
        What::List(arguments) => tokio::select! {
            outcome = list::run(arguments, &desk) => outcome,
            () = signals.next() => Ok(Exit::Failed),
        },
        What::Show(arguments) => tokio::select! {
            outcome = show::run(arguments, &desk) => outcome,
            () = signals.next() => Ok(Exit::Failed),
        },
        What::Redrive(arguments) => Box::pin(redrive::run(arguments, &desk, signals)).await,
    }
}

impl Desk<'_> {
    fn route(&self, name: &str) -> Option<&RouteConfig> {
        named::route(self.config, name).ok()
    }

    /// The dead-letter topics of the configuration, or of one route of it. A route that it does not have any more
    /// may have left letters in any of them.
    fn dead_letter_topics(&self, route: Option<&str>) -> Vec<Arc<str>> {
        let one = route.and_then(|name| self.route(name));
        let mut topics: Vec<Arc<str>> = Vec::new();
        for route in &self.config.routes {
            let topic = route.dead_letter.topic.as_str();
            let is_meant = one.is_none_or(|one| one.dead_letter.topic == topic);
            if is_meant && !topics.iter().any(|known| **known == *topic) {
                topics.push(topic.into());
            }
        }
        topics
    }
}
