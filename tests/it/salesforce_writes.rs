//! Writes through REST and publishes through the Pub/Sub API, against the simulated org.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};
use sfbridge::avro::{Schema, write_json_value};
use sfbridge::config::Operation;
use sfbridge::error::{ErrorKind, chain};
use sfbridge::salesforce::Salesforce;
use sfbridge::salesforce::pubsub::{
    EventRefusalKind, OutgoingEvent, PublishAnswer, PublishError, PublishOutcome,
};
use sfbridge::salesforce::rest::{
    ApiBudget, BoundedReason, BudgetAction, BulkJob, BulkResult, FieldType, JobState, RestClient, RowAction,
    RowRefusal, RowVerdict, WriteError, WriteOutcome, WriteTarget, bulk_csv, bulk_key, fits_bulk, row_action,
};
use sfbridge::simulator::bulk::{BulkFault, BulkRules};
use sfbridge::simulator::faults::{Fault, Rpc, Then};
use sfbridge::simulator::rest::{RestFault, RestRefusal};
use sfbridge::simulator::writes::RecordFault;
use sfbridge::simulator::{Simulator, SimulatorSettings};

use crate::support::org::clients;

const KEY: &str = "Customer_Id__c";
const SHIPPED: &str = "/event/Order_Shipped__e";

async fn an_org() -> (Simulator, Salesforce) {
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let salesforce = clients(&org);
    (org, salesforce)
}

fn target(sobject: &str, operation: Operation) -> WriteTarget {
    WriteTarget {
        sobject: sobject.to_owned(),
        operation,
        external_id: (operation == Operation::Upsert).then(|| KEY.to_owned()),
    }
}

fn raw(records: &[Value]) -> Vec<Box<RawValue>> {
    records
        .iter()
        .map(|record| to_raw_value(record).unwrap())
        .collect()
}

async fn upsert(rest: &RestClient, records: &[Value]) -> Vec<RowVerdict> {
    let target = target("Account", Operation::Upsert);
    rest.write(&target, &raw(records)).await.unwrap()
}

fn done(verdict: &RowVerdict) -> (&str, bool) {
    match verdict {
        RowVerdict::Done { id, created } => (id.as_deref().unwrap(), *created),
        RowVerdict::Refused(refusal) => panic!("{refusal:?}: {}", refusal.message),
    }
}

fn refused(verdict: &RowVerdict) -> &RowRefusal {
    match verdict {
        RowVerdict::Refused(refusal) => refusal,
        RowVerdict::Done { .. } => panic!("{verdict:?}"),
    }
}

fn action(verdict: &RowVerdict, operation: Operation) -> RowAction {
    row_action(refused(verdict), operation, Some(KEY))
}

fn only_record(org: &Simulator, sobject: &str) -> Map<String, Value> {
    let mut records = org.records(sobject);
    assert_eq!(records.len(), 1);
    records.remove(0).1
}

#[tokio::test]
async fn an_upsert_creates_and_then_changes_what_it_names_alone() {
    let (org, salesforce) = an_org().await;
    let rest = &salesforce.rest;
    let first = [json!({KEY: "a", "Name": "Acme", "Phone": "1", "NumberOfEmployees": 7})];
    let created = upsert(rest, &first).await;
    let (id, is_new) = done(&created[0]);
    assert!(is_new);
    let second = [json!({KEY: "A", "Name": "Acme Two", "Phone": null})];
    let updated = upsert(rest, &second).await;
    assert_eq!(done(&updated[0]), (id, false), "the case of a key does not count");
    let record = only_record(&org, "Account");
    assert_eq!(record["Name"], "Acme Two");
    assert_eq!(record["NumberOfEmployees"], 7, "missing is untouched");
    assert!(record.get("Phone").is_none_or(Value::is_null), "null is null");
}

#[tokio::test]
async fn inserts_updates_and_deletes_go_by_id() {
    let (org, salesforce) = an_org().await;
    let rest = &salesforce.rest;
    let insert = target("Account", Operation::Insert);
    let made = rest
        .write(&insert, &raw(&[json!({"Name": "A"}), json!({"Name": "B"})]))
        .await;
    let made = made.unwrap();
    let ids: Vec<String> = made.iter().map(|verdict| done(verdict).0.to_owned()).collect();
    assert!(done(&made[0]).1 && ids[0] != ids[1]);
    let update = target("Account", Operation::Update);
    let changed = [
        json!({"Id": ids[1], "Name": "Changed"}),
        json!({"Id": "001SB00000000zzYAA", "Name": "X"}),
    ];
    let updated = rest.write(&update, &raw(&changed)).await.unwrap();
    assert_eq!(done(&updated[0]), (ids[1].as_str(), false));
    assert_eq!(
        action(&updated[1], Operation::Update),
        RowAction::DeadLetter,
        "no such record"
    );
    let deleted = rest.delete("Account", &ids[..1]).await.unwrap();
    assert_eq!(done(&deleted[0]).0, ids[0]);
    assert_eq!(only_record(&org, "Account")["Name"], "Changed");
    let again = rest.delete("Account", &ids).await.unwrap();
    assert_eq!(
        action(&again[0], Operation::Delete),
        RowAction::Done,
        "gone already"
    );
    done(&again[1]);
    assert!(org.records("Account").is_empty());
}

#[tokio::test]
async fn a_record_that_fails_leaves_its_neighbours_alone() {
    let (org, salesforce) = an_org().await;
    let rest = &salesforce.rest;
    org.record_fault(RecordFault::new("Account", "UNABLE_TO_LOCK_ROW").key("b"));
    org.record_fault(RecordFault::new("Account", "FIELD_CUSTOM_VALIDATION_EXCEPTION").key("c"));
    org.record_fault(RecordFault::new("Account", "DUPLICATE_VALUE").key("d"));
    org.record_fault(RecordFault::new("Account", "STORAGE_LIMIT_EXCEEDED").key("e"));
    let records = ["a", "b", "c", "d", "e", "f", "F"].map(|key| json!({KEY: key, "Name": key}));
    let verdicts = upsert(rest, &records).await;
    assert!(done(&verdicts[0]).1);
    let actions: Vec<_> = verdicts[1..]
        .iter()
        .map(|verdict| action(verdict, Operation::Upsert))
        .collect();
    let twice = RowAction::RetryBounded(BoundedReason::KeyTwice);
    assert_eq!(
        actions,
        [
            RowAction::Retry,
            RowAction::DeadLetter,
            RowAction::RetryBounded(BoundedReason::NewKeyClash),
            RowAction::WaitStorage,
            twice,
            twice
        ]
    );
    assert_eq!(org.records("Account").len(), 1);
    let again = upsert(rest, &records[1..2]).await;
    assert!(done(&again[0]).1, "the lock is gone");
}

#[tokio::test]
async fn a_child_is_tried_again_until_its_parent_is_there() {
    let (_org, salesforce) = an_org().await;
    let rest = &salesforce.rest;
    let describe = rest.describe("Order__c").await.unwrap();
    let reference = describe.field("Account__c").unwrap();
    assert_eq!(reference.field_type, FieldType::Reference);
    let relationship = reference.relationship_name.clone().unwrap();
    assert_eq!(describe.relationship(&relationship).unwrap().name, reference.name);
    assert!(reference.reference_to.contains(&"Account".to_owned()));

    let insert = target("Order__c", Operation::Insert);
    let child = [json!({"Name": "O-1", relationship: {KEY: "parent"}})];
    let early = rest.write(&insert, &raw(&child)).await.unwrap();
    assert_eq!(
        action(&early[0], Operation::Insert),
        RowAction::RetryBounded(BoundedReason::ParentMissing)
    );
    upsert(rest, &[json!({KEY: "parent", "Name": "P"})]).await;
    let late = rest.write(&insert, &raw(&child)).await.unwrap();
    assert!(done(&late[0]).1);
}

#[tokio::test]
async fn content_that_no_parser_takes_is_refused_as_a_whole() {
    let (org, salesforce) = an_org().await;
    let rest = &salesforce.rest;
    let target = target("Account", Operation::Upsert);
    let bad = [
        (json!({KEY: "b", "Nothing__c": 1}), "INVALID_FIELD"),
        (
            json!({KEY: "b", "NumberOfEmployees": {"no": "number"}}),
            "JSON_PARSER_ERROR",
        ),
    ];
    for (record, code) in bad {
        let records = raw(&[json!({KEY: "a", "Name": "A"}), record]);
        match rest.write(&target, &records).await {
            Err(WriteError::Rejected(refusal)) => assert_eq!(refusal.status_code, code),
            other => panic!("{code}: {other:?}"),
        }
        assert!(org.records("Account").is_empty(), "nothing is written");
    }
}

#[tokio::test]
async fn a_request_that_fails_says_what_is_known() {
    let (org, salesforce) = an_org().await;
    let rest = &salesforce.rest;
    let records = [json!({KEY: "a", "Name": "A"})];
    upsert(rest, &records).await;
    org.expire_tokens();
    assert!(!done(&upsert(rest, &records).await[0]).1, "with a new session");
    for (status, code, kind, outcome) in [
        (
            403,
            "REQUEST_LIMIT_EXCEEDED",
            ErrorKind::Throttled,
            WriteOutcome::NotApplied,
        ),
        (
            503,
            "SERVER_UNAVAILABLE",
            ErrorKind::Transient,
            WriteOutcome::Unknown,
        ),
    ] {
        org.rest_fault(RestFault {
            path: Some("composite".into()),
            refusal: Some(RestRefusal::new(status, code, "of 'Secret Value'")),
            ..RestFault::default()
        });
        let failed = rest
            .write(&target("Account", Operation::Upsert), &raw(&records))
            .await;
        match failed {
            Err(WriteError::Failed {
                failure,
                outcome: known,
            }) => {
                assert_eq!((failure.kind, known), (kind, outcome), "{code}");
                assert!(!format!("{failure:?} {}", chain(&failure)).contains("Secret"));
            }
            other => panic!("{other:?}"),
        }
    }
    let missing = WriteTarget {
        external_id: Some("Nothing__c".to_owned()),
        ..target("Account", Operation::Upsert)
    };
    match rest.write(&missing, &raw(&records)).await {
        Err(WriteError::Failed { failure, outcome }) => {
            assert_eq!(
                (failure.kind, outcome),
                (ErrorKind::Denied, WriteOutcome::NotApplied)
            );
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_may_have_been_done() {
    let (org, salesforce) = an_org().await;
    let rest = &salesforce.rest;
    let records = [json!({KEY: "a", "Name": "A"})];
    for (lose_answer, cut) in [(true, false), (false, true)] {
        org.rest_fault(RestFault {
            path: Some("composite".into()),
            lose_answer,
            cut,
            ..RestFault::default()
        });
        let target = target("Account", Operation::Upsert);
        match rest.write(&target, &raw(&records)).await {
            Err(WriteError::Failed { failure, outcome }) => {
                assert_eq!(
                    (failure.kind, outcome),
                    (ErrorKind::Transient, WriteOutcome::Unknown)
                );
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(org.records("Account").len(), 1);
    }
    assert!(!done(&upsert(rest, &records).await[0]).1, "it was there");
}

#[tokio::test]
async fn what_an_external_id_names_is_found_and_deleted() {
    let (org, salesforce) = an_org().await;
    let rest = &salesforce.rest;
    let keys: Vec<String> = (0..300).map(|n| format!("It's {n} \\ \"ü\"")).collect();
    for part in keys.chunks(200) {
        let records: Vec<_> = part.iter().map(|key| json!({KEY: key, "Name": "A"})).collect();
        upsert(rest, &records)
            .await
            .iter()
            .for_each(|verdict| assert!(done(verdict).1));
    }
    let mut asked = keys.clone();
    asked.push("nobody's".to_owned());
    let found = rest.ids_by_external_id("Account", KEY, &asked).await.unwrap();
    assert_eq!(found.len(), 300);
    let describe = rest.describe("Account").await.unwrap();
    let key = describe.field(KEY).unwrap();
    let ids: Vec<String> = keys[..200]
        .iter()
        .flat_map(|value| found[&key.folded(value)].clone())
        .collect();
    assert_eq!(ids.len(), 200);
    let verdicts = rest.delete("Account", &ids).await.unwrap();
    assert!(
        verdicts
            .iter()
            .zip(&ids)
            .all(|(verdict, id)| done(verdict).0 == id)
    );
    assert_eq!(org.records("Account").len(), 100);
    let left = rest
        .ids_by_external_id("Account", KEY, &keys[..200])
        .await
        .unwrap();
    assert!(left.is_empty(), "deleted records are not found");
}

#[tokio::test]
async fn a_budget_lets_nobody_below_the_reserve_until_the_org_has_room_again() {
    let (org, salesforce) = an_org().await;
    let rest = &salesforce.rest;
    let mut budget = ApiBudget::new(10.0);
    org.set_daily_requests(1_000, 500);
    upsert(rest, &[json!({KEY: "a"})]).await;
    assert_eq!(budget.check(rest.usage()), BudgetAction::Go);
    org.set_daily_requests(1_000, 950);
    upsert(rest, &[json!({KEY: "a"})]).await;
    assert!(matches!(budget.check(rest.usage()), BudgetAction::Wait { .. }));
    rest.refresh_usage().await.unwrap();
    assert!(matches!(budget.check(rest.usage()), BudgetAction::Wait { .. }));
    org.set_daily_requests(1_000, 1_000);
    let none_left = rest.refresh_usage().await.unwrap().unwrap();
    assert_eq!(none_left.left(), 0, "though the question itself was refused");
    org.set_daily_requests(1_000, 10);
    let usage = rest.refresh_usage().await.unwrap();
    assert_eq!(budget.check(usage), BudgetAction::Go);
    let limits = rest.limits().await.unwrap();
    assert_eq!(limits["DailyApiRequests"].max, 1_000);
    assert!(limits.contains_key("HourlyPublishedPlatformEvents"));
}

async fn finished(rest: &RestClient, id: &str) -> BulkJob {
    loop {
        let job = rest.bulk_job(id).await.unwrap().unwrap();
        if job.state.is_final() {
            return job;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// Every row of a job by its key.
async fn results(rest: &RestClient, id: &str) -> BTreeMap<String, Option<RowVerdict>> {
    let mut rows = BTreeMap::new();
    for result in [
        BulkResult::Successful,
        BulkResult::Failed,
        BulkResult::Unprocessed,
    ] {
        for row in rest.bulk_results(id, result, KEY).await.unwrap() {
            let row = row.unwrap();
            assert!(rows.insert(row.key, row.verdict).is_none(), "twice");
        }
    }
    rows
}

async fn running_job(rest: &RestClient, records: &[Map<String, Value>]) -> String {
    let target = target("Account", Operation::Upsert);
    let job = rest.create_bulk_job(&target).await.unwrap();
    assert_eq!(job.state, JobState::Open);
    rest.upload_bulk_job(&job.id, bulk_csv(records).unwrap())
        .await
        .unwrap();
    let running = rest.complete_bulk_job(&job.id).await.unwrap();
    assert_ne!(running.state, JobState::Open);
    job.id
}

fn maps(records: &[Value]) -> Vec<Map<String, Value>> {
    records
        .iter()
        .map(|record| record.as_object().cloned().unwrap())
        .collect()
}

#[tokio::test]
async fn a_bulk_job_means_the_same_as_a_request_and_says_of_every_record_what_became_of_it() {
    let (org, salesforce) = an_org().await;
    let rest = &salesforce.rest;
    upsert(
        rest,
        &[json!({KEY: "k1", "Name": "Old", "Phone": "1", "NumberOfEmployees": 7})],
    )
    .await;
    org.record_fault(RecordFault::new("Account", "UNABLE_TO_LOCK_ROW").key("k7"));
    org.record_fault(RecordFault::new("Account", "FIELD_CUSTOM_VALIDATION_EXCEPTION").key("k8"));
    let mut records: Vec<Value> = (0..500)
        .map(|n| json!({KEY: format!("k{n}"), "Name": format!("Name, \"{n}\"\nof two lines")}))
        .collect();
    records[1] = json!({KEY: "k1", "Name": "New", "Phone": ""});
    records[2]["NumberOfEmployees"] = Value::Null;
    let records = maps(&records);
    assert!(records.iter().all(fits_bulk));
    let id = running_job(rest, &records).await;
    let job = finished(rest, &id).await;
    assert_eq!(
        (job.state, job.processed, job.failed),
        (JobState::JobComplete, 500, 2)
    );
    let rows = results(rest, &id).await;
    let keys: BTreeSet<_> = records
        .iter()
        .map(|record| bulk_key(record, KEY).unwrap())
        .collect();
    assert_eq!(rows.keys().cloned().collect::<BTreeSet<_>>(), keys);
    let verdict = |key: &str| rows[key].as_ref().unwrap();
    assert!(done(verdict("k0")).1 && !done(verdict("k1")).1);
    assert_eq!(action(verdict("k7"), Operation::Upsert), RowAction::Retry);
    assert_eq!(action(verdict("k8"), Operation::Upsert), RowAction::DeadLetter);
    let stored = org.records("Account");
    let by_key = |key: &str| {
        let found = stored.iter().find(|(_, record)| record[KEY] == key);
        found.map(|(_, record)| record.clone()).unwrap()
    };
    assert_eq!(stored.len(), 498);
    assert_eq!(by_key("k3")["Name"], "Name, \"3\"\nof two lines");
    let changed = by_key("k1");
    assert_eq!(changed["Name"], "New");
    assert_eq!(changed["NumberOfEmployees"], 7, "an empty cell is untouched");
    assert!(changed.get("Phone").is_none_or(Value::is_null), "#N/A is null");
    let again = rest.complete_bulk_job(&id).await.unwrap();
    assert_eq!(again.state, JobState::JobComplete, "another try finds it done");
    rest.delete_bulk_job(&id).await.unwrap();
    rest.delete_bulk_job(&id).await.unwrap();
    assert_eq!(rest.bulk_job(&id).await.unwrap(), None);
}

#[tokio::test]
async fn a_job_that_fails_or_is_aborted_says_what_it_left() {
    let (org, salesforce) = an_org().await;
    let rest = &salesforce.rest;
    let records: Vec<Value> = (0..500)
        .map(|n| json!({KEY: format!("k{n}"), "Name": "A"}))
        .collect();
    let records = maps(&records);
    org.bulk_fault(BulkFault {
        sobject: None,
        error_message: "TooManyLockFailure : Secret Value".to_owned(),
        after_rows: 200,
        times: 1,
    });
    let id = running_job(rest, &records).await;
    let job = finished(rest, &id).await;
    assert_eq!((job.state, job.processed), (JobState::Failed, 200));
    assert_eq!(job.failure_code(), Some("TooManyLockFailure"));
    let rows = results(rest, &id).await;
    let left = rows.values().filter(|verdict| verdict.is_none()).count();
    assert_eq!((rows.len(), left), (500, 300));

    org.set_bulk_rules(BulkRules {
        queued_ms: 3_600_000,
        ..BulkRules::default()
    });
    let id = running_job(rest, &records).await;
    let aborted = rest.abort_bulk_job(&id).await.unwrap().unwrap();
    assert_eq!(aborted.state, JobState::Aborted);
    let again = rest.abort_bulk_job(&id).await.unwrap().unwrap();
    assert_eq!(again.state, JobState::Aborted);
    let rows = results(rest, &id).await;
    assert!(rows.len() == 500 && rows.values().all(Option::is_none));
    let open = rest
        .create_bulk_job(&target("Account", Operation::Upsert))
        .await
        .unwrap();
    let aborted = rest.abort_bulk_job(&open.id).await.unwrap().unwrap();
    assert_eq!(aborted.state, JobState::Aborted);
}

#[tokio::test]
async fn describe_tells_what_a_write_must_know() {
    let (_org, salesforce) = an_org().await;
    let account = salesforce.rest.describe("Account").await.unwrap();
    assert!(account.is_createable() && account.is_updateable() && account.is_deletable());
    let key = account.field(KEY).unwrap();
    assert!(key.external_id && key.id_lookup && key.createable && key.updateable);
    let name = account.field("Name").unwrap();
    assert!(name.createable && name.field_type == FieldType::String && name.length > 0);
    for read_only in ["Id", "SystemModstamp", "CreatedDate"] {
        let field = account.field(read_only).unwrap();
        assert!(!field.createable && !field.updateable, "{read_only}");
    }
}

async fn event(salesforce: &Salesforce, id: &str) -> OutgoingEvent {
    let topic = salesforce.pubsub.get_publishable_topic(SHIPPED).await.unwrap();
    let schema = salesforce.schemas.get(&topic.schema_id).await.unwrap();
    let schema = Schema::parse(schema.json()).unwrap();
    let json = json!({"CreatedDate": 1_700_000_000_000_i64, "CreatedById": "005SB0000000001"});
    let mut payload = Vec::new();
    write_json_value(&schema, schema.root(), &json, &mut payload).unwrap();
    OutgoingEvent {
        id: id.to_owned(),
        schema_id: Arc::from(topic.schema_id),
        payload: payload.into(),
    }
}

async fn publish_one(salesforce: &Salesforce, event: &OutgoingEvent) -> Result<PublishAnswer, PublishError> {
    salesforce
        .pubsub
        .publish(SHIPPED, std::slice::from_ref(event))
        .await
}

#[tokio::test]
async fn events_are_published_with_a_result_each() {
    let (org, salesforce) = an_org().await;
    let good = event(&salesforce, "0b0f9d3e-0000-5000-8000-000000000001").await;
    let large = OutgoingEvent {
        payload: vec![0; 1024 * 1024 + 1].into(),
        ..good.clone()
    };
    let strange = OutgoingEvent {
        schema_id: Arc::from("of-another-event-------"),
        ..good.clone()
    };
    assert!(large.is_too_large());
    let events = [good.clone(), large, strange, good.clone()];
    let answer = salesforce.pubsub.publish(SHIPPED, &events).await.unwrap();
    assert_eq!(answer.schema_id, *good.schema_id);
    let kinds: Vec<_> = answer
        .results
        .iter()
        .map(|result| result.as_ref().err().map(|refusal| refusal.kind))
        .collect();
    let (rejected, stale) = (EventRefusalKind::Rejected, EventRefusalKind::StaleSchema);
    assert_eq!(kinds, [None, Some(rejected), Some(stale), None]);
    assert_ne!(
        answer.results[0].as_ref().unwrap().replay_id,
        answer.results[3].as_ref().unwrap().replay_id
    );
    org.reject_events(1, "LIMIT_EXCEEDED");
    let limited = publish_one(&salesforce, &good).await.unwrap();
    let refusal = limited.results[0].as_ref().unwrap_err();
    assert_eq!(refusal.kind, EventRefusalKind::Throttled);
    assert_eq!(org.topic_counts(SHIPPED).unwrap().events_published, 2);
}

#[tokio::test]
async fn a_publish_whose_answer_is_lost_may_have_been_done() {
    let (org, salesforce) = an_org().await;
    let good = event(&salesforce, "0b0f9d3e-0000-5000-8000-000000000001").await;
    org.fault(Fault::new(Rpc::Publish, Then::LoseAnswer)).unwrap();
    org.fault(Fault::new(
        Rpc::Publish,
        Then::error("service.protection.triggered"),
    ))
    .unwrap();
    for (kind, known) in [
        (ErrorKind::Transient, PublishOutcome::Unknown),
        (ErrorKind::Throttled, PublishOutcome::Refused),
    ] {
        match publish_one(&salesforce, &good).await {
            Err(PublishError::Failed { failure, outcome }) => {
                assert_eq!((failure.kind, outcome), (kind, known));
            }
            other => panic!("{other:?}"),
        }
        let published = org.topic_counts(SHIPPED).unwrap().events_published;
        assert_eq!(published, 1, "the answer is lost, the effect is not");
    }
    org.expire_tokens();
    publish_one(&salesforce, &good).await.expect("with a new session");
    let denied = salesforce
        .pubsub
        .get_publishable_topic("/data/AccountChangeEvent")
        .await;
    assert_eq!(denied.unwrap_err().kind, ErrorKind::Denied);
}
