//! `sfbridge dead-letters list`: every dead letter, as it is read. Nothing is gathered: the list may be long.

use std::io::{IsTerminal as _, Write as _};

use serde_json::{Value as Json, json};

use super::{Chosen, Desk, JsonArray, Output, Refused, shape};
use crate::app::Exit;
use crate::cli::named;
use crate::cli::progress::Bar;
use crate::kafka::{Scan, extents};
use crate::routes::redrive::{Letter, Mark, Marks};
use crate::runtime::clock;

const JSON: &str = r#"As JSON:
  [{"address": "sfbridge.crm.dead-letters[3]@17", "time": "…", "route": "customers",
    "kind": "poison", "source": "crm.customers[0]@4711", "attempts": 1, "error": "…",
    "redriven": {"at": "…", "outcome": "sent"}}, …]

`redriven` is null where it was not; `outcome` is sent, filtered or dead_letter."#;

#[derive(Debug, clap::Args)]
#[command(
    mut_arg("output", shape(JSON)),
    after_help = "Examples:\n  sfbridge dead-letters list --route customers --since 24h\n  sfbridge dead-letters list --pending --output json | jq -r '.[].error' | sort | uniq -c\n\nThe order is that of the topics' partitions. An error may hold field values: Salesforce's own messages do."
)]
pub(super) struct Args {
    /// Only those of this route
    #[arg(long, value_name = "ROUTE")]
    route: Option<String>,
    #[command(flatten)]
    chosen: Chosen,
    /// Only those that were not redriven yet
    #[arg(long)]
    pending: bool,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(arguments: &Args, desk: &Desk<'_>) -> Result<Exit, Refused> {
    let route = arguments.route.as_deref();
    let selection = arguments.chosen.selection(route);
    let names = desk.dead_letter_topics(route);
    let marks = Marks::read(&desk.topics).await?;
    let extents = extents(&desk.topics, &names).await?;
    let total = extents
        .iter()
        .map(|extent| u64::try_from(extent.end - extent.begin).unwrap_or(0))
        .sum();
    let mut bar = Bar::new(total, !std::io::stdout().is_terminal());
    let mut scan = Scan::start(&desk.topics, extents).await?;
    let mut list = List {
        output: arguments.output,
        array: JsonArray::default(),
        listed: 0,
    };
    let mut read = 0;
    while arguments.limit.is_none_or(|limit| list.listed < limit) {
        let Some(record) = scan.next().await else { break };
        read += 1;
        bar.show(read, "records read");
        let letter = Letter::new(record?);
        if !selection.wants(&letter) {
            continue;
        }
        let mark = marks.of(&letter.record);
        if (arguments.pending && mark.is_some()) || list.add(&letter, mark.as_ref()).is_ok() {
            continue;
        }
        // Whoever reads has seen enough and closed the pipe.
        return Ok(Exit::Clean);
    }
    bar.clear();
    if list.output.is_json() {
        list.array.end();
    }
    if list.listed == 0 {
        eprintln!("sfbridge: there are no such dead letters in {}", names.join(", "));
        // It may have had letters once; or it is mistyped.
        if let Some(Err(Refused::Asked(why))) = route.map(|route| named::route(desk.config, route)) {
            eprintln!("sfbridge: {why}");
        }
    }
    Ok(Exit::Clean)
}

struct List {
    output: Output,
    array: JsonArray,
    listed: u64,
}

impl List {
    fn add(&mut self, letter: &Letter, mark: Option<&Mark>) -> std::io::Result<()> {
        if self.output.is_json() {
            self.array.add(&as_json(letter, mark))?;
        } else {
            std::io::stdout()
                .lock()
                .write_all(text(letter, mark).as_bytes())?;
        }
        self.listed += 1;
        Ok(())
    }
}

fn text(letter: &Letter, mark: Option<&Mark>) -> String {
    let redriven = mark.map_or_else(
        || "not redriven".to_owned(),
        |mark| format!("redriven {}: {}", mark.at, mark.outcome.name()),
    );
    format!(
        "{}  {}  {}  {}  attempts {}  {redriven}\n    {}: {}\n",
        letter.address(),
        time(letter),
        or_dash(letter.route()),
        or_dash(letter.kind()),
        or_dash(letter.attempts()),
        or_dash(letter.source()),
        letter.error().replace(['\n', '\r'], " ")
    )
}

/// What `list` and `show` tell of a letter alike.
pub(super) fn as_json(letter: &Letter, mark: Option<&Mark>) -> Json {
    json!({
        "address": letter.address().to_string(),
        "time": time(letter),
        "route": letter.route(),
        "kind": letter.kind(),
        "source": letter.source(),
        "attempts": letter.attempts().parse::<u32>().ok(),
        "error": letter.error(),
        "redriven": mark.map(|mark| json!({"at": mark.at, "outcome": mark.outcome.name()})),
    })
}

/// When it was stored.
pub(super) fn time(letter: &Letter) -> String {
    match (letter.failed_at(), letter.record.timestamp_ms) {
        ("", Some(at_ms)) => clock::rfc3339_ms(at_ms),
        (failed_at, _) => or_dash(failed_at).to_owned(),
    }
}

pub(super) fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}
