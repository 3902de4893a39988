use apache_avro::types::Value;

use super::super::{Filter, FilterError, Verdict};
use super::fixtures::{Event, address, change, platform, record, text};
use crate::error::{ErrorKind, Failure};

#[track_caller]
fn assert_verdicts(event: &Event, expected: &[(&str, &str)]) {
    for (filter, expected) in expected {
        let found = match event.verdict(filter) {
            Ok(Verdict::Keep) => "keep".to_owned(),
            Ok(Verdict::Drop) => "drop".to_owned(),
            Ok(Verdict::Unknown { field }) => format!("unknown {field}"),
            Err(FilterError::Evaluation(rule)) => format!("error: {rule}"),
            Err(error) => panic!("{filter}: {error}"),
        };
        assert_eq!(&found, expected, "{filter}");
    }
}

fn update() -> Event {
    change("UPDATE")
        .changed(&["Industry", "AnnualRevenue", "IsPartner"])
        .with("Industry", text("Energy"))
        .with("AnnualRevenue", Value::Double(5000.0))
}

#[test]
fn an_update_answers_what_changed_and_leaves_the_rest_unknown() {
    assert_verdicts(
        &update(),
        &[
            (r#"event.Industry == "Energy""#, "keep"),
            (r#"event["Industry"] == "Banking""#, "drop"),
            (r#"event.Name == "Acme""#, "unknown Name"),
            (r#"event.Name == "Acme" || event.Industry == "Energy""#, "keep"),
            (
                r#"event.Name == "Acme" && event.Industry == "Energy""#,
                "unknown Name",
            ),
            (r#"event.Name == "Acme" && event.Industry == "Banking""#, "drop"),
            (r#""Industry" in header.changedFields"#, "keep"),
            (r#""Name" in header.changedFields"#, "drop"),
            (
                r#"header.recordIds[0].startsWith("001") && header.commitNumber == 7"#,
                "keep",
            ),
            (
                r#"header.commitTimestamp > 1600000000000 && header.sequenceNumber < 4"#,
                "keep",
            ),
            (r#"!header.changeOrigin.contains("client=shop")"#, "drop"),
        ],
    );
}

#[test]
fn a_field_that_was_nulled_is_null_and_never_less_or_greater() {
    assert_verdicts(
        &update(),
        &[
            ("event.IsPartner == null", "keep"),
            ("has(event.IsPartner)", "keep"),
            ("event.IsPartner == true", "drop"),
            (
                "event.IsPartner",
                "error: it must be true or false, and is null_type",
            ),
        ],
    );
    let nulled = change("UPDATE").changed(&["AnnualRevenue", "Industry"]);
    assert_verdicts(
        &nulled,
        &[
            ("event.AnnualRevenue > 1000", "drop"),
            ("1000 <= event.AnnualRevenue", "drop"),
            (r#"event.Industry.startsWith("E")"#, "drop"),
            (r#"[1].all(x, event.Industry.matches("E.*"))"#, "drop"),
            ("event.NumberOfEmployees > 1000", "unknown NumberOfEmployees"),
            (
                "event.AnnualRevenue + 1.0 > 2.0",
                "error: `+` does not take (null, float); a field may be null, so ask `!= null` first",
            ),
        ],
    );
}

#[test]
fn a_delete_carries_nothing_and_is_still_kept_by_its_header() {
    for change_type in ["DELETE", "GAP_DELETE", "GAP_UPDATE", "GAP_CREATE"] {
        assert_verdicts(
            &change(change_type),
            &[
                (r#"event.Industry == "Energy""#, "unknown Industry"),
                (r#"!(event.Industry == "Energy")"#, "unknown Industry"),
                (
                    r#"header.changeType.contains("E") || event.Industry == "Energy""#,
                    "keep",
                ),
                (
                    r#"event.Industry == "Energy" || header.changeType.contains("E")"#,
                    "keep",
                ),
                ("event.NumberOfEmployees == 1 && false", "drop"),
                ("event.IsPartner ? true : true", "unknown IsPartner"),
                ("event.Industry == event.Name", "unknown Industry"),
                ("has(event.Industry)", "drop"),
                (r#"has(event.Industry) && event.Industry == "Energy""#, "drop"),
                ("has(event.BillingAddress.City)", "drop"),
                (r#""Industry" in event"#, "drop"),
                ("size(event) == 0 && !event.exists(name, true)", "keep"),
                (r#"["a"].exists(x, x == event.Industry)"#, "unknown Industry"),
                (r#"["a"].exists(x, x == event.Industry || x == "a")"#, "keep"),
                (r#"(event.Industry == "Energy") == true"#, "unknown Industry"),
                (
                    r#"event[header.entityName == "" ? "Name" : "Industry"] == "x""#,
                    "unknown Industry",
                ),
            ],
        );
    }
    let filter = Filter::compile(r#"event.Industry == "Energy" || header.changeType == "DELETE""#).unwrap();
    assert_eq!(change("DELETE").evaluate(&filter), Ok(Verdict::Keep));
    assert!(matches!(
        change("GAP_UPDATE").evaluate(&filter),
        Ok(Verdict::Unknown { .. })
    ));
}

#[test]
fn an_enriched_delete_answers_what_it_was_enriched_with() {
    let enriched = change("DELETE").with("Industry", text("Energy"));
    assert_verdicts(
        &enriched,
        &[
            (r#"event.Industry == "Energy""#, "keep"),
            (r#"event.Name == "Acme""#, "unknown Name"),
        ],
    );
}

#[test]
fn a_create_and_an_undelete_carry_everything() {
    for change_type in ["CREATE", "UNDELETE"] {
        let created = change(change_type).with("Name", text("Acme"));
        assert_verdicts(
            &created,
            &[
                (r#"event.Name == "Acme""#, "keep"),
                ("event.Industry == null && has(event.Industry)", "keep"),
                (r#"event.BillingAddress.City == "Berlin""#, "drop"),
                (
                    "event.BillingAddress == null && event.BillingAddress.City == null",
                    "keep",
                ),
                // A company's name is text, a person's is a record.
                ("event.Name.LastName == null", "keep"),
                ("size(event) == 11", "keep"),
            ],
        );
    }
    let name = record(vec![
        ("FirstName", Value::Union(0, Box::new(Value::Null))),
        ("LastName", Value::Union(1, Box::new(text("Curie")))),
    ]);
    let person = change("CREATE").with_branch("Name", 2, name);
    assert_verdicts(&person, &[(r#"event.Name.LastName == "Curie""#, "keep")]);
}

#[test]
fn children_of_compound_fields_are_carried_one_by_one() {
    let moved = change("UPDATE")
        .changed(&["BillingAddress.City"])
        .with("BillingAddress", address(None, Some("Berlin")));
    let nulled = change("UPDATE").changed(&["BillingAddress.City"]);
    assert_verdicts(
        &moved,
        &[
            (r#"event.BillingAddress.City == "Berlin""#, "keep"),
            (r#"event["BillingAddress"].City == "Berlin""#, "keep"),
            (
                "event.BillingAddress.Street == null",
                "unknown BillingAddress.Street",
            ),
            (
                "has(event.BillingAddress.City) && !has(event.BillingAddress.Street)",
                "keep",
            ),
            (r#"event.BillingAddress == {"City": "Berlin"}"#, "keep"),
        ],
    );
    assert_verdicts(
        &nulled,
        &[
            ("event.BillingAddress.City == null", "keep"),
            (
                "event.BillingAddress.Street == null",
                "unknown BillingAddress.Street",
            ),
        ],
    );
}

#[test]
fn a_diff_is_not_a_value() {
    let edited = change("UPDATE")
        .changed(&["Description"])
        .diffs(&["Description"])
        .with("Description", text("--- a\n+++ b"));
    assert_verdicts(
        &edited,
        &[
            (r#"event.Description.contains("a")"#, "unknown Description"),
            ("has(event.Description)", "drop"),
            (r#""Description" in header.diffFields"#, "keep"),
        ],
    );
}

#[test]
fn a_platform_event_carries_everything_and_has_no_header() {
    let event = platform()
        .with("AnnualRevenue", Value::Double(1000.5))
        .with("NumberOfEmployees", Value::Int(7))
        .with("Tags", Value::Array(vec![text("new"), text("vip")]));
    assert_verdicts(
        &event,
        &[
            ("event.AnnualRevenue > 1000 && event.AnnualRevenue < 1001", "keep"),
            ("event.AnnualRevenue > event.NumberOfEmployees", "keep"),
            (
                "event.NumberOfEmployees == 7.0 && event.NumberOfEmployees in [5, 7]",
                "keep",
            ),
            (
                r#""vip" in event.Tags && event.Tags.exists(tag, tag.startsWith("n"))"#,
                "keep",
            ),
            (
                r#"event.CreatedById.startsWith("005") && event.Industry == null"#,
                "keep",
            ),
            ("has(header.changeType) || size(header) > 0", "drop"),
            (
                r#"header.changeType == "DELETE""#,
                "error: it reads a field or a key that is not there",
            ),
        ],
    );
}

#[test]
fn times_and_days_are_timestamps() {
    let event = platform()
        .with("LastActivity", Value::Long(1_700_000_000_123))
        .with("Founded", Value::Long(946_684_800_000))
        .with("Seen", Value::Long(i64::MAX));
    assert_verdicts(
        &event,
        &[
            (
                r#"event.LastActivity > timestamp("2023-11-14T22:13:20Z")"#,
                "keep",
            ),
            (
                r#"event.LastActivity - duration("24h") < timestamp("2023-11-14T00:00:00Z")"#,
                "keep",
            ),
            (r#"event.Founded == timestamp("2000-01-01T00:00:00Z")"#, "keep"),
            ("event.Founded.getFullYear() == 2000", "keep"),
            (r#"event.Seen > timestamp("9999-12-31T00:00:00Z")"#, "keep"),
            (r#"event.CreatedDate < timestamp("2024-01-01T00:00:00Z")"#, "keep"),
        ],
    );
}

#[test]
fn what_is_wrong_with_the_filter_is_an_error_and_not_unknown() {
    let named = change("UPDATE")
        .changed(&["Name"])
        .with("Name", text("Secret Inc"));
    assert_verdicts(
        &named,
        &[
            ("event.Name > 3", "error: `>` does not take (string, int)"),
            (
                "1 / (header.sequenceNumber - 3) == 1",
                "error: it divides by zero",
            ),
            ("1 / (header.sequenceNumber - 3) == 1 || true", "keep"),
            ("event.Name > 3 && false", "drop"),
            ("event.Name", "error: it must be true or false, and is string"),
            (
                "header.sequenceNumber",
                "error: it must be true or false, and is int",
            ),
            (
                "event.Nmae == 1",
                "error: it reads a field or a key that is not there",
            ),
            ("has(event.Nmae)", "drop"),
            (
                "event.ChangeEventHeader == 1",
                "error: it reads a field or a key that is not there",
            ),
            (
                r#"{"a": 1}[event.Name] == 1"#,
                "error: it reads a field or a key that is not there",
            ),
            // Either order: a broken filter is seen.
            (
                "event.Industry == 'x' || event.Name > 3",
                "error: `>` does not take (string, int)",
            ),
            (
                "event.Name > 3 || event.Industry == 'x'",
                "error: `>` does not take (string, int)",
            ),
        ],
    );
}

#[test]
fn no_error_holds_a_value() {
    let named = change("UPDATE")
        .changed(&["Name"])
        .with("Name", text("Secret (Inc"));
    for filter in [
        "event.Name > 3",
        "event.Name + 1 == 2",
        "event.Name",
        "-event.Name == 1",
        "{'a': 1}[event.Name] == 1",
        "event[event.Name] == 1",
        "[1][event.Name] == 1",
        "{event.Name: 1, event.Name: 2}.b == 1",
        "'a'.matches(event.Name)",
        "timestamp(event.Name) == 1",
        "int(event.Name) == 1",
        "event.Name.foo == 1",
    ] {
        let error = named.verdict(filter).unwrap_err();
        let told = format!("{error} {error:?} {:?}", Failure::from(error.clone()));
        assert!(!told.contains("Secret"), "{filter}: {told}");
        assert_eq!(Failure::from(error).kind, ErrorKind::Poison);
    }
}

#[test]
fn a_filter_knows_whether_it_needs_the_body() {
    let header_only = |text| Filter::compile(text).unwrap().is_header_only();
    assert!(header_only(r#"header.changeType == "DELETE""#));
    assert!(!header_only("has(event.Name)"));
    assert!(!header_only("size(event) > 0"));
    assert!(!header_only("[1].exists(x, event.Name == 'x')"));
}

#[test]
fn one_compiled_filter_serves_many_threads() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Filter>();
}
