//! What Salesforce does not say, in Avro: GAP events and long texts as diffs, read back by the registered schema.

use apache_avro::types::Value as Avro;
use serde_json::json;
use sfbridge::simulator::{Change, ChangeType};

use super::avro::{Reader, contract, field, header, optional, setup, text, texts};
use super::gaps::{GONE, ONE, a_gap_and_an_older_change, a_long_text_changes, millis, route};
use super::{an_org, committed, gap_reports, records};
use crate::need;
use crate::support::bridge::Bridge;
use crate::support::topic::{Seen, unique};
use crate::support::{broker, registry};

/// It names no record: there is nothing to read.
const WILDCARD: &str = "001*";

type Fields = [(String, Avro)];

fn change_type(record: &Fields) -> &str {
    match header(record, "changeType") {
        Avro::Enum(_, symbol) => symbol,
        other => panic!("{other:?}"),
    }
}

/// What each record says that happened, and to which record; a tombstone says nothing.
async fn kinds(reader: &Reader, seen: &[Seen]) -> Vec<String> {
    let mut kinds = Vec::new();
    for record in seen {
        let key = record.key_text();
        if record.value.is_none() {
            kinds.push(format!("tombstone of {key}"));
            continue;
        }
        let (_, value) = reader.value(record).await;
        assert_eq!(texts(header(&value, "recordIds")), [key.as_str()]);
        kinds.push(format!("{} of {key}", change_type(&value)));
    }
    kinds
}

/// Pain: gaps that nobody sees.
#[tokio::test]
async fn a_gap_is_filled_in_avro_too_whole_and_under_a_pinned_contract() {
    let (kafka, url) = (
        need!("kafka", broker::shared()),
        need!("registry", registry::shared()),
    );
    let (org, reader, name) = (an_org().await, Reader::of(&url), unique("refetch"));
    let [whole, pinned] = ["whole", "pinned"].map(unique);
    let committed_at = a_gap_and_an_older_change(&org);
    let folder = tempfile::tempdir().unwrap();
    let file = contract(
        folder.path(),
        "account.avsc",
        &json!([optional("Name"), optional("Phone"), optional("Fax")]),
    );
    let outputs = format!(
        "[{{ kafka: {whole}, format: avro, tombstones: true }}, {{ kafka: {pinned}, format: avro, contract: {{ file: {file} }} }}]"
    );
    let routes = route("accounts", ", on_gap: refetch", &outputs);
    let _bridge = Bridge::start(&setup(&name, &kafka, &url, &org, &routes)).await;

    // Three created, one read, one gone with its tombstone, two changed.
    let seen = records(&kafka, &whole, 8).await;
    let (created_id, _) = reader.value(&seen[0]).await;
    let (id, read) = reader.value(&seen[3]).await;
    assert_eq!(id, created_id, "one contract for what came and what was read");
    assert_eq!(seen[3].header("content-type").unwrap(), "application/avro");
    assert_eq!(
        (seen[3].key_text(), change_type(&read)),
        (ONE.to_owned(), "UPDATE")
    );
    assert_eq!(texts(header(&read, "recordIds")), [ONE]);
    assert_eq!(text(field(&read, "Name")), "one now");
    assert_eq!(field(&read, "Phone"), &Avro::Null);
    assert!(
        matches!(field(&read, "BillingAddress"), Avro::Record(address) if text(field(address, "City")) == "York")
    );
    let changed = texts(header(&read, "changedFields"));
    assert!(
        ["Name", "Phone"]
            .iter()
            .all(|name| changed.contains(&(*name).to_owned()))
    );
    assert!(texts(header(&read, "nulledFields")).contains(&"Phone".to_owned()));
    assert_eq!(seen[3].header("ce_time"), seen[3].header("ce_sfasof"));
    assert!(
        millis(&seen[3], "ce_sfasof") >= committed_at + 3,
        "as of the row's SystemModstamp"
    );
    assert_eq!(
        kinds(&reader, &seen[4..6]).await,
        [format!("DELETE of {GONE}"), format!("tombstone of {GONE}")]
    );
    let (_, gone) = reader.value(&seen[4]).await;
    assert_eq!(field(&gone, "Name"), &Avro::Null);
    let (_, late) = reader.value(&seen[6]).await;
    assert_eq!(text(field(&late, "Fax")), "late");
    let superseded = |record: &Seen| record.header("ce_sfsuperseded");
    assert_eq!(superseded(&seen[6]).as_deref(), Some("true"));
    assert_eq!(superseded(&seen[7]), None, "that record was not read");

    // The same by the fields of the contract.
    let by_contract = records(&kafka, &pinned, 7).await;
    let values = async |record: &Seen| {
        let (_, value) = reader.value(record).await;
        let value = value.into_iter().map(|(name, value)| match value {
            Avro::Union(_, inner) => (name, *inner),
            value => (name, value),
        });
        value.collect::<Vec<_>>()
    };
    let row = |name: Avro, fax: Avro| {
        [("Name", name), ("Phone", Avro::Null), ("Fax", fax)].map(|(name, value)| (name.to_owned(), value))
    };
    let string = |text: &str| Avro::String(text.to_owned());
    let read = &by_contract[3];
    assert_eq!(
        values(read).await,
        row(string("one now"), string("late")),
        "the row has the late change already"
    );
    assert_eq!(read.header("ce_sfasof"), seen[3].header("ce_sfasof"));
    assert_eq!(
        values(&by_contract[4]).await,
        row(Avro::Null, Avro::Null),
        "it is gone"
    );
    assert_eq!(values(&by_contract[5]).await, row(Avro::Null, string("late")));
    assert_eq!(superseded(&by_contract[5]).as_deref(), Some("true"));
    assert_eq!(superseded(&by_contract[6]), None);
    let reports = gap_reports(&kafka, &name, "accounts").await;
    assert_eq!((reports.len(), &reports[0]["resolution"]), (1, &json!("refetch")));
}

/// A gap of each kind, as it came and as what it stands for.
#[tokio::test]
async fn each_kind_of_gap_is_read_as_its_ordinary_change_and_a_removal_has_its_tombstone() {
    let (kafka, url) = (
        need!("kafka", broker::shared()),
        need!("registry", registry::shared()),
    );
    let (org, reader) = (an_org().await, Reader::of(&url));
    let [read, passed] = ["read", "passed"].map(unique);
    let now = json!({"Name": "one now"});
    org.set_record("Account", ONE, now.as_object().unwrap().clone())
        .unwrap();
    for (kind, ids) in [
        (ChangeType::GapCreate, vec![ONE]),
        (ChangeType::GapUpdate, vec![ONE, WILDCARD]),
        (ChangeType::GapDelete, vec![GONE]),
        (ChangeType::GapUndelete, vec![ONE]),
    ] {
        org.change(&Change::new("Account", kind).records(ids)).unwrap();
    }
    let output = |topic: &str| format!("{{ kafka: {topic}, format: avro, tombstones: true }}");
    let routes = [
        route("reads", ", on_gap: refetch", &output(&read)),
        route("passes", ", on_gap: pass", &output(&passed)),
    ];
    let setup = setup(&unique("kinds"), &kafka, &url, &org, &routes.concat());
    let _bridge = Bridge::start(&setup).await;

    let seen = records(&kafka, &read, 6).await;
    assert_eq!(
        kinds(&reader, &seen).await,
        [
            format!("CREATE of {ONE}"),
            format!("UPDATE of {ONE}"),
            format!("GAP_UPDATE of {WILDCARD}"),
            format!("DELETE of {GONE}"),
            format!("tombstone of {GONE}"),
            format!("UNDELETE of {ONE}"),
        ]
    );
    for (place, names) in [(0, false), (1, true), (5, false)] {
        let (_, value) = reader.value(&seen[place]).await;
        assert_eq!(text(field(&value, "Name")), "one now");
        assert!(seen[place].header("ce_sfasof").is_some());
        let changed = texts(header(&value, "changedFields"));
        assert_eq!(!changed.is_empty(), names, "an UPDATE alone names what changed");
    }
    let seen = records(&kafka, &passed, 6).await;
    assert_eq!(
        kinds(&reader, &seen).await,
        [
            format!("GAP_CREATE of {ONE}"),
            format!("GAP_UPDATE of {ONE}"),
            format!("GAP_UPDATE of {WILDCARD}"),
            format!("GAP_DELETE of {GONE}"),
            format!("tombstone of {GONE}"),
            format!("GAP_UNDELETE of {ONE}"),
        ]
    );
    assert!(seen.iter().all(|record| record.header("ce_sfasof").is_none()));
}

/// A diff is never taken for the text itself.
#[tokio::test]
async fn a_diff_is_read_again_passed_on_or_kept_in_avro_too() {
    let (kafka, url) = (
        need!("kafka", broker::shared()),
        need!("registry", registry::shared()),
    );
    let (org, reader, name) = (an_org().await, Reader::of(&url), unique("diffs"));
    let new = a_long_text_changes(&org);
    let topics = ["passed", "read", "by-default", "without", "kept"].map(unique);
    let [passed, read, by_default, without, kept] = &topics;
    let folder = tempfile::tempdir().unwrap();
    let file = contract(
        folder.path(),
        "account.avsc",
        &json!([optional("Phone"), optional("Description")]),
    );
    let whole = |topic: &str| format!("{{ kafka: {topic}, format: avro }}");
    let pinned = |topic: &str| format!("{{ kafka: {topic}, format: avro, contract: {{ file: {file} }} }}");
    let routes = [
        route("passes", "", &whole(passed)),
        route("reads", ", on_diff: refetch", &whole(read)),
        route("by-default", "", &pinned(by_default)),
        route("without", ", on_diff: pass", &pinned(without)),
        route("keeps", ", on_diff: dead_letter", &whole(kept)),
    ];
    let bridge = Bridge::start(&setup(&name, &kafka, &url, &org, &routes.concat())).await;
    let changed = async |topic: &str| {
        let record = records(&kafka, topic, 2).await.remove(1);
        let (_, value) = reader.value(&record).await;
        assert_eq!(text(field(&value, "Phone")), "2");
        (record, value)
    };

    let (record, value) = changed(passed).await;
    assert!(
        text(field(&value, "Description")).starts_with("--- \n+++ "),
        "as it came"
    );
    assert_eq!(texts(header(&value, "diffFields")), ["Description"]);
    assert_eq!(record.header("ce_sfasof"), None);

    let (record, value) = changed(read).await;
    assert_eq!(text(field(&value, "Description")), new);
    assert_eq!(texts(header(&value, "diffFields")), [""; 0]);
    assert_eq!(
        (change_type(&value), texts(header(&value, "changedFields"))),
        (
            "UPDATE",
            ["Phone", "Description", "LastModifiedDate"]
                .map(str::to_owned)
                .to_vec()
        )
    );
    assert!(record.header("ce_sfasof").is_some());

    let (record, value) = changed(by_default).await;
    assert_eq!(text(field(&value, "Description")), new);
    assert!(record.header("ce_sfasof").is_some());

    let (record, value) = changed(without).await;
    assert_eq!(field(&value, "Description"), &Avro::Null, "a diff is no value");
    assert_eq!(record.header("ce_sfasof"), None);

    let dead = records(&kafka, &format!("sfbridge.{name}.dead-letters"), 1).await;
    assert!(dead[0].header("sfbridge_error").unwrap().contains("diff"));
    assert_eq!(committed(&kafka, kept).await.len(), 1);
    bridge.until_state("keeps", &["streaming", "idle"]).await;
}
