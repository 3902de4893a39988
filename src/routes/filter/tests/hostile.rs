use apache_avro::types::Value;
use proptest::prelude::*;

use super::super::{Filter, FilterError};
use super::fixtures::{Event, address, change, platform, platform_schema, text};
use crate::config::expression::{BYTES_MAX, DEPTH_MAX};

/// Expressions over everything there is, whether or not the types fit.
fn expressions() -> impl Strategy<Value = String> {
    let leaves = prop::sample::select(vec![
        "true",
        "null",
        "0",
        "-1",
        "9223372036854775807",
        "1.5",
        "1u",
        "''",
        "'(['",
        "b'x'",
        "[]",
        "[1, 'a', null]",
        "{'City': 1}",
        "event",
        "header",
        "event.Name",
        "event.Industry",
        "event.AnnualRevenue",
        "event.Seen",
        "event.BillingAddress",
        "event.BillingAddress.City",
        "event.Tags",
        "event.Nothing",
        "has(event.Name)",
        "has(event.BillingAddress.City)",
        "header.changeType",
        "header.changedFields",
        "timestamp('2024-01-01T00:00:00Z')",
        "timestamp('9999-12-31T23:59:59Z')",
        "timestamp('0001-01-01T00:00:00Z')",
        "duration('1h')",
        "duration('2562047h')",
    ]);
    leaves.prop_map(str::to_owned).prop_recursive(5, 40, 3, |inner| {
        let two = (inner.clone(), inner.clone());
        let operators = vec![
            "==", "!=", "<", "<=", ">", ">=", "&&", "||", "+", "-", "*", "/", "%", "in",
        ];
        prop_oneof![
            (two.clone(), prop::sample::select(operators)).prop_map(|((a, b), op)| format!("({a} {op} {b})")),
            (inner.clone(), two.clone()).prop_map(|(a, (b, c))| format!("({a} ? {b} : {c})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            inner.clone().prop_map(|a| format!("-({a})")),
            (
                two.clone(),
                prop::sample::select(vec!["exists", "all", "exists_one", "map", "filter"])
            )
                .prop_map(|((a, b), name)| format!("({a}).{name}(x, {b})")),
            (
                two.clone(),
                prop::sample::select(vec!["contains", "startsWith", "matches"])
            )
                .prop_map(|((a, b), name)| format!("({a}).{name}({b})")),
            (
                inner.clone(),
                prop::sample::select(vec![
                    "size",
                    "int",
                    "uint",
                    "double",
                    "string",
                    "type",
                    "timestamp",
                    "bytes"
                ])
            )
                .prop_map(|(a, name)| format!("{name}({a})")),
            (
                inner,
                prop::sample::select(vec!["getFullYear", "getHours", "getDayOfYear", "size"])
            )
                .prop_map(|(a, name)| format!("({a}).{name}()")),
            two.prop_map(|(a, b)| format!("({a})[{b}]")),
        ]
    })
}

fn events() -> [Event; 3] {
    let filled = |event: Event| {
        event
            .with("Name", text("Acme"))
            .with("AnnualRevenue", Value::Double(f64::NAN))
            .with("Seen", Value::Long(i64::MIN))
            .with("BillingAddress", address(None, Some("Berlin")))
            .with("Tags", Value::Array(vec![text("a")]))
    };
    [
        change("DELETE"),
        filled(change("UPDATE").changed(&["Name", "Industry", "BillingAddress.City"])),
        filled(platform()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_expression_takes_the_process_down(expression in expressions()) {
        // Refusals are answers too: whatever is compiled must be checked and evaluated in peace.
        if let Ok(filter) = Filter::compile(&expression) {
            filter.check(platform_schema());
            for event in events() {
                let _ = event.evaluate(&filter);
            }
        }
    }

    #[test]
    fn no_text_takes_the_process_down(text in "[a-z0-9 .,()\\[\\]{}?:!&|=<>+*/%'\"\\\\-]{0,60}") {
        let _ = Filter::compile(&text);
    }
}

#[test]
fn a_filter_that_is_too_long_or_too_deep_is_refused_with_the_reason() {
    let refused = |text: &str| match Filter::compile(text) {
        Err(FilterError::Text(fault)) => fault.rule,
        other => panic!("{other:?}"),
    };
    assert!(refused(&" ".repeat(BYTES_MAX + 1)).contains("at most 4096 bytes"));
    for chain in [
        vec!["1"; 2000].join("+"),
        format!("event{}", ".a".repeat(2000)),
        format!("event{}", "[0]".repeat(1300)),
        format!("{}true", "true?true:".repeat(400)),
    ] {
        let rule = refused(&chain);
        assert!(rule.contains("nests at most"), "{rule}");
    }
}

#[test]
fn the_deepest_filter_is_evaluated_within_a_workers_stack() {
    let sum = vec!["1"; DEPTH_MAX - 2].join("+");
    let filter = format!("{sum} == 1");
    let nested = format!("{}event.Name == 'x'{}", "[1].all(x, ".repeat(10), ")".repeat(10));
    for text in [filter, nested] {
        let filter = Filter::compile(&text).unwrap();
        // Three quarters of what a worker of the runtime has.
        let thread = std::thread::Builder::new().stack_size(3 << 19);
        let evaluated = thread
            .spawn(move || platform().evaluate(&filter).is_ok())
            .unwrap();
        assert!(evaluated.join().unwrap(), "{text}");
    }
}

#[test]
fn a_chain_of_many_alternatives_is_not_deep() {
    let names: Vec<_> = (0..150)
        .map(|number| format!("event.Name == 'name {number}'"))
        .collect();
    let filter = Filter::compile(&names.join(" || ")).unwrap();
    assert!(platform().evaluate(&filter).is_ok());
}
