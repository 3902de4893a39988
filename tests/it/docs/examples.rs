//! The page of the commands, run: every example ends with exit code 0, and what is printed as JSON has the keys that
//! the page shows.

use serde_json::Value as Json;

use super::page::{self, Page};
use super::stage::{SERVES, Scenery, Stage, tools};
use crate::need;
use crate::support::bridge::PATIENCE;
use crate::support::wait::until;
use crate::support::{broker, registry, skipped, topic};

/// The routes that the examples speak of.
const SCENERY: Scenery = Scenery {
    routes: r#"  - name: account-changes
    from: { salesforce: /data/AccountChangeEvent, start: earliest }
    to: { kafka: crm.accounts.v1, format: avro }
  - name: order-shipped
    from: { kafka: [shop.orders, shop.returns], format: json, start: earliest }
    to: { salesforce: /event/Order_Shipped__e, fields: { Order_Number__c: value.id } }
"#,
    names: &["account-changes", "customers", "order-shipped"],
    topics: &[
        ("crm.accounts.v1", 1),
        ("crm.customers", 1),
        ("shop.orders", 4),
        ("shop.returns", 1),
    ],
    flowing: "account-changes",
};

/// What an example says that another machine has, is there for longer, or would leave something behind; and what is
/// said here.
const STANDS_FOR: [(&str, &str); 8] = [
    ("http://bridge-2:9400", "http://127.0.0.1:9400"),
    ("/run/secrets/admin_token", "admin_token"),
    ("/usr/local/share/man/man1", "man1"),
    ("http://127.0.0.1:PORT", "http://127.0.0.1:7012"),
    ("--seconds 30", "--seconds 3"),
    ("--seconds 10", "--seconds 3"),
    ("--prepared 300000", "--prepared 300"),
    // Of a partition that keeps a single record.
    ("1200:3", "0:3"),
];

/// Programs that an example hands over to and that not every machine has.
const OTHERS: [&str; 2] = ["jq", "man"];

/// Documented keys that what a run prints may go without: a line that holds has no remedy, a route that runs no reason,
/// a place such as `earliest` no replay id.
const MAY_BE_ABSENT: [&str; 3] = [".remedy", ".why", ".before.replay_id"];
/// Documented lists that may be empty: the org has changed nothing since the contract's last version.
const MAY_BE_EMPTY: [&str; 1] = ["changes"];

/// An example of a command.
#[derive(Debug, Clone)]
struct Example {
    /// Of the page.
    line: usize,
    /// `sfbridge positions set`.
    section: String,
    command: String,
}

/// What the page shows of a command's JSON.
#[derive(Debug)]
struct Shape {
    line: usize,
    section: String,
    /// It stands under `With --dry-run:`.
    is_rehearsal: bool,
    json: Json,
}

/// The section that a line of the page belongs to.
fn section(page: &Page, line: usize) -> String {
    let above = page.lines[..line].iter().rev();
    let mut headings = above.filter_map(|line| line.strip_prefix("## "));
    headings.next().unwrap_or_default().to_owned()
}

/// Every command line of the page but the synopses.
fn examples(page: &Page) -> Vec<Example> {
    let is_command = |line: &String| line.starts_with("sfbridge ") || line.starts_with("curl ");
    let blocks = page.blocks().into_iter();
    let blocks =
        blocks.filter(|block| block.text.iter().all(is_command) && !block.joined().contains("[OPTIONS]"));
    let lines = blocks.flat_map(|block| {
        let section = section(page, block.line);
        let lines = block.text.into_iter().enumerate();
        lines
            .map(|(index, text)| Example {
                line: block.line + 1 + index,
                section: section.clone(),
                // What stands behind a gap explains.
                command: text.split("   ").next().unwrap_or_default().trim().to_owned(),
            })
            .collect::<Vec<_>>()
    });
    lines.collect()
}

fn shapes(page: &Page) -> Vec<Shape> {
    let blocks = page.blocks().into_iter();
    let documents = blocks.filter(|block| block.text[0].starts_with(['{', '[']));
    documents
        .map(|block| Shape {
            line: block.line,
            section: section(page, block.line),
            is_rehearsal: page.lines[block.line - 3].contains("--dry-run"),
            json: completed(&block.joined())
                .unwrap_or_else(|error| panic!("{}: {error}: {}", block.place(), block.joined())),
        })
        .collect()
}

/// A document of the page without its `…`.
fn completed(text: &str) -> Result<Json, serde_json::Error> {
    let whole = text.replace(", …", "").replace("…, ", "").replace("{…}", "{}");
    serde_json::from_str(&whole)
}

/// What a document lacks of what the page shows of it.
fn lacks(shown: &Json, real: &Json, at: &str) -> Vec<String> {
    match (shown, real) {
        // What is not known, or does not apply.
        (Json::Null, _) | (_, Json::Null) => Vec::new(),
        (Json::Object(shown), Json::Object(real)) => {
            let keys = shown.iter();
            keys.flat_map(|(key, shown)| {
                let at = format!("{at}.{key}");
                match real.get(key) {
                    Some(real) => lacks(shown, real, &at),
                    None if MAY_BE_ABSENT.iter().any(|end| at.ends_with(end)) => Vec::new(),
                    None => vec![format!("no {at}")],
                }
            })
            .collect()
        }
        (Json::Array(shown), Json::Array(real)) => match (shown.first(), &**real) {
            (None, _) => Vec::new(),
            (Some(_), []) if MAY_BE_EMPTY.iter().any(|name| at.ends_with(name)) => Vec::new(),
            (Some(_), []) => vec![format!("nothing in {at}")],
            // A list holds several kinds: what is shown has to be like one of them.
            (Some(_), real) => shown
                .iter()
                .flat_map(|shown| {
                    let each = real.iter().map(|real| lacks(shown, real, &format!("{at}[]")));
                    each.min_by_key(Vec::len).unwrap_or_default()
                })
                .collect(),
        },
        (Json::String(_), Json::String(_))
        | (Json::Number(_), Json::Number(_))
        | (Json::Bool(_), Json::Bool(_)) => Vec::new(),
        (shown, real) => vec![format!("{at} is {real}, and is shown as {shown}")],
    }
}

/// Whether it runs until somebody ends it, and what it has said when it may be ended.
fn goes_on(command: &str) -> Option<&'static str> {
    let is = |word: &str| command.split(' ').any(|own| own == word);
    match command.split(' ').nth(1)? {
        "simulate" if !is("--help") => Some("."),
        "demo" if !is("--seconds") => Some("reader: [1-9]"),
        "tail" if !is("--limit") => Some("."),
        "status" if is("--watch") => Some("."),
        _ => None,
    }
}

/// Which examples need the routes to stand still.
fn needs_no_bridge(example: &Example) -> bool {
    ["run", "positions set", "positions reset"]
        .iter()
        .any(|command| example.section == format!("sfbridge {command}"))
}

/// The script that runs a command line as somebody would: interrupted when it has said something, if it would go on,
/// and told yes on a terminal, if it asks.
fn script(command: &str) -> String {
    let begin = "set -o pipefail\njq() { command jq --unbuffered \"$@\"; }\n";
    if command.starts_with("sfbridge run ") {
        return format!("{begin}{command} &{SERVES}");
    }
    if let Some(words) = goes_on(command) {
        let pid = "\"$HOME/program.pid\"";
        return format!(
            "{begin}rm -f {pid}; : >said; : >complained\n{{ {command}; }} >said 2>complained &\nuntil grep -q '{words}' said complained; do\n  kill -0 $! 2>/dev/null || break\n  sleep 0.1\ndone\n\
             kill -INT $(cat {pid})\nwait $!; code=$?\ncat said; cat complained >&2\nexit $code\n"
        );
    }
    let asks = command.contains(" redrive ") && !command.contains("--dry-run") && !command.contains("--yes");
    if asks {
        return format!("{begin}echo y | script --quiet --return --command '{command}' /dev/null\n");
    }
    format!("{begin}{command}\n")
}

impl Stage {
    /// Runs an example; what it printed, or what is wrong.
    async fn example(&mut self, example: &Example) -> Result<String, String> {
        if example.section == "sfbridge dead-letters redrive" {
            self.refuse_a_record().await;
        }
        let own = STANDS_FOR.iter();
        let command = own.fold(example.command.clone(), |text, (of_the_page, here)| {
            text.replace(of_the_page, here)
        });
        let command = self.here(&command);
        let place = format!("docs/commands.md:{}: {command}", example.line);
        let output = self.bash(&script(&command)).await;
        // It may have written over a file of the stage.
        self.furnish_for_examples();
        let output = output.map_err(|why| format!("{place}: {why}"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (said, complained) = (text(&output.stdout), text(&output.stderr));
        match output.status.code() {
            Some(0) => Ok(said),
            code => Err(format!("{place}: exit code {code:?}\n{said}{complained}")),
        }
    }

    fn furnish_for_examples(&self) {
        self.furnish();
        let path = |name: &str| self.desk.path().join(name);
        let folders = [
            ".local/share/bash-completion/completions",
            ".zfunc",
            ".config/fish/completions",
            ".config/elvish/lib",
        ];
        for folder in folders {
            std::fs::create_dir_all(path(folder)).unwrap();
        }
        // What an example makes anew.
        let _ = std::fs::remove_file(path("config/contracts/account.v1.avsc"));
        std::fs::write(path("admin_token"), "of-no-use-here\n").unwrap();
        std::fs::write(
            path("events.jsonl"),
            "{\"Order_Number__c\": \"O-2\"}\n{\"Order_Number__c\": \"O-3\"}\n",
        )
        .unwrap();
    }
}

/// The example of a shape's command as one would ask it for JSON.
fn asked_for_json(shape: &Shape, examples: &[Example]) -> Example {
    let route = shape.json["route"].as_str();
    let mut fit = examples.iter().filter(|example| {
        example.section == shape.section
            && example.command.contains("--dry-run") == shape.is_rehearsal
            && route.is_none_or(|route| {
                let names = SCENERY.names.iter();
                let mut named = names.filter(|name| example.command.contains(*name));
                named.all(|name| *name == route)
            })
    });
    let mut example = fit.next().expect("an example").clone();
    let alone = example
        .command
        .split([' '])
        .take_while(|word| !["|", ">", "<"].contains(word));
    example.command = alone.collect::<Vec<_>>().join(" ");
    if example.section == "sfbridge dead-letters redrive" && !shape.is_rehearsal {
        example.command.push_str(" --yes");
    }
    if !example.command.contains("--output") {
        example.command.push_str(" --output json");
    }
    example
}

fn is_there(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(program).is_file())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_of_a_command_runs_and_its_json_is_as_it_is_shown() {
    need!("foreign", tools());
    let kafka = need!("kafka", broker::shared());
    let registry = need!("registry", registry::shared());
    let page = page::read("docs/commands.md");
    let (mut examples, shapes) = (examples(&page), shapes(&page));
    let other = |example: &Example| {
        let mut others = OTHERS.into_iter().filter(|program| !is_there(program));
        others.find(|program| example.command.contains(&format!("| {program} ")))
    };
    examples.retain(|example| match other(example) {
        Some(program) => {
            skipped(program, &format!("{} needs it", example.command));
            false
        }
        None => true,
    });
    let asked: Vec<Example> = shapes
        .iter()
        .map(|shape| asked_for_json(shape, &examples))
        .collect();

    let mut stage = Stage::new(&kafka, &registry, SCENERY).await;
    let orders = stage.here("shop.orders");
    // Some for every partition.
    let rows: Vec<(String, &str)> = (0..40).map(|n| (format!("O-{n}"), r#"{"id": "O"}"#)).collect();
    topic::produce_values(&kafka, &orders, &rows).await;
    stage.furnish_for_examples();
    stage.open().await;
    let id = a_position(&stage).await;
    stage.stands_for.push(("0000000000000010db4d0000".to_owned(), id));
    stage
        .stands_for
        .push(("localhost:9092".to_owned(), kafka.clone()));

    let mut wrong = Vec::new();
    for is_closed in [false, true] {
        if is_closed {
            stage.close().await;
            until_nobody_owns_a_route(&stage).await;
        }
        for example in examples.iter().filter(|one| needs_no_bridge(one) == is_closed) {
            wrong.extend(stage.example(example).await.err());
        }
        for (shape, example) in shapes.iter().zip(&asked) {
            if needs_no_bridge(example) != is_closed {
                continue;
            }
            match stage.example(example).await {
                Err(why) => wrong.push(why),
                Ok(said) => {
                    let mut documents = serde_json::Deserializer::from_str(&said).into_iter::<Json>();
                    let lacking = match documents.next() {
                        Some(Ok(real)) => lacks(&shape.json, &real, ""),
                        _ => vec![format!("no JSON: {said}")],
                    };
                    let place = format!("docs/commands.md:{}: {}", shape.line, example.command);
                    wrong.extend(lacking.into_iter().map(|lacking| format!("{place}: {lacking}")));
                }
            }
        }
    }
    println!("{} examples, {} documents", examples.len(), shapes.len());
    super::assert_none(&wrong);
}

/// What has just ended counts as a member for some seconds.
async fn until_nobody_owns_a_route(stage: &Stage) {
    until(PATIENCE, "routes that can be moved", || async {
        let reset = "sfbridge positions reset account-changes && sfbridge positions reset order-shipped\n";
        let reset = stage.bash(reset).await.ok()?;
        reset.status.success().then_some(())
    })
    .await;
}

/// A replay id that the org still has.
async fn a_position(stage: &Stage) -> String {
    let listed = stage
        .bash("sfbridge positions list --output json\n")
        .await
        .unwrap();
    let listed: Json = serde_json::from_slice(&listed.stdout).unwrap();
    let id = listed["positions"][0]["position"]["replay_id"].as_str();
    id.unwrap_or_else(|| panic!("no position: {listed}")).to_owned()
}

#[test]
fn every_command_has_an_example_that_is_found() {
    let page = page::read("docs/commands.md");
    let examples = examples(&page);
    let sections = page.lines.iter().filter_map(|line| line.strip_prefix("## "));
    for section in sections {
        assert!(
            examples.iter().any(|example| example.section == section),
            "{section}"
        );
    }
    let documented = page
        .lines
        .iter()
        .filter(|line| line.starts_with("As JSON"))
        .count();
    assert!(shapes(&page).len() >= documented, "{documented}");
    let ends = [
        "demo --seconds 5",
        "simulate --help",
        "tail x --limit 1",
        "status",
    ];
    for command in ends {
        assert_eq!(goes_on(&format!("sfbridge {command}")), None, "{command}");
    }
}

#[test]
fn a_document_that_lacks_a_key_that_is_shown_is_found_out() {
    let shown =
        completed(r#"[{"a": "…", "b": {"c": 1, …}, "d": {…}, "e": [{"f": 2}, …], "why": "…"}, …]"#).unwrap();
    let lacking = |real: &str| lacks(&shown, &serde_json::from_str(real).unwrap(), "");
    assert!(lacking(r#"[{"a": "x", "b": {"c": 7}, "d": {"z": 1}, "e": [{"f": 0}], "more": 1}]"#).is_empty());
    assert!(lacking(r#"[{"a": null, "b": null, "d": null, "e": null}]"#).is_empty());
    assert_eq!(
        lacking(r#"[{"a": "x", "b": {}, "d": 3, "e": [{}]}]"#),
        ["no [].b.c", "[].d is 3, and is shown as {}", "no [].e[].f"]
    );
    assert_eq!(lacking("[]"), ["nothing in "]);
}
