use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::super::coerce;

#[test]
fn texts_take_numbers_by_their_exact_text() {
    for (value, text) in [
        (json!("a"), "a"),
        (json!(""), ""),
        (json!(-5), "-5"),
        (json!(9_007_199_254_740_993_i64), "9007199254740993"),
        (json!(u64::MAX), "18446744073709551615"),
        (json!(0.1), "0.1"),
        (json!(5.0), "5"),
        (json!(-0.0), "0"),
        (json!(1e-7), "0.0000001"),
        (json!(true), "true"),
    ] {
        assert_eq!(coerce::text(&value).as_deref(), Ok(text), "{value}");
    }
    for value in [json!(1e20), json!([]), json!({}), json!(null)] {
        assert!(coerce::text(&value).is_err(), "{value}");
    }
}

#[test]
fn a_text_that_is_too_long_is_refused_with_the_lengths() {
    assert!(coerce::text_within(&json!("äöü"), 3).is_ok());
    assert_eq!(
        coerce::text_within(&json!("secret"), 3).unwrap_err(),
        "holds 3 characters, and the text has 6"
    );
    assert!(coerce::text_within(&json!("any length"), 0).is_ok());
}

#[test]
fn choices_are_a_text_or_a_list() {
    assert_eq!(coerce::choices(&json!("a;b"), 9).as_deref(), Ok("a;b"));
    assert_eq!(coerce::choices(&json!(["a", 1]), 9).as_deref(), Ok("a;1"));
    assert_eq!(coerce::choices(&json!([]), 9).as_deref(), Ok(""));
    for list in [
        json!(["a;b"]),
        json!([null]),
        json!([["a"]]),
        json!(["aaaaa", "bbbbb"]),
    ] {
        assert!(coerce::choices(&list, 9).is_err(), "{list}");
    }
}

#[test]
fn booleans_are_true_false_and_their_texts() {
    assert_eq!(coerce::boolean(&json!(true)), Ok(true));
    assert_eq!(coerce::boolean(&json!("false")), Ok(false));
    for value in [
        json!("TRUE"),
        json!("yes"),
        json!(1),
        json!("1"),
        json!(null),
        json!([true]),
    ] {
        assert!(coerce::boolean(&value).is_err(), "{value}");
    }
}

#[test]
fn whole_numbers_are_exact_and_in_range() {
    for (value, number) in [
        (json!(5), 5),
        (json!(5.0), 5),
        (json!("5"), 5),
        (json!("+5"), 5),
        (json!("5.00"), 5),
        (json!("1.5e3"), 1500),
        (json!("-0"), 0),
        (json!("9223372036854775807"), i64::MAX),
        (json!("-9223372036854775808"), i64::MIN),
        (json!(9_007_199_254_740_993_i64), 9_007_199_254_740_993),
    ] {
        assert_eq!(coerce::integer(&value), Ok(number), "{value}");
    }
    for value in [
        json!(5.5),
        json!("5.5"),
        json!(1e19),
        json!("9223372036854775808"),
        json!(u64::MAX),
        json!("1e300"),
        json!(""),
        json!(" 5"),
        json!("5 "),
        json!("5."),
        json!(".5"),
        json!("0x5"),
        json!("1,000"),
        json!("NaN"),
        json!("-"),
        json!("1e"),
        json!("--1"),
        json!(true),
    ] {
        assert!(coerce::integer(&value).is_err(), "{value}");
    }
    assert_eq!(coerce::int(&json!(2_147_483_647)), Ok(i32::MAX));
    assert_eq!(
        coerce::int(&json!(2_147_483_648_i64)).unwrap_err(),
        "takes whole numbers of 32 bits"
    );
}

#[test]
fn doubles_hold_exactly_what_was_written_or_nothing() {
    for (value, number) in [
        (json!(1), 1.0),
        (json!(0.1), 0.1),
        (json!("0.1"), 0.1),
        (json!("12.50"), 12.5),
        (json!("-0.00"), 0.0),
        (json!("1e300"), 1e300),
        (json!("9007199254740992"), 9_007_199_254_740_992.0),
        (json!(9_007_199_254_740_992_i64), 9_007_199_254_740_992.0),
    ] {
        assert_eq!(coerce::double(&value), Ok(number), "{value}");
    }
    for value in [
        json!(9_007_199_254_740_993_i64),
        json!("9007199254740993"),
        json!("0.12345678901234567890"),
        json!("1e400"),
        json!("NaN"),
        json!("Infinity"),
        json!("inf"),
        json!("1_000"),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(false),
    ] {
        assert!(coerce::double(&value).is_err(), "{value}");
    }
}

#[test]
fn times_need_their_form() {
    assert_eq!(
        coerce::date_time_ms(&json!("2023-11-15T00:13:20.123+02:00")),
        Ok(1_700_000_000_123)
    );
    assert_eq!(
        coerce::date_time_ms(&json!(1_700_000_000_123_i64)),
        Ok(1_700_000_000_123)
    );
    assert_eq!(coerce::day_ms(&json!("2023-11-14")), Ok(1_699_920_000_000));
    assert_eq!(
        coerce::day_ms(&json!("2023-11-14T23:30:00-05:00")),
        Ok(1_700_006_400_000)
    );
    assert_eq!(coerce::time_ms(&json!("10:11:12.013Z")), Ok(36_672_013));
    for value in [
        json!("2023-11-14"),
        json!("1700000000123"),
        json!(1.5),
        json!(true),
    ] {
        assert!(coerce::date_time_ms(&value).is_err(), "{value}");
    }
    assert!(coerce::day_ms(&json!(1_700_000_000_123_i64)).is_err());
    assert!(coerce::time_ms(&json!(0)).is_err());
}

proptest! {
    #[test]
    fn a_number_keeps_its_value_through_text(double in any::<f64>().prop_filter("finite", |d| d.is_finite()), int in any::<i64>()) {
        let written = json!(format!("{double:e}"));
        prop_assert_eq!(coerce::double(&written), Ok(if double == 0.0 { 0.0 } else { double }));
        prop_assert_eq!(coerce::integer(&json!(int.to_string())), Ok(int));
        let text = coerce::text(&json!(int)).map(|text| text.into_owned());
        prop_assert_eq!(text, Ok(int.to_string()));
    }

    #[test]
    fn no_value_takes_the_process_down_and_none_is_told(text in "\\PC{1,40}") {
        let value = Json::from(text.clone());
        let rules = [
            coerce::boolean(&value).err(),
            coerce::integer(&value).err(),
            coerce::double(&value).err(),
            coerce::date_time_ms(&value).err(),
            coerce::day_ms(&value).err(),
            coerce::time_ms(&value).err(),
        ];
        if text.chars().count() > 8 {
            prop_assert!(rules.into_iter().flatten().all(|rule| !rule.contains(&text)));
        }
    }
}
