//! What a person sees: an introduction, a table or lines while it runs, a summary. Values in, lines out; never a
//! payload value.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::board::SeenRecord;
use super::ledger::Verdict;
use super::plan::SHIPPED;
use super::screen::{Line, Tone};
use crate::config::Flow;
use crate::routes::state::{RouteState, StateName};

/// One route at a moment.
#[derive(Debug, Clone)]
pub(super) struct RouteRow {
    pub(super) name: String,
    /// From Kafka to Salesforce: what it writes is not read back.
    pub(super) is_back: bool,
    pub(super) state: RouteState,
    pub(super) events: u64,
    pub(super) records: u64,
    /// Records a second, lately.
    pub(super) rate: f64,
    /// Median and 99th percentile.
    pub(super) latency_ms: Option<(i64, i64)>,
    pub(super) last: Option<SeenRecord>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    /// The org is quiet; what it sent is being delivered.
    Finishing,
}

/// Everything at a moment.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) elapsed: Duration,
    pub(super) phase: Phase,
    pub(super) rows: Vec<RouteRow>,
    pub(super) verdict: Verdict,
    pub(super) dead_letters: u64,
}

impl Snapshot {
    /// What has not arrived, neither as a record nor, where the payload is broken, as a dead letter.
    pub(super) const fn missing(&self) -> u64 {
        self.verdict.missing() + self.verdict.unreadable.saturating_sub(self.dead_letters)
    }

    pub(super) const fn is_good(&self) -> bool {
        self.missing() == 0 && self.verdict.is_good()
    }

    /// Whether the way back has published what the route before it wrote.
    pub(super) fn is_published(&self) -> bool {
        let shipped = self.rows.iter().find(|row| row.name == SHIPPED);
        let shipped = shipped.map_or(0, |row| row.records);
        self.rows
            .iter()
            .filter(|row| row.is_back)
            .all(|row| row.records >= shipped)
    }
}

/// Where everything is reached.
#[derive(Debug, Clone)]
pub(super) struct Addresses {
    pub(super) bootstrap_servers: String,
    pub(super) embedded: bool,
    pub(super) topics: Vec<String>,
    pub(super) admin: String,
    pub(super) control: String,
    pub(super) config_file: Option<String>,
}

pub(super) fn introduction(addresses: &Addresses) -> Vec<Line> {
    let Addresses {
        bootstrap_servers,
        admin,
        control,
        ..
    } = addresses;
    let kind = if addresses.embedded {
        "embedded, librdkafka's mock cluster"
    } else {
        "real"
    };
    let mut lines = vec![
        Line::new(
            Tone::Heading,
            "sfbridge demo: simulated Salesforce org ──▶ sfbridge ──▶ Kafka ──▶ a reader that counts",
        ),
        plain(format!("  kafka    {bootstrap_servers} ({kind})")),
        plain(format!("  topics   {}", addresses.topics.join(" "))),
        plain(format!(
            "  bridge   http://{admin}/   /api/routes   /metrics   /ready"
        )),
        plain(format!(
            "  org      {control}   break it: curl -X POST {control}/expire-tokens"
        )),
    ];
    if let Some(file) = &addresses.config_file {
        lines.push(plain(format!("  config   {file}")));
    }
    if addresses.embedded {
        lines.push(plain(
            "  The mock hides no aborted record and fences no second owner: see both with --kafka host:port.",
        ));
    }
    lines
}

/// The picture that a terminal is painted with again and again.
pub(super) fn table(snapshot: &Snapshot) -> Vec<Line> {
    let mut lines = vec![
        plain(""),
        Line::new(
            Tone::Heading,
            format!(
                "{:<15} {:<10} {:>8} {:>8} {:>7} {:>7} {:>7}  {}",
                "ROUTE", "STATE", "EVENTS", "RECORDS", "REC/S", "P50 MS", "P99 MS", "LAST RECORD"
            ),
        ),
    ];
    for row in &snapshot.rows {
        let (p50, p99) = latency(row);
        let last = if row.is_back {
            "published to Salesforce".to_owned()
        } else {
            row.last.as_ref().map(described).unwrap_or_default()
        };
        lines.push(Line::new(
            tone(row.state.name),
            format!(
                "{:<15} {:<10} {:>8} {:>8} {:>7.1} {p50:>7} {p99:>7}  {last}",
                row.name,
                row.state.name.as_str(),
                row.events,
                row.records,
                row.rate,
            ),
        ));
        lines.extend(why(row));
    }
    lines.push(plain(""));
    lines.push(reader(&snapshot.verdict));
    lines.push(plain(match snapshot.phase {
        Phase::Running => format!("{}   Ctrl-C ends it with a summary", clock(snapshot.elapsed)),
        Phase::Finishing => format!(
            "{}   the org is quiet; delivering what it sent …",
            clock(snapshot.elapsed)
        ),
    }));
    lines
}

/// The same for a pipe: a line a route, and one of the reader.
pub(super) fn lines(snapshot: &Snapshot) -> Vec<Line> {
    let at = clock(snapshot.elapsed);
    let mut lines = Vec::new();
    for row in &snapshot.rows {
        if row.is_back {
            lines.push(plain(format!(
                "{at} {} {}: records {}, published {}, {:.1}/s",
                row.name,
                row.state.name.as_str(),
                row.events,
                row.records,
                row.rate,
            )));
            lines.extend(why(row));
            continue;
        }
        let (p50, p99) = latency(row);
        let last = row.last.as_ref().map_or("nothing yet".to_owned(), described);
        lines.push(plain(format!(
            "{at} {} {}: events {}, records {}, {:.1}/s, p50 {p50} ms, p99 {p99} ms, last {last}",
            row.name,
            row.state.name.as_str(),
            row.events,
            row.records,
            row.rate,
        )));
        lines.extend(why(row));
    }
    let reader = reader(&snapshot.verdict);
    lines.push(Line::new(reader.tone, format!("{at} {}", reader.text)));
    lines
}

/// What the end has found out.
#[derive(Debug, Clone)]
pub(super) struct Ending {
    pub(super) snapshot: Snapshot,
    /// Why the check does not cover everything.
    pub(super) unchecked: Option<String>,
    /// What became of the topics on a real Kafka.
    pub(super) topics: Option<String>,
}

pub(super) fn summary(ending: &Ending) -> Vec<Line> {
    let snapshot = &ending.snapshot;
    let verdict = &snapshot.verdict;
    let there = |row: &&RouteRow| !row.is_back;
    let written: u64 = snapshot.rows.iter().filter(there).map(|row| row.records).sum();
    let mut lines = vec![
        plain(""),
        Line::new(
            Tone::Heading,
            format!("Summary after {:.1} s", snapshot.elapsed.as_secs_f64()),
        ),
        plain(format!(
            "  events sent      {:>8}   by the org, on the topics of the routes",
            verdict.events
        )),
        plain(format!(
            "  records written  {written:>8}   by the bridge: one for each record that an event is about"
        )),
        plain(format!(
            "  records read     {:>8}   by a read_committed reader of its own, to the end of every topic",
            verdict.arrived + verdict.doubled + verdict.strange
        )),
    ];
    if verdict.unreadable + snapshot.dead_letters > 0 {
        lines.push(plain(format!(
            "  dead letters     {:>8}   of {} payloads that were broken on purpose",
            snapshot.dead_letters, verdict.unreadable
        )));
    }
    for row in snapshot.rows.iter().filter(|row| row.is_back) {
        lines.push(plain(format!(
            "  published        {:>8}   of {} records, back into Salesforce: {}",
            row.records, row.events, row.name
        )));
        lines.extend(why(row));
    }
    for row in snapshot.rows.iter().filter(there) {
        let (p50, p99) = latency(row);
        lines.push(plain(format!(
            "  latency          p50 {p50} ms, p99 {p99} ms from event to reader: {}",
            row.name
        )));
        if matches!(
            row.state.name,
            StateName::Halted | StateName::Waiting | StateName::Starting
        ) {
            lines.extend(why(row));
        }
    }
    lines.extend(
        ending
            .topics
            .as_ref()
            .map(|text| plain(format!("  topics           {text}"))),
    );
    let mut counts = format!(
        "  lost {}, duplicated {}, out of order {}",
        snapshot.missing(),
        verdict.doubled,
        verdict.disordered
    );
    if verdict.strange > 0 {
        counts.push_str(&format!(", never sent {}", verdict.strange));
    }
    lines.push(match &ending.unchecked {
        Some(reason) => Line::new(Tone::Bad, format!("{counts} as far as was checked: {reason}")),
        None if snapshot.is_good() => Line::new(Tone::Good, counts),
        None => Line::new(Tone::Bad, counts),
    });
    lines
}

/// The summary for programs.
pub(super) fn json(ending: &Ending) -> Json {
    let snapshot = &ending.snapshot;
    let verdict = &snapshot.verdict;
    let written: u64 = snapshot
        .rows
        .iter()
        .filter(|row| !row.is_back)
        .map(|row| row.records)
        .sum();
    let routes = snapshot.rows.iter().map(|row| {
        json!({
            "name": row.name,
            "direction": if row.is_back { Flow::TO_SALESFORCE } else { Flow::TO_KAFKA },
            "state": row.state.name.as_str(),
            "events": row.events,
            "records": row.records,
            "p50_ms": row.latency_ms.map(|(p50, _)| p50),
            "p99_ms": row.latency_ms.map(|(_, p99)| p99),
        })
    });
    json!({
        "seconds": snapshot.elapsed.as_secs_f64(),
        "events_sent": verdict.events,
        "records_written": written,
        "records_read": verdict.arrived + verdict.doubled + verdict.strange,
        "dead_letters": snapshot.dead_letters,
        "lost": snapshot.missing(),
        "duplicated": verdict.doubled,
        "out_of_order": verdict.disordered,
        "never_sent": verdict.strange,
        "unchecked": ending.unchecked,
        "topics": ending.topics,
        "routes": routes.collect::<Vec<_>>(),
    })
}

fn plain(text: impl Into<String>) -> Line {
    Line::new(Tone::Plain, text)
}

fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

const fn tone(state: StateName) -> Tone {
    match state {
        StateName::Streaming | StateName::Idle => Tone::Good,
        StateName::Halted => Tone::Bad,
        StateName::Waiting | StateName::Paused => Tone::Warning,
        StateName::Starting | StateName::Draining => Tone::Plain,
    }
}

fn latency(row: &RouteRow) -> (String, String) {
    row.latency_ms
        .map_or(("-".to_owned(), "-".to_owned()), |(p50, p99)| {
            (p50.to_string(), p99.to_string())
        })
}

/// Topic, what happened, and the key.
fn described(record: &SeenRecord) -> String {
    // `<transaction>/<number>/<entity>/<change type>/<record id>`; a platform event's id has no slash.
    let what = record.id.split('/').nth(3).unwrap_or(&record.event);
    format!("{} {what} {}", record.topic, record.key)
}

fn why(row: &RouteRow) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(why) = &row.state.why {
        lines.push(Line::new(
            tone(row.state.name),
            format!("  {} {}: {why}", row.name, row.state.name.as_str()),
        ));
    }
    if let Some(remedy) = &row.state.remedy {
        lines.push(Line::new(tone(row.state.name), format!("  remedy: {remedy}")));
    }
    lines
}

/// The reader's count as it runs: what is on its way is neither lost nor wrong yet.
fn reader(verdict: &Verdict) -> Line {
    let bad = verdict.doubled + verdict.strange + verdict.disordered;
    Line::new(
        if bad == 0 { Tone::Plain } else { Tone::Bad },
        format!(
            "reader: {} of {} records read back, {} on their way, {} twice, {} out of order",
            verdict.arrived,
            verdict.records,
            verdict.missing(),
            verdict.doubled,
            verdict.disordered
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(state: StateName, why: Option<&str>) -> Snapshot {
        Snapshot {
            elapsed: Duration::from_millis(61_500),
            phase: Phase::Running,
            rows: vec![RouteRow {
                name: "crm-changes".to_owned(),
                is_back: false,
                state: RouteState {
                    name: state,
                    since: String::new(),
                    why: why.map(str::to_owned),
                    remedy: None,
                    until: None,
                },
                events: 9,
                records: 10,
                rate: 4.25,
                latency_ms: Some((3, 11)),
                last: Some(SeenRecord {
                    topic: "demo.cdc.Account".to_owned(),
                    key: "001A".to_owned(),
                    id: "t/1/Account/UPDATE/001A".to_owned(),
                    event: "AccountChangeEvent".to_owned(),
                    route: "crm-changes".to_owned(),
                    event_ms: None,
                    read_ms: 0,
                }),
            }],
            verdict: Verdict {
                events: 9,
                records: 10,
                arrived: 10,
                ..Verdict::default()
            },
            dead_letters: 0,
        }
    }

    fn ending(verdict: Verdict) -> Ending {
        Ending {
            snapshot: Snapshot {
                verdict,
                ..snapshot(StateName::Streaming, None)
            },
            unchecked: None,
            topics: None,
        }
    }

    #[test]
    fn a_line_says_what_a_row_of_the_table_says() {
        let line = &lines(&snapshot(StateName::Streaming, None))[0].text;
        assert_eq!(
            line,
            "01:01 crm-changes streaming: events 9, records 10, 4.2/s, p50 3 ms, p99 11 ms, \
             last demo.cdc.Account UPDATE 001A"
        );
        let row = &table(&snapshot(StateName::Streaming, None))[2].text;
        for word in ["streaming", " 9 ", " 10 ", "4.2", " 3 ", " 11 ", "UPDATE 001A"] {
            assert!(row.contains(word), "{word}: {row}");
        }
    }

    #[test]
    fn a_route_that_does_not_flow_says_why() {
        let table = table(&snapshot(StateName::Halted, Some("no permission")));
        assert_eq!(table[3].text, "  crm-changes halted: no permission");
        assert_eq!(table[3].tone, Tone::Bad);
    }

    #[test]
    fn the_summary_ends_with_what_was_lost_and_doubled() {
        let good = summary(&ending(snapshot(StateName::Streaming, None).verdict));
        let last = good.last().expect("a line");
        assert_eq!(last.text, "  lost 0, duplicated 0, out of order 0");
        assert_eq!(last.tone, Tone::Good);
        let bad = summary(&ending(Verdict {
            events: 3,
            records: 3,
            arrived: 2,
            doubled: 4,
            ..Verdict::default()
        }));
        let last = bad.last().expect("a line");
        assert_eq!(last.text, "  lost 1, duplicated 4, out of order 0");
        assert_eq!(last.tone, Tone::Bad);
    }

    #[test]
    fn a_broken_payload_that_is_no_dead_letter_is_lost() {
        let mut snapshot = snapshot(StateName::Streaming, None);
        snapshot.verdict.unreadable = 2;
        snapshot.dead_letters = 1;
        assert_eq!(snapshot.missing(), 1);
        assert!(!snapshot.is_good());
        snapshot.dead_letters = 2;
        assert!(snapshot.is_good());
    }

    #[test]
    fn a_check_that_was_cut_off_is_not_shown_as_good() {
        let mut ending = ending(snapshot(StateName::Streaming, None).verdict);
        ending.unchecked = Some("a second signal".to_owned());
        let lines = summary(&ending);
        let last = lines.last().expect("a line");
        assert_eq!(last.tone, Tone::Bad);
        assert!(last.text.ends_with("as far as was checked: a second signal"));
    }
}
