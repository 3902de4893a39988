//! Rules and levels, case by case, with what a person reads.

use super::*;

fn record(fields: &str) -> Schema {
    schema(&format!(
        r#"{{"type":"record","name":"Account","namespace":"n","fields":[{fields}]}}"#
    ))
}

fn schema(json: &str) -> Schema {
    Schema::parse(json).unwrap()
}

/// A record with one field `x` of this type.
fn of(type_: &str) -> Schema {
    record(&format!(r#"{{"name":"x","type":{type_}}}"#))
}

fn said(found: &[Incompatibility]) -> Vec<String> {
    found.iter().map(ToString::to_string).collect()
}

/// The new version reads what `v1` wrote.
fn backward(earlier: &Schema, new: &Schema) -> Vec<String> {
    said(&can_read(new, earlier, Direction::Backward { earlier: "v1" }))
}

/// `v1` reads what the new version writes.
fn forward(earlier: &Schema, new: &Schema) -> Vec<String> {
    said(&can_read(earlier, new, Direction::Forward { earlier: "v1" }))
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_field_that_goes_breaks_earlier_readers_without_a_default() {
    let v1 = record(r#"{"name":"Name","type":"string"},{"name":"Industry","type":["null","string"]}"#);
    let new = record(r#"{"name":"Name","type":"string"}"#);
    assert_eq!(
        forward(&v1, &new),
        [r#"field Industry: was ["null","string"], is now absent and v1 gives no default"#]
    );
    assert_eq!(backward(&v1, &new), NOTHING);
}

#[test]
fn a_field_that_comes_breaks_new_readers_without_a_default() {
    let v1 = record("");
    let new = of(r#"["null","string"]"#);
    assert_eq!(
        backward(&v1, &new),
        [r#"field x: was absent in v1, is now ["null","string"] and gives no default"#]
    );
    assert_eq!(forward(&v1, &new), NOTHING);
    let with_default = record(r#"{"name":"x","type":["null","string"],"default":null}"#);
    assert_eq!(backward(&v1, &with_default), NOTHING);
    // The enum's default is for unknown symbols; Java does not take it for the field's.
    let enumerated = of(r#"{"type":"enum","name":"E","symbols":["A"],"default":"A"}"#);
    assert_eq!(
        backward(&v1, &enumerated),
        [r#"field x: was absent in v1, is now "n.E" and gives no default"#]
    );
}

#[test]
fn a_type_that_changes_is_shown_before_and_after() {
    let (text, number) = (of(r#""string""#), of(r#""int""#));
    assert_eq!(
        forward(&text, &number),
        [r#"field x: was "string", is now "int", which v1 cannot read as "string""#]
    );
    assert_eq!(
        backward(&text, &number),
        [r#"field x: was "string", is now "int", which cannot read the "string" of v1"#]
    );
}

#[test]
fn promotions_go_one_way_and_text_and_bytes_both_ways() {
    let order = ["int", "long", "float", "double"].map(|name| of(&format!("\"{name}\"")));
    for (narrow, earlier) in order.iter().enumerate() {
        for (wide, new) in order.iter().enumerate() {
            assert_eq!(
                backward(earlier, new).is_empty(),
                narrow <= wide,
                "{narrow} {wide}"
            );
        }
    }
    let (text, bytes) = (of(r#""string""#), of(r#""bytes""#));
    assert_eq!(backward(&text, &bytes), NOTHING);
    assert_eq!(backward(&bytes, &text), NOTHING);
}

#[test]
fn every_branch_that_may_be_written_must_be_read() {
    let (one, two) = (of(r#"["null","string"]"#), of(r#"["null","string","int"]"#));
    assert_eq!(
        forward(&one, &two),
        [
            r#"field x: was ["null","string"], is now ["null","string","int"], whose "int" v1 cannot read as ["null","string"]"#
        ]
    );
    assert_eq!(
        backward(&two, &one),
        [
            r#"field x: was ["null","string","int"], is now ["null","string"], which cannot read the "int" of v1"#
        ]
    );
    assert_eq!(backward(&one, &two), NOTHING);
    let bare = of(r#""string""#);
    assert_eq!(backward(&bare, &one), NOTHING);
    assert_eq!(
        forward(&bare, &one),
        [r#"field x: was "string", is now ["null","string"], whose "null" v1 cannot read as "string""#]
    );
    // Written as a number, read by the branch that it is promoted to.
    assert_eq!(backward(&of(r#""int""#), &of(r#"["null","double"]"#)), NOTHING);
    assert_eq!(
        forward(&one, &of(r#""int""#)),
        [r#"field x: was ["null","string"], is now "int", which v1 cannot read as ["null","string"]"#]
    );
}

#[test]
fn paths_lead_through_records_arrays_maps_and_unions() {
    let nested = |city: &str| {
        of(&format!(
            r#"["null",{{"type":"record","name":"Address","fields":[
                {{"name":"City","type":{city}}},
                {{"name":"Tags","type":{{"type":"array","items":{city}}}}},
                {{"name":"Labels","type":{{"type":"map","values":["null",{{"type":"array","items":{city}}}]}}}}]}}]"#
        ))
    };
    let found = can_read(
        &nested(r#""string""#),
        &nested(r#""int""#),
        Direction::Forward { earlier: "v1" },
    );
    let paths: Vec<_> = found.iter().map(|one| one.path.as_str()).collect();
    assert_eq!(paths, ["x.City", "x.Tags[]", "x.Labels{}[]"]);
    assert_eq!(
        found[1].to_string(),
        r#"field x.Tags[]: was "string", is now "int", which v1 cannot read as "string""#
    );
}

#[test]
fn an_enum_needs_every_symbol_or_a_default() {
    let symbols = |symbols: &str, default: &str| {
        of(&format!(
            r#"{{"type":"enum","name":"E","symbols":[{symbols}]{default}}}"#
        ))
    };
    let (few, many) = (symbols(r#""A""#, ""), symbols(r#""A","B","C""#, ""));
    assert_eq!(
        forward(&few, &many),
        [r#"field x: has the new symbols "B", "C", unknown to v1, whose enum n.E has no default"#]
    );
    assert_eq!(
        backward(&symbols(r#""A","B""#, ""), &few),
        [r#"field x: no longer has the symbol "B" of v1, and the enum n.E has no default"#]
    );
    assert_eq!(backward(&few, &many), NOTHING);
    assert_eq!(backward(&many, &symbols(r#""A""#, r#","default":"A""#)), NOTHING);
}

#[test]
fn a_fixed_keeps_its_size() {
    let fixed = |size: u32| of(&format!(r#"{{"type":"fixed","name":"F","size":{size}}}"#));
    assert_eq!(
        forward(&fixed(2), &fixed(3)),
        ["field x: was 2 bytes, is now 3 bytes, which the fixed n.F of v1 cannot read"]
    );
    assert_eq!(
        backward(&fixed(2), &fixed(3)),
        ["field x: was 2 bytes, is now 3 bytes, and the fixed n.F cannot read the size of v1"]
    );
}

#[test]
fn a_renamed_type_needs_an_alias_and_the_namespace_does_not_count() {
    let named = |name: &str, aliases: &str| {
        schema(&format!(
            r#"{{"type":"record","name":"{name}","fields":[],"aliases":[{aliases}]}}"#
        ))
    };
    let v1 = named("n.A", "");
    assert_eq!(
        backward(&v1, &named("n.B", "")),
        ["the schema: was n.A, is now n.B without an alias for n.A, as v1 calls it"]
    );
    assert_eq!(
        forward(&v1, &named("n.B", r#""A""#)),
        ["the schema: was n.A, is now n.B, for which v1 has no alias"]
    );
    assert_eq!(backward(&v1, &named("n.B", r#""A""#)), NOTHING);
    assert_eq!(backward(&v1, &named("m.B", r#""n.A""#)), NOTHING);
    assert_eq!(backward(&v1, &named("m.B", r#""A""#)).len(), 1);
    assert_eq!(backward(&v1, &named("m.A", "")), NOTHING);
}

#[test]
fn a_renamed_field_is_found_by_its_alias_and_may_not_stand_for_two() {
    let v1 = record(r#"{"name":"x","type":"int"},{"name":"y","type":"int"}"#);
    let renamed = record(r#"{"name":"z","type":"long","aliases":["x"]},{"name":"y","type":"int"}"#);
    assert_eq!(backward(&v1, &renamed), NOTHING);
    assert_eq!(
        forward(&v1, &renamed),
        [r#"field x: was "int", is now absent and v1 gives no default"#]
    );
    let both = record(r#"{"name":"x","type":"int","aliases":["y"]}"#);
    assert_eq!(
        backward(&v1, &both),
        [r#"field x: stands by its name and aliases for the fields "x", "y" of v1; it can stand for one"#]
    );
    assert_eq!(
        forward(&both, &v1),
        [r#"field x: stands by its name and aliases in v1 for the fields "x", "y"; it can stand for one"#]
    );
}

#[test]
fn logical_types_are_shown_and_do_not_count() {
    let (moment, text) = (
        of(r#"{"type":"long","logicalType":"timestamp-millis"}"#),
        of(r#""string""#),
    );
    assert_eq!(backward(&of(r#""long""#), &moment), NOTHING);
    assert_eq!(
        forward(&moment, &text),
        [
            r#"field x: was {"type":"long","logicalType":"timestamp-millis"}, is now "string", which v1 cannot read as {"type":"long","logicalType":"timestamp-millis"}"#
        ]
    );
}

#[test]
fn a_type_that_contains_itself_ends_and_is_reported_once() {
    let tree = |value: &str| {
        record(&format!(
            r#"{{"name":"Parent","type":["null","Account"]}},{{"name":"Children","type":{{"type":"array","items":"Account"}}}},{{"name":"x","type":{value}}}"#
        ))
    };
    assert_eq!(backward(&tree(r#""int""#), &tree(r#""long""#)), NOTHING);
    assert_eq!(
        forward(&tree(r#""int""#), &tree(r#""long""#)),
        [r#"field x: was "int", is now "long", which v1 cannot read as "int""#]
    );
}

#[test]
fn of_several_records_in_a_union_the_one_of_the_same_name_explains() {
    let union = |type_: &str| {
        of(&format!(
            r#"["null",{{"type":"record","name":"A","fields":[]}},{{"type":"record","name":"B","fields":[{{"name":"y","type":{type_}}}]}}]"#
        ))
    };
    assert_eq!(
        forward(&union(r#""int""#), &union(r#""string""#)),
        [r#"field x.y: was "int", is now "string", which v1 cannot read as "int""#]
    );
}

#[test]
fn each_level_asks_its_readers_about_its_versions() {
    // v1 cannot read the new one, nor the new one v1; v2 can read it and be read.
    let v1 = of(r#""string""#);
    let v2 = record(r#"{"name":"y","type":"int","default":0}"#);
    let new = record(r#"{"name":"x","type":"int","default":0}"#);
    let from = |level: Level, earlier: &[(&str, &Schema)]| said(&check(level, &new, earlier));
    let backward = r#"field x: was "string", is now "int", which cannot read the "string" of v1"#;
    let forward = r#"field x: was "string", is now "int", which v1 cannot read as "string""#;
    let expected: [(Level, &[&str], &[&str]); 7] = [
        (Level::None, &[], &[]),
        (Level::Backward, &[backward], &[]),
        (Level::BackwardTransitive, &[backward], &[backward]),
        (Level::Forward, &[forward], &[]),
        (Level::ForwardTransitive, &[forward], &[forward]),
        (Level::Full, &[backward, forward], &[]),
        (Level::FullTransitive, &[backward, forward], &[backward, forward]),
    ];
    for (level, alone, below_v2) in expected {
        assert_eq!(from(level, &[]), NOTHING, "{level}");
        assert_eq!(from(level, &[("v1", &v1)]), alone, "{level}");
        assert_eq!(from(level, &[("v1", &v1), ("v2", &v2)]), below_v2, "{level}");
    }
}
