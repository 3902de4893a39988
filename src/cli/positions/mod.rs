//! `sfbridge positions`: where each route stands, and standing it elsewhere. For a route to Kafka that is a replay id in
//! the positions topic, for a route to Salesforce the offsets of its group. What a move leaves out is said in the gaps
//! topic, before or with the move.

mod list;
mod place;
mod to_kafka;
mod to_salesforce;

use std::path::Path;

use clap::Subcommand;
use serde_json::Value as Json;

use self::place::Place;
use super::answer::{Output, Refused, configured, shape};
use super::cluster::reached;
use super::named;
use crate::app::Exit;
use crate::config::{Config, Flow, RouteConfig};
use crate::error::Failure;
use crate::kafka::{Connection, Topics};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show where every route stands
    #[command(
        mut_arg("output", shape(LISTED)),
        after_help = "Examples:\n  sfbridge positions list --config config/sfbridge.yaml\n  sfbridge positions list --output json | jq '.positions[] | select(.route == \"account-changes\")'"
    )]
    List(ListArgs),
    /// Let a route go on from another place; refused while it runs
    #[command(
        mut_arg("output", shape(MOVED)),
        after_help = "Examples:\n  sfbridge positions set account-changes earliest\n  sfbridge positions set account-changes 0000000000000010db4d0000\n  sfbridge positions set order-shipped 1200:3\n  sfbridge positions set order-shipped latest --topic shop.orders\n\nA route to Kafka: earliest, latest, or the replay id (hex) after which it goes on.\nA route to Salesforce: earliest, latest, or <offset>[:<partition>], the next record to read; --topic names one of several topics."
    )]
    Set(SetArgs),
    /// Forget where a route stands: it begins as its `start` says; refused while it runs
    #[command(
        mut_arg("output", shape(MOVED)),
        after_help = "Examples:\n  sfbridge positions reset account-changes\n  sfbridge positions reset order-shipped --topic shop.orders"
    )]
    Reset(ResetArgs),
}

const LISTED: &str = r#"As JSON:
  {"bridge": "crm", "positions": [
    {"route": "account-changes", "direction": "to_kafka",
     "position": {"replay_id": "…", …}},
    {"route": "order-shipped", "direction": "to_salesforce", "offsets": [
      {"topic": "shop.orders", "partition": 0, "offset": 12,
       "first_offset": 0, "end_offset": 15}]}]}

`position` is what is stored in the positions topic, or null; `offset` is null where the group has none."#;

const MOVED: &str = r#"As JSON, of a route to Kafka:
  {"route": "account-changes", "before": {"replay_id": "…", …}, "position": {…},
   "reported": true}

and of a route to Salesforce:
  {"route": "order-shipped", "reported": false, "offsets": [
    {"topic": "shop.orders", "partition": 0, "before": 12, "offset": 15}]}

`before` and `position` are null where nothing was or is stored. `reported`: what is left out stands in the gaps topic."#;

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct SetArgs {
    /// The route's name
    route: String,
    /// Where it goes on
    #[arg(value_name = "earliest|latest|REPLAY ID|OFFSET[:PARTITION]")]
    place: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, clap::Args)]
struct ResetArgs {
    /// The route's name
    route: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Clone, clap::Args)]
struct How {
    /// Move the partitions of this topic alone, of a route to Salesforce that reads several
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Also while the route runs: its owner is fenced and begins again from the new place. Not for a route to Salesforce
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    output: Output,
}

pub(super) fn run(arguments: &Args, file: &Path) -> Exit {
    configured(file, async |config| work(&arguments.what, &config).await)
}

async fn work(what: &What, config: &Config) -> Result<Exit, Refused> {
    match what {
        What::List(arguments) => {
            let desk = Desk::open(config).await?;
            list::run(&desk, arguments.output).await
        }
        What::Set(arguments) => {
            let route = named::route(config, &arguments.route)?;
            let place = match route.flow {
                Flow::ToKafka(_) => Place::of_salesforce(&arguments.place),
                Flow::ToSalesforce(_) => Place::of_kafka(&arguments.place),
            };
            let place = place.map_err(Refused::Asked)?;
            stand(config, route, &place, &arguments.how).await
        }
        What::Reset(arguments) => {
            let route = named::route(config, &arguments.route)?;
            stand(config, route, &Place::Start, &arguments.how).await
        }
    }
}

async fn stand(config: &Config, route: &RouteConfig, place: &Place, how: &How) -> Result<Exit, Refused> {
    let refused = |why: &str| Err(Refused::Asked(why.to_owned()));
    match &route.flow {
        Flow::ToKafka(_) if how.topic.is_some() => {
            return refused("--topic is for routes to Salesforce: a route to Kafka has one position");
        }
        Flow::ToSalesforce(_) if how.force => {
            return refused(
                "--force is for routes to Kafka: Kafka refuses offsets while a group has members",
            );
        }
        Flow::ToKafka(_) | Flow::ToSalesforce(_) => {}
    }
    let desk = Desk::open(config).await?;
    let moved = match &route.flow {
        Flow::ToKafka(flow) => to_kafka::stand(&desk, route, flow, place, how.force).await?,
        Flow::ToSalesforce(flow) => {
            to_salesforce::stand(&desk, route, flow, place, how.topic.as_deref()).await?
        }
    };
    let Moved { text, json } = moved;
    Ok(how.output.print(|| text + "\n", || json))
}

/// What was done.
struct Moved {
    text: String,
    json: Json,
}

/// The configured cluster, reached.
struct Desk<'a> {
    config: &'a Config,
    connection: Connection,
    topics: Topics,
}

impl<'a> Desk<'a> {
    async fn open(config: &'a Config) -> Result<Self, Failure> {
        let (connection, topics) = reached(config).await?;
        Ok(Self {
            config,
            connection,
            topics,
        })
    }
}
