//! `sfbridge positions`: where each route stands, and standing it elsewhere. For a route to Kafka that is a replay id in
//! the positions topic, for a route to Salesforce the offsets of its group. What a move leaves out is said in the gaps
//! topic, before or with the move.

mod list;
mod place;
mod to_kafka;
mod to_salesforce;

use std::path::Path;
use std::time::Duration;

use clap::Subcommand;
use serde_json::Value as Json;

use self::place::Place;
use super::answer::{Form, Refused, configured, pretty, print};
use crate::app::Exit;
use crate::config::{Config, Flow, RouteConfig};
use crate::error::Failure;
use crate::kafka::{Connection, Topics};

/// A broker that is there answers within it.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show where every route stands
    #[command(after_help = "Example:\n  sfbridge positions list --config config/sfbridge.yaml")]
    List(ListArgs),
    /// Let a route go on from another place; refused while it runs
    #[command(
        after_help = "Examples:\n  sfbridge positions set account-changes earliest\n  sfbridge positions set account-changes 0000000000000010db4d0000\n  sfbridge positions set order-shipped 1200:3\n\nA route to Kafka: earliest, latest, or the replay id (hex) after which it goes on.\nA route to Salesforce: earliest, latest, or <offset>[:<partition>], the next record to read."
    )]
    Set(SetArgs),
    /// Forget where a route stands: it begins as its `start` says; refused while it runs
    #[command(after_help = "Example:\n  sfbridge positions reset account-changes")]
    Reset(ResetArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// How to print the positions
    #[arg(long, value_enum, default_value_t = Form::Text)]
    output: Form,
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

#[derive(Debug, Clone, Copy, clap::Args)]
struct How {
    /// Also while the route runs: its owner is fenced and begins again from the new place. Not for a route to Salesforce
    #[arg(long)]
    force: bool,
    /// How to print what was done
    #[arg(long, value_enum, default_value_t = Form::Text)]
    output: Form,
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
            let route = route(config, &arguments.route)?;
            let place = match route.flow {
                Flow::ToKafka(_) => Place::of_salesforce(&arguments.place),
                Flow::ToSalesforce(_) => Place::of_kafka(&arguments.place),
            };
            let place = place.map_err(Refused::Asked)?;
            stand(config, route, &place, arguments.how).await
        }
        What::Reset(arguments) => {
            let route = route(config, &arguments.route)?;
            stand(config, route, &Place::Start, arguments.how).await
        }
    }
}

async fn stand(config: &Config, route: &RouteConfig, place: &Place, how: How) -> Result<Exit, Refused> {
    let desk = Desk::open(config).await?;
    let moved = match &route.flow {
        Flow::ToKafka(flow) => to_kafka::stand(&desk, route, flow, place, how.force).await?,
        Flow::ToSalesforce(_) if how.force => {
            let why = "--force is for routes to Kafka: Kafka refuses offsets while a group has members";
            return Err(Refused::Asked(why.to_owned()));
        }
        Flow::ToSalesforce(flow) => to_salesforce::stand(&desk, route, flow, place).await?,
    };
    Ok(print(&match how.output {
        Form::Json => pretty(&moved.json),
        Form::Text => format!("{}\n", moved.text),
    }))
}

/// What was done.
struct Moved {
    text: String,
    json: Json,
}

fn route<'a>(config: &'a Config, name: &str) -> Result<&'a RouteConfig, Refused> {
    if let Some(route) = config.routes.iter().find(|route| route.name == name) {
        return Ok(route);
    }
    let names: Vec<&str> = config.routes.iter().map(|route| route.name.as_str()).collect();
    Err(Refused::Asked(format!(
        "no route is called {name}; there are {}",
        names.join(", ")
    )))
}

/// The configured cluster, reached.
struct Desk<'a> {
    config: &'a Config,
    connection: Connection,
    topics: Topics,
}

impl<'a> Desk<'a> {
    async fn open(config: &'a Config) -> Result<Self, Failure> {
        let connection = Connection::new(config.kafka.clone(), &config.bridge.name);
        connection.check(KAFKA_TIMEOUT).await?;
        let topics = Topics::new(&connection)?;
        Ok(Self {
            config,
            connection,
            topics,
        })
    }
}
