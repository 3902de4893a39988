//! The offsets of a route to Salesforce. Kafka takes them only while the group has no members.

use serde_json::json;

use super::place::Place;
use super::{Desk, Moved};
use crate::cli::answer::Refused;
use crate::cli::named::unknown;
use crate::cli::progress::waiting;
use crate::config::{RouteConfig, StartPolicy, ToSalesforceConfig};
use crate::error::{ErrorKind, Failure};
use crate::kafka::{Record, RouteProducer, Standpoint, Timing};
use crate::routes::gap::{self, GapKind, GapReport, LostRange};
use crate::routes::to_salesforce::written_topics;

pub(super) async fn stand(
    desk: &Desk<'_>,
    route: &RouteConfig,
    flow: &ToSalesforceConfig,
    place: &Place,
    topic: Option<&str>,
) -> Result<Moved, Refused> {
    let name = &route.name;
    let group = desk.connection.group_of(Some(name));
    desk.connection.no_members(&group).await?;
    let except = written_topics(desk.config);
    let asked = desk.connection.standpoints(&group, &flow.from.topics, &except);
    // Each partition is a question.
    let found = waiting("asking for the partitions", asked).await?;
    let found = of_topic(found, topic, name)?;
    let moves = moves(place, flow.from.start, &found).map_err(|why| {
        Failure::new(ErrorKind::Misconfigured, format!("route {name}: {why}"))
            .remedy("`sfbridge positions list` shows the partitions and what is kept of them")
    })?;
    let reports = reports(name, &moves);
    let reported = reports.len();
    write(desk, reports).await?;
    let places = moves
        .iter()
        .map(|(from, to)| (from.topic.clone(), from.partition, *to));
    desk.connection.stand(&group, places.collect()).await?;
    let mut text = format!("route {name} goes on at");
    for (from, to) in &moves {
        text.push_str(&format!(" {}[{}]@{to}", from.topic, from.partition));
    }
    if reported > 0 {
        text.push_str("; what it leaves out is reported in the gaps topic");
    }
    let offsets: Vec<_> = moves
        .iter()
        .map(|(from, to)| {
            json!({ "topic": &*from.topic, "partition": from.partition, "before": from.committed, "offset": to })
        })
        .collect();
    Ok(Moved {
        text,
        json: json!({ "route": name, "offsets": offsets, "reported": reported > 0 }),
    })
}

/// The partitions of the topic that was named; all without one.
fn of_topic(found: Vec<Standpoint>, topic: Option<&str>, route: &str) -> Result<Vec<Standpoint>, Refused> {
    let Some(topic) = topic else { return Ok(found) };
    let (named, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|place| &*place.topic == topic);
    if named.is_empty() {
        let mut topics: Vec<&str> = others.iter().map(|place| &*place.topic).collect();
        topics.dedup();
        let what = format!("topic that route {route} reads");
        return Err(Refused::Asked(unknown(&what, topic, topics.into_iter())));
    }
    Ok(named)
}

/// Each partition that is moved, with its new offset.
fn moves(
    place: &Place,
    start: StartPolicy,
    found: &[Standpoint],
) -> Result<Vec<(Standpoint, i64)>, &'static str> {
    if found.is_empty() {
        return Err("its topics do not exist");
    }
    let every =
        |to: fn(&Standpoint) -> i64| Ok(found.iter().map(|place| (place.clone(), to(place))).collect());
    match (place, start) {
        (Place::Earliest, _) | (Place::Start, StartPolicy::Earliest) => every(|place| place.low),
        (Place::Latest | Place::After(_), _) | (Place::Start, StartPolicy::Latest) => {
            every(|place| place.high)
        }
        (Place::Offset { offset, partition }, _) => {
            let mut named = found
                .iter()
                .filter(|place| partition.is_none_or(|partition| partition == place.partition));
            let (Some(one), None) = (named.next(), named.next()) else {
                return Err(
                    "the offset is of no partition, or of several: name one as <offset>:<partition>, and one of several topics with --topic",
                );
            };
            if !(one.low..=one.high).contains(offset) {
                return Err("the partition does not keep that offset");
            }
            Ok(vec![(one.clone(), *offset)])
        }
    }
}

/// One for each partition whose records are left out.
fn reports(route: &str, moves: &[(Standpoint, i64)]) -> Vec<GapReport> {
    let skipped = moves.iter().filter_map(|(from, to)| {
        let next = from.committed?.max(from.low);
        (next < *to).then(|| {
            let topic = &from.topic;
            let mut report = GapReport::new(route, topic, GapKind::SkippedByOperator, "positions set");
            report.offsets = Some(LostRange {
                partition: from.partition,
                from_offset: Some(next),
                to_offset: Some(*to),
            });
            report
        })
    });
    skipped.collect()
}

async fn write(desk: &Desk<'_>, reports: Vec<GapReport>) -> Result<(), Failure> {
    let topic = gap::topic(&desk.config.bridge.name);
    let mut records: Vec<Record> = reports.iter().map(|report| report.record(&topic)).collect();
    let Some(last) = records.pop() else {
        return Ok(());
    };
    desk.topics.ensure_gaps(&topic).await?;
    let mut producer = RouteProducer::idempotent(&desk.connection, Timing::DEFAULT).await?;
    producer.write(records, last).await.map(drop).map_err(|error| {
        Failure::new(
            ErrorKind::Transient,
            "the gap report could not be written, and nothing was moved",
        )
        .remedy("try again")
        .caused_by(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: i32, committed: Option<i64>) -> Standpoint {
        Standpoint {
            topic: "orders".into(),
            partition,
            committed,
            low: 10,
            high: 100,
        }
    }

    fn offsets(place: &Place, found: &[Standpoint]) -> Result<Vec<i64>, &'static str> {
        let moves = moves(place, StartPolicy::Latest, found)?;
        Ok(moves.into_iter().map(|(_, to)| to).collect())
    }

    #[test]
    fn all_partitions_move_or_the_one_that_is_named() {
        let found = [at(0, Some(50)), at(1, None)];
        assert_eq!(offsets(&Place::Earliest, &found), Ok(vec![10, 10]));
        assert_eq!(offsets(&Place::Start, &found), Ok(vec![100, 100]));
        let to = |offset, partition| Place::Offset { offset, partition };
        assert_eq!(offsets(&to(60, Some(1)), &found), Ok(vec![60]));
        assert_eq!(offsets(&to(60, None), &found[..1]), Ok(vec![60]));
        for refused in [to(60, None), to(60, Some(7)), to(9, Some(0)), to(101, Some(0))] {
            assert!(offsets(&refused, &found).is_err(), "{refused:?}");
        }
        assert!(offsets(&Place::Earliest, &[]).is_err());
    }

    #[test]
    fn a_topic_that_is_named_moves_alone() {
        let of = |topic: &str| Standpoint {
            topic: topic.into(),
            ..at(0, None)
        };
        let found = || vec![of("orders"), of("returns")];
        assert_eq!(of_topic(found(), None, "r").unwrap(), found());
        assert_eq!(of_topic(found(), Some("returns"), "r").unwrap(), [of("returns")]);
        let Err(Refused::Asked(why)) = of_topic(found(), Some("return"), "r") else {
            panic!("there is no such topic");
        };
        assert!(why.contains("did you mean returns?"), "{why}");
    }

    #[test]
    fn only_what_is_left_out_is_reported() {
        let moves = [(at(0, Some(50)), 60), (at(1, Some(50)), 40), (at(2, None), 100)];
        let reports = reports("r", &moves);
        let [report] = reports.as_slice() else {
            panic!("{reports:?}")
        };
        let range = report.offsets.as_ref().unwrap();
        assert_eq!(
            (range.partition, range.from_offset, range.to_offset),
            (0, Some(50), Some(60))
        );
    }
}
