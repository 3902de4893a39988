//! Where every route stands. Reads only.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::Desk;
use crate::app::Exit;
use crate::cli::answer::{Output, Refused};
use crate::cli::progress::Bar;
use crate::config::Flow;
use crate::error::Failure;
use crate::kafka::{PositionStore, Standpoint};
use crate::routes::position::Position;
use crate::routes::to_salesforce::written_topics;

pub(super) async fn run(desk: &Desk<'_>, output: Output) -> Result<Exit, Refused> {
    let store = PositionStore::look(&desk.topics).await?;
    let mut text = String::new();
    let mut all = Vec::new();
    let mut bar = Bar::of_routes(desk.config.routes.len());
    for route in &desk.config.routes {
        bar.step();
        let name = &route.name;
        match &route.flow {
            Flow::ToKafka(_) => {
                let position = stored(store.as_ref(), name).await?;
                // Writing into a String cannot fail.
                let _ = writeln!(text, "{name}  {}", of_salesforce(position.as_ref()));
                all.push(json!({ "route": name, "direction": "to_kafka", "position": position }));
            }
            Flow::ToSalesforce(flow) => {
                let group = desk.connection.group_of(Some(name));
                let except = written_topics(desk.config);
                let places = desk
                    .connection
                    .standpoints(&group, &flow.from.topics, &except)
                    .await?;
                if places.is_empty() {
                    let _ = writeln!(text, "{name}  its topics do not exist yet");
                }
                for place in &places {
                    let _ = writeln!(text, "{name}  {}", of_kafka(place));
                }
                let offsets: Vec<Json> = places.iter().map(as_json).collect();
                all.push(json!({ "route": name, "direction": "to_salesforce", "offsets": offsets }));
            }
        }
    }
    drop(bar);
    let json = || json!({ "bridge": desk.config.bridge.name, "positions": all });
    Ok(output.print(|| text, json))
}

/// A route's position; None: it has none.
pub(super) async fn stored(store: Option<&PositionStore>, route: &str) -> Result<Option<Position>, Failure> {
    let Some(store) = store else { return Ok(None) };
    let said = |why: String| eprintln!("sfbridge: {why}");
    let value = store.read(route, &said).await?;
    value.map(|value| Position::parse(route, &value)).transpose()
}

fn of_salesforce(position: Option<&Position>) -> String {
    let Some(position) = position else {
        return "none: it begins as its `start` says".to_owned();
    };
    let mut text = match (&position.replay_id, &position.since) {
        (Some(id), _) => format!("after {id}"),
        (None, Some(since)) => format!("events since {since}"),
        (None, None) => "the earliest event".to_owned(),
    };
    let _ = write!(text, " of {}, stored {}", position.topic, position.updated_at);
    if let Some(time) = &position.event_time {
        let _ = write!(text, ", last event of {time}");
    }
    text
}

fn of_kafka(place: &Standpoint) -> String {
    let Standpoint {
        topic,
        partition,
        committed,
        low,
        high,
    } = place;
    match committed {
        Some(offset) => format!(
            "{topic}[{partition}] at {offset}, {} behind (kept: {low} to {high})",
            (high - offset).max(0)
        ),
        None => format!("{topic}[{partition}] none (kept: {low} to {high})"),
    }
}

fn as_json(place: &Standpoint) -> Json {
    json!({
        "topic": &*place.topic,
        "partition": place.partition,
        "offset": place.committed,
        "first_offset": place.low,
        "end_offset": place.high,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_told_in_a_line() {
        assert!(of_salesforce(None).contains("`start`"));
        let mut position = Position {
            topic: "/event/X__e".to_owned(),
            updated_at: "2026-11-24T01:30:01.000Z".to_owned(),
            ..Position::default()
        };
        assert_eq!(
            of_salesforce(Some(&position)),
            "the earliest event of /event/X__e, stored 2026-11-24T01:30:01.000Z"
        );
        position.replay_id = Some("00ff".to_owned());
        assert!(of_salesforce(Some(&position)).starts_with("after 00ff of"));
        let place = Standpoint {
            topic: "orders".into(),
            partition: 2,
            committed: Some(7),
            low: 1,
            high: 10,
        };
        assert_eq!(of_kafka(&place), "orders[2] at 7, 3 behind (kept: 1 to 10)");
    }
}
