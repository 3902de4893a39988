//! `sfbridge dead-letters redrive`: counts first, asks, and then sends.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::{Chosen, Desk, JsonArray, Output, Refused, shape};
use crate::app::{Exit, Redriver};
use crate::cli::named;
use crate::cli::progress::{Bar, waiting};
use crate::config::{Delivery, Flow, LogConfig, RouteConfig};
use crate::kafka::{Extent, Scan, extents};
use crate::routes::redrive::{
    Address, Ended, Letter, Letters, Marker, Marks, Pace, Rehearsed, Selection, Tally,
};
use crate::runtime::shutdown::{Signals, stop_pair};
use crate::telemetry::logging;

/// Between two looks at what a redrive has done.
const LOOK_EVERY: Duration = Duration::from_millis(200);

const JSON: &str = r#"As JSON:
  {"route": "customers", "sent": 12, "filtered": 0, "dead_letters": 0, "left": 0,
   "ended": "done"}

`ended` is done, declined (the question), stopped (Ctrl-C), failed (stderr says why) or too_many (dead letters again, one after the other).

With --dry-run:
  [{"address": "sfbridge.crm.dead-letters[3]@17", "verdict": "goes", "message": "…"}, …]

`verdict` is goes, filtered or fails."#;

#[derive(Debug, clap::Args)]
#[command(
    mut_arg("output", shape(JSON)),
    after_help = "Examples:\n  sfbridge dead-letters redrive --route customers --dry-run\n  sfbridge dead-letters redrive --route customers --since 24h --rate 50\n  sfbridge dead-letters redrive --route customers 'sfbridge.crm.dead-letters[3]@17' --yes\n\nEach dead letter that was not redriven yet goes through the route as it is configured now, in the order of its partition, beside a running bridge. What fails again is a new dead letter with its attempts counted up.\n\nToward Kafka each goes once: its records and the mark are one transaction. Toward Salesforce a crash between the request and the mark sends a letter once more, under the same event id or external id; an `insert` without an external id then makes a second record. A redriven record may be older than what the org or the topic has by now: it overwrites, as every upsert does.\n\nExit codes:\n  0 all of them went, or the route leaves them out\n  1 some are dead letters again, or could not be sent\n  64 configuration\n  75 interrupted; the same command goes on where it stopped"
)]
pub(super) struct Args {
    /// The route whose dead letters go again
    #[arg(long, value_name = "ROUTE")]
    pub(super) route: String,
    #[command(flatten)]
    chosen: Chosen,
    /// Only these: topic[partition]@offset
    #[arg(value_name = "ADDRESS")]
    addresses: Vec<Address>,
    /// Send nothing: print what would go, and what would fail again and why
    #[arg(long)]
    dry_run: bool,
    /// At most so many a second
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    output: Output,
}

/// `50`, `0.5` or `50/s`.
fn rate(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix("/s").unwrap_or(text).parse::<f64>();
    number
        .ok()
        .filter(|rate| rate.is_finite() && *rate > 0.0)
        .ok_or_else(|| format!("{text:?} is no rate: give letters a second, such as 50 or 0.5"))
}

/// What is redriven.
struct Order<'a> {
    desk: &'a Desk<'a>,
    route: &'a RouteConfig,
    selection: Selection,
    extents: Vec<Extent>,
    pace: Pace,
    output: Output,
}

pub(super) async fn run(arguments: &Args, desk: &Desk<'_>, signals: &mut Signals) -> Result<Exit, Refused> {
    let route = named::route(desk.config, &arguments.route)?;
    let level = "warn".to_owned();
    let format = desk.config.log.format;
    logging::install(&LogConfig { format, level }).map_err(Refused::Asked)?;
    let mut selection = arguments.chosen.selection(Some(&route.name));
    selection.addresses = arguments.addresses.iter().cloned().collect();
    let names = [route.dead_letter.topic.as_str().into()];
    let there = extents(&desk.topics, &names).await?;
    let order = Order {
        desk,
        route,
        extents: narrowed(there, &selection),
        selection,
        pace: arguments.rate.map_or(Pace::UNLIMITED, Pace::per_second),
        output: arguments.output,
    };
    if arguments.dry_run {
        return tokio::select! {
            outcome = order.rehearse() => outcome,
            () = signals.next() => Ok(Exit::CutOff),
        };
    }
    let count = tokio::select! {
        count = waiting("counting the dead letters", order.count()) => count?,
        () = signals.next() => return Ok(Exit::CutOff),
    };
    if count == 0 {
        eprintln!(
            "sfbridge: route {} has no such dead letters in {} that were not redriven yet",
            route.name, names[0]
        );
        return Ok(order.nothing("done"));
    }
    if !arguments.yes && !agreed(count, &route.name)? {
        return Ok(order.nothing("declined"));
    }
    order.redrive(count, signals).await
}

/// The parts that hold the addresses asked for; all where none are.
fn narrowed(extents: Vec<Extent>, selection: &Selection) -> Vec<Extent> {
    if selection.addresses.is_empty() {
        return extents;
    }
    let is_there = |address: &&Address| {
        extents.iter().any(|extent| {
            extent.topic == address.topic
                && extent.partition == address.partition
                && (extent.begin..extent.end).contains(&address.offset)
        })
    };
    let one = |address: &Address| Extent {
        topic: Arc::clone(&address.topic),
        partition: address.partition,
        begin: address.offset,
        end: address.offset + 1,
    };
    selection.addresses.iter().filter(is_there).map(one).collect()
}

fn agreed(count: u64, route: &str) -> Result<bool, Refused> {
    if !std::io::stdin().is_terminal() {
        return Err(Refused::Asked(format!(
            "{count} dead letters would go through route {route} again: say --yes to send them, or --dry-run to see what would become of them"
        )));
    }
    eprint!("{count} dead letters go through route {route} again. Go on? [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    // No answer is no.
    let _ = std::io::stdin().read_line(&mut answer);
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

impl Order<'_> {
    fn told(&self, [sent, filtered, dead_letters, left]: &[u64; 4], ended: &str) -> Json {
        json!({
            "route": self.route.name,
            "sent": sent,
            "filtered": filtered,
            "dead_letters": dead_letters,
            "left": left,
            "ended": ended,
        })
    }

    /// Nothing went; stderr says why.
    fn nothing(&self, ended: &str) -> Exit {
        self.output.print(String::new, || self.told(&[0; 4], ended))
    }

    async fn letters(&self, pace: Pace, marks: Marks) -> Result<Letters, Refused> {
        let scan = Scan::start(&self.desk.topics, self.extents.clone()).await?;
        let selection = self.selection.clone();
        Ok(Letters::new(scan, selection, Arc::new(marks), pace))
    }

    /// All, as fast as they can be read.
    async fn pending(&self) -> Result<Letters, Refused> {
        let marks = Marks::read(&self.desk.topics).await?;
        self.letters(Pace::UNLIMITED, marks).await
    }

    async fn count(&self) -> Result<u64, Refused> {
        let mut letters = self.pending().await?;
        let mut count = 0;
        while letters.next().await?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    async fn redriver(&self) -> Result<Redriver, Refused> {
        let Desk {
            config,
            connection,
            topics,
            ..
        } = self.desk;
        Ok(Redriver::new(config, self.route, connection, topics).await?)
    }

    async fn rehearse(&self) -> Result<Exit, Refused> {
        let redriver = self.redriver().await?;
        let letters = self.pending().await?;
        // Nobody stops a rehearsal but by dropping it.
        let (_hold, stop) = stop_pair();
        let (mut go, mut left_out, mut fail) = (0_u64, 0_u64, 0_u64);
        let mut array = JsonArray::default();
        let show = |letter: &Letter, rehearsed| {
            let address = letter.address();
            let (mark, verdict, message) = match rehearsed {
                Rehearsed::Goes(what) => {
                    go += 1;
                    ('✓', "goes", what)
                }
                Rehearsed::Filtered => {
                    left_out += 1;
                    ('-', "filtered", "the route leaves it out".to_owned())
                }
                Rehearsed::Fails(why) => {
                    fail += 1;
                    ('✗', "fails", why)
                }
            };
            // Where nobody reads any more the exit code still says it.
            let _ = if self.output.is_json() {
                let address = address.to_string();
                array.add(&json!({ "address": address, "verdict": verdict, "message": message }))
            } else {
                let message = message.replace(['\n', '\r'], " ");
                writeln!(std::io::stdout().lock(), "{mark} {address}: {message}")
            };
        };
        redriver.rehearse(letters, stop, show).await?;
        if self.output.is_json() {
            array.end();
        }
        eprintln!(
            "sfbridge: would go: {go}, left out: {left_out}, would fail again: {fail}; nothing was sent"
        );
        Ok(if fail == 0 { Exit::Clean } else { Exit::Failed })
    }

    async fn redrive(&self, count: u64, signals: &mut Signals) -> Result<Exit, Refused> {
        let redriver = self.redriver().await?;
        let Desk {
            connection, topics, ..
        } = self.desk;
        // It ends an earlier redrive of the route; what that one marked is read after this.
        let delivery = match &self.route.flow {
            Flow::ToKafka(flow) => flow.delivery,
            Flow::ToSalesforce(_) => Delivery::ExactlyOnce,
        };
        let mut marker = Marker::open(topics, connection, &self.route.name, delivery).await?;
        let marks = Marks::read(topics).await?;
        let held = extents(topics, &self.desk.dead_letter_topics(None)).await?;
        marker.forget(&marks.obsolete(&held)).await?;
        let letters = self.letters(self.pace, marks).await?;
        let (stop, stopped) = stop_pair();
        let tally = Tally::default();
        let status = Arc::clone(&redriver.status);
        let mut bar = Bar::new(count, true);
        let outcome = {
            let sending = redriver.redrive(letters, &mut marker, &tally, stopped);
            tokio::pin!(sending);
            let mut is_stopping = false;
            loop {
                tokio::select! {
                    outcome = &mut sending => break outcome,
                    () = signals.next() => {
                        if is_stopping {
                            return Ok(Exit::CutOff);
                        }
                        is_stopping = true;
                        stop.stop();
                    }
                    () = tokio::time::sleep(LOOK_EVERY) => {
                        let why = status.state().why;
                        bar.show(tally.total(), why.as_deref().unwrap_or("dead letters"));
                    }
                }
            }
        };
        bar.clear();
        let of = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let (again, left) = (of(&tally.dead_letters), of(&tally.left));
        let (sent, filtered) = (of(&tally.sent), of(&tally.filtered));
        let ended = match &outcome {
            Ok(Ended::Done) => "done",
            Ok(Ended::Stopped) => "stopped",
            Ok(Ended::TooManyDeadLetters) => "too_many",
            Err(_) => "failed",
        };
        let line = || {
            format!(
                "sent: {sent}, left out by the route: {filtered}, dead letters again: {again}, left as they are: {left}\n"
            )
        };
        self.output
            .print(line, || self.told(&[sent, filtered, again, left], ended));
        Ok(match outcome? {
            Ended::Stopped => Exit::CutOff,
            Ended::TooManyDeadLetters => {
                let max = self.route.dead_letter.max_consecutive;
                eprintln!(
                    "sfbridge: stopped: {max} in a row became dead letters again; `sfbridge dead-letters list --route {} --pending` shows why",
                    self.route.name
                );
                Exit::Failed
            }
            Ended::Done if again + left > 0 => Exit::Failed,
            Ended::Done => Exit::Clean,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_more_than_nothing_a_second() {
        assert_eq!(rate("50"), Ok(50.0));
        assert_eq!(rate("0.5/s"), Ok(0.5));
        for wrong in ["0", "-1", "fast", "inf", "NaN", ""] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_are_read_alone_and_only_where_they_can_be() {
        let extent = |begin, end| Extent {
            topic: "dead".into(),
            partition: 1,
            begin,
            end,
        };
        let selection = |addresses: &[&str]| Selection {
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            ..Selection::default()
        };
        let there = || vec![extent(5, 9)];
        assert_eq!(narrowed(there(), &selection(&[])), there());
        let asked = selection(&["dead[1]@8", "dead[1]@5", "dead[1]@9", "dead[0]@6", "other[1]@6"]);
        assert_eq!(narrowed(there(), &asked), [extent(5, 6), extent(8, 9)]);
    }
}
