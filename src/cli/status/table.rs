//! `/api/routes` as a table for people. What a route needs a person for stands under its row.

use std::fmt;

use serde_json::Value as Json;

use crate::routes::position::millis;

const HEADS: [&str; 9] = [
    "ROUTE",
    "DIRECTION",
    "STATE",
    "RECEIVED",
    "WRITTEN",
    "FILTERED",
    "DEAD LETTERS",
    "GAPS",
    "POSITION",
];
/// From here on columns hold numbers, but for the last one.
const NUMBERS_FROM: usize = 3;

pub(super) struct Table {
    bridge: String,
    rows: Vec<Row>,
    /// Routes that this instance was assigned and does not know.
    unknown: Vec<String>,
}

struct Row {
    cells: [String; HEADS.len()],
    notes: Vec<String>,
}

/// Whether a person must act.
pub(super) fn is_halted(shown: &Json) -> bool {
    routes(shown).any(|route| text(&route["state"], "name") == "halted")
}

fn routes(shown: &Json) -> impl Iterator<Item = &Json> {
    shown["routes"].as_array().into_iter().flatten()
}

/// One line, whatever a remote side wrote into its reason; no control character reaches the terminal.
fn text(value: &Json, key: &str) -> String {
    let text = value[key].as_str().unwrap_or_default();
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

impl Table {
    pub(super) fn new(shown: &Json, now_ms: i64) -> Self {
        let unknown = shown["assigned_but_unknown"].as_array().into_iter().flatten();
        Self {
            bridge: text(shown, "bridge"),
            rows: routes(shown).map(|route| row(route, now_ms)).collect(),
            unknown: unknown.filter_map(Json::as_str).map(str::to_owned).collect(),
        }
    }
}

fn row(route: &Json, now_ms: i64) -> Row {
    let state = &route["state"];
    let count = |key: &str| {
        route[key]
            .as_u64()
            .map_or_else(|| "-".to_owned(), |n| n.to_string())
    };
    let direction = match text(route, "direction").as_str() {
        "to_kafka" => "to Kafka".to_owned(),
        "to_salesforce" => "to Salesforce".to_owned(),
        other => other.to_owned(),
    };
    let position = match (
        route["lag"].as_i64(),
        millis(&text(&route["position"], "updated_at")),
    ) {
        (Some(lag), _) => format!("{lag} behind"),
        (None, Some(at)) => format!("{} old", age(now_ms - at)),
        (None, None) => "-".to_owned(),
    };
    let note = |key: &str| {
        let said = text(state, key);
        (!said.is_empty()).then(|| format!("{key}: {said}"))
    };
    let mut notes: Vec<String> = ["why", "remedy", "until"].into_iter().filter_map(note).collect();
    for read in route["fresh_reads"].as_array().into_iter().flatten() {
        notes.push(format!(
            "read {} afresh: changes are missing since {}",
            text(read, "entity"),
            text(read, "since")
        ));
    }
    Row {
        cells: [
            text(route, "name"),
            direction,
            text(state, "name"),
            count("events_received"),
            count("records_written"),
            count("filtered"),
            count("dead_letters"),
            count("gaps"),
            position,
        ],
        notes,
    }
}

/// In the largest unit that fits.
fn age(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "bridge {}", self.bridge)?;
        let mut widths = HEADS.map(str::len);
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(&row.cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
        line(f, &HEADS.map(str::to_owned), &widths)?;
        for row in &self.rows {
            line(f, &row.cells, &widths)?;
            for note in &row.notes {
                writeln!(f, "    {note}")?;
            }
        }
        for route in &self.unknown {
            writeln!(
                f,
                "route {route} was assigned to this instance, whose configuration does not have it"
            )?;
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, cells: &[String], widths: &[usize]) -> fmt::Result {
    let mut text = String::new();
    for (index, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let is_number = (NUMBERS_FROM..HEADS.len() - 1).contains(&index);
        text += &if is_number {
            format!("{cell:>width$}  ")
        } else {
            format!("{cell:<width$}  ")
        };
    }
    writeln!(f, "{}", text.trim_end())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_shows_what_flows_and_under_it_what_is_stuck_and_why() {
        let shown = json!({ "bridge": "crm", "routes": [
            { "name": "accounts", "direction": "to_kafka", "state": { "name": "streaming" },
              "position": { "updated_at": "2026-11-24T01:30:00.000Z" },
              "events_received": 12, "records_written": 10, "filtered": 2, "dead_letters": 0, "gaps": 0 },
            { "name": "orders", "direction": "to_salesforce",
              "state": { "name": "halted", "why": "no\u{1b}[2J permission", "remedy": "grant it" }, "lag": 7,
              "events_received": 1, "records_written": 0, "filtered": 0, "dead_letters": 1, "gaps": 0 },
        ] });
        let now = millis("2026-11-24T01:30:45.000Z").unwrap();
        assert_eq!(
            Table::new(&shown, now).to_string(),
            "bridge crm\n\
             ROUTE     DIRECTION      STATE      RECEIVED  WRITTEN  FILTERED  DEAD LETTERS  GAPS  POSITION\n\
             accounts  to Kafka       streaming        12       10         2             0     0  45 s old\n\
             orders    to Salesforce  halted            1        0         0             1     0  7 behind\n    \
             why: no [2J permission\n    remedy: grant it\n"
        );
        assert!(is_halted(&shown));
    }

    #[test]
    fn ages_are_told_in_the_largest_unit_that_fits() {
        let told = [119, 120, 7199, 7200, 172_800].map(|seconds| age(seconds * 1000));
        assert_eq!(told, ["119 s", "2 min", "119 min", "2 h", "2 d"]);
    }
}
