//! `sfbridge contracts diff`: what the org has changed since the contract's last version.

use std::fmt::Write as _;
use std::sync::Arc;

use super::outputs::{all, chosen};
use super::registry::Versions;
use super::{Entities, Refused, print};
use crate::app::Exit;
use crate::avro::Schema;
use crate::config::Config;
use crate::contracts::difference::difference;
use crate::contracts::written::{Contract, Written};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  sfbridge contracts diff account-changes --config config/sfbridge.yaml\n\nLines begin with - for a field that is gone, + for a new one, ~ for one of another type."
)]
pub(super) struct Args {
    /// The route's name
    route: String,
    #[command(flatten)]
    entities: Entities,
}

pub(super) async fn run(arguments: &Args, config: &Config) -> Result<Exit, Refused> {
    let routes = chosen(config, Some(&arguments.route))?;
    let versions = Versions::new(config)?;
    let mut text = String::new();
    for written in all(config, &routes, &arguments.entities).await? {
        text.push_str(&compared(&written, &versions).await?);
    }
    Ok(print(&text))
}

async fn compared(written: &Written, versions: &Versions) -> Result<String, Refused> {
    let (Some(contract), Some(event)) = (&written.contract, &written.event) else {
        return Ok(format!(
            "# {}: the events of {} are learnt at run time; name them with --entity\n",
            written.topic, written.salesforce_topic
        ));
    };
    let registered = match &written.subject {
        Some(subject) => versions
            .latest(subject)
            .await?
            .map(|(version, schema)| (format!("{subject} version {version}"), Arc::new(schema))),
        None => None,
    };
    // A pinned contract is compared with all that the org has; a followed one with what would be registered.
    let file = contract
        .label
        .as_ref()
        .map(|label| (label.clone(), Arc::clone(&contract.schema)));
    let now: Arc<Schema> = if contract.label.is_some() {
        let whole = Contract::followed(event, None);
        whole.map_or_else(|_| Arc::clone(&event.schema), |(whole, _)| whole.schema)
    } else {
        Arc::clone(&contract.schema)
    };
    let Some((name, then)) = registered.or(file) else {
        return Ok(format!(
            "# {}: there is no earlier version to compare with\n",
            written.topic
        ));
    };
    let mut text = format!(
        "--- {name}\n+++ {} schema {}\n",
        written.salesforce_topic, event.schema_id
    );
    for change in difference(&then, &now) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{change}");
    }
    Ok(text)
}
