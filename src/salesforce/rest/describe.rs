//! What REST knows of an object: the names of its fields that this user may read, and their types.
//!
//! Kept for an hour, an object at a time, asked for once however many routes want it; given up as soon as a query
//! showed that it no longer holds. There are as many as the org has objects with events.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;
use tokio::time::Instant;

use crate::error::Failure;
use crate::runtime::flight::Flight;

/// Fields come with a release of the org's own, some a week; a field that is gone shows itself at once.
const AGE_MAX: Duration = Duration::from_secs(3600);
/// As with event schemas: routes do not repeat a refused call one after the other, and nobody waits for it.
const REFUSAL_KEPT: Duration = Duration::from_secs(5);

/// How REST writes a field's values, as far as they are not written as Avro would have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    DateTime,
    Date,
    Time,
    /// A whole address or location; its parts are fields of their own.
    Compound,
    Other,
}

/// One object as `describe` tells it.
#[derive(Debug)]
pub struct Describe {
    name: String,
    fields: HashMap<String, FieldType>,
    since: Instant,
    is_stale: AtomicBool,
}

#[derive(Deserialize)]
struct Body {
    name: String,
    fields: Vec<Field>,
}

#[derive(Deserialize)]
struct Field {
    name: String,
    #[serde(rename = "type")]
    rest_type: String,
}

impl Describe {
    /// # Errors
    /// When the body is not what `describe` answers.
    pub(super) fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        let body: Body = serde_json::from_slice(body)?;
        let fields = body.fields.into_iter();
        Ok(Self {
            name: body.name,
            fields: fields
                .map(|field| (field.name, field_type(&field.rest_type)))
                .collect(),
            since: Instant::now(),
            is_stale: AtomicBool::new(false),
        })
    }

    /// As Salesforce spells it: `Account`, `Order__c`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `None`: there is no such field, or this user may not see it.
    pub fn field(&self, name: &str) -> Option<FieldType> {
        self.fields.get(name).copied()
    }

    /// What a query refused is not what the object is: the next reader asks again.
    pub(super) fn give_up(&self) {
        self.is_stale.store(true, Ordering::Relaxed);
    }

    fn is_usable(&self) -> bool {
        !self.is_stale.load(Ordering::Relaxed) && self.since.elapsed() < AGE_MAX
    }
}

fn field_type(rest_type: &str) -> FieldType {
    match rest_type {
        "datetime" => FieldType::DateTime,
        "date" => FieldType::Date,
        "time" => FieldType::Time,
        "address" | "location" => FieldType::Compound,
        _ => FieldType::Other,
    }
}

/// The objects at hand.
#[derive(Default)]
pub(super) struct Describes(Mutex<HashMap<String, Arc<Flight<Describe, Failure>>>>);

impl Describes {
    /// # Errors
    /// What `ask` answered, to this caller or to another one seconds ago.
    pub(super) async fn get<F>(&self, object: &str, ask: impl FnOnce() -> F) -> Result<Arc<Describe>, Failure>
    where
        F: Future<Output = Result<Describe, Failure>>,
    {
        let flight = {
            let new = || Arc::new(Flight::new(REFUSAL_KEPT));
            Arc::clone(self.0.lock().entry(object.to_owned()).or_insert_with(new))
        };
        let describe = flight.get(Describe::is_usable, ask).await;
        describe.map_err(|failure| Failure::shared(&failure))
    }

    /// The one at hand, if any is.
    pub(super) async fn give_up(&self, object: &str) {
        let flight = self.0.lock().get(object).cloned();
        if let Some(describe) = match flight {
            Some(flight) => flight.peek().await,
            None => None,
        } {
            describe.give_up();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    const BODY: &str = r#"{"name":"Account","fields":[{"name":"Name","type":"string"},
        {"name":"CreatedDate","type":"datetime"},{"name":"BillingAddress","type":"address"}]}"#;

    async fn ask(describes: &Describes, asked: &AtomicU32) -> Arc<Describe> {
        let ask = || async {
            asked.fetch_add(1, Ordering::Relaxed);
            Ok(Describe::parse(BODY.as_bytes()).unwrap())
        };
        describes.get("Account", ask).await.unwrap()
    }

    #[test]
    fn a_describe_tells_names_and_types() {
        let describe = Describe::parse(BODY.as_bytes()).unwrap();
        assert_eq!(describe.name(), "Account");
        assert_eq!(describe.field("Name"), Some(FieldType::Other));
        assert_eq!(describe.field("CreatedDate"), Some(FieldType::DateTime));
        assert_eq!(describe.field("BillingAddress"), Some(FieldType::Compound));
        assert_eq!(describe.field("Nothing"), None);
        assert!(Describe::parse(b"[]").is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_kept_for_an_hour_and_given_up_when_it_no_longer_holds() {
        let (describes, asked) = (Describes::default(), AtomicU32::new(0));
        ask(&describes, &asked).await;
        tokio::time::advance(AGE_MAX - Duration::from_secs(1)).await;
        ask(&describes, &asked).await;
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        ask(&describes, &asked).await;
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        describes.give_up("Account").await;
        describes.give_up("Contact").await;
        ask(&describes, &asked).await;
        ask(&describes, &asked).await;
        assert_eq!(asked.load(Ordering::Relaxed), 3);
    }
}
