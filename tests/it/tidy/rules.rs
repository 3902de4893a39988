//! The bans of the house, each with what offends and where it may stand.

use super::source::Source;

/// A longer file has more than one reason to change.
const LINES_MAX: usize = 500;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 10] = [
    "utils", "util", "common", "helpers", "helper", "manager", "managers", "types", "misc", "shared",
];

/// Something that must not be written, outside the places where it may.
struct Ban {
    rule: &'static str,
    needles: &'static [&'static str],
    /// Path prefixes where it is banned; none means everywhere.
    only_in: &'static [&'static str],
    /// Path prefixes where it is not.
    free_in: &'static [&'static str],
}

/// On code without comments, literals and tests.
const BANS: [Ban; 7] = [
    Ban {
        rule: "unbounded-queue: what is not taken must withhold credits, not fill memory",
        needles: &[
            "unbounded_channel",
            "unbounded()",
            "UnboundedSender",
            "UnboundedReceiver",
        ],
        only_in: &[],
        free_in: &[],
    },
    Ban {
        rule: "raw-spawn: runtime::task::spawn gives a task a name and an owner",
        needles: &["tokio::spawn", "tokio::task::spawn(", "task::spawn_local"],
        only_in: &[],
        free_in: &["runtime/", "simulator/"],
    },
    Ban {
        rule: "wall-clock: runtime::clock reads it, everybody else takes the time as a value",
        needles: &["SystemTime::now", "Timestamp::now", "Zoned::now"],
        only_in: &[],
        free_in: &["runtime/clock.rs", "simulator/"],
    },
    Ban {
        rule: "unwrap: an error from outside is an answer, not a bug",
        needles: &[".unwrap()", ".expect(", ".unwrap_err()", ".expect_err("],
        only_in: &[],
        free_in: &[],
    },
    Ban {
        rule: "try-send: a full queue must wait, not drop an event",
        needles: &["try_send("],
        only_in: &["salesforce/pubsub", "routes", "kafka"],
        free_in: &[],
    },
    Ban {
        rule: "secret-eq: a comparison that ends at the first difference tells a guesser how far they came: ct_eq",
        needles: &[
            "==",
            ".eq(",
            ".ne(",
            "token !=",
            "given !=",
            "wanted !=",
            "!= token",
            "!= given",
            "!= wanted",
        ],
        only_in: &["admin/access.rs"],
        free_in: &[],
    },
    Ban {
        rule: "unfinished: no stubs on the main branch",
        needles: &["todo!", "unimplemented!"],
        only_in: &[],
        free_in: &[],
    },
];

/// On the text as written, tests and comments included. Spelled so that this file does not offend itself.
const MARKERS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];

pub(super) fn offences(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let mut offence = |line: usize, rule: &str| found.push(format!("src/{}:{line}: {rule}", source.name));

    for part in source.name.trim_end_matches(".rs").split('/') {
        if EMPTY_NAMES.contains(&part) {
            offence(1, &format!("empty-name: `{part}` does not say what is inside"));
        }
    }
    for (index, text) in source.text.iter().enumerate() {
        if let Some(marker) = MARKERS.into_iter().find(|marker| text.contains(marker)) {
            offence(index + 1, &format!("unfinished: {marker} belongs into an issue"));
        }
    }
    if source.is_test {
        return found;
    }
    let mut offence = |line: usize, rule: &str| found.push(format!("src/{}:{line}: {rule}", source.name));
    let lines = source
        .code
        .iter()
        .rposition(|line| !line.trim().is_empty())
        .map_or(0, |last| last + 1);
    if lines > LINES_MAX {
        offence(
            LINES_MAX,
            &format!("length: {lines} lines before the tests, at most {LINES_MAX}"),
        );
    }
    for (index, code) in source.code.iter().enumerate() {
        if let Some(name) = EMPTY_NAMES.into_iter().find(|name| declares_module(code, name)) {
            offence(
                index + 1,
                &format!("empty-name: `{name}` does not say what is inside"),
            );
        }
        for ban in &BANS {
            if ban.applies_to(&source.name)
                && ban.needles.iter().any(|needle| code.contains(needle))
                && !is_excused(source, index, ban)
            {
                offence(index + 1, ban.rule);
            }
        }
    }
    found
}

impl Ban {
    fn applies_to(&self, name: &str) -> bool {
        let within = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        (self.only_in.is_empty() || within(self.only_in)) && !within(self.free_in)
    }

    fn name(&self) -> &str {
        self.rule.split(':').next().unwrap_or_default()
    }
}

/// `// tidy: <rule>: <reason>` on the line or the one above.
fn is_excused(source: &Source, index: usize, ban: &Ban) -> bool {
    let excuse = format!("// tidy: {}: ", ban.name());
    let lines = &source.text[index.saturating_sub(1)..=index];
    lines.iter().any(|line| {
        line.split_once(&excuse)
            .is_some_and(|(_, reason)| reason.trim().len() > 8)
    })
}

fn declares_module(code: &str, name: &str) -> bool {
    let mut words = code.split(|char: char| !(char.is_alphanumeric() || char == '_'));
    words.any(|word| word == "mod")
        && code
            .split_whitespace()
            .any(|word| word.trim_end_matches([';', '{']) == name)
}

#[cfg(test)]
mod tests {
    use super::super::source::{of_file, of_tree};
    use super::*;

    fn rules_broken(name: &str, text: &str) -> Vec<String> {
        let rule = |offence: String| offence.splitn(3, ':').nth(2).unwrap().trim().to_owned();
        let name_of = |rule: String| rule.split(':').next().unwrap().to_owned();
        offences(&of_file(name, text))
            .into_iter()
            .map(rule)
            .map(name_of)
            .collect()
    }

    #[test]
    fn every_rule_bites() {
        for (name, text, rule) in [
            (
                "routes/a.rs",
                "let (s, r) = mpsc::unbounded_channel();",
                "unbounded-queue",
            ),
            ("routes/a.rs", "tokio::spawn(async {});", "raw-spawn"),
            ("kafka/a.rs", "tokio::task::spawn(async {});", "raw-spawn"),
            ("runtime/retry.rs", "let now = SystemTime::now();", "wall-clock"),
            ("salesforce/a.rs", "jiff::Timestamp::now()", "wall-clock"),
            ("config/mod.rs", "text.parse().unwrap()", "unwrap"),
            (
                "config/mod.rs",
                "text.parse()\n    .expect(\"a number\")",
                "unwrap",
            ),
            ("salesforce/pubsub/reader.rs", "queue.try_send(event)", "try-send"),
            ("admin/access.rs", "if given == wanted {", "secret-eq"),
            ("admin/access.rs", "if token.expose() == given {", "secret-eq"),
            ("admin/access.rs", "if given != wanted {", "secret-eq"),
            ("admin/access.rs", "given.eq(&wanted)", "secret-eq"),
            ("app.rs", "todo!()", "unfinished"),
            ("app.rs", "unimplemented!()", "unfinished"),
            ("app.rs", concat!("// TO", "DO: later"), "unfinished"),
            ("app.rs", concat!("/* FIX", "ME */"), "unfinished"),
            ("kafka/utils.rs", "", "empty-name"),
            ("common/mod.rs", "", "empty-name"),
            ("kafka/mod.rs", "pub mod helpers;", "empty-name"),
            ("kafka/mod.rs", "mod types {}", "empty-name"),
            ("kafka/a.rs", &"fn f() {}\n".repeat(501), "length"),
        ] {
            assert_eq!(rules_broken(name, text), [rule], "{name}: {text:.60}");
        }
    }

    #[test]
    fn what_is_in_order_passes() {
        for (name, text) in [
            ("runtime/task.rs", "tokio::spawn(future)"),
            ("runtime/clock.rs", "SystemTime::now()"),
            ("simulator/clock.rs", "SystemTime::now(); tokio::spawn(serve)"),
            (
                "routes/a.rs",
                "task::spawn(\"reader\", run()); tokio::task::spawn_blocking(poll)",
            ),
            (
                "routes/a.rs",
                "// never .unwrap() here\nlet a = \"tokio::spawn\"; a.unwrap_or_default()",
            ),
            ("admin/mod.rs", "watch.try_send(state)"),
            ("admin/access.rs", "given.ct_eq(&wanted); method != Method::GET"),
            (
                "kafka/a.rs",
                "#[cfg(test)]\nmod tests {\n    fn f() { x.unwrap() }\n}",
            ),
            (
                "kafka/a.rs",
                "// tidy: try-send: a wake-up, not an event\nwake.try_send(())",
            ),
            ("kafka/types_of_topic.rs", "mod manager_of_none;"),
            ("kafka/a.rs", &"fn f() {}\n".repeat(500)),
        ] {
            assert_eq!(
                rules_broken(name, text),
                Vec::<String>::new(),
                "{name}: {text:.60}"
            );
        }
    }

    #[test]
    fn an_excuse_needs_the_right_rule_and_a_reason() {
        for excuse in [
            "// tidy: try-send: ",
            "// tidy: unwrap: a wake-up, not an event",
            "// tidy: try-send",
        ] {
            let text = format!("{excuse}\nwake.try_send(())");
            assert_eq!(rules_broken("kafka/a.rs", &text), ["try-send"], "{excuse}");
        }
    }

    #[test]
    fn offences_name_file_and_line() {
        let source = of_file("kafka/a.rs", "fn a() {}\n\nfn b() { c.unwrap() }\n");
        assert_eq!(
            offences(&source),
            ["src/kafka/a.rs:3: unwrap: an error from outside is an answer, not a bug"]
        );
    }

    #[test]
    fn test_files_are_free_of_the_rules_on_code_but_not_of_the_markers() {
        let files = vec![
            ("a.rs".to_owned(), "#[cfg(test)]\nmod tests;".to_owned()),
            (
                "a/tests.rs".to_owned(),
                concat!("x.unwrap(); // TO", "DO").to_owned(),
            ),
        ];
        let found: Vec<_> = of_tree(files).iter().flat_map(offences).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("src/a/tests.rs:1: unfinished"));
    }
}
