//! What a client writes, as the org stores it: text trimmed, nothing for the empty text, e-mail in lower case, times
//! in UTC and to the second (Salesforce: "precision of one second"), numbers rounded to the field's scale. Pure.
//!
//! A value that is of the wrong type altogether cannot be read: Salesforce's parser stops there
//! ([`Misfit::Unreadable`]). One that can be read and is against a rule is the record's own fault ([`Misfit::Rule`]).

use jiff::civil::{Date, DateTime, Time};
use serde_json::{Number, Value as Json, json};

use crate::simulator::writes::RecordError;

use super::records::id18;
use super::sobject::Column;

/// Why a value is not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Misfit {
    Unreadable(RecordError),
    Rule(RecordError),
}

/// The value that a column stores; null is no value.
pub(crate) fn stored(column: &Column, given: &Json) -> Result<Json, Misfit> {
    if given.is_null() {
        return match column.rest_type {
            "boolean" => Err(wrong_type(column, "null")),
            _ => Ok(Json::Null),
        };
    }
    match column.rest_type {
        "boolean" => boolean(given),
        "int" => int(given),
        "double" | "currency" | "percent" => double(column, given),
        "datetime" => time(given, "datetime", datetime_ms),
        "date" => time(given, "date", date_ms),
        "time" => time(given, "time", time_ms),
        "reference" => reference(column, given),
        _ => text(column, given),
    }
}

/// `VALUE_STRING value abc`: what the parser found.
pub(crate) fn unreadable(wanted: &str, given: &Json) -> Misfit {
    let found = match given {
        Json::Null => "VALUE_NULL value null".to_owned(),
        Json::Bool(flag) => format!("VALUE_{} value {flag}", flag.to_string().to_uppercase()),
        Json::Number(number) if number.is_f64() => format!("VALUE_NUMBER_FLOAT value {number}"),
        Json::Number(number) => format!("VALUE_NUMBER_INT value {number}"),
        Json::String(text) => format!("VALUE_STRING value {text}"),
        Json::Array(_) => "START_ARRAY value [".to_owned(),
        Json::Object(_) => "START_OBJECT value {".to_owned(),
    };
    let message = format!(
        "Cannot deserialize instance of {wanted} from {found} or request may be missing a required field at \
         [line:1, column:1]"
    );
    Misfit::Unreadable(RecordError::new("JSON_PARSER_ERROR", &message))
}

fn wrong_type(column: &Column, shown: &str) -> Misfit {
    let message = format!("{}: value not of required type: {shown}", column.name);
    Misfit::Rule(RecordError::new("INVALID_TYPE_ON_FIELD_IN_RECORD", &message).on(&column.name))
}

fn text(column: &Column, given: &Json) -> Result<Json, Misfit> {
    let Json::String(text) = given else {
        return Err(unreadable("string", given));
    };
    let text = text.trim();
    let rule =
        |code: &str, message: String| Err(Misfit::Rule(RecordError::new(code, &message).on(&column.name)));
    if text.is_empty() {
        return Ok(Json::Null);
    }
    let length = column.length();
    if text.chars().count() > length {
        let message = format!(
            "{}: data value too large: {text} (max length={length})",
            column.name
        );
        return rule("STRING_TOO_LONG", message);
    }
    if column.rest_type == "email" {
        let is_address = text
            .split_once('@')
            .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !text.contains([' ', ',']));
        if !is_address {
            let message = format!("{}: invalid email address: {text}", column.name);
            return rule("INVALID_EMAIL_ADDRESS", message);
        }
        return Ok(json!(text.to_lowercase()));
    }
    Ok(json!(text))
}

fn boolean(given: &Json) -> Result<Json, Misfit> {
    match given {
        Json::Bool(flag) => Ok(json!(flag)),
        Json::String(text) if text.eq_ignore_ascii_case("true") || text == "1" => Ok(json!(true)),
        Json::String(text) if text.eq_ignore_ascii_case("false") || text == "0" => Ok(json!(false)),
        _ => Err(unreadable("boolean", given)),
    }
}

fn int(given: &Json) -> Result<Json, Misfit> {
    let number = match given {
        Json::Number(number) => number.as_i64(),
        Json::String(text) if text.is_empty() => return Ok(Json::Null),
        Json::String(text) => text.parse().ok(),
        _ => None,
    };
    let number = number.and_then(|number| i32::try_from(number).ok());
    number.map_or_else(|| Err(unreadable("int", given)), |number| Ok(json!(number)))
}

fn double(column: &Column, given: &Json) -> Result<Json, Misfit> {
    let number = match given {
        Json::Number(number) => number.as_f64(),
        Json::String(text) if text.is_empty() => return Ok(Json::Null),
        Json::String(text) => text.parse().ok(),
        _ => None,
    };
    let number = number
        .filter(|number| number.is_finite())
        .ok_or_else(|| unreadable("double", given))?;
    let (precision, scale) = column.digits();
    let whole_digits = i32::try_from(precision.saturating_sub(scale)).unwrap_or(i32::MAX);
    if number.abs() >= 10_f64.powi(whole_digits.max(1)) {
        let message = format!(
            "{}: value outside of valid range on numeric field: {number}",
            column.name
        );
        return Err(Misfit::Rule(
            RecordError::new("NUMBER_OUTSIDE_VALID_RANGE", &message).on(&column.name),
        ));
    }
    // By way of decimal digits: a product with a power of ten would add an error of its own.
    let rounded = format!("{number:.*}", usize::try_from(scale).unwrap_or(6));
    let rounded = rounded.parse().ok().and_then(Number::from_f64);
    Ok(rounded.map_or(Json::Null, Json::Number))
}

fn time(given: &Json, wanted: &str, read: fn(&str) -> Option<i64>) -> Result<Json, Misfit> {
    let Json::String(text) = given else {
        return Err(unreadable(wanted, given));
    };
    if text.trim().is_empty() {
        return Ok(Json::Null);
    }
    read(text.trim()).map_or_else(|| Err(unreadable(wanted, given)), |ms| Ok(json!(ms)))
}

fn datetime_ms(text: &str) -> Option<i64> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(at.as_second() * 1_000)
}

fn date_ms(text: &str) -> Option<i64> {
    // jiff reads the date out of a longer text too; Salesforce takes nothing but the date.
    let date: Date = (text.len() == 10).then(|| text.parse().ok())??;
    ms_since(
        DateTime::constant(1970, 1, 1, 0, 0, 0, 0),
        date.to_datetime(Time::midnight()),
    )
}

fn time_ms(text: &str) -> Option<i64> {
    let time: Time = text.trim_end_matches('Z').parse().ok()?;
    let day = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    ms_since(day, day.date().to_datetime(time))
}

fn ms_since(start: DateTime, end: DateTime) -> Option<i64> {
    i64::try_from(end.duration_since(start).as_millis()).ok()
}

fn reference(column: &Column, given: &Json) -> Result<Json, Misfit> {
    let Json::String(text) = given else {
        return Err(unreadable("string", given));
    };
    if text.trim().is_empty() {
        return Ok(Json::Null);
    }
    let malformed = || {
        let message = format!("{}: id value of incorrect type: {text}", column.name);
        Misfit::Rule(RecordError::new("MALFORMED_ID", &message).on(&column.name))
    };
    id18(text.trim()).map(|id| json!(id)).ok_or_else(malformed)
}

/// Whether two stored values are the same, a whole number in either of its forms.
pub(crate) fn same(one: &Json, other: &Json) -> bool {
    match (one.as_f64(), other.as_f64()) {
        #[allow(clippy::float_cmp, reason = "whether a value changed at all")]
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fields::Rulebook;
    use super::super::schemas::{ACCOUNT, EventSchema};
    use super::super::sobject::SObject;
    use super::*;

    fn of(name: &str, given: Json) -> Result<Json, Misfit> {
        let schema = EventSchema::parse(ACCOUNT).expect("the sample parses");
        let object = SObject::new("Account", &schema).with_rules(&Rulebook::default());
        stored(object.column(name).expect(name), &given)
    }

    #[test]
    fn values_are_stored_as_salesforce_does() {
        for (name, given, expected) in [
            ("Name", json!("  Acme \n"), json!("Acme")),
            ("Name", json!(" "), Json::Null),
            (
                "Some_Email__c",
                json!("Ada@Example.COM"),
                json!("ada@example.com"),
            ),
            ("NumberOfEmployees", json!("42"), json!(42)),
            ("AnnualRevenue", json!(10), json!(10.0)),
            ("AnnualRevenue", json!(0.123_456_78), json!(0.123_457)),
            (
                "Some_Date_Time__c",
                json!("2023-11-15T00:13:20.999+02:00"),
                json!(1_700_000_000_000_i64),
            ),
            (
                "Some_Date_Time__c",
                json!("2023-11-14T22:13:20.000+0000"),
                json!(1_700_000_000_000_i64),
            ),
            ("Some_Date__c", json!("2023-11-15"), json!(1_700_006_400_000_i64)),
            ("Some_Time__c", json!("10:11:12.000Z"), json!(36_672_000)),
            ("Some_Check_Box__c", json!("TRUE"), json!(true)),
            ("ParentId", json!("001Dp00000H8YVW"), json!("001Dp00000H8YVWIA3")),
            (
                "Some_Geolocation__Latitude__s",
                json!(53.540_000_1),
                json!(53.540_000_1),
            ),
        ] {
            assert_eq!(of(name, given.clone()), Ok(expected), "{name} {given}");
        }
    }

    #[test]
    fn what_the_parser_cannot_read_and_what_is_against_a_rule_are_told_apart() {
        for (name, given) in [
            ("Name", json!(5)),
            ("Name", json!({})),
            ("NumberOfEmployees", json!(1.5)),
            ("NumberOfEmployees", json!(3_000_000_000_i64)),
            ("AnnualRevenue", json!("much")),
            ("Some_Date__c", json!("2023-11-15T00:00:00Z")),
            ("Some_Date_Time__c", json!("yesterday")),
            ("Some_Check_Box__c", json!("maybe")),
        ] {
            let misfit = of(name, given.clone());
            assert!(matches!(misfit, Err(Misfit::Unreadable(_))), "{name} {given}");
        }
        for (name, given, code) in [
            ("Name", json!("x".repeat(256)), "STRING_TOO_LONG"),
            ("Some_Email__c", json!("nobody"), "INVALID_EMAIL_ADDRESS"),
            ("AnnualRevenue", json!(1e13), "NUMBER_OUTSIDE_VALID_RANGE"),
            ("ParentId", json!("it"), "MALFORMED_ID"),
            ("Some_Check_Box__c", Json::Null, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        ] {
            let Err(Misfit::Rule(error)) = of(name, given.clone()) else {
                panic!("{name} {given} is against a rule")
            };
            assert_eq!(
                (error.status_code.as_str(), error.fields),
                (code, vec![name.to_owned()])
            );
        }
    }
}
