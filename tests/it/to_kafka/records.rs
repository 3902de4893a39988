//! What stands in Kafka for what happened in Salesforce: values, keys, headers, topics.

use serde_json::{Value, json};
use sfbridge::contracts::asyncapi;
use sfbridge::simulator::faults::{Fault, Rpc, Then};
use sfbridge::simulator::{
    Change, ChangeType, OVERFLOW_RECORD_ID, PlatformEvent, RawEvent, TestEvents, Ungrouped,
};

use super::{
    ACCOUNTS, ONE_PARTITION, an_org, committed, created, emit, gap_reports, json as value, names, now_ms,
    records, stored_position,
};
use crate::need;
use crate::support::bridge::{Bridge, Setup, json_route};
use crate::support::broker;
use crate::support::topic::{Seen, unique};

const ONE: &str = "001SB000009990001A";
const TWO: &str = "001SB000009990002A";

fn one_partition(name: &str, kafka: &str, org: &sfbridge::simulator::Simulator, routes: &str) -> Setup {
    Setup {
        kafka: ONE_PARTITION.to_owned(),
        ..Setup::new(name, kafka, org, routes)
    }
}

fn header<'v>(value: &'v Value, name: &str) -> &'v Value {
    &value["ChangeEventHeader"][name]
}

/// Pains: bitmaps that nobody can read, "unchanged" that looks like "set to null", a new field that breaks the
/// consumer until it is restarted.
#[tokio::test]
async fn a_change_event_becomes_one_exact_record_for_each_of_its_records() {
    let kafka = need!("kafka", broker::shared());
    let (org, name, to) = (an_org().await, unique("shape"), unique("accounts"));
    let bridge = Bridge::start(&one_partition(
        &name,
        &kafka,
        &org,
        &json_route("accounts", ACCOUNTS, &to, ""),
    ))
    .await;
    let committed_at = now_ms() - 5_000;
    org.change(&Change {
        nulled: vec!["Phone".to_owned()],
        commit_number: Some(9_007_199_254_740_993),
        commit_timestamp: Some(committed_at),
        transaction_key: Some("0000-tx".to_owned()),
        sequence_number: Some(7),
        ..Change::new("Account", ChangeType::Update)
            .records([ONE, TWO])
            .field("Industry", "Energy")
            .field("BillingAddress", json!({"Street": "1 High Street"}))
    })
    .unwrap();
    org.change(&created("").field("Name", json!({"FirstName": "Ada", "LastName": "Byron"})))
        .unwrap();
    org.change(&created("big").field("Description", "d".repeat(990_000)))
        .unwrap();
    org.add_field(ACCOUNTS, "Added__c", "string").unwrap();
    org.change(&created("new schema").field("Added__c", "there"))
        .unwrap();
    let seen = records(&kafka, &to, 5).await;

    assert_eq!(
        (seen[0].key_text(), seen[1].key_text()),
        (ONE.to_owned(), TWO.to_owned())
    );
    for (record, id) in seen.iter().zip([ONE, TWO]) {
        let json = value(record);
        assert_eq!(
            header(&json, "recordIds"),
            &json!([id]),
            "each holds just its own"
        );
        assert_eq!(
            header(&json, "changedFields"),
            &json!(["Phone", "Industry", "LastModifiedDate", "BillingAddress.Street"]),
            "{json}"
        );
        assert_eq!(header(&json, "nulledFields"), &json!(["Phone"]));
        assert_eq!(header(&json, "diffFields"), &json!([]));
        assert!(
            record.value_text().contains("9007199254740993"),
            "longs are exact"
        );
        assert_eq!(
            (&json["Industry"], &json["Phone"], &json["Fax"]),
            (&json!("Energy"), &Value::Null, &Value::Null)
        );
        assert_eq!(json["BillingAddress"]["Street"], "1 High Street");
        assert_eq!(
            record.header("ce_id").unwrap(),
            format!("0000-tx/7/Account/UPDATE/{id}")
        );
        assert_eq!(record.header("ce_subject").unwrap(), id);
        assert_eq!(record.timestamp_ms, Some(committed_at), "the commit's time");
        let time: jiff::Timestamp = record.header("ce_time").unwrap().parse().unwrap();
        assert_eq!(time.as_millisecond(), committed_at);
        assert_eq!(
            json["LastModifiedDate"],
            record.header("ce_time").unwrap(),
            "RFC 3339 with milliseconds"
        );
    }
    assert_cloud_event(&seen[0], "accounts", &org);
    let person = value(&seen[2]);
    assert_eq!(
        (&person["Name"]["FirstName"], &person["Name"]["LastName"]),
        (&json!("Ada"), &json!("Byron"))
    );
    assert!(seen[3].value.as_ref().unwrap().len() > 990_000);
    let schema = |record: &Seen| record.header("ce_sfschemaid").unwrap();
    assert_eq!(value(&seen[4])["Added__c"], "there");
    assert_ne!(schema(&seen[3]), schema(&seen[4]));
    assert_eq!(schema(&seen[4]), org.schema_id(ACCOUNTS).unwrap());
    assert!(
        value(&seen[3]).get("Added__c").is_none(),
        "decoded with its own schema"
    );
    assert_eq!(
        org.org_counts().get_schema_calls,
        2,
        "each schema is fetched once"
    );
    assert!(bridge.is_running());
}

fn assert_cloud_event(record: &Seen, route: &str, org: &sfbridge::simulator::Simulator) {
    let header = |name: &str| {
        record
            .header(name)
            .unwrap_or_else(|| panic!("{name}: {:?}", record.headers))
    };
    let host = org.login_url().trim_start_matches("http://").to_owned();
    assert_eq!(header("ce_specversion"), "1.0");
    let source = header("ce_source");
    assert!(
        source.starts_with("//")
            && source.ends_with(ACCOUNTS)
            && host.starts_with(source[2..].split(['/', ':']).next().unwrap()),
        "{source} of {host}"
    );
    assert_eq!(header("ce_type"), "com.salesforce.AccountChangeEvent");
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("ce_sfroute"), route);
    let replay_id = header("ce_sfreplayid");
    assert!(
        replay_id.len() == 20
            && replay_id
                .chars()
                .all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c)),
        "{replay_id}"
    );
    assert!(record.header("ce_sfreplayed").is_none());
    assert_documented(record, &asyncapi::headers());
}

/// `contracts docs` tells every header of the record.
fn assert_documented(record: &Seen, headers: &Value) {
    let unknown = record.headers.iter();
    let unknown: Vec<_> = unknown
        .filter(|(name, _)| headers["properties"].get(name).is_none())
        .collect();
    assert!(!record.headers.is_empty() && unknown.is_empty(), "{unknown:?}");
}

#[tokio::test]
async fn what_fields_leave_out_is_not_written_and_is_missing_to_a_contract_file() {
    let kafka = need!("kafka", broker::shared());
    let (org, name) = (an_org().await, unique("fields"));
    let [fewer, bare, pinned] = ["fewer", "bare", "pinned"].map(unique);
    let folder = tempfile::tempdir().unwrap();
    let contract = folder.path().join("account.v1.avsc");
    std::fs::write(
        &contract,
        r#"{"type":"record","name":"Account","fields":[
            {"name":"phone","aliases":["Phone"],"type":["null","string"],"default":null},
            {"name":"changed","aliases":["LastModifiedDate"],"type":["null","long"],"default":null},
            {"name":"Name","type":["null","string"],"default":null}]}"#,
    )
    .unwrap();
    let routes = format!(
        "  - name: accounts\n    from: {{ salesforce: {ACCOUNTS}, start: earliest }}\n    to:\n\
         \x20     - {{ kafka: {fewer}, format: json, fields: {{ exclude: [Phone, BillingAddress.Street] }} }}\n\
         \x20     - {{ kafka: {bare}, format: json, fields: {{ exclude: [ChangeEventHeader, Name] }} }}\n\
         \x20     - {{ kafka: {pinned}, format: json, fields: {{ include: [Phone, LastModifiedDate] }}, contract: {{ file: '{}' }} }}\n",
        contract.display()
    );
    let _bridge = Bridge::start(&one_partition(&name, &kafka, &org, &routes)).await;
    org.change(
        &created("Acme")
            .records([ONE])
            .field("Phone", "1")
            .field("LastModifiedDate", 1_790_000_000_123_i64)
            .field("BillingAddress", json!({"Street": "s", "City": "c"})),
    )
    .unwrap();
    let written = async |topic: &str| value(&records(&kafka, topic, 1).await[0]);
    let json = written(&fewer).await;
    assert_eq!(header(&json, "recordIds"), &json!([ONE]), "the header stays");
    let address = json["BillingAddress"].as_object().unwrap();
    assert_eq!((&address["City"], address.get("Street")), (&json!("c"), None));
    assert_eq!((&json["Name"], json.get("Phone")), (&json!("Acme"), None));
    assert_eq!(json.get("Fax"), Some(&Value::Null), "every other field is there");
    let json = written(&bare).await;
    assert_eq!((json.get("ChangeEventHeader"), json.get("Name")), (None, None));
    assert_eq!(json["Phone"], "1");
    assert_eq!(
        written(&pinned).await,
        json!({"phone": "1", "changed": "2026-09-21T14:13:20.123Z", "Name": null}),
        "the event has a name, the selection has not"
    );
}

/// Pain: `/data/ChangeEvents` answers with a blank schema id, and clients ask for that.
#[tokio::test]
async fn channels_of_mixed_events_fill_topic_names_and_fan_out() {
    let kafka = need!("kafka", broker::shared());
    let (org, name, prefix) = (an_org().await, unique("channels"), unique("mixed"));
    let routes = format!(
        "  - name: changes\n    from: {{ salesforce: /data/ChangeEvents, start: earliest }}\n    to:\n      - {{ kafka: \"{prefix}.{{entity}}.{{event}}.{{route}}\", format: json }}\n      - {{ kafka: {prefix}.all, format: json, key: event_id }}\n      - {{ kafka: {prefix}.nokey, format: json, key: none }}\n\
         \x20 - name: custom\n    from: {{ salesforce: /data/All__chn, start: earliest }}\n    to: {{ kafka: \"{prefix}.custom\", format: json }}\n\
         \x20 - name: events\n    from: {{ salesforce: /event/All__chn, start: earliest }}\n    to: {{ kafka: \"{prefix}.{{event}}\", format: json }}\n"
    );
    let bridge = Bridge::start(&one_partition(&name, &kafka, &org, &routes)).await;
    for n in 0..3 {
        org.change(&created(&format!("a{n}"))).unwrap();
        org.change(&Change::new("Contact", ChangeType::Create).field("Title", format!("c{n}")))
            .unwrap();
        org.change(
            &Change::new("Order__c", ChangeType::Create)
                .field("Name", format!("o{n}"))
                .field("Ship_Date__c", 86_400_000_i64),
        )
        .unwrap();
    }
    for (event, id) in [("Order_Shipped__e", "id-1"), ("Invoice_Paid__e", "id-2")] {
        org.publish(&PlatformEvent {
            topic: format!("/event/{event}"),
            fields: serde_json::Map::new(),
            event_id: Some(id.to_owned()),
        })
        .unwrap();
    }
    let accounts = records(&kafka, &format!("{prefix}.Account.AccountChangeEvent.changes"), 3).await;
    assert_eq!(names(&accounts), ["a0", "a1", "a2"]);
    let contacts = records(&kafka, &format!("{prefix}.Contact.ContactChangeEvent.changes"), 3).await;
    assert_eq!(value(&contacts[2])["Title"], "c2");
    let orders = records(
        &kafka,
        &format!("{prefix}.Order__c.Order__ChangeEvent.changes"),
        3,
    )
    .await;
    assert_eq!(
        value(&orders[0])["Ship_Date__c"],
        "1970-01-02",
        "a DateOnly is a date"
    );
    let all = records(&kafka, &format!("{prefix}.all"), 9).await;
    assert_eq!(
        (all.len(), all[0].key_text()),
        (9, all[0].header("ce_id").unwrap())
    );
    assert_eq!(records(&kafka, &format!("{prefix}.nokey"), 9).await[0].key, None);
    assert_eq!(records(&kafka, &format!("{prefix}.custom"), 9).await.len(), 9);
    for (event, id) in [("Order_Shipped__e", "id-1"), ("Invoice_Paid__e", "id-2")] {
        let seen = records(&kafka, &format!("{prefix}.{event}"), 1).await;
        assert_eq!(
            (seen[0].key_text(), seen[0].header("ce_id").unwrap()),
            (id.to_owned(), id.to_owned())
        );
        assert_eq!(
            seen[0].header("ce_type").unwrap(),
            format!("com.salesforce.{event}")
        );
        assert!(seen[0].header("ce_subject").is_none(), "an event of no record");
        assert_eq!(value(&seen[0])["CreatedDate"], seen[0].header("ce_time").unwrap());
    }
    // One position for all outputs of a route, and it names the channel.
    let (position, _) = stored_position(&kafka, &name, "changes").await.unwrap();
    assert_eq!(position["topic"], "/data/ChangeEvents");
    assert_eq!(
        bridge
            .metric(
                "sfbridge_records_written_total",
                "route=\"changes\",outcome=\"written\""
            )
            .await,
        27.0
    );
    assert_eq!(
        bridge
            .metric(
                "sfbridge_events_received_total",
                "route=\"changes\",kind=\"event\""
            )
            .await,
        9.0
    );
    assert!(bridge.metric("sfbridge_bytes_total", "route=\"changes\"").await > 9_000.0);
    for histogram in [
        "sfbridge_end_to_end_seconds_count",
        "sfbridge_batch_commit_seconds_count",
    ] {
        assert!(
            bridge.metric(histogram, "route=\"changes\"").await > 0.0,
            "{histogram}"
        );
    }
    let age = bridge
        .metric("sfbridge_position_age_seconds", "route=\"changes\"")
        .await;
    let left = bridge
        .metric("sfbridge_retention_left_seconds", "route=\"changes\"")
        .await;
    assert!(
        (0.0..600.0).contains(&age) && (left + age - 72.0 * 3600.0).abs() < 2.0,
        "{age} {left}"
    );
    assert_eq!(bridge.metric("sfbridge_build_info", "version=").await, 1.0);
}

/// Pain: what cannot be decoded is logged and forgotten while the cursor moves on.
#[tokio::test]
async fn what_cannot_be_decoded_is_kept_as_it_came_and_too_many_in_a_row_halt_the_route() {
    let kafka = need!("kafka", broker::shared());
    let (org, name) = (an_org().await, unique("poison"));
    let [to, other, dead] = ["accounts", "other", "dead"].map(unique);
    let dead_letter = format!("    dead_letter: {{ kafka: {dead}, max_consecutive: 3 }}\n");
    let routes = [
        json_route("accounts", ACCOUNTS, &to, &dead_letter),
        json_route("events", "/event/All__chn", &other, ""),
    ]
    .concat();
    let bridge = Bridge::start(&one_partition(&name, &kafka, &org, &routes)).await;
    let raw = |bytes: &[u8]| {
        org.emit_raw(RawEvent {
            topic: ACCOUNTS.to_owned(),
            payload: bytes.to_vec(),
            schema_id: None,
            event_id: Some("raw-event".to_owned()),
        })
        .unwrap()
    };
    emit(&org, &["1"]);
    let replay_id = raw(b"\xff\xfe no datum");
    emit(&org, &["2"]);
    assert_eq!(names(&records(&kafka, &to, 2).await), ["1", "2"]);
    let letter = &records(&kafka, &dead, 1).await[0];
    assert_eq!(
        letter.value.as_deref(),
        Some(&b"\xff\xfe no datum"[..]),
        "the bytes as received"
    );
    let hex: String = replay_id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(letter.key_text(), hex);
    for (header, expected) in [
        ("sfbridge_error_kind", "poison"),
        ("sfbridge_route", "accounts"),
        ("sfbridge_source", &format!("{ACCOUNTS}@{hex}")),
        ("sfbridge_attempts", "1"),
        ("ce_id", "raw-event"),
        ("ce_sfreplayid", &hex),
        ("ce_sfroute", "accounts"),
        ("ce_type", "com.salesforce.AccountChangeEvent"),
        ("content-type", "avro/binary"),
    ] {
        assert_eq!(
            letter.header(header).as_deref(),
            Some(expected),
            "{header}: {:?}",
            letter.headers
        );
    }
    assert_documented(letter, &asyncapi::dead_letter_from_salesforce()["headers"]);
    let why = letter.header("sfbridge_error").unwrap();
    assert!(
        !why.is_empty() && !why.contains("datum"),
        "a reason, never a payload: {why}"
    );

    for n in 0..3_u8 {
        raw(&[0xff, n]);
    }
    emit(&org, &["3"]);
    let halted = bridge.until_state("accounts", &["halted"]).await;
    assert!(
        halted["state"]["why"].to_string().contains("3 events in a row"),
        "{halted}"
    );
    assert!(halted["state"]["remedy"].to_string().contains(&dead), "{halted}");
    assert_eq!(
        committed(&kafka, &dead).await.len(),
        4,
        "the last of them is stored, too"
    );
    assert_eq!(names(&committed(&kafka, &to).await), ["1", "2"]);
    let (_, ready) = bridge.get("/ready").await.unwrap();
    assert!(ready.contains("accounts"), "{ready}");
    org.publish(&PlatformEvent {
        topic: "/event/Invoice_Paid__e".to_owned(),
        fields: serde_json::Map::new(),
        event_id: None,
    })
    .unwrap();
    records(&kafka, &other, 1).await;
    assert_eq!(bridge.post("/api/routes/accounts/restart").await.0, 202);
    assert_eq!(names(&records(&kafka, &to, 3).await), ["1", "2", "3"]);
    assert_eq!(committed(&kafka, &dead).await.len(), 4, "not once more");
}

#[tokio::test]
async fn what_salesforce_says_is_missing_is_passed_on_counted_and_reported() {
    let kafka = need!("kafka", broker::shared());
    let (org, name, to) = (an_org().await, unique("gaps"), unique("accounts"));
    let bridge = Bridge::start(&one_partition(
        &name,
        &kafka,
        &org,
        &json_route("accounts", ACCOUNTS, &to, ""),
    ))
    .await;
    org.change(&Change::new("Account", ChangeType::GapUpdate).records([ONE]))
        .unwrap();
    org.change(&Change::new("Account", ChangeType::GapOverflow).records([OVERFLOW_RECORD_ID]))
        .unwrap();
    let seen = records(&kafka, &to, 2).await;
    assert_eq!(header(&value(&seen[0]), "changeType"), "GAP_UPDATE");
    assert_eq!(seen[0].key_text(), ONE);
    assert_eq!(header(&value(&seen[1]), "changeType"), "GAP_OVERFLOW");
    let reports = gap_reports(&kafka, &name, "accounts").await;
    assert_eq!(reports.len(), 2, "{reports:?}");
    assert_eq!(
        (
            &reports[0]["kind"],
            &reports[0]["entity"],
            &reports[0]["record_ids"],
            &reports[0]["from_replay_id"]
        ),
        (
            &json!("gap"),
            &json!("Account"),
            &json!([ONE]),
            &json!(seen[0].header("ce_sfreplayid").unwrap())
        )
    );
    assert_eq!(
        (&reports[1]["kind"], &reports[1]["route"]),
        (&json!("overflow"), &json!("accounts"))
    );
    for kind in ["gap", "overflow"] {
        assert_eq!(
            bridge
                .metric("sfbridge_gaps_total", &format!("kind=\"{kind}\""))
                .await,
            1.0
        );
    }
    assert_eq!(bridge.route("accounts").await.unwrap()["gaps"], 2);
}

/// Pain: what the server sends twice, or splits over responses, is doubled or lost at the seams.
#[tokio::test]
async fn repeats_and_events_that_share_a_replay_id_arrive_once_in_order() {
    let kafka = need!("kafka", broker::shared());
    let (org, name, to) = (an_org().await, unique("repeats"), unique("accounts"));
    let faults = [
        Fault::new(Rpc::Subscribe, Then::Repeat).after_events(4),
        Fault::new(Rpc::Subscribe, Then::Reset).after_events(7),
        Fault::new(Rpc::Subscribe, Then::Disconnect).after_events(8),
        Fault::new(Rpc::Subscribe, Then::Complete).after_events(20),
    ];
    org.emit_test_events(&TestEvents {
        group: 3,
        split_groups: true,
        ..TestEvents::new(60)
    })
    .unwrap();
    let ungrouped: Vec<Change> = ["x", "y", "z"].map(created).into();
    org.changes(&ungrouped, Ungrouped::AcrossResponses).unwrap();
    for fault in faults {
        org.fault(fault.on(ACCOUNTS)).unwrap();
    }
    let bridge = Bridge::start(&one_partition(
        &name,
        &kafka,
        &org,
        &json_route("accounts", ACCOUNTS, &to, ""),
    ))
    .await;
    // The first stream repeats and flows on until it is ended; the others end by themselves.
    records(&kafka, &to, 63).await;
    for n in 0..3 {
        org.end_streams(Some(ACCOUNTS), Then::Reset).unwrap();
        emit(&org, &[&format!("after {n}")]);
        records(&kafka, &to, 64 + n).await;
    }
    emit(&org, &["last"]);
    let seen = records(&kafka, &to, 67).await;
    assert_eq!(seen.len(), 67);
    let numbers: Vec<u64> = seen[..60]
        .iter()
        .map(|record| value(record)["GUID__c"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers, (0..60).collect::<Vec<u64>>());
    assert_eq!(
        names(&seen[60..]),
        ["x", "y", "z", "after 0", "after 1", "after 2", "last"]
    );
    assert!(
        bridge
            .metric("sfbridge_records_written_total", "outcome=\"repeated\"")
            .await
            >= 1.0
    );
    assert!(
        bridge
            .metric("sfbridge_reconnects_total", "route=\"accounts\"")
            .await
            >= 3.0
    );
}
