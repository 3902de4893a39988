//! CloudEvents 1.0 headers in Kafka's binary mode, and the record timestamp.

use std::borrow::Cow;

use bytes::Bytes;

use crate::runtime::clock;

/// Records older than this are written with the present time: a topic that keeps seven days would delete them
/// at once.
const TIMESTAMP_PAST_MS: i64 = 7 * 24 * 3600 * 1000;
/// Records further ahead than this are written with the present time: a broker may refuse them.
const TIMESTAMP_AHEAD_MS: i64 = 5 * 60 * 1000;

/// The Kafka timestamp of a record: the event's own time where a broker takes it, else the present.
pub fn record_timestamp_ms(event_time_ms: Option<i64>, now_ms: i64) -> i64 {
    event_time_ms
        .filter(|time| (now_ms - TIMESTAMP_PAST_MS..=now_ms + TIMESTAMP_AHEAD_MS).contains(time))
        .unwrap_or(now_ms)
}

/// A header as it goes into a record.
pub type Header = (Cow<'static, str>, Bytes);

/// A header whose name is known at compile time: all of ours.
pub const fn header(name: &'static str, value: Bytes) -> Header {
    (Cow::Borrowed(name), value)
}

/// The headers that all records of one event share, and those that differ from record to record.
#[derive(Debug, Clone)]
pub struct EventHeaders {
    /// `//<my-domain-host><salesforce topic>`
    pub source: Bytes,
    pub route: Bytes,
    /// `com.salesforce.<record name>`; unknown when the schema is.
    pub event_type: Option<Bytes>,
    pub schema_id: Option<Bytes>,
    /// RFC 3339.
    pub time: Option<Bytes>,
    /// Lower-case hex.
    pub replay_id: Bytes,
    /// The event may have been delivered before its position was lost.
    pub replayed: bool,
    /// RFC 3339: the record was read again and is what it was then.
    pub as_of: Option<Bytes>,
    /// Records that were read again since this change of theirs, by id: the change is contained in what was
    /// written then.
    pub superseded: Vec<String>,
}

impl EventHeaders {
    /// The headers of one record.
    pub fn record(
        &self,
        id: Option<Bytes>,
        subject: Option<Bytes>,
        content_type: &'static str,
    ) -> Vec<Header> {
        let is_superseded = subject
            .as_ref()
            .is_some_and(|subject| self.superseded.iter().any(|id| id.as_bytes() == subject));
        let mut headers = Vec::with_capacity(11);
        headers.push(header("ce_specversion", Bytes::from_static(b"1.0")));
        headers.extend(id.map(|id| header("ce_id", id)));
        headers.push(header("ce_source", self.source.clone()));
        headers.extend(self.event_type.clone().map(|value| header("ce_type", value)));
        headers.extend(self.time.clone().map(|time| header("ce_time", time)));
        headers.extend(
            subject
                .filter(|subject| !subject.is_empty())
                .map(|subject| header("ce_subject", subject)),
        );
        headers.push(header(
            "content-type",
            Bytes::from_static(content_type.as_bytes()),
        ));
        headers.push(header("ce_sfreplayid", self.replay_id.clone()));
        headers.extend(self.schema_id.clone().map(|id| header("ce_sfschemaid", id)));
        headers.push(header("ce_sfroute", self.route.clone()));
        if self.replayed {
            headers.push(header("ce_sfreplayed", Bytes::from_static(b"true")));
        }
        headers.extend(self.as_of.clone().map(|as_of| header("ce_sfasof", as_of)));
        if is_superseded {
            headers.push(header("ce_sfsuperseded", Bytes::from_static(b"true")));
        }
        headers
    }
}

/// RFC 3339 texts of event times. Events of one commit share their time, so the last one is kept.
#[derive(Debug, Default)]
pub struct TimeText(Option<(i64, Bytes)>);

impl TimeText {
    pub fn of(&mut self, epoch_ms: i64) -> Bytes {
        match &self.0 {
            Some((at, text)) if *at == epoch_ms => text.clone(),
            _ => {
                let text = Bytes::from(clock::rfc3339_ms(epoch_ms));
                self.0 = Some((epoch_ms, text.clone()));
                text
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::telemetry::traces::TRACEPARENT;

    const DAY_MS: i64 = 24 * 3600 * 1000;

    #[test]
    fn a_time_that_a_broker_would_refuse_or_delete_becomes_the_present() {
        let now = 1_790_000_000_000;
        assert_eq!(record_timestamp_ms(Some(now - DAY_MS), now), now - DAY_MS);
        assert_eq!(record_timestamp_ms(Some(now - 8 * DAY_MS), now), now);
        assert_eq!(record_timestamp_ms(Some(now + 60_000), now), now + 60_000);
        assert_eq!(record_timestamp_ms(Some(now + 360_000), now), now);
        assert_eq!(record_timestamp_ms(Some(i64::MIN), now), now);
        assert_eq!(record_timestamp_ms(None, now), now);
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let headers = EventHeaders {
            source: Bytes::from_static(b"//acme.my.salesforce.com/event/X__e"),
            route: Bytes::from_static(b"r"),
            event_type: None,
            schema_id: None,
            time: None,
            replay_id: Bytes::from_static(b"00"),
            replayed: true,
            as_of: None,
            superseded: Vec::new(),
        };
        let record = headers.record(None, Some(Bytes::new()), "avro/binary");
        let names: Vec<&str> = record.iter().map(|(name, _)| &**name).collect();
        assert_eq!(
            names,
            [
                "ce_specversion",
                "ce_source",
                "content-type",
                "ce_sfreplayid",
                "ce_sfroute",
                "ce_sfreplayed"
            ]
        );
    }

    #[test]
    fn the_document_for_readers_has_every_header_that_is_written() {
        let mut headers = EventHeaders {
            source: Bytes::from_static(b"//acme.my.salesforce.com/data/AccountChangeEvent"),
            route: Bytes::from_static(b"r"),
            event_type: Some(Bytes::from_static(b"com.salesforce.AccountChangeEvent")),
            schema_id: Some(Bytes::from_static(b"s")),
            time: Some(Bytes::from_static(b"2026-11-24T01:30:00.000Z")),
            replay_id: Bytes::from_static(b"00"),
            replayed: true,
            as_of: Some(Bytes::from_static(b"2026-11-24T01:30:00.000Z")),
            superseded: vec!["001".to_owned()],
        };
        let document = crate::contracts::asyncapi::headers();
        let written = |headers: &EventHeaders, subject: &'static str| {
            let subject = Some(Bytes::from_static(subject.as_bytes()));
            let record = headers.record(Some(Bytes::from_static(b"i")), subject, "application/json");
            record
                .into_iter()
                .map(|(name, _)| name.into_owned())
                .collect::<BTreeSet<_>>()
        };
        let mut all = written(&headers, "001");
        all.insert(TRACEPARENT.to_owned());
        let documented = document["properties"].as_object().unwrap().keys();
        assert_eq!(all, documented.cloned().collect());

        (headers.time, headers.as_of, headers.replayed) = (None, None, false);
        let required = document["required"].as_array().unwrap().iter();
        assert_eq!(
            written(&headers, ""),
            required.map(|name| name.as_str().unwrap().to_owned()).collect()
        );
    }
}
