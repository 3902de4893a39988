//! Updates, deletes and inserts: what each makes of records that are there, that are not, and of a value that several
//! of them have.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sfbridge::simulator::Simulator;

use super::{an_org, by_key, dead_letters, finished, produce_customers};
use crate::need;
use crate::support::bridge::{Bridge, Setup};
use crate::support::broker;
use crate::support::topic::{self, unique};

const A: &str = "001Dp00000AAAAA";
const B: &str = "001Dp00000BBBBB";
const C: &str = "001Dp00000CCCCC";
const D: &str = "001Dp00000DDDDD";

/// Accounts that are there: id, `GUID__c`. Each is named after its id.
fn put(org: &Simulator, accounts: &[(&str, &str)]) {
    for (id, guid) in accounts {
        let fields = json!({"Name": id, "GUID__c": guid, "Phone": "1"});
        org.set_record("Account", id, fields.as_object().unwrap().clone())
            .unwrap();
    }
}

/// The accounts that are there, by their ids of 15 characters.
fn accounts(org: &Simulator) -> BTreeMap<String, Map<String, Value>> {
    let records = org.records("Account").into_iter();
    records
        .map(|(id, fields)| (id[..15].to_owned(), fields))
        .collect()
}

fn names(org: &Simulator) -> BTreeMap<String, String> {
    let names = accounts(org)
        .into_iter()
        .map(|(id, fields)| (id, fields["Name"].as_str().unwrap().to_owned()));
    names.collect()
}

/// What [`names`] gives.
fn named(names: &[(&str, &str)]) -> BTreeMap<String, String> {
    let names = names
        .iter()
        .map(|(id, name)| ((*id).to_owned(), (*name).to_owned()));
    names.collect()
}

/// A bridge with one route, from a topic of one partition.
struct Route {
    kafka: String,
    name: String,
    from: String,
    bridge: Bridge,
}

impl Route {
    /// `to`: what the route does to accounts. It finds these records: null is a tombstone.
    async fn start(kafka: &str, org: &Simulator, to: &str, rows: &[(&str, Value)]) -> Self {
        let (name, from) = (unique("crm"), unique("accounts"));
        topic::create(kafka, &from, 1, &[]).await;
        let rows: Vec<(&str, Option<String>)> = rows
            .iter()
            .map(|(key, value)| (*key, (!value.is_null()).then(|| value.to_string())))
            .collect();
        let rows: Vec<(&str, Option<&str>)> =
            rows.iter().map(|(key, value)| (*key, value.as_deref())).collect();
        topic::produce(kafka, &from, &rows).await;
        let routes = format!(
            "  - name: accounts\n    from: {{ kafka: {from}, format: json, start: earliest }}\n    to: {{ salesforce: Account, {to} }}\n"
        );
        Self {
            bridge: Bridge::start(&Setup::new(&name, kafka, org, &routes)).await,
            kafka: kafka.to_owned(),
            name,
            from,
        }
    }

    /// Once everything is committed: how many records were written, and the dead letters' reasons by their offsets.
    async fn finished(&self) -> (f64, Vec<(i64, String)>) {
        finished(&self.kafka, &self.name, "accounts", &self.from).await;
        let letters = topic::committed(&self.kafka, &dead_letters(&self.name)).await;
        let mut reasons: Vec<(i64, String)> = letters
            .iter()
            .map(|letter| {
                let source = letter.header("sfbridge_source").unwrap();
                let (_, offset) = source.rsplit_once('@').unwrap();
                (offset.parse().unwrap(), letter.header("sfbridge_error").unwrap())
            })
            .collect();
        reasons.sort();
        let written = self
            .bridge
            .metric("sfbridge_records_written_total", "outcome=\"written\"")
            .await;
        (written, reasons)
    }
}

/// Unless the dead letters are of these offsets, for reasons with these words.
#[track_caller]
fn assert_dead(dead: &[(i64, String)], expected: &[(i64, &str)]) {
    let is_meant = |((offset, reason), (of, words)): (&(i64, String), &(i64, &str))| {
        offset == of && reason.contains(words)
    };
    assert!(
        dead.len() == expected.len() && dead.iter().zip(expected).all(is_meant),
        "{dead:?}"
    );
}

#[tokio::test]
async fn an_update_by_record_id_changes_what_is_there_and_nothing_else() {
    let kafka = need!("kafka", broker::shared());
    let org = an_org().await;
    put(&org, &[(A, "g1"), (B, "g2"), (C, "g3")]);
    org.delete_record("Account", C).unwrap();
    let rows = [
        ("k", json!({"Id": A, "Name": "first", "Phone": null})),
        ("k", json!({"Id": C, "Name": "deleted"})),
        ("k", json!({"Id": D, "Name": "never there"})),
        ("k", json!({"Name": "of whom?"})),
        (B, Value::Null),
        ("k", json!({"Id": A, "Name": "second"})),
    ];
    let route = Route::start(&kafka, &org, "operation: update", &rows).await;
    let (written, dead) = route.finished().await;
    assert_dead(
        &dead,
        &[
            (1, "ENTITY_IS_DELETED"),
            (2, "INVALID_CROSS_REFERENCE_KEY"),
            (3, "the record has no value for it"),
            (4, "tombstone"),
        ],
    );
    assert_eq!(written, 2.0);
    assert_eq!(names(&org), named(&[(A, "second"), (B, B)]));
    let accounts = accounts(&org);
    let phones = [A, B].map(|id| accounts[id].get("Phone").and_then(Value::as_str));
    assert_eq!(phones, [None, Some("1")], "null means null, missing untouched");
}

#[tokio::test]
async fn an_update_by_an_external_id_is_a_dead_letter_where_it_names_no_record_or_several() {
    let kafka = need!("kafka", broker::shared());
    let org = an_org().await;
    put(&org, &[(A, "it's one"), (B, "shared"), (C, "shared")]);
    let to = "operation: update, external_id: GUID__c, fields: { GUID__c: key, Name: value.name }";
    let rows = [
        ("it's one", json!({"name": "first"})),
        ("nobody's", json!({"name": "lost"})),
        ("shared", json!({"name": "whose?"})),
        // Letters' case does not count: a later version of the first.
        ("IT'S ONE", json!({"name": "second"})),
    ];
    let route = Route::start(&kafka, &org, to, &rows).await;
    let (written, dead) = route.finished().await;
    let field = "Account: field GUID__c: ";
    assert_dead(
        &dead,
        &[
            (1, &format!("{field}no record has this value")),
            (2, &format!("{field}several records have this value")),
        ],
    );
    assert_eq!(written, 2.0);
    assert_eq!(names(&org), named(&[(A, "second"), (B, B), (C, C)]));
}

#[tokio::test]
async fn a_delete_by_an_external_id_spares_what_several_records_share_and_is_content_with_what_is_gone() {
    let kafka = need!("kafka", broker::shared());
    let org = an_org().await;
    put(&org, &[(A, "one"), (B, "shared"), (C, "shared"), (D, "two")]);
    let to = "operation: delete, external_id: GUID__c, fields: { GUID__c: key }";
    let rows = [
        ("one", json!({"any": "value"})),
        ("shared", Value::Null),
        ("nobody's", Value::Null),
        ("one", Value::Null),
        ("two", Value::Null),
    ];
    let route = Route::start(&kafka, &org, to, &rows).await;
    let (written, dead) = route.finished().await;
    assert_dead(
        &dead,
        &[(1, "several records have this GUID__c: none is deleted")],
    );
    assert_eq!(written, 4.0, "what is not there is as it should be");
    assert_eq!(names(&org), named(&[(B, B), (C, C)]));
    let changes = org.topic_counts("/data/AccountChangeEvent").unwrap();
    assert_eq!(changes.events_stored, 2, "each once");
}

#[tokio::test]
async fn a_delete_by_record_id_is_content_with_what_is_deleted_already() {
    let kafka = need!("kafka", broker::shared());
    let org = an_org().await;
    put(&org, &[(A, "g1"), (B, "g2"), (C, "g3")]);
    org.delete_record("Account", B).unwrap();
    let rows = [
        ("k", json!({"Id": A})),
        ("k", json!({"Id": B})),
        ("k", json!({"Id": "no id"})),
    ];
    let route = Route::start(&kafka, &org, "operation: delete", &rows).await;
    let (written, dead) = route.finished().await;
    assert_dead(&dead, &[(2, "record id")]);
    assert_eq!(written, 2.0);
    assert_eq!(names(&org), named(&[(C, C)]));
}

#[tokio::test]
async fn an_upsert_by_a_value_that_several_records_have_is_a_dead_letter() {
    let kafka = need!("kafka", broker::shared());
    let org = an_org().await;
    put(&org, &[(A, "one"), (B, "shared"), (C, "shared")]);
    let rows = ["one", "shared"].map(|guid| (guid, json!({"GUID__c": guid, "Name": "new"})));
    let to = "operation: upsert, external_id: GUID__c";
    let route = Route::start(&kafka, &org, to, &rows).await;
    let (written, dead) = route.finished().await;
    assert_dead(&dead, &[(1, "DUPLICATE_EXTERNAL_ID")]);
    assert_eq!(written, 1.0);
    assert_eq!(names(&org), named(&[(A, "new"), (B, B), (C, C)]));
}

#[tokio::test]
async fn an_insert_makes_each_record_once_and_one_whose_external_id_exists_is_a_dead_letter() {
    const COUNT: usize = 300;
    let kafka = need!("kafka", broker::shared());
    let org = an_org().await;
    let there = json!({"Name": "was here before", "Customer_Id__c": "c500"});
    org.set_record("Account", A, there.as_object().unwrap().clone())
        .unwrap();
    let rows = [
        ("k", json!({"Customer_Id__c": "c500", "Name": "too late"})),
        ("k", json!({"Customer_Id__c": "c501", "Name": "first"})),
        ("k", json!({"Customer_Id__c": "c501", "Name": "second"})),
        ("k", json!({"Name": "without one"})),
        ("k", json!({"Name": "without one"})),
    ];
    let route = Route::start(&kafka, &org, "operation: insert", &rows).await;
    produce_customers(&kafka, &route.from, 0..COUNT, "one").await;
    let (written, dead) = route.finished().await;
    assert_dead(&dead, &[(0, "DUPLICATE_VALUE"), (2, "DUPLICATE_VALUE")]);
    let made = COUNT + 3;
    assert_eq!(written, made as f64);
    assert_eq!(org.org_counts().records_saved, made as u64, "each once");
    assert_eq!(org.records("Account").len(), made + 1);
    let customers = by_key(&org, "Account", "Customer_Id__c");
    let names = ["c500", "c501"].map(|id| &customers[id]["Name"]);
    assert_eq!(names, ["was here before", "first"]);
}
