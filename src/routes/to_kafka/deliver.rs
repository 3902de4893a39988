//! One new event on its way into the batch: read again where it does not tell its values, its records or its dead
//! letter, its gap report. Everything that needs the network is finished here, before a transaction begins.

use std::sync::Arc;

use bytes::Bytes;

use super::intake::{Dead, Intake, Into, Tally};
use super::refetch::Reread;
use super::{RunEnd, ToKafkaRoute, until_done};
use crate::error::{ErrorKind, Failure};
use crate::kafka::Record;
use crate::routes::activity::{DeadLetterView, letter_command};
use crate::routes::cloud_event::{EventHeaders, header, record_timestamp_ms};
use crate::routes::dead_letter::{self, Reason};
use crate::routes::gap::{GapKind, GapReport};
use crate::routes::output::{Delivery, Refusal};
use crate::routes::position::millis;
use crate::routes::reread::{RereadDecision, decide};
use crate::runtime::clock;
use crate::salesforce::event::{DecodedEvent, EventSchema, write_json};
use crate::salesforce::pubsub::ReceivedEvent;

impl Intake {
    /// Puts one event into the batch, or its dead letter.
    pub(super) async fn deliver(
        &mut self,
        event: &ReceivedEvent,
        decoded: Result<DecodedEvent, Dead>,
        ids: &[String],
        into: &mut Into<'_>,
    ) -> Result<(), RunEnd> {
        let time_ms = decoded.as_ref().ok().and_then(DecodedEvent::event_time_ms);
        let headers = self.headers(event, time_ms);
        let id = ids.first().map(|id| Bytes::copy_from_slice(id.as_bytes()));
        let schema = self.schema.as_ref().map(|(schema, ..)| Arc::clone(schema));
        let report = decoded.as_ref().ok();
        let report = report.and_then(|decoded| self.gap(into.route, event, decoded));
        let delivered = match (decoded, self.condemned(ids, into), schema) {
            (Err(dead), ..) | (Ok(_), Some(dead), _) => Err(dead),
            (Ok(_), None, None) => Err(Dead::poison("the event has no schema")),
            (Ok(decoded), None, Some(schema)) => {
                show(into.route, &schema, event, &decoded);
                let decision = self.decision(into.route, &decoded);
                // Records that are read again have other values and another change type than the event.
                let as_it_came = (decision != RereadDecision::Read).then_some((&*event.payload, &decoded));
                into.route
                    .prepare(
                        &mut self.outputs,
                        &schema,
                        decoded.entity(),
                        as_it_came,
                        into.stop,
                    )
                    .await?;
                match decision {
                    RereadDecision::Halt => return self.halt_or_skip(report, &decoded, ids, into).await,
                    RereadDecision::DeadLetter(rule) => Err(Dead::poison(rule)),
                    RereadDecision::Pass => self.pass(event, &schema, &decoded, ids, &headers),
                    RereadDecision::Read => {
                        let read = into
                            .route
                            .reread(&schema, &event.payload, &decoded, ids, into.stop)
                            .await?;
                        read.and_then(|read| self.read_again(&schema, read, &headers, time_ms))
                    }
                }
            }
        };
        let delivery = match delivered {
            Ok(delivery) => delivery,
            Err(dead) => {
                if let Some(mut report) = report {
                    "dead_letter".clone_into(&mut report.resolution);
                    report.record_ids.truncate(RECORD_IDS_MAX);
                    self.report(report, into).await?;
                }
                self.dead_letter(event, dead, headers, id, into).await?;
                self.count_dead(into);
                return Ok(());
            }
        };
        self.ensure_topics(&delivery.records, into).await?;
        if let Some(report) = report {
            self.report(report, into).await?;
        }
        let is_refused = delivery.is_refused();
        let Tally {
            written,
            filtered,
            bytes,
            ..
        } = &mut into.batch.tally;
        *written += delivery.records.len() as u64;
        *filtered += delivery.filtered;
        *bytes += value_bytes(&delivery.records);
        into.batch.records.extend(delivery.records);
        into.batch.event_times_ms.extend(time_ms);
        for Refusal { output, kind, error } in delivery.refusals {
            let mut dead = Dead::new(kind, error);
            dead.output = self
                .outputs
                .config(output)
                .map(|output| output.topic.as_str().into());
            self.dead_letter(event, dead, headers.clone(), id.clone(), into)
                .await?;
        }
        if is_refused {
            self.count_dead(into);
        } else {
            self.poison.delivered();
        }
        Ok(())
    }

    fn count_dead(&mut self, into: &mut Into<'_>) {
        into.batch.halts = self.poison.dead_lettered();
        into.batch.sealed = into.batch.halts;
    }

    /// What an earlier run found out about the event: a broker refuses its record.
    fn condemned(&self, ids: &[String], into: &Into<'_>) -> Option<Dead> {
        let condemned = ids.first().and_then(|id| into.search.condemned(id))?;
        Some(Dead {
            reason: Reason {
                kind: ErrorKind::Poison,
                error: condemned.reason.clone(),
                attempts: 2,
            },
            without_value: condemned.without_value,
            output: None,
        })
    }

    pub(super) fn decision(&self, route: &ToKafkaRoute, decoded: &DecodedEvent) -> RereadDecision {
        let from = &route.flow.from;
        let header = decoded.header();
        header.map_or(RereadDecision::Pass, |header| {
            decide(header, from.on_gap, from.on_diff)
        })
    }

    /// The event as it came.
    fn pass(
        &self,
        event: &ReceivedEvent,
        schema: &EventSchema,
        decoded: &DecodedEvent,
        ids: &[String],
        headers: &EventHeaders,
    ) -> Result<Delivery, Dead> {
        let time_ms = decoded.event_time_ms();
        let superseded: Vec<String> = match time_ms {
            Some(time) if !self.resume.read_as_of.is_empty() => {
                let is_contained = |id: &&String| self.resume.read_as_of.contains(id, time);
                decoded
                    .record_ids()
                    .iter()
                    .filter(is_contained)
                    .cloned()
                    .collect()
            }
            _ => Vec::new(),
        };
        let timestamp_ms = record_timestamp_ms(time_ms, clock::now_ms());
        let deliver = |headers: &EventHeaders| {
            self.outputs
                .deliver(schema, &event.payload, decoded, ids, headers, timestamp_ms)
        };
        if superseded.is_empty() {
            deliver(headers)
        } else {
            deliver(&EventHeaders {
                superseded,
                ..headers.clone()
            })
        }
        .map_err(Dead::poison)
    }

    /// The event's records as they are now, each as of its own time.
    fn read_again(
        &mut self,
        schema: &EventSchema,
        events: Vec<Reread>,
        headers: &EventHeaders,
        time_ms: Option<i64>,
    ) -> Result<Delivery, Dead> {
        let mut all = Delivery::default();
        let mut known = Vec::with_capacity(events.len());
        for read in events {
            let mut headers = headers.clone();
            if let Some(as_of) = read.as_of_ms {
                headers.as_of = Some(self.times.of(as_of));
                headers.time.clone_from(&headers.as_of);
                known.push((read.record_id, as_of));
            }
            let timestamp_ms = record_timestamp_ms(read.as_of_ms.or(time_ms), clock::now_ms());
            let delivery = self
                .outputs
                .deliver(
                    schema,
                    &read.payload,
                    &read.event,
                    &[read.ce_id],
                    &headers,
                    timestamp_ms,
                )
                .map_err(Dead::poison)?;
            all.records.extend(delivery.records);
            all.filtered += delivery.filtered;
            all.refusals.extend(delivery.refusals);
        }
        // Not before all of them are: a change is superseded only by a record that is written.
        for (id, as_of) in known {
            self.resume.read_as_of.read(&id, as_of);
        }
        Ok(all)
    }

    /// `on_gap: halt`: the route ends before the event, until a person resumes it past that one.
    async fn halt_or_skip(
        &mut self,
        report: Option<GapReport>,
        decoded: &DecodedEvent,
        ids: &[String],
        into: &mut Into<'_>,
    ) -> Result<(), RunEnd> {
        let route = into.route;
        let first = ids.first().map_or("", String::as_str);
        let Some(mut report) = report else {
            return Ok(());
        };
        if route.status.resumes_past(first) {
            tracing::warn!(route = %route.config.name, ce_id = first, "resumed past a gap");
            "skipped_by_operator".clone_into(&mut report.resolution);
            self.report(report, into).await?;
            into.batch.tally.filtered += 1;
            return Ok(());
        }
        route.status.halts_before(first);
        let entity = report.entity.as_deref().unwrap_or("the object");
        let records = match &report.record_ids[..] {
            [id] => format!("record {id}"),
            ids => format!("{} records", ids.len()),
        };
        let message = format!(
            "Salesforce cannot say how {entity} changed ({} of {records}, replay id {}), and `on_gap` is halt",
            decoded.header().map_or("GAP", |header| header.change_type.name()),
            report.from_replay_id.as_deref().unwrap_or_default(),
        );
        Err(RunEnd::Halted(Failure::new(ErrorKind::LostPosition, message).remedy(format!(
            "read the changed records of {entity} again, then resume the route past this event: POST /api/routes/{}/resume",
            route.config.name
        ))))
    }

    async fn report(&self, report: GapReport, into: &mut Into<'_>) -> Result<(), RunEnd> {
        if report.kind == GapKind::Overflow {
            into.route.read_afresh(&report);
        }
        let record = until_done(into.route, into.stop, || into.route.gap_record(&report)).await?;
        into.batch.records.push(record);
        into.batch.gaps.push(report.kind);
        Ok(())
    }

    /// Asks for a topic once a run: what is deleted later ends the run at the next write.
    async fn ensure_topics(&mut self, records: &[Record], into: &mut Into<'_>) -> Result<(), RunEnd> {
        let topics = &into.route.shared.topics;
        for record in records {
            if !self.ensured.contains(&record.topic) {
                until_done(into.route, into.stop, || topics.ensure_data(&record.topic)).await?;
                self.ensured.insert(Arc::clone(&record.topic));
            }
        }
        Ok(())
    }

    /// What Salesforce itself says is missing.
    fn gap(&self, route: &ToKafkaRoute, event: &ReceivedEvent, decoded: &DecodedEvent) -> Option<GapReport> {
        let header = decoded
            .header()
            .filter(|_| decoded.is_gap() || decoded.is_overflow())?;
        let kind = if decoded.is_overflow() {
            GapKind::Overflow
        } else {
            GapKind::Gap
        };
        let resolution = match self.decision(route, decoded) {
            RereadDecision::Read => "refetch",
            _ => "pass",
        };
        let mut report = GapReport::new(&route.config.name, &route.flow.from.topic, kind, resolution);
        report.entity = Some(header.entity_name.clone());
        report.record_ids.clone_from(&header.record_ids);
        report.from_replay_id = Some(hex::encode(&event.replay_id));
        report.from_event_time = decoded.event_time_ms().map(clock::rfc3339_ms);
        Some(report)
    }

    async fn dead_letter(
        &mut self,
        event: &ReceivedEvent,
        dead: Dead,
        headers: EventHeaders,
        id: Option<Bytes>,
        into: &mut Into<'_>,
    ) -> Result<(), RunEnd> {
        let route = into.route;
        let topics = &route.shared.topics;
        let topic = Arc::clone(&self.dead_letter_topic);
        until_done(route, into.stop, || topics.ensure_dead_letter(&topic)).await?;
        let room = until_done(route, into.stop, || topics.max_message_bytes(&topic)).await?;
        let fits = !dead.without_value && dead_letter_fits(event.payload.len(), room);
        if !fits {
            let mut report = GapReport::new(
                &route.config.name,
                &route.flow.from.topic,
                GapKind::TooLarge,
                "dead_letter",
            );
            report.from_replay_id = Some(hex::encode(&event.replay_id));
            self.report(report, into).await?;
        }
        tracing::warn!(route = %route.config.name, replay_id = hex::encode(&event.replay_id), error = %dead.reason.error, "dead letter");
        let replay_id = headers.replay_id.clone();
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let told_id = id.as_ref().map(text);
        let mut known = headers.record(id, None, dead_letter::CONTENT_TYPE);
        if let Some(output) = dead.output.as_ref().or(self.output.as_ref()) {
            known.push(header(
                dead_letter::OUTPUT,
                Bytes::copy_from_slice(output.as_bytes()),
            ));
        }
        let reason = Reason {
            attempts: self.attempts_before.saturating_add(dead.reason.attempts),
            ..dead.reason
        };
        let letter = dead_letter::from_salesforce(
            &topic,
            &route.config.name,
            &route.flow.from.topic,
            &replay_id,
            fits.then(|| event.payload.clone()),
            known,
            &reason,
        );
        into.batch.letters.push(DeadLetterView {
            at: clock::rfc3339_ms(letter.timestamp_ms),
            kind: reason.kind.name(),
            id: told_id,
            place: text(&replay_id),
            output: dead.output.as_deref().map(str::to_owned),
            command: letter_command(&route.config.name, letter.timestamp_ms),
            error: Some(reason.error),
        });
        into.batch.records.push(letter);
        into.batch.tally.dead_letters += 1;
        into.batch.tally.broken += u64::from(reason.kind == ErrorKind::Contract);
        Ok(())
    }
}

/// For the status page, where it shows payloads.
fn show(route: &ToKafkaRoute, schema: &EventSchema, event: &ReceivedEvent, decoded: &DecodedEvent) {
    let value = || {
        let mut json = Vec::new();
        write_json(schema, &event.payload, decoded, None, &mut json).ok()?;
        String::from_utf8(json).ok()
    };
    let place = || hex::encode(&event.replay_id);
    route.status.activity.decoded(clock::now_ms(), place, value);
}

impl ToKafkaRoute {
    /// So many changes that Salesforce named none: the whole object must be read once more.
    fn read_afresh(&self, report: &GapReport) {
        let entity = report.entity.clone().unwrap_or_default();
        let since = report.from_event_time.clone().unwrap_or_default();
        let command = fresh_read_command(&entity, millis(&since));
        tracing::error!(route = %self.config.name, entity, since, command, "more changes in one transaction than Salesforce names: read the object afresh");
        self.status.read_afresh(&entity, &since, &command);
    }
}

/// A row is stamped when it is written, an event when its transaction commits: Salesforce ends one after ten
/// minutes, and its hosts' clocks differ a little.
const TRANSACTION_MAX_MS: i64 = 15 * 60 * 1000;

/// Ids in the report of a gap event that is a dead letter, which has them all: the report itself may be the record
/// that a broker found too large.
const RECORD_IDS_MAX: usize = 1000;

/// Reads what the transaction that was committed then may have changed.
fn fresh_read_command(entity: &str, committed_ms: Option<i64>) -> String {
    let stamped = committed_ms.map_or_else(String::new, |at| {
        format!(
            " WHERE SystemModstamp >= {}",
            clock::rfc3339_ms(at - TRANSACTION_MAX_MS)
        )
    });
    format!(
        "sf data export bulk --query \"SELECT FIELDS(STANDARD) FROM {entity}{stamped}\" --output-file {entity}.csv"
    )
}

/// Room for a dead letter's headers beside its value: error texts and ids are far smaller.
const DEAD_LETTER_HEADERS_BYTES: usize = 4096;

fn dead_letter_fits(payload: usize, topic_max: usize) -> bool {
    payload + DEAD_LETTER_HEADERS_BYTES <= topic_max
}

fn value_bytes(records: &[Record]) -> u64 {
    records
        .iter()
        .filter_map(|record| record.value.as_ref())
        .map(|value| value.len() as u64)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_read_finds_what_was_stamped_before_its_transaction_was_committed() {
        let command = fresh_read_command("Account", millis("2026-11-24T01:30:00.000Z"));
        assert!(
            command.contains("FROM Account WHERE SystemModstamp >= 2026-11-24T01:15:00.000Z"),
            "{command}"
        );
    }
}
