//! Configurations, JSON and expressions on the pages, read by who reads them in earnest.

use std::collections::BTreeMap;
use std::path::Path;

use sfbridge::config::{self, Environment};

use super::page::{self, Block, Page};
use super::{Class, assert_none, of_class};

const LOGIN_URL: &str = "https://acme.my.salesforce.com";
const PUBSUB_URL: &str = "https://api.pubsub.salesforce.com:7443";

/// What a part of a configuration is completed with, a section each: whole, or the keys that a shorter one lacks.
const SECTIONS: &[(&str, &[&str])] = &[
    ("bridge", &["name: crm"]),
    (
        "salesforce",
        &[
            "login_url: https://acme.my.salesforce.com",
            "pubsub_url: https://api.pubsub.salesforce.com:7443",
            "auth: { flow: client_credentials, client_id: a, client_secret: b }",
        ],
    ),
    ("kafka", &["bootstrap_servers: kafka:9092"]),
    (
        "routes",
        &["- { name: a, from: { salesforce: /event/A__e, start: latest }, to: { kafka: a, format: json } }"],
    ),
];

/// A configuration made of a block, and which line of the page each of its lines is.
struct Completed {
    lines: Vec<(Option<usize>, String)>,
}

impl Completed {
    fn of(block: &Block) -> Self {
        let mut lines: Vec<(Option<usize>, String)> = Vec::new();
        let top = |line: &str| {
            let (key, rest) = line.split_once(':')?;
            let is_key = !key.is_empty() && key.chars().all(|char| char.is_ascii_lowercase() || char == '_');
            is_key.then(|| (key.to_owned(), rest.trim().to_owned()))
        };
        let mut there = Vec::new();
        for (index, line) in block.text.iter().enumerate() {
            lines.push((Some(block.line + 1 + index), line.clone()));
            let Some((section, rest)) = top(line) else {
                continue;
            };
            let own = block.text[index + 1..]
                .iter()
                .take_while(|line| top(line).is_none());
            let own: Vec<&str> = own.map(String::as_str).collect();
            if rest.is_empty() || rest.starts_with('#') {
                let lacking = SECTIONS
                    .iter()
                    .filter(|(name, _)| *name == section && section != "routes");
                for key_line in lacking.flat_map(|(_, keys)| keys.iter()) {
                    let key = key_line.split_once(':').map_or("", |(key, _)| key);
                    if !own
                        .iter()
                        .any(|line| line.trim_start().starts_with(&format!("{key}:")))
                    {
                        lines.push((None, format!("  {key_line}")));
                    }
                }
            }
            there.push(section);
        }
        let lacks = |section: &str| !there.iter().any(|own| own == section);
        for (section, keys) in SECTIONS.iter().filter(|(section, _)| lacks(section)) {
            lines.push((None, format!("{section}:")));
            lines.extend(keys.iter().map(|line| (None, format!("  {line}"))));
        }
        let is_avro = block.text.iter().any(|line| line.contains("format: avro"));
        if is_avro && lacks("schema_registry") {
            lines.push((
                None,
                "schema_registry: { url: http://schema-registry:8081 }".to_owned(),
            ));
        }
        Self { lines }
    }

    /// The text with its files in this folder: what `…_file` names is there.
    fn text(&self, folder: &Path) -> String {
        let mut text = String::new();
        for (_, line) in &self.lines {
            let mut line = line.clone();
            for key in ["private_key_file", "ca_file"] {
                line = with_file(&line, key, &folder.join("file.pem"));
            }
            for key in [
                "client_secret_file",
                "refresh_token_file",
                "access_token_file",
                "password_file",
                "bearer_token_file",
                "token_file",
            ] {
                line = with_file(&line, key, &folder.join("secret"));
            }
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    /// The mistakes, with the page's lines.
    fn mistakes(&self, page: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), "secret").unwrap();
        let key = "-----BEGIN PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----\n";
        std::fs::write(folder.path().join("file.pem"), key).unwrap();
        let file = folder.path().join("sfbridge.yaml");
        let text = self.text(folder.path());
        std::fs::write(&file, &text).unwrap();
        let problems = match config::load_with(&file, &environment(&text)) {
            Ok(loaded) => loaded.unsupported(),
            Err(problems) => problems,
        };
        let line_of = |line: usize| self.lines.get(line.saturating_sub(1)).and_then(|(line, _)| *line);
        problems
            .iter()
            .map(|problem| {
                let line = problem.at.and_then(|at| line_of(at.line));
                let line = line.map_or_else(|| "completed".to_owned(), |line| line.to_string());
                format!("{page}:{line}: {}: {}", problem.path, problem.message)
            })
            .collect()
    }
}

/// The file that a key names, put elsewhere. A key like `sasl.password_file` is one, too.
fn with_file(line: &str, key: &str, file: &Path) -> String {
    let Some(at) = line.find(&format!("{key}: ")) else {
        return line.to_owned();
    };
    // `client_secret_file` is no `secret_file`.
    let is_whole = line[..at]
        .chars()
        .last()
        .is_none_or(|char| !char.is_alphanumeric() && char != '_');
    let comment = line.find('#').is_some_and(|comment| comment < at);
    if !is_whole || comment {
        return line.to_owned();
    }
    let from = at + key.len() + 2;
    // `${FOLDER}/secret` has braces of its own.
    let mut depth = 0;
    let ends = |char: char| {
        match char {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            _ => return matches!(char, ',' | ' ' | '}'),
        }
        false
    };
    let len = line[from..].find(ends).unwrap_or(line.len() - from);
    format!("{}{}{}", &line[..from], file.display(), &line[from + len..])
}

/// Every variable that the text names is set.
fn environment(text: &str) -> Environment {
    let mut variables = BTreeMap::new();
    for part in text.split("${").skip(1) {
        let name: String = part
            .chars()
            .take_while(|char| char.is_ascii_alphanumeric() || *char == '_')
            .collect();
        let value = match name.as_str() {
            name if name.contains("PUBSUB") => PUBSUB_URL,
            name if name.ends_with("_URL") => LOGIN_URL,
            _ => "a",
        };
        variables.insert(name, value.to_owned());
    }
    Environment {
        variables,
        hostname: "host".to_owned(),
    }
}

/// What is wrong with an expression, where both a filter and a field's expression refuse it.
fn refused_expression(expression: &str) -> Option<String> {
    let quoted = expression.replace('\'', "''");
    let as_filter = format!(
        "routes:\n  - name: a\n    from: {{ salesforce: /data/AccountChangeEvent, start: latest }}\n    to: {{ kafka: a, format: json, filter: '{quoted}' }}"
    );
    let as_field = format!(
        "routes:\n  - name: a\n    from: {{ kafka: a, format: json, start: latest }}\n    to: {{ salesforce: /event/A__e, fields: {{ A__c: '{quoted}' }} }}"
    );
    let told = |yaml: &str| {
        let page = Page::of("expression", &format!("```yaml\n{yaml}\n```"));
        Completed::of(&page.blocks()[0]).mistakes("expression")
    };
    let (filter, field) = (told(&as_filter), told(&as_field));
    (!filter.is_empty() && !field.is_empty()).then(|| filter.join("; "))
}

fn json_mistake(block: &Block) -> Option<String> {
    let text = block.joined();
    let parsed = |text: &str| serde_json::from_str::<serde_json::Value>(text);
    let Err(error) = parsed(&text) else { return None };
    let is_lines = text
        .lines()
        .all(|line| line.trim().is_empty() || parsed(line).is_ok());
    let members = parsed(&format!("{{{text}}}"));
    let elements = parsed(&format!("[{text}]"));
    if is_lines || members.is_ok() || elements.is_ok() {
        return None;
    }
    Some(format!("{}: no JSON: {error}", block.place()))
}

#[test]
fn every_configuration_of_the_pages_loads() {
    let blocks = of_class(Class::Configuration);
    println!("{} configurations", blocks.len());
    let wrong: Vec<String> = blocks
        .iter()
        .flat_map(|block| Completed::of(block).mistakes(&block.page))
        .collect();
    assert_none(&wrong);
}

#[test]
fn every_json_document_of_the_pages_parses() {
    let blocks = of_class(Class::Json);
    println!("{} JSON documents", blocks.len());
    assert_none(&blocks.iter().filter_map(json_mistake).collect::<Vec<_>>());
}

#[test]
fn every_expression_of_the_pages_compiles() {
    let mut count = 0;
    let mut wrong = Vec::new();
    for block in of_class(Class::Cel) {
        for expression in block.text.iter().filter(|line| !line.trim().is_empty()) {
            count += 1;
            if let Some(why) = refused_expression(expression) {
                wrong.push(format!("{}: {why}", block.place()));
            }
        }
    }
    println!("{count} expressions");
    assert_none(&wrong);
}

/// The pages on expressions show them in sentences and tables.
#[test]
fn every_expression_that_a_sentence_shows_compiles() {
    let (mut count, mut wrong) = (0, Vec::new());
    for page in [page::read("docs/filters.md"), page::read("docs/mapping.md")] {
        for (line, span) in page.spans() {
            // A pipe stands in a table with a backslash.
            let expression = span.replace("\\|", "|");
            let uses_a_variable = ["event.", "header.", "value."]
                .iter()
                .any(|variable| expression.contains(variable));
            let is_part = expression.contains('…') || expression.contains(": ");
            if uses_a_variable && !is_part {
                count += 1;
                let why = refused_expression(&expression);
                wrong.extend(why.map(|why| format!("{}:{line}: `{span}`: {why}", page.name)));
            }
        }
    }
    println!("{count} expressions in sentences");
    assert!(count >= 20, "{count} expressions");
    assert_none(&wrong);
}

#[test]
fn a_mistake_in_a_part_of_a_configuration_is_found_on_its_line_of_the_page() {
    let page = Page::of(
        "x.md",
        "Text\n\n```yaml\nkafka:\n  bootstrap_server: kafka:9092\n\nroutes:\n  - name: a\n    from: { salesforce: /event/A__e, start: lastest }\n    to: { kafka: a, format: json }\n```\n",
    );
    let wrong = Completed::of(&page.blocks()[0]).mistakes("x.md");
    assert!(
        wrong
            .iter()
            .any(|line| line.starts_with("x.md:5: kafka.bootstrap_server")),
        "{wrong:?}"
    );
    assert!(
        wrong
            .iter()
            .any(|line| line.starts_with("x.md:9: routes[0].from.start")),
        "{wrong:?}"
    );
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(refused_expression("event.Name == ").is_some());
    assert!(refused_expression("value.id").is_none() && refused_expression("event.Name == 'A'").is_none());
    let with = |line: &str| with_file(line, "token_file", Path::new("/t"));
    assert_eq!(
        with("  token_file: ${FOLDER}/token   # where"),
        "  token_file: /t   # where"
    );
    assert_eq!(
        with("admin: { token_file: /a, listen: b }"),
        "admin: { token_file: /t, listen: b }"
    );
    assert_eq!(with("bearer_token_file: /a"), "bearer_token_file: /a");
    let broken = Page::of("x.md", "```json\n{\"a\": }\n```\n```json\n\"a\": 1\n```\n");
    let found: Vec<bool> = broken
        .blocks()
        .iter()
        .map(|block| json_mistake(block).is_some())
        .collect();
    assert_eq!(found, [true, false]);
}
