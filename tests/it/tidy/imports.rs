//! `cli → app → {admin, routes} → {salesforce, kafka, contracts} → avro → {runtime, telemetry, config, error}`.

use super::source::{Source, module_of};

const FOUNDATION: [&str; 4] = ["runtime", "telemetry", "config", "error"];

/// What each top-level module may name besides itself.
fn allowed(top: &str) -> Vec<&'static str> {
    let sides = ["salesforce", "kafka", "contracts", "avro"];
    let mut allowed = FOUNDATION.to_vec();
    match top {
        // The simulator shares no code with the client, so that the two can check each other.
        "simulator" => return vec!["proto"],
        "error" => return vec![],
        // Data and its schemas: nothing of where they come from.
        "avro" => return vec![],
        "runtime" | "telemetry" | "config" => {}
        // The only side that speaks the protocol.
        "salesforce" => allowed.extend(["avro", "proto"]),
        "contracts" => allowed.push("avro"),
        "kafka" => {}
        "routes" => allowed.extend(sides),
        // Shows the routes' states; the routes know nothing of it.
        "admin" => allowed.extend(sides.iter().chain(&["routes"])),
        "app" => allowed.extend(sides.iter().chain(&["routes", "admin"])),
        // `simulate` and `demo` start the simulator beside the program.
        _ => allowed.extend(
            sides
                .iter()
                .chain(&["routes", "admin", "app", "cli", "simulator", "proto"]),
        ),
    }
    allowed
}

const TOPS: [&str; 15] = [
    "cli",
    "app",
    "admin",
    "routes",
    "salesforce",
    "kafka",
    "contracts",
    "avro",
    "runtime",
    "telemetry",
    "config",
    "error",
    "simulator",
    "proto",
    "main",
];

/// The top-level modules that a file names, with the line.
pub(super) fn of(source: &Source) -> Vec<(usize, String)> {
    let depth = module_of(&source.name)
        .split('/')
        .filter(|part| !part.is_empty())
        .count();
    let code = source.code.join("\n");
    let mut found = Vec::new();
    let mut roots = vec!["crate::".to_owned(), "sfbridge::".to_owned()];
    // As many `super` as the module is deep lead to the crate's root too.
    if depth > 0 {
        roots.push("super::".repeat(depth));
    }
    for root in roots {
        for (at, _) in code.match_indices(&root) {
            let before = code[..at].chars().next_back().unwrap_or(' ');
            if before.is_alphanumeric() || before == '_' || before == ':' {
                continue;
            }
            let line = code[..at].matches('\n').count() + 1;
            for name in first_names(&code[at + root.len()..]) {
                if TOPS.contains(&name.as_str()) {
                    found.push((line, name));
                }
            }
        }
    }
    found.sort();
    found
}

/// The first name of a path, or of every path in its braces.
fn first_names(path: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        let text = text.trim_start();
        text.chars()
            .take_while(|char| char.is_alphanumeric() || *char == '_')
            .collect()
    };
    let Some(list) = path.strip_prefix('{') else {
        return vec![word(path)];
    };
    let mut names = Vec::new();
    let mut depth = 0_usize;
    let mut starts = true;
    for (at, char) in list.char_indices() {
        if starts && depth == 0 && !char.is_whitespace() && char != '}' {
            names.push(word(&list[at..]));
            starts = false;
        }
        match char {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => starts = true,
            _ => {}
        }
    }
    names
}

pub(super) fn offences(source: &Source) -> Vec<String> {
    if source.is_test {
        return Vec::new();
    }
    let module = module_of(&source.name);
    let top = module.split('/').next().unwrap_or_default();
    let allowed = allowed(top);
    of(source)
        .into_iter()
        .filter(|(_, name)| name != top && !allowed.contains(&name.as_str()))
        .map(|(line, name)| format!("src/{}:{line}: `{top}` must not import `{name}`", source.name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::source::of_file;
    use super::*;

    fn offences_in(name: &str, text: &str) -> Vec<String> {
        offences(&of_file(name, text))
    }

    #[test]
    fn imports_against_the_current_are_found() {
        for (name, text, names) in [
            ("salesforce/auth/mod.rs", "use crate::kafka::Record;", "kafka"),
            (
                "salesforce/auth/jwt.rs",
                "use crate::{error::Failure, kafka::{Record, Topics}};",
                "kafka",
            ),
            (
                "kafka/producer.rs",
                "fn f(e: &crate::salesforce::event::EventSchema) {}",
                "salesforce",
            ),
            (
                "kafka/producer.rs",
                "use super::super::salesforce::event;",
                "salesforce",
            ),
            ("kafka/mod.rs", "use super::{routes, error};", "routes"),
            ("config/mod.rs", "use crate::routes::State;", "routes"),
            ("routes/state.rs", "use crate::admin::Api;", "admin"),
            ("routes/state.rs", "use crate::proto::FetchRequest;", "proto"),
            ("simulator/org.rs", "use crate::runtime::clock;", "runtime"),
            ("error.rs", "use crate::config::Secret;", "config"),
            ("app.rs", "use crate::cli::Run;", "cli"),
        ] {
            let found = offences_in(name, text);
            assert_eq!(found.len(), 1, "{name}: {text}: {found:?}");
            assert!(found[0].starts_with(&format!("src/{name}:1: ")), "{}", found[0]);
            assert!(
                found[0].ends_with(&format!("must not import `{names}`")),
                "{}",
                found[0]
            );
        }
    }

    #[test]
    fn imports_with_the_current_are_not() {
        for (name, text) in [
            (
                "salesforce/pubsub/client.rs",
                "use crate::{proto, runtime::retry, salesforce::auth, telemetry};",
            ),
            (
                "simulator/org.rs",
                "use crate::proto::TopicInfo; use super::clock;",
            ),
            (
                "routes/to_kafka.rs",
                "use crate::{kafka::Record, salesforce::event, contracts, config, error};",
            ),
            (
                "kafka/mod.rs",
                "// crate::salesforce\nlet a = \"crate::salesforce\"; use crate::kafka::x;",
            ),
            (
                "kafka/mod.rs",
                "#[cfg(test)]\nmod tests { use crate::salesforce::event; }",
            ),
            ("main.rs", "use sfbridge::{app, cli};"),
            ("cli/simulate.rs", "use crate::simulator::Org;"),
            (
                "salesforce/event/a.rs",
                "use super::super::error; use super::config;",
            ),
        ] {
            assert_eq!(offences_in(name, text), Vec::<String>::new(), "{name}: {text}");
        }
    }

    #[test]
    fn every_module_of_the_crate_is_known_to_the_rule() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
        for entry in std::fs::read_dir(root).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let module = name.trim_end_matches(".rs");
            assert!(
                module == "lib" || TOPS.contains(&module),
                "{module} has no place in the import rule"
            );
        }
    }
}
