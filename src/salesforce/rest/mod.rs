//! Salesforce's REST API: what a record is now, where an event says only that it changed; and writing records.
//!
//! ```text
//!  event's schema + describe ──▶ Mapping ──▶ soql: queries by id ──▶ pages of rows ──▶ Mapping ──▶ Body (JSON, Avro)
//!  ready JSON records ──▶ collections (≤ 200, at once) or bulk (a job) ──▶ a verdict a record ──▶ verdict: what is done
//! ```
//!
//! * **Reading**: an object, ids of its records, the schema of its change event in; for every id its present state in
//!   the event's shape out, or `None`: it is deleted, or this user may not see it. A record is read as of one moment:
//!   where its fields need several queries, all saw the same `SystemModstamp`.
//! * **Writing**: every write names its client in `Sforce-Call-Options`, so that the change events it makes can be
//!   told from others'.
//! * A session found expired is renewed once for all callers and the request made once more (`call`). What limits,
//!   outages and refusals mean is decided in `refusal` and `verdict`; nothing here waits or tries again otherwise.
//! * Requests count against the org's daily limit (`limits`): one for each two hundred records or so, one for describe
//!   an hour.

mod bulk;
mod bulk_csv;
mod call;
mod collections;
mod describe;
mod limits;
mod lookup;
mod mapping;
mod refusal;
mod soql;
mod times;
mod verdict;
#[cfg(test)]
mod write_tests;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use reqwest::Client;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::avro::Schema;
use crate::config::SalesforceConfig;
use crate::error::{ErrorKind, Failure};
use crate::salesforce::auth::TokenSource;
use crate::salesforce::http;
use crate::telemetry::metrics::Metrics;

pub use bulk::{BULK_UPLOAD_BYTES_MAX, BulkJob, JobState};
pub use bulk_csv::{BulkResult, BulkRow, BulkRows, NoResults, Unfit, bulk_csv, bulk_key, fits_bulk};
pub use collections::{WRITE_RECORDS_MAX, WriteError, WriteOutcome, WriteTarget};
pub use describe::{Describe, Field, FieldType};
pub use limits::{ApiBudget, ApiUsage, BudgetAction, DAILY_DELIVERED, DAILY_REQUESTS, Limit, POLL_EVERY};
pub use mapping::{Body, Mapping, Misfit};
pub use verdict::{BoundedReason, RowAction, RowRefusal, RowVerdict, row_action};

use call::{Call, CallError, garbled};
use describe::Describes;
use refusal::Deed;

/// A record that changes between two queries this often in a row is left for a later try.
const READS_MAX: usize = 3;

/// Reads and writes records. Cheap to clone; all clones share what describe told, and what is known of the limits.
#[derive(Clone)]
pub struct RestClient(Arc<Inner>);

struct Inner {
    tokens: TokenSource,
    http: Client,
    /// `/services/data/v66.0`
    base: String,
    /// `client=sfbridge-crm`
    call_options: HeaderValue,
    describes: Describes,
    usage: Mutex<Option<ApiUsage>>,
    /// Shows what is left of the org's limits.
    metrics: Metrics,
}

/// One record as a query answered it.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// 18 characters.
    pub id: String,
    pub system_modstamp_ms: i64,
    /// By the names that were asked for.
    pub fields: Map<String, Json>,
}

/// One record as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct CurrentRecord {
    /// 18 characters.
    pub id: String,
    /// As of when it is what it is.
    pub system_modstamp_ms: i64,
    pub body: Body,
}

#[derive(Deserialize)]
struct Page {
    done: bool,
    #[serde(rename = "nextRecordsUrl")]
    next: Option<String>,
    records: Vec<Map<String, Json>>,
}

impl std::fmt::Debug for RestClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RestClient")
    }
}

impl RestClient {
    /// `client` is the name that writes are made under.
    ///
    /// # Errors
    /// `Misconfigured`: a CA file that is none, a client name that no header can carry.
    pub fn new(
        config: &SalesforceConfig,
        client: &str,
        tokens: TokenSource,
        metrics: Metrics,
    ) -> Result<Self, Failure> {
        let call_options = HeaderValue::from_str(&format!("client={client}")).map_err(|error| {
            let message = "the bridge's name has characters that no header can carry";
            Failure::new(ErrorKind::Misconfigured, message).caused_by(error)
        })?;
        Ok(Self(Arc::new(Inner {
            tokens,
            http: http::client(config)?,
            base: format!("/services/data/v{}", config.api_version),
            call_options,
            describes: Describes::default(),
            usage: Mutex::default(),
            metrics,
        })))
    }

    /// The object's fields, as this user sees them.
    ///
    /// # Errors
    /// `Denied` for an object that the user may not read or that does not exist.
    pub async fn describe(&self, object: &str) -> Result<Arc<Describe>, Failure> {
        if !soql::is_name(object) {
            let message = "the name of an object is not one: it must not go into a request";
            return Err(Failure::new(ErrorKind::Unknown, message));
        }
        self.0.describes.get(object, || self.ask_describe(object)).await
    }

    /// The object is not what describe told: the next [`Self::describe`] asks again.
    pub async fn forget_describe(&self, object: &str) {
        self.0.describes.give_up(object).await;
    }

    /// The records with these ids, in their order; `None` for one that is deleted or hidden.
    ///
    /// # Errors
    /// `Poison` for an id that is none; `Denied` naming the fields that the object has not.
    pub async fn records_by_id(
        &self,
        object: &str,
        ids: &[String],
        fields: &[&str],
    ) -> Result<Vec<Option<Row>>, Failure> {
        let rows = self.rows(object, ids, fields).await;
        rows.map_err(|error| error.into_failure(Deed::Read, object))
    }

    /// What the records with these ids are now, as the bodies of their change event, in the order of the ids; `None`
    /// for one that is deleted or hidden.
    ///
    /// # Errors
    /// As [`Self::records_by_id`]; `Poison` for a value that the event's schema cannot hold.
    pub async fn current(
        &self,
        object: &str,
        ids: &[String],
        event: &Schema,
    ) -> Result<Vec<Option<CurrentRecord>>, Failure> {
        let mut describe = self.describe(object).await?;
        let mut mapping = Mapping::new(event, &describe);
        let mut rows = self.rows(object, ids, &mapping.select()).await;
        if matches!(&rows, Err(error) if error.is_invalid_field()) {
            // A field is gone since the object was described; `rows` has given that up.
            describe = self.describe(object).await?;
            mapping = Mapping::new(event, &describe);
            rows = self.rows(object, ids, &mapping.select()).await;
        }
        let rows = rows.map_err(|error| error.into_failure(Deed::Read, object))?;
        let current = |row: Row| {
            Ok(CurrentRecord {
                body: mapping.body(&row.fields)?,
                id: row.id,
                system_modstamp_ms: row.system_modstamp_ms,
            })
        };
        let records = rows.into_iter().map(|row| row.map(current).transpose());
        records.collect::<Result<_, Misfit>>().map_err(|misfit| {
            let message = format!("a record of {object} cannot be written as its event: {misfit}");
            Failure::new(ErrorKind::Poison, message)
        })
    }

    async fn ask_describe(&self, object: &str) -> Result<Describe, Failure> {
        let path = format!("{}/sobjects/{object}/describe", self.0.base);
        let answer = self.call(&Call::get(path)).await;
        let answer = answer.map_err(|error| error.into_failure(Deed::Read, object))?;
        Describe::parse(&answer.body).map_err(|_| garbled(object))
    }

    async fn rows(
        &self,
        object: &str,
        ids: &[String],
        fields: &[&str],
    ) -> Result<Vec<Option<Row>>, CallError> {
        let ids = soql::checked_ids(object, ids)?;
        let groups = soql::groups(object, fields)?;
        let mut found = HashMap::new();
        for chunk in soql::chunks(&ids) {
            let read = self.chunk(object, &groups, chunk).await;
            if matches!(&read, Err(error) if error.is_invalid_field()) {
                self.0.describes.give_up(object).await;
            }
            found.extend(read?);
        }
        // An id may have been asked for twice.
        Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
    }

    /// The records of a chunk of ids, each as of one moment.
    async fn chunk(
        &self,
        object: &str,
        groups: &[Vec<&str>],
        ids: &[String],
    ) -> Result<HashMap<String, Row>, CallError> {
        'read: for _ in 0..READS_MAX {
            let mut found: Option<HashMap<String, Row>> = None;
            for group in groups {
                let rows = self.query(object, group, ids).await?;
                match &mut found {
                    None => found = Some(rows),
                    Some(found) => {
                        if !merge(found, rows) {
                            continue 'read;
                        }
                    }
                }
            }
            return Ok(found.unwrap_or_default());
        }
        let message = format!("records of {object} change faster than they can be read");
        Err(Failure::new(ErrorKind::Transient, message).into())
    }

    async fn query(
        &self,
        object: &str,
        fields: &[&str],
        ids: &[String],
    ) -> Result<HashMap<String, Row>, CallError> {
        let records = self
            .records(object, &soql::text(object, fields, ids), fields)
            .await?;
        let mut rows = HashMap::with_capacity(records.len());
        for record in records {
            let row = row(record).ok_or_else(|| CallError::Broken(garbled(object)))?;
            rows.insert(row.id.clone(), row);
        }
        Ok(rows)
    }

    /// One query, all of its pages. `fields` are those that it names.
    async fn records(
        &self,
        object: &str,
        soql: &str,
        fields: &[&str],
    ) -> Result<Vec<Map<String, Json>>, CallError> {
        let broken = || CallError::Broken(garbled(object));
        let get = |path| Call {
            fields,
            ..Call::get(path)
        };
        let first = get(format!("{}/query", self.0.base)).query(&[("q", soql)]);
        let mut answer = self.call(&first).await?;
        let mut records = Vec::new();
        loop {
            let page: Page = serde_json::from_slice(&answer.body).map_err(|_| broken())?;
            records.extend(page.records);
            let next = match page.next {
                _ if page.done => return Ok(records),
                // Anything else could lead the token to another host.
                Some(next) if next.starts_with("/services/data/") => next,
                _ => return Err(broken()),
            };
            answer = self.call(&get(next)).await?;
        }
    }
}

fn row(mut record: Map<String, Json>) -> Option<Row> {
    record.remove("attributes");
    let system_modstamp = record.get("SystemModstamp")?.as_str()?;
    Some(Row {
        id: crate::salesforce::auth::id18(record.get("Id")?.as_str()?)?,
        system_modstamp_ms: times::epoch_ms(FieldType::DateTime, system_modstamp)?,
        fields: record,
    })
}

/// Adds the fields of another query for the same records; false when it did not see the records as the first did.
fn merge(found: &mut HashMap<String, Row>, more: HashMap<String, Row>) -> bool {
    if found.len() != more.len() {
        return false;
    }
    for (id, row) in more {
        match found.get_mut(&id) {
            Some(first) if first.system_modstamp_ms == row.system_modstamp_ms => {
                first.fields.extend(row.fields);
            }
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows(rows: &[(&str, i64, Json)]) -> HashMap<String, Row> {
        let row = |(id, at, fields): &(&str, i64, Json)| Row {
            id: (*id).to_owned(),
            system_modstamp_ms: *at,
            fields: fields.as_object().cloned().unwrap(),
        };
        rows.iter()
            .map(|given| (given.0.to_owned(), row(given)))
            .collect()
    }

    #[test]
    fn two_queries_make_one_row_only_where_both_saw_the_same_record() {
        let first = rows(&[("1", 7, json!({"A": 1})), ("2", 7, json!({"A": 2}))]);
        let mut found = first.clone();
        assert!(merge(
            &mut found,
            rows(&[("2", 7, json!({"B": 4})), ("1", 7, json!({"B": 3}))])
        ));
        assert_eq!(found["2"].fields, *json!({"A": 2, "B": 4}).as_object().unwrap());
        assert!(
            !merge(
                &mut first.clone(),
                rows(&[("1", 7, json!({})), ("2", 8, json!({}))])
            ),
            "changed"
        );
        assert!(
            !merge(&mut first.clone(), rows(&[("1", 7, json!({}))])),
            "deleted"
        );
        assert!(!merge(
            &mut first.clone(),
            rows(&[("1", 7, json!({})), ("3", 7, json!({}))])
        ));
    }

    #[test]
    fn a_row_without_id_or_time_is_none() {
        let whole = json!({"attributes": {}, "Id": "0015Y00002ZbgP3QAJ", "SystemModstamp": "1970-01-01T00:00:00.001+0000"});
        let read = row(whole.as_object().cloned().unwrap()).unwrap();
        assert_eq!((read.system_modstamp_ms, read.fields.len()), (1, 2));
        for missing in ["Id", "SystemModstamp"] {
            let mut part = whole.as_object().cloned().unwrap();
            part.remove(missing);
            assert_eq!(row(part), None, "{missing}");
        }
    }
}
