//! The outputs of the routes that write to Kafka, with their contracts: what `show`, `diff`, `export` and `docs`
//! start from.

use super::org::{Org, topics};
use super::registry::Versions;
use super::{Entities, Refused};
use crate::cli::named::unknown;
use crate::cli::progress::Bar;
use crate::config::{Config, Flow, Format, KafkaOutput, RouteConfig, SubjectNaming, ToKafkaConfig};
use crate::contracts::pinned::Pinned;
use crate::contracts::registry::subject;
use crate::contracts::written::{Contract, Event, Written};
use crate::error::{ErrorKind, Failure};
use crate::routes::output::{Names, naming, topic_name};

/// A route from Salesforce to Kafka.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route<'a> {
    pub(super) config: &'a RouteConfig,
    pub(super) flow: &'a ToKafkaConfig,
}

/// The routes that write to Kafka.
pub(super) fn routes(config: &Config) -> impl Iterator<Item = Route<'_>> {
    config.routes.iter().filter_map(|route| match &route.flow {
        Flow::ToKafka(flow) => Some(Route { config: route, flow }),
        Flow::ToSalesforce(_) => None,
    })
}

/// The one of that name, or all.
pub(super) fn chosen<'a>(config: &'a Config, name: Option<&str>) -> Result<Vec<Route<'a>>, Refused> {
    let all: Vec<Route<'a>> = routes(config).collect();
    let Some(name) = name else { return Ok(all) };
    if let Some(route) = all.iter().find(|route| route.config.name == name) {
        return Ok(vec![*route]);
    }
    let names = all.iter().map(|route| route.config.name.as_str());
    Err(Refused::Asked(unknown(
        "route from Salesforce to Kafka",
        name,
        names,
    )))
}

/// The output's contract file, read.
pub(super) fn pinned(output: &KafkaOutput) -> Result<Option<Pinned>, Failure> {
    let file = output
        .contract
        .as_ref()
        .and_then(|contract| contract.file.as_deref());
    file.map(Pinned::read).transpose()
}

/// What an output writes for one event. Without one, `{entity}` and `{event}` stay in the topic's name.
pub(super) fn written(
    config: &Config,
    route: Route<'_>,
    output: &KafkaOutput,
    event: Option<&Event>,
    contract: Option<Contract>,
) -> Written {
    let source = &route.flow.from.topic;
    let entity = event.map(Event::entity);
    let names = Names {
        entity: entity.as_deref().unwrap_or("{entity}"),
        event: event.map_or("{event}", |event| &event.name),
        route: &route.config.name,
    };
    let topic = topic_name(&output.topic, names);
    let configured = config
        .schema_registry
        .as_ref()
        .map_or(SubjectNaming::Topic, |registry| registry.subject);
    let naming = naming(configured, source, &output.topic);
    let subject = contract
        .as_ref()
        .filter(|_| output.format == Format::Avro)
        .map(|contract| subject(naming, &topic, &contract.full_name()));
    Written {
        route: route.config.name.clone(),
        salesforce_topic: source.clone(),
        topic,
        key: output.key.clone(),
        format: output.format,
        tombstones: output.tombstones,
        event: event.cloned(),
        contract,
        subject,
        registered: None,
    }
}

/// Everything that the routes write, with its place in the registry where that answers.
pub(super) async fn registered(
    config: &Config,
    routes: &[Route<'_>],
    entities: &Entities,
) -> Result<Vec<Written>, Refused> {
    let mut found = all(config, routes, entities).await?;
    Versions::new(config)?.fill_in(&mut found).await;
    Ok(found)
}

/// Everything that the routes write.
pub(super) async fn all(
    config: &Config,
    routes: &[Route<'_>],
    entities: &Entities,
) -> Result<Vec<Written>, Refused> {
    let org = Org::new(&config.salesforce)?;
    let mut found = Vec::new();
    let mut bar = Bar::of_routes(routes.len());
    for route in routes {
        bar.step();
        for output in &route.flow.to {
            let pinned = pinned(output)?;
            let topics = topics(&route.flow.from.topic, &entities.names, pinned.as_ref());
            if topics.is_empty() {
                let contract = pinned.as_ref().map(Contract::pinned);
                found.push(written(config, *route, output, None, contract));
            }
            for topic in topics {
                let event = org.event(&topic).await.map_err(Failure::from)?.event;
                let contract = contract(output, pinned.as_ref(), &event)?;
                found.push(written(config, *route, output, Some(&event), Some(contract)));
            }
        }
    }
    Ok(found)
}

fn contract(output: &KafkaOutput, pinned: Option<&Pinned>, event: &Event) -> Result<Contract, Failure> {
    if let Some(pinned) = pinned {
        return Ok(Contract::pinned(pinned));
    }
    let followed = Contract::followed(event, output.fields.as_ref());
    followed.map(|(contract, _)| contract).map_err(|error| {
        let message = format!("topic {}: {} gives no schema to write", output.topic, event.name);
        Failure::new(ErrorKind::Contract, message)
            .remedy("correct the output's `fields`")
            .caused_by(error)
    })
}
