//! Where implementations differ from each other, or from what one would expect.

use super::{History, Level};

/// The earlier type of a field and the new one.
const TYPES: &[(&str, &str)] = &[
    // Names without their namespace, aliases with it.
    (
        r#"{"type":"record","name":"n.A","fields":[]}"#,
        r#"{"type":"record","name":"m.A","fields":[]}"#,
    ),
    (
        r#"{"type":"record","name":"n.A","fields":[]}"#,
        r#"{"type":"record","name":"n.B","fields":[]}"#,
    ),
    (
        r#"{"type":"record","name":"n.A","fields":[]}"#,
        r#"{"type":"record","name":"n.B","fields":[],"aliases":["A"]}"#,
    ),
    (
        r#"{"type":"record","name":"n.A","fields":[]}"#,
        r#"{"type":"record","name":"m.B","fields":[],"aliases":["A"]}"#,
    ),
    (
        r#"{"type":"record","name":"n.A","fields":[]}"#,
        r#"{"type":"record","name":"m.B","fields":[],"aliases":["n.A"]}"#,
    ),
    (
        r#"{"type":"fixed","name":"n.F","size":2}"#,
        r#"{"type":"fixed","name":"m.F","size":2}"#,
    ),
    // A default for unknown symbols.
    (
        r#"{"type":"enum","name":"E","symbols":["A","B"]}"#,
        r#"{"type":"enum","name":"E","symbols":["A"],"default":"A"}"#,
    ),
    // Logical types, even where the numbers would mean something else.
    (r#""long""#, r#"{"type":"long","logicalType":"timestamp-millis"}"#),
    (
        r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}"#,
        r#"{"type":"bytes","logicalType":"decimal","precision":5,"scale":1}"#,
    ),
    // Unions of one branch and of none.
    (r#"["int"]"#, r#""int""#),
    (r#"[]"#, r#""int""#),
    // A branch that is read as another.
    (r#"["null","int"]"#, r#"["null","double"]"#),
    (r#"["int","string"]"#, r#"["bytes","float"]"#),
];

/// The earlier fields and the new ones.
const FIELDS: &[(&str, &str)] = &[
    // The enum's default does not stand in for the field's.
    (
        "",
        r#"{"name":"e","type":{"type":"enum","name":"E","symbols":["A"],"default":"A"}}"#,
    ),
    // One field of the reader's for two of the writer's, and two for one.
    (
        r#"{"name":"x","type":"int"},{"name":"y","type":"int"}"#,
        r#"{"name":"x","type":"int","aliases":["y"]}"#,
    ),
    (
        r#"{"name":"x","type":"int"}"#,
        r#"{"name":"a","type":"int","aliases":["x"]},{"name":"b","type":"int","aliases":["x"]}"#,
    ),
    // A record within itself.
    (
        r#"{"name":"Parent","type":["null","Account"]},{"name":"x","type":"int"}"#,
        r#"{"name":"Parent","type":["null","Account"]},{"name":"x","type":"long"}"#,
    ),
];

pub(super) fn histories() -> Vec<History> {
    let field = |type_: &str| format!(r#"{{"name":"x","type":{type_}}}"#);
    let of_types = TYPES.iter().map(|(earlier, new)| (field(earlier), field(new)));
    let of_fields = FIELDS
        .iter()
        .map(|(earlier, new)| (earlier.to_string(), new.to_string()));
    of_types
        .chain(of_fields)
        .enumerate()
        .map(|(number, (earlier, new))| History {
            subject: format!("corner-{number}"),
            versions: [version("V1", &earlier), version("V2", &earlier)],
            new: version("V3", &new),
            registered_at: Level::Backward,
        })
        .collect()
}

/// A field of its own makes each version a text of its own, also for a registry that ignores what is no structure;
/// it has a default, so it breaks nobody.
fn version(marker: &str, fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { "," };
    format!(
        r#"{{"type":"record","name":"Account","fields":[{{"name":"{marker}","type":"null","default":null}}{comma}{fields}]}}"#
    )
}
