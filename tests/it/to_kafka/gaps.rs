//! What Salesforce does not say: GAP events, long texts as diffs, and what a change event does not carry.

use serde_json::{Value, json};
use sfbridge::simulator::rest::{RestFault, RestRefusal};
use sfbridge::simulator::{Change, ChangeType, OVERFLOW_RECORD_ID, Simulator};

use super::{
    ACCOUNTS, ONE_PARTITION, an_org, committed, created, gap_reports, json as value, now_ms, records,
    stored_position,
};
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup};
use crate::support::broker;
use crate::support::topic::{Seen, unique};
use crate::support::wait::until;

pub(super) const ONE: &str = "001SB0000000001YAA";
pub(super) const TWO: &str = "001SB0000000002YAA";
pub(super) const GONE: &str = "001SB0000000003YAA";

/// A route of account changes. `from` is more of its source, `to` its outputs.
pub(super) fn route(name: &str, from: &str, to: &str) -> String {
    format!("  - name: {name}\n    from: {{ salesforce: {ACCOUNTS}, start: earliest{from} }}\n    to: {to}\n")
}

async fn start(name: &str, kafka: &str, org: &Simulator, from: &str, to: &str) -> Bridge {
    let routes = route("accounts", from, &format!("{{ {to} }}"));
    let setup = Setup {
        kafka: ONE_PARTITION.to_owned(),
        ..Setup::new(name, kafka, org, &routes)
    };
    Bridge::start(&setup).await
}

fn header<'v>(record: &'v Value, name: &str) -> &'v Value {
    &record["ChangeEventHeader"][name]
}

pub(super) fn millis(record: &Seen, name: &str) -> i64 {
    let time: jiff::Timestamp = record.header(name).unwrap().parse().unwrap();
    time.as_millisecond()
}

/// Three accounts, a gap of two of them, of which one is gone and the other has other values now, and a change that
/// is older than these. Gives the time of the first commit; the gap is three milliseconds younger.
pub(super) fn a_gap_and_an_older_change(org: &Simulator) -> i64 {
    let [one, two, gone] = [ONE, TWO, GONE];
    let committed_at = now_ms() - 60_000;
    let at = |offset: i64, change: Change| Change {
        commit_timestamp: Some(committed_at + offset),
        ..change
    };
    let address = json!({"Street": "1 High Street", "City": "York"});
    org.change(&at(
        0,
        created("one")
            .records([one])
            .field("Phone", "1")
            .field("BillingAddress", address),
    ))
    .unwrap();
    org.change(&at(1, created("two").records([two]))).unwrap();
    org.change(&at(2, created("gone").records([gone]))).unwrap();
    // The record is newer than what the event tells of it.
    let newer = json!({"Name": "one now", "Phone": null});
    org.set_record("Account", one, newer.as_object().unwrap().clone())
        .unwrap();
    org.delete_record("Account", gone).unwrap();
    org.change(&at(
        3,
        Change::new("Account", ChangeType::GapUpdate).records([one, gone]),
    ))
    .unwrap();
    org.change(&at(
        4,
        Change::new("Account", ChangeType::Update)
            .records([one, two])
            .field("Fax", "late"),
    ))
    .unwrap();
    committed_at
}

/// Pain: gaps that nobody sees.
#[tokio::test]
async fn a_gap_is_filled_with_the_records_as_they_are_now_and_older_changes_are_marked() {
    let kafka = need!("kafka", broker::shared());
    let (org, name, to) = (an_org().await, unique("refetch"), unique("accounts"));
    let [one, gone] = [ONE, GONE];
    let committed_at = a_gap_and_an_older_change(&org);
    let bridge = start(
        &name,
        &kafka,
        &org,
        ", on_gap: refetch",
        &format!("kafka: {to}, format: json, tombstones: true"),
    )
    .await;
    // Three created, one read, one gone with its tombstone, two changed.
    let seen = records(&kafka, &to, 8).await;

    let (read, deleted, tombstone) = (&seen[3], &seen[4], &seen[5]);
    let json = value(read);
    assert_eq!(
        (read.key_text(), &json["Name"], &json["Phone"]),
        (one.to_owned(), &json!("one now"), &Value::Null)
    );
    assert_eq!(json["BillingAddress"]["City"], "York");
    assert_eq!(header(&json, "changeType"), "UPDATE");
    assert_eq!(header(&json, "recordIds"), &json!([one]));
    let changed = header(&json, "changedFields").as_array().unwrap();
    assert!(changed.contains(&json!("Name")) && changed.contains(&json!("Phone")));
    assert!(
        header(&json, "nulledFields")
            .as_array()
            .unwrap()
            .contains(&json!("Phone"))
    );
    assert!(
        read.header("ce_id")
            .unwrap()
            .ends_with(&format!("/Account/GAP_UPDATE/{one}")),
        "the event's own id"
    );
    assert_eq!(read.header("ce_time"), read.header("ce_sfasof"));
    assert!(
        millis(read, "ce_sfasof") >= committed_at + 3,
        "as of the row's SystemModstamp"
    );

    let json = value(deleted);
    assert_eq!(
        (deleted.key_text(), header(&json, "changeType")),
        (gone.to_owned(), &json!("DELETE"))
    );
    assert!(json["Name"].is_null());
    assert!(tombstone.value.is_none() && tombstone.key_text() == gone);

    assert_eq!(
        seen[6].header("ce_sfsuperseded").as_deref(),
        Some("true"),
        "{:?}",
        seen[6].headers
    );
    assert_eq!(
        seen[7].header("ce_sfsuperseded"),
        None,
        "that record was not read"
    );
    let reports = gap_reports(&kafka, &name, "accounts").await;
    assert_eq!(
        (reports.len(), &reports[0]["kind"], &reports[0]["resolution"]),
        (1, &json!("gap"), &json!("refetch"))
    );
    assert_eq!(reports[0]["record_ids"], json!([one, gone]));
    assert_eq!(bridge.metric("sfbridge_gaps_total", "gap").await, 1.0);

    // What was read is remembered beside the position.
    let (position, _) = stored_position(&kafka, &name, "accounts").await.unwrap();
    assert!(position["read_as_of"][one].is_string(), "{position}");
}

#[tokio::test]
async fn a_gap_halts_the_route_until_a_person_resumes_it_past_the_event() {
    let kafka = need!("kafka", broker::shared());
    let (org, name, to) = (an_org().await, unique("halt"), unique("accounts"));
    org.change(&created("before")).unwrap();
    org.change(&Change::new("Account", ChangeType::GapUpdate).records([ONE]))
        .unwrap();
    org.change(&created("after")).unwrap();
    let bridge = start(
        &name,
        &kafka,
        &org,
        ", on_gap: halt",
        &format!("kafka: {to}, format: json"),
    )
    .await;
    let halted = bridge.until_state("accounts", &["halted"]).await;
    let (why, remedy) = (&halted["state"]["why"], &halted["state"]["remedy"]);
    assert!(
        why.as_str().unwrap().contains("GAP_UPDATE") && why.as_str().unwrap().contains(ONE),
        "{why}"
    );
    assert!(remedy.as_str().unwrap().contains("resume"), "{remedy}");
    assert_eq!(
        records(&kafka, &to, 1).await.len(),
        1,
        "what came before it is delivered"
    );
    assert!(gap_reports(&kafka, &name, "accounts").await.is_empty());
    // A restart meets the gap again.
    bridge.post("/api/routes/accounts/restart").await;
    until(PATIENCE, "the route has halted again", || async {
        let shown = bridge.route("accounts").await?;
        (shown["state"]["name"] == "halted" && shown["state"]["since"] != halted["state"]["since"])
            .then_some(())
    })
    .await;
    bridge.post("/api/routes/accounts/resume").await;
    let seen = records(&kafka, &to, 2).await;
    assert_eq!(
        super::names(&seen),
        ["before", "after"],
        "the event itself is not written"
    );
    let reports = gap_reports(&kafka, &name, "accounts").await;
    assert_eq!(
        (reports.len(), &reports[0]["kind"], &reports[0]["resolution"]),
        (1, &json!("gap"), &json!("skipped_by_operator"))
    );
}

#[tokio::test]
async fn an_overflow_asks_for_a_fresh_read_of_its_object() {
    let kafka = need!("kafka", broker::shared());
    let (org, name, to) = (an_org().await, unique("overflow"), unique("accounts"));
    org.change(&Change::new("Account", ChangeType::GapOverflow).records([OVERFLOW_RECORD_ID]))
        .unwrap();
    let bridge = start(
        &name,
        &kafka,
        &org,
        ", on_gap: refetch",
        &format!("kafka: {to}, format: json"),
    )
    .await;
    let seen = records(&kafka, &to, 1).await;
    assert_eq!(header(&value(&seen[0]), "changeType"), "GAP_OVERFLOW");
    let shown = bridge.route("accounts").await.unwrap();
    let fresh = &shown["fresh_reads"][0];
    assert_eq!(fresh["entity"], "Account");
    assert!(fresh["command"].as_str().unwrap().contains("FROM Account"));
    let log = bridge.log();
    let told = log.lines().find(|line| line.contains("read the object afresh"));
    let told: Value = serde_json::from_str(told.expect("the log says so, too")).unwrap();
    assert_eq!(
        (&told["command"], &told["entity"]),
        (&fresh["command"], &fresh["entity"])
    );
    assert_eq!(
        gap_reports(&kafka, &name, "accounts").await[0]["kind"],
        "overflow"
    );
}

/// An account whose description comes as a diff, beside another field. Gives the whole text.
pub(super) fn a_long_text_changes(org: &Simulator) -> String {
    let (old, new) = (
        format!("{}\nold", "x".repeat(1200)),
        format!("{}\nnew", "x".repeat(1200)),
    );
    org.change(&created("a").records([ONE]).field("Description", old.as_str()))
        .unwrap();
    org.change(
        &Change::new("Account", ChangeType::Update)
            .records([ONE])
            .field("Phone", "2")
            .text_diff("Description", &old, &new),
    )
    .unwrap();
    new
}

/// A diff is never taken for the text itself.
#[tokio::test]
async fn a_diff_is_read_again_passed_on_or_kept_and_never_a_value_in_a_projection() {
    let kafka = need!("kafka", broker::shared());
    let org = an_org().await;
    let new = a_long_text_changes(&org);
    let whole = unique("whole");
    let _passes = start(
        &unique("pass"),
        &kafka,
        &org,
        "",
        &format!("kafka: {whole}, format: json"),
    )
    .await;
    let seen = value(&records(&kafka, &whole, 2).await[1]);
    assert!(
        seen["Description"].as_str().unwrap().starts_with("--- \n+++ "),
        "as it came"
    );
    assert_eq!(header(&seen, "diffFields"), &json!(["Description"]));

    let fields = "fields: { include: [Phone, Description] }";
    let read = unique("read");
    let _reads = start(
        &unique("reads"),
        &kafka,
        &org,
        "",
        &format!("kafka: {read}, format: json, {fields}"),
    )
    .await;
    let record = &records(&kafka, &read, 2).await[1];
    let seen = value(record);
    assert_eq!((&seen["Description"], &seen["Phone"]), (&json!(new), &json!("2")));
    assert_eq!(header(&seen, "diffFields"), &json!([]));
    assert_eq!(
        header(&seen, "changedFields"),
        &json!(["Phone", "Description", "LastModifiedDate"])
    );
    assert!(record.header("ce_sfasof").is_some());

    let without = unique("without");
    let to = format!("kafka: {without}, format: json, {fields}");
    let _without = start(&unique("absent"), &kafka, &org, ", on_diff: pass", &to).await;
    let seen = value(&records(&kafka, &without, 2).await[1]);
    assert_eq!(
        (&seen["Description"], &seen["Phone"]),
        (&Value::Null, &json!("2"))
    );

    let (kept, name) = (unique("kept"), unique("keeps"));
    let to = format!("kafka: {kept}, format: json");
    let keeps = start(&name, &kafka, &org, ", on_diff: dead_letter", &to).await;
    let dead = records(&kafka, &format!("sfbridge.{name}.dead-letters"), 1).await;
    assert!(dead[0].header("sfbridge_error").unwrap().contains("diff"));
    assert_eq!(committed(&kafka, &kept).await.len(), 1);
    assert!(keeps.is_running());
}

#[tokio::test]
async fn what_the_bridge_wrote_itself_is_left_out_and_counted() {
    let kafka = need!("kafka", broker::shared());
    let (org, name, to) = (an_org().await, unique("own"), unique("accounts"));
    for (account, origin) in [
        (
            "own",
            format!("com/salesforce/api/rest/66.0;client=sfbridge-{name}/"),
        ),
        (
            "other",
            "com/salesforce/api/rest/66.0;client=sfbridge-else".to_owned(),
        ),
    ] {
        org.change(&Change {
            origin: Some(origin),
            ..created(account)
        })
        .unwrap();
    }
    let bridge = start(
        &name,
        &kafka,
        &org,
        ", skip_own_writes: true",
        &format!("kafka: {to}, format: json"),
    )
    .await;
    let seen = records(&kafka, &to, 1).await;
    assert_eq!(super::names(&seen), ["other"]);
    until(PATIENCE, "the own write is counted", || async {
        (bridge.metric("sfbridge_records_written_total", "filtered").await == 1.0).then_some(())
    })
    .await;
}

/// What an event does not carry is absent: a filter that needs it has no answer.
#[tokio::test]
async fn a_filter_sees_what_the_event_carries_and_has_no_answer_for_the_rest() {
    let kafka = need!("kafka", broker::shared());
    let (org, name) = (an_org().await, unique("filter"));
    let [keep, drop_, deleted] = ["keep", "drop", "deleted"].map(unique);
    let energy = r#"filter: 'event.Industry == "Energy"'"#;
    let routes = format!(
        "  - name: accounts\n    from: {{ salesforce: {ACCOUNTS}, start: earliest }}\n    to:\n\
         \x20     - {{ kafka: {keep}, format: json, {energy} }}\n\
         \x20     - {{ kafka: {drop_}, format: json, {energy}, filter_unknown: drop }}\n\
         \x20     - {{ kafka: {deleted}, format: json, filter_unknown: drop, filter: 'event.Industry == \"Energy\" || header.changeType == \"DELETE\"' }}\n"
    );
    let account = |change: ChangeType| Change::new("Account", change).records([ONE]);
    org.change(
        &account(ChangeType::Create)
            .field("Name", "energy")
            .field("Industry", "Energy"),
    )
    .unwrap();
    org.change(&account(ChangeType::Create).field("Name", "none"))
        .unwrap();
    org.change(&account(ChangeType::Update).field("Name", "unchanged"))
        .unwrap();
    org.change(
        &account(ChangeType::Update)
            .field("Name", "changed")
            .field("Industry", "Energy"),
    )
    .unwrap();
    org.change(&account(ChangeType::GapUpdate)).unwrap();
    org.change(&account(ChangeType::Delete)).unwrap();
    let setup = Setup {
        kafka: ONE_PARTITION.to_owned(),
        ..Setup::new(&name, &kafka, &org, &routes)
    };
    let bridge = Bridge::start(&setup).await;
    let kinds = |seen: &[Seen]| -> Vec<String> {
        let kind = |record: &Seen| {
            let json = value(record);
            let name = json["Name"].as_str().unwrap_or_default().to_owned();
            format!("{} {name}", header(&json, "changeType").as_str().unwrap())
        };
        seen.iter().map(kind).collect()
    };
    let seen = records(&kafka, &keep, 5).await;
    assert_eq!(
        kinds(&seen),
        [
            "CREATE energy",
            "UPDATE unchanged",
            "UPDATE changed",
            "GAP_UPDATE ",
            "DELETE "
        ]
    );
    assert_eq!(
        kinds(&records(&kafka, &drop_, 2).await),
        ["CREATE energy", "UPDATE changed"]
    );
    assert_eq!(
        kinds(&records(&kafka, &deleted, 3).await),
        ["CREATE energy", "UPDATE changed", "DELETE "]
    );
    until(PATIENCE, "what was left out is counted", || async {
        (bridge.metric("sfbridge_records_written_total", "filtered").await == 1.0 + 4.0 + 3.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_filter_that_does_not_fit_the_schema_halts_its_route_at_the_start() {
    let kafka = need!("kafka", broker::shared());
    let org = an_org().await;
    let to = format!(
        "kafka: {}, format: json, filter: 'event.Industri == \"Energy\"'",
        unique("never")
    );
    let bridge = start(&unique("typo"), &kafka, &org, "", &to).await;
    let halted = bridge.until_state("accounts", &["halted"]).await;
    let why = halted["state"]["why"].as_str().unwrap();
    assert!(
        why.contains("Industri") && why.contains("Industry"),
        "the nearest name helps: {why}"
    );
}

/// An org with a gap between two accounts, whose REST refuses so often to read the record.
async fn an_org_that_refuses(refusal: RestRefusal, times: u32) -> Simulator {
    let org = an_org().await;
    org.change(&created("before").records([ONE])).unwrap();
    let now = json!({"Name": "read again"});
    org.set_record("Account", ONE, now.as_object().unwrap().clone())
        .unwrap();
    org.change(&Change::new("Account", ChangeType::GapUpdate).records([ONE]))
        .unwrap();
    org.change(&created("after").records([TWO])).unwrap();
    org.rest_fault(RestFault {
        path: Some("query".to_owned()),
        times,
        refusal: Some(refusal),
        ..RestFault::default()
    });
    org
}

fn down() -> RestRefusal {
    RestRefusal {
        // Long enough to be seen waiting.
        retry_after_seconds: Some(1),
        ..RestRefusal::new(503, "SERVER_UNAVAILABLE", "Server is temporarily unavailable")
    }
}

/// A gap that is to be read while REST refuses so often: nothing overtakes it, nothing is lost. Gives the route as it
/// waited.
async fn a_gap_waits_out(refusal: RestRefusal, times: u32, kafka: &str) -> Value {
    let org = an_org_that_refuses(refusal, times).await;
    let (name, to) = (unique("refuses"), unique("accounts"));
    let output = format!("kafka: {to}, format: json");
    let bridge = start(&name, kafka, &org, ", on_gap: refetch", &output).await;
    let waiting = bridge.until_state("accounts", &["waiting"]).await;
    assert!(
        !super::names(&committed(kafka, &to).await).contains(&"after".to_owned()),
        "what comes later waits too"
    );
    let seen = records(kafka, &to, 3).await;
    assert_eq!(super::names(&seen), ["before", "read again", "after"]);
    assert!(seen[1].header("ce_sfasof").is_some());
    assert_eq!(org.faults_waiting(), 0, "it was refused as often as it was to be");
    bridge.until_state("accounts", &["streaming"]).await;
    let reports = gap_reports(kafka, &name, "accounts").await;
    assert_eq!((reports.len(), &reports[0]["resolution"]), (1, &json!("refetch")));
    waiting
}

#[tokio::test]
async fn a_gap_waits_until_rest_is_back_and_is_then_read() {
    let kafka = need!("kafka", broker::shared());
    let waited = a_gap_waits_out(down(), 3, &kafka).await;
    let why = waited["state"]["why"].as_str().unwrap();
    assert!(why.contains("Account") && why.contains("503"), "{why}");
    assert!(waited["state"]["until"].is_string(), "{waited}");
}

/// What is whole does not wait with the gap for REST.
#[tokio::test]
async fn what_comes_before_a_gap_is_committed_while_rest_refuses_to_read_it() {
    let kafka = need!("kafka", broker::shared());
    let org = an_org_that_refuses(down(), u32::MAX).await;
    let (name, to) = (unique("before"), unique("accounts"));
    let output = format!("kafka: {to}, format: json");
    let bridge = start(&name, &kafka, &org, ", on_gap: refetch", &output).await;
    let seen = records(&kafka, &to, 1).await;
    assert_eq!(super::names(&seen), ["before"]);
    let (position, _) = stored_position(&kafka, &name, "accounts").await.unwrap();
    assert_eq!(position["after"].as_array().unwrap().len(), 1, "{position}");
    bridge.until_state("accounts", &["waiting"]).await;
    org.clear_faults();
    let seen = records(&kafka, &to, 3).await;
    assert_eq!(super::names(&seen), ["before", "read again", "after"]);
}

#[tokio::test]
async fn a_gap_waits_while_the_orgs_limit_of_requests_is_used_up() {
    let kafka = need!("kafka", broker::shared());
    let limit = RestRefusal::new(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.");
    let waited = a_gap_waits_out(limit, 1, &kafka).await;
    let why = waited["state"]["why"].as_str().unwrap();
    assert!(
        why.contains("Account") && why.contains("limit of API requests"),
        "throttled, not failed: {why}"
    );
}

/// What was read again stands in the position: whoever goes on from it knows.
#[tokio::test]
async fn a_restart_still_knows_which_changes_the_record_already_shows() {
    let kafka = need!("kafka", broker::shared());
    let (org, name, to) = (an_org().await, unique("remembers"), unique("accounts"));
    let committed_at = now_ms() - 60_000;
    let at = |commit_timestamp: i64, change: Change| Change {
        commit_timestamp: Some(commit_timestamp),
        ..change
    };
    let update = |id: &str, fax: &str| {
        Change::new("Account", ChangeType::Update)
            .records([id])
            .field("Fax", fax)
    };
    org.change(&at(committed_at, created("one").records([ONE])))
        .unwrap();
    let gap = Change::new("Account", ChangeType::GapUpdate).records([ONE]);
    org.change(&at(committed_at + 1, gap)).unwrap();
    let output = format!("kafka: {to}, format: json");
    let first = start(&name, &kafka, &org, ", on_gap: refetch", &output).await;
    let read = records(&kafka, &to, 2).await.remove(1);
    let as_of = millis(&read, "ce_sfasof");
    first.kill();

    let (position, _) = stored_position(&kafka, &name, "accounts").await.unwrap();
    assert_eq!(
        position["read_as_of"][ONE].as_str(),
        read.header("ce_sfasof").as_deref(),
        "{position}"
    );
    org.change(&at(as_of - 1, update(ONE, "older"))).unwrap();
    org.change(&at(as_of - 1, update(TWO, "of another record")))
        .unwrap();
    org.change(&at(as_of + 60_000, update(ONE, "newer"))).unwrap();
    let _second = start(&name, &kafka, &org, ", on_gap: refetch", &output).await;
    let seen = records(&kafka, &to, 5).await;
    let marks: Vec<_> = seen[2..]
        .iter()
        .map(|record| record.header("ce_sfsuperseded"))
        .collect();
    assert_eq!(marks, [Some("true".to_owned()), None, None]);
}
