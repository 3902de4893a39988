use super::super::Filter;
use super::fixtures::{change_schema, platform_schema};

fn problems(filter: &str) -> Vec<String> {
    let problems = Filter::compile(filter).unwrap().check(change_schema());
    problems.iter().map(ToString::to_string).collect()
}

fn refusal(filter: &str) -> String {
    Filter::compile(filter).unwrap_err().to_string()
}

#[test]
fn a_filter_that_fits_has_no_problems() {
    for filter in [
        r#"header.changeType == "DELETE" || event.Industry == "Energy""#,
        r#"event.Name == "Acme" || event.Name.LastName == "Curie""#,
        "event.AnnualRevenue > 1000 && event.NumberOfEmployees <= 2.5",
        r#"event.Founded < timestamp("2000-01-01T00:00:00Z") && event.Seen != null"#,
        r#"event.Industry in ["Energy", null] && has(event.BillingAddress.City)"#,
        r#"event.Tags.exists(tag, tag == "vip") && event.Tags.exists_one(tag, tag == "x")"#,
        r#"event.Tags.map(tag, tag + "x") == ["a"] && "Name" in header.changedFields"#,
        "event.IsPartner",
        "event.IsPartner ? true : event.Industry == null",
        "size(event.Tags) > 1 && event.Founded.getFullYear() > 1990",
        r#"string(event.NumberOfEmployees).startsWith("1")"#,
    ] {
        assert_eq!(problems(filter), Vec::<String>::new(), "{filter}");
    }
}

#[test]
fn a_problem_names_the_field_the_rule_and_the_remedy() {
    for (filter, expected) in [
        (
            r#"event.Industri == "Energy""#,
            "event.Industri: AccountChangeEvent has no such field; did you mean Industry?",
        ),
        (
            "has(event.Zzz)",
            "event.Zzz: AccountChangeEvent has no such field; correct the name, or let the integration user see the field",
        ),
        (
            r#"event.BillingAddress.Cty == "x""#,
            "event.BillingAddress.Cty: BillingAddress has no such field; did you mean City?",
        ),
        (
            r#"header.changetype == "x""#,
            "header.changetype: ChangeEventHeader has no such field; did you mean changeType?",
        ),
        (
            "event.Industry == 5",
            "event.Industry: it is text, and is compared with a number; compare it with text",
        ),
        (
            r#""x" != event.NumberOfEmployees"#,
            "event.NumberOfEmployees: it is a number, and is compared with text; compare it with a number",
        ),
        (
            r#"event.LastActivity > "2024-01-01""#,
            r#"event.LastActivity: it is a timestamp, and is compared with text; write timestamp("2026-01-31T00:00:00Z")"#,
        ),
        (
            r#"event.Name in ["a", 5]"#,
            "event.Name: it is text or a record, and is compared with a number; compare it with text or a record",
        ),
        (
            r#"event.AnnualRevenue.startsWith("1")"#,
            "event.AnnualRevenue: it is a number, where text must stand; compare it, or use another field",
        ),
        (
            "event.Industry && true",
            "event.Industry: it is text, where a boolean must stand; compare it, or use another field",
        ),
        (
            "event.Industry.all(x, true)",
            "event.Industry: a macro goes through a list, and this is text; give it a list",
        ),
        (
            "header.entityName",
            "filter: it must be true or false, and is text; compare it with something",
        ),
        (
            "1 == 'a'",
            "filter: it is a number, and is compared with text; compare it with a number",
        ),
    ] {
        assert_eq!(problems(filter), [expected], "{filter}");
    }
}

#[test]
fn every_problem_is_told_at_once_and_only_once() {
    assert_eq!(problems("event.A1 > 3 && event.B1 == 2 || event.A1 > 3").len(), 2);
}

#[test]
fn a_platform_event_has_no_header_to_read() {
    let check = |filter| Filter::compile(filter).unwrap().check(platform_schema());
    let problems = check(r#"header.changeType == "DELETE" || event.CreatedById == "005""#);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].subject, "header.changeType");
    assert!(
        problems[0].rule.contains("Order__e is a platform event"),
        "{}",
        problems[0]
    );
    assert_eq!(check("has(header.changeType)"), []);
}

#[test]
fn a_text_that_is_no_filter_is_refused_with_its_place() {
    for (filter, expected) in [
        (
            "event.A == 1 || evnt.B == 2",
            "filter, line 1, column 17: there is no variable `evnt`; a filter reads `event` and `header`",
        ),
        (
            "event.A == 1 ||\n  value.total > 1",
            "filter, line 2, column 3: there is no variable `value`; a filter reads `event` and `header`",
        ),
        (
            "lower(event.A) == 'a'",
            "filter, line 1, column 6: there is no function `lower`",
        ),
        (
            "event.A.lower() == 'a'",
            "filter, line 1, column 14: there is no function `lower`",
        ),
        (
            "Thing{a: 1} == 1",
            "filter, line 1, column 6: there is no message type `Thing`",
        ),
        (
            "[1].exists(event, event > 0)",
            "filter, line 1, column 11: a macro's variable cannot be called `event`",
        ),
        (
            "event == header",
            "filter, line 1, column 7: `event` and `header` cannot be compared as a whole; name a field",
        ),
    ] {
        assert_eq!(refusal(filter), expected, "{filter}");
    }
    assert!(
        refusal("event.A ==").starts_with("filter, line 1, column "),
        "{}",
        refusal("event.A ==")
    );
}

#[test]
fn types_and_macro_variables_are_no_unknown_variables() {
    for filter in [
        "type(event.Name) == string",
        "type(event.Seen) == google.protobuf.Timestamp",
        "[1, 2].exists(x, [x].all(y, y == x))",
    ] {
        assert!(
            Filter::compile(filter).is_ok(),
            "{filter}: {:?}",
            Filter::compile(filter)
        );
    }
}
