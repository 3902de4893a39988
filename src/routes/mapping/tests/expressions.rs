use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::super::expression::{Expression, NoAnswer};
use super::super::{Decoded, Key, Program};
use super::fixtures::{program, record, tombstone};
use crate::config::expression::{BYTES_MAX, DEPTH_MAX};

fn answer(text: &str, record: &Decoded) -> Result<Json, NoAnswer> {
    Expression::compile(text).unwrap().answer(record)
}

fn missing(path: &str) -> Result<Json, NoAnswer> {
    Err(NoAnswer::Missing(Some(path.to_owned())))
}

fn order() -> Decoded {
    Decoded {
        key: Key::Value(json!({"id": 7, "tenant": "acme"})),
        headers: Map::from_iter([("source".to_owned(), json!("shop"))]),
        ..record(json!({
            "order": {"id": "A-1", "big": 9_007_199_254_740_993_i64, "huge": u64::MAX, "note": null},
            "total": 12, "rate": 0.5, "items": [{"sku": "x", "count": 2}, {"sku": "y", "count": 3}],
            "odd-name": 1, "dotted.name": 2, "shipped_at": "2026-01-02T03:04:05Z", "tags": ["a", "b"],
        }))
    }
}

#[test]
fn a_path_is_looked_up_as_it_is() {
    for (text, value) in [
        ("value.order.id", json!("A-1")),
        ("value[\"order\"].big", json!(9_007_199_254_740_993_i64)),
        ("value.order.huge", json!(u64::MAX)),
        ("value.order.note", json!(null)),
        ("value['odd-name']", json!(1)),
        ("value['dotted.name']", json!(2)),
        ("value.tags", json!(["a", "b"])),
        ("key.tenant", json!("acme")),
        ("headers.source", json!("shop")),
        ("key", json!({"id": 7, "tenant": "acme"})),
    ] {
        assert_eq!(answer(text, &order()), Ok(value), "{text}");
    }
}

#[test]
fn everything_else_is_cel_over_the_same_variables() {
    for (text, value) in [
        ("value.order.id + '-' + topic", json!("A-1-orders")),
        ("value.total > 0.0", json!(true)),
        ("value.total * 2", json!(24)),
        ("double(value.total) * value.rate", json!(6.0)),
        ("value.order.big + 1", json!(9_007_199_254_740_994_i64)),
        ("value.order.huge - 1u", json!(u64::MAX - 1)),
        ("value.items[1].sku", json!("y")),
        ("value.items.map(i, i.sku)", json!(["x", "y"])),
        ("value.items.exists(i, i.count > 2)", json!(true)),
        ("size(value.items)", json!(2)),
        ("'sku' in value.items[0]", json!(true)),
        ("value.items[0]", json!({"sku": "x", "count": 2})),
        (
            "value.order.map(name, name)",
            json!(["id", "big", "huge", "note"]),
        ),
        ("value.items[0] == {'sku': 'x', 'count': 2}", json!(true)),
        ("partition", json!(3)),
        ("offset", json!(42)),
        ("timestamp", json!("2023-11-14T22:13:20.123Z")),
        ("timestamp(value.shipped_at)", json!("2026-01-02T03:04:05.000Z")),
        (
            "timestamp(value.shipped_at) + duration('1h')",
            json!("2026-01-02T04:04:05.000Z"),
        ),
        ("has(value.nothing) ? value.nothing : 'none'", json!("none")),
        ("has(value.nothing.at.all)", json!(false)),
        ("has(value.order.note.deep)", json!(false)),
        ("value.order.note == null", json!(true)),
        ("value == null", json!(false)),
        ("has(headers.traceparent)", json!(false)),
        ("key.tenant == 'acme' || value.nothing == 1", json!(true)),
        ("value.nothing == 1 || key.tenant == 'acme'", json!(true)),
        ("value.order.note > 5", json!(false)),
        ("b'ab'", json!("YWI=")),
        ("1.0 / 0.0", json!("Infinity")),
        ("string(value.total)", json!("12")),
    ] {
        let expression = Expression::compile(text);
        let Ok(expression) = expression else {
            panic!("{text}: {expression:?}");
        };
        assert_eq!(expression.answer(&order()), Ok(value), "{text}");
    }
}

#[test]
fn what_the_record_lacks_is_missing_and_no_error() {
    assert_eq!(answer("value.nothing", &order()), missing("value.nothing"));
    assert_eq!(
        answer("value.order.note.deep", &order()),
        missing("value.order.note.deep")
    );
    assert_eq!(
        answer("value.nothing.deep + 'x'", &order()),
        missing("value.nothing.deep")
    );
    assert_eq!(
        answer("headers.traceparent", &order()),
        missing("headers.traceparent")
    );
    assert_eq!(
        answer("value.items[7].sku", &order()),
        Err(NoAnswer::Missing(None))
    );
    assert_eq!(answer("value.items[0].nothing", &order()), missing("nothing"));
    assert_eq!(
        answer("value.order.id", &tombstone(Key::Absent)),
        missing("value.order.id")
    );
    assert_eq!(answer("value", &tombstone(Key::Absent)), Ok(json!(null)));
    assert_eq!(answer("value == null", &tombstone(Key::Absent)), Ok(json!(true)));
    // A key that was computed may be somebody's value.
    assert_eq!(
        answer("{'a': 1}[value.order.id]", &order()),
        Err(NoAnswer::Missing(None))
    );
}

#[test]
fn other_errors_name_rules_and_types_and_no_value() {
    for (text, rule) in [
        ("value.order.id.deep", "it reads a member of a text"),
        ("value.total + 'x'", "`+` does not take (int, string)"),
        ("value.total / 0", "it divides by zero"),
        ("duration('1h')", "it is a duration, which no field takes"),
        ("type(1)", "it is type, which no field takes"),
        (
            "timestamp(value.order.id)",
            "`timestamp` cannot take what it is given",
        ),
    ] {
        assert_eq!(
            answer(text, &order()),
            Err(NoAnswer::Broken(rule.to_owned())),
            "{text}"
        );
    }
}

#[test]
fn an_unreadable_key_concerns_those_alone_who_need_it() {
    let record = Decoded {
        key: Key::Unreadable("it is not UTF-8 text".to_owned()),
        ..order()
    };
    assert_eq!(answer("value.total + 1", &record), Ok(json!(13)));
    for text in ["key", "key.id", "key + 'x'", "key.id + 1", "has(key.id)"] {
        let unreadable = NoAnswer::Broken("the key cannot be read: it is not UTF-8 text".to_owned());
        assert_eq!(answer(text, &record), Err(unreadable), "{text}");
    }
}

#[test]
fn every_expression_that_is_none_is_told_with_its_place() {
    let fields = BTreeMap::from([
        ("A__c".to_owned(), "value.".to_owned()),
        ("B__c".to_owned(), "event.x".to_owned()),
        ("C__c".to_owned(), "value.x.lower()".to_owned()),
        ("D__c".to_owned(), "value.x".to_owned()),
        ("E__c".to_owned(), "[1].map(key, key)".to_owned()),
    ]);
    let errors = Program::compile("orders", Some("1 +"), &fields).unwrap_err();
    let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 5, "{told:?}");
    assert!(
        told[0].starts_with("route orders: to.filter, line 1, column "),
        "{told:?}"
    );
    assert!(
        told[1].starts_with("route orders: to.fields.A__c, line 1, column "),
        "{told:?}"
    );
    assert_eq!(
        told[2],
        "route orders: to.fields.B__c, line 1, column 1: there is no variable `event`; there are `value`, `key`, `headers`, `topic`, `partition`, `offset` and `timestamp`"
    );
    assert!(told[3].ends_with("there is no function `lower`"), "{told:?}");
    assert!(
        told[4].ends_with("a macro's variable cannot be called `key`"),
        "{told:?}"
    );
}

#[test]
fn a_filter_keeps_drops_or_has_no_answer() {
    let keeps = |filter: &str, record: &Decoded| {
        let keeps = program(Some(filter), &[]).keeps(record);
        keeps.map_err(|refusal| refusal.public)
    };
    assert_eq!(keeps("value.total > 0.0", &order()), Ok(true));
    assert_eq!(keeps("value.total > 100", &order()), Ok(false));
    assert_eq!(keeps("headers.source == 'shop'", &order()), Ok(true));
    assert_eq!(
        keeps("value.amount > 0.0", &order()).unwrap_err(),
        "the filter has no answer: it needs value.amount, which the record lacks; ask `has()` first"
    );
    assert_eq!(
        keeps("value.order.id", &order()).unwrap_err(),
        "the filter has no answer: it must be true or false, and is a text"
    );
    assert_eq!(program(None, &[]).keeps(&order()), Ok(true));
}

#[test]
fn a_tombstone_is_kept_where_the_filter_needs_its_value() {
    let keeps = |filter: &str| program(Some(filter), &[]).keeps(&tombstone(Key::Value(json!("A-1"))));
    assert_eq!(keeps("value.total > 0.0"), Ok(true));
    assert_eq!(keeps("value != null"), Ok(false));
    assert_eq!(keeps("value != null && value.total > 0"), Ok(false));
    assert_eq!(keeps("key.startsWith('B')"), Ok(false));
    assert!(
        keeps("headers.source == 'shop'").is_err(),
        "its value has nothing to do with it"
    );
}

fn expressions() -> impl Strategy<Value = String> {
    let leaves = prop::sample::select(vec![
        "true",
        "null",
        "0",
        "-1",
        "1.5",
        "1u",
        "''",
        "b'x'",
        "[]",
        "[1, 'a', null]",
        "{'id': 1}",
        "value",
        "key",
        "headers",
        "topic",
        "offset",
        "timestamp",
        "value.order",
        "value.order.id",
        "value.order.big",
        "value.items",
        "value.items[0]",
        "value.nothing",
        "value.order.note",
        "key.id",
        "headers.source",
        "has(value.order.note)",
        "duration('1h')",
        "timestamp('2024-01-01T00:00:00Z')",
    ]);
    leaves.prop_map(str::to_owned).prop_recursive(5, 40, 3, |inner| {
        let two = (inner.clone(), inner.clone());
        let operators = vec!["==", "!=", "<", ">=", "&&", "||", "+", "-", "*", "/", "%", "in"];
        let macros = vec!["exists", "all", "map", "filter"];
        let functions = vec![
            "size",
            "int",
            "uint",
            "double",
            "string",
            "type",
            "timestamp",
            "bytes",
        ];
        prop_oneof![
            (two.clone(), prop::sample::select(operators)).prop_map(|((a, b), op)| format!("({a} {op} {b})")),
            (inner.clone(), two.clone()).prop_map(|(a, (b, c))| format!("({a} ? {b} : {c})")),
            (two.clone(), prop::sample::select(macros))
                .prop_map(|((a, b), name)| format!("({a}).{name}(x, {b})")),
            (inner.clone(), prop::sample::select(functions)).prop_map(|(a, name)| format!("{name}({a})")),
            inner.prop_map(|a| format!("({a}).deep")),
            two.prop_map(|(a, b)| format!("({a})[{b}]")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_expression_takes_the_process_down_and_each_answers_the_same_again(text in expressions()) {
        if let Ok(expression) = Expression::compile(&text) {
            for record in [order(), tombstone(Key::Absent), record(json!([1, {"a": null}]))] {
                prop_assert_eq!(expression.answer(&record), expression.answer(&record));
            }
        }
    }
}

/// As deep as JSON text may be, lists and objects in turn.
fn deep_json() -> Json {
    (0..60).fold(json!(1), |inner, _| json!({"a": [inner]}))
}

#[test]
fn an_expression_that_is_too_long_or_too_deep_is_refused_and_the_deepest_is_evaluated() {
    assert!(Expression::compile(&" ".repeat(BYTES_MAX + 1)).is_err());
    assert!(Expression::compile(&vec!["1"; 2000].join("+")).is_err());
    assert!(Expression::compile(&format!("value{}", ".a".repeat(2000))).is_err());
    let sum = vec!["1"; DEPTH_MAX - 2].join("+");
    let nested = format!("{}value.total{}", "[1].map(x, ".repeat(10), ")".repeat(10));
    let deepest_value = format!(
        "{}value.deep == value.deep{}",
        "[1].map(x, ".repeat(9),
        ")".repeat(9)
    );
    for text in [sum, nested, deepest_value] {
        let expression = Expression::compile(&text).unwrap();
        let order = Decoded {
            value: Some(json!({"total": 1, "deep": deep_json()})),
            ..order()
        };
        // Three quarters of what a worker of the runtime has.
        let thread = std::thread::Builder::new().stack_size(3 << 19);
        let evaluated = thread.spawn(move || expression.answer(&order).is_ok()).unwrap();
        assert!(evaluated.join().unwrap(), "{text}");
    }
}
