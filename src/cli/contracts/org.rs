//! The events of a route as the org shows them now. Each topic is asked for once a command, whatever the answer.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::avro::SchemaError;
use crate::config::SalesforceConfig;
use crate::contracts::pinned::Pinned;
use crate::contracts::written::{Event, topic_of};
use crate::error::{ErrorKind, Failure, chain};
use crate::routes::output::is_channel;
use crate::salesforce::Salesforce;
use crate::salesforce::event::EventSchema;
use crate::telemetry::metrics::Metrics;

/// An event, for the pure checks and for the filter.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Found {
    pub(in crate::cli) event: Event,
    pub(in crate::cli) schema: Arc<EventSchema>,
}

/// A failure that several outputs share.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Refusal {
    kind: ErrorKind,
    pub(in crate::cli) message: String,
    pub(in crate::cli) remedy: String,
}

impl Refusal {
    /// With this remedy where the failure has none.
    pub(in crate::cli) fn with(failure: Failure, remedy: &str) -> Self {
        Self {
            kind: failure.kind,
            message: chain(&failure),
            remedy: failure.remedy.unwrap_or_else(|| remedy.to_owned()),
        }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::with(
            failure,
            "check that the org can be reached from here, then run the command again",
        )
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.kind, refusal.message).remedy(refusal.remedy)
    }
}

type Answer = Result<Found, Refusal>;

#[derive(Debug)]
pub(in crate::cli) struct Org {
    salesforce: Salesforce,
    answers: Mutex<HashMap<String, Answer>>,
    /// Why nothing more is asked: every further question would wait as long, for the same answer.
    unreached: Mutex<Option<Refusal>>,
}

impl Org {
    /// Connects with the first question.
    pub(super) fn new(config: &SalesforceConfig) -> Result<Self, Failure> {
        // Which writes nothing.
        let salesforce = Salesforce::new(config, "sfbridge", Metrics::new())?;
        Ok(Self::of(salesforce, None))
    }

    /// With `unreached`, nothing is asked.
    pub(in crate::cli) fn of(salesforce: Salesforce, unreached: Option<Refusal>) -> Self {
        Self {
            salesforce,
            answers: Mutex::default(),
            unreached: Mutex::new(unreached),
        }
    }

    pub(in crate::cli) async fn event(&self, topic: &str) -> Answer {
        let known = self.answers.lock().get(topic).cloned();
        if let Some(answer) = known {
            return answer;
        }
        let unreached = self.unreached.lock().clone();
        if let Some(refusal) = unreached {
            return Err(refusal);
        }
        let answer = self.ask(topic).await.map_err(Refusal::from);
        if let Err(refusal) = &answer
            && refusal.kind == ErrorKind::Transient
        {
            *self.unreached.lock() = Some(refusal.clone());
        }
        self.answers.lock().insert(topic.to_owned(), answer.clone());
        answer
    }

    async fn ask(&self, topic: &str) -> Result<Found, Failure> {
        let info = self.salesforce.pubsub.get_readable_topic(topic).await?;
        let schema = self.salesforce.schemas.get(&info.schema_id).await?;
        let event = Event::new(schema.id(), schema.json()).map_err(|error: SchemaError| {
            let message = format!("schema {} of {topic} is none that sfbridge can read", schema.id());
            Failure::new(ErrorKind::Contract, message).caused_by(error)
        })?;
        Ok(Found { event, schema })
    }
}

/// The Salesforce topics whose schemas an output's events have; none for a channel of which nobody knows them.
pub(super) fn topics(salesforce_topic: &str, entities: &[String], pinned: Option<&Pinned>) -> Vec<String> {
    if !is_channel(salesforce_topic) {
        return vec![salesforce_topic.to_owned()];
    }
    if !entities.is_empty() {
        // The names may be meant for several channels: each carries events of its own sort alone.
        let folder = salesforce_topic.rsplit_once('/').map(|(folder, _)| folder);
        let is_of_its_sort = |topic: &String| topic.rsplit_once('/').map(|(folder, _)| folder) == folder;
        let topics = entities.iter().map(|entity| topic_of(entity));
        return topics.filter(is_of_its_sort).collect();
    }
    let record = pinned.and_then(|pinned| pinned.schema.record());
    let names = record.into_iter().flat_map(|record| {
        // An alias is a full name.
        let aliases = record.aliases.iter().filter_map(|alias| alias.rsplit('.').next());
        std::iter::once(record.name.name.as_str()).chain(aliases)
    });
    let is_event = |name: &&str| name.ends_with("ChangeEvent") || name.ends_with("__e");
    names.filter(is_event).take(1).map(topic_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pinned(name: &str, aliases: &str) -> Pinned {
        let json = format!(
            r#"{{"type":"record","name":"{name}","namespace":"n","aliases":[{aliases}],"fields":[]}}"#
        );
        Pinned::parse("a.avsc".to_owned(), &json).unwrap()
    }

    #[test]
    fn a_channels_events_are_named_by_the_caller_or_by_the_contract() {
        let channel = "/data/ChangeEvents";
        let entities = ["Account", "Order__c", "Order_Shipped__e"].map(str::to_owned);
        assert_eq!(
            topics(channel, &entities, None),
            ["/data/AccountChangeEvent", "/data/Order__ChangeEvent"]
        );
        assert_eq!(
            topics("/event/All__chn", &entities, None),
            ["/event/Order_Shipped__e"]
        );
        let by_name = pinned("ContactChangeEvent", "");
        assert_eq!(topics(channel, &[], Some(&by_name)), ["/data/ContactChangeEvent"]);
        let by_alias = pinned("Contact", r#""ContactChangeEvent""#);
        assert_eq!(
            topics(channel, &[], Some(&by_alias)),
            ["/data/ContactChangeEvent"]
        );
        assert!(topics(channel, &[], Some(&pinned("Contact", ""))).is_empty());
        assert!(topics(channel, &[], None).is_empty());
        assert_eq!(topics("/event/X__e", &entities, None), ["/event/X__e"]);
    }
}
