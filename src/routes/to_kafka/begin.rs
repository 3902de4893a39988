//! How a run begins: fence the earlier owner, read the stored position, decide where to subscribe, and store
//! what must be stored before the first Subscribe (the clock of a first start, a lost position's gap report).

use std::sync::Arc;

use bytes::Bytes;

use super::{RunEnd, Shared, ToKafkaRoute, until_done};
use crate::config::{Delivery, LostPositionPolicy};
use crate::error::{ErrorKind, Failure};
use crate::kafka::{Lanes, Record, Timing};
use crate::routes::gap::{self, GapKind, GapReport};
use crate::routes::position::{Position, millis};
use crate::routes::start::{self, Resume, StartDecision};
use crate::runtime::clock;
use crate::runtime::shutdown::StopSignal;
use crate::salesforce::auth::Session;
use crate::salesforce::pubsub::Start;

/// What a run needs to stream.
pub(super) struct Beginning {
    pub(super) producer: Lanes,
    pub(super) session: Arc<Session>,
    pub(super) subscribe: Start,
    pub(super) resume: Resume,
}

impl ToKafkaRoute {
    /// `lost` says why Salesforce refused the stored position, if it did.
    pub(super) async fn begin(
        &self,
        lost: Option<String>,
        stop: &mut StopSignal,
    ) -> Result<Beginning, RunEnd> {
        let shared = &self.shared;
        self.status.starting("logging in to Salesforce");
        let session = until_done(self, stop, || shared.salesforce.tokens.session()).await?;
        self.status
            .starting("taking over from an earlier owner of the route");
        let mut producer = until_done(self, stop, || self.producer()).await?;
        self.status.starting("reading the stored position");
        let stored = until_done(self, stop, || self.stored_position()).await?;
        let decision = match lost {
            Some(why) => StartDecision::Lost { why },
            None => start::decide(stored.as_ref(), &self.flow.from, &session.organization_id),
        };
        let lost = match decision {
            StartDecision::Resume(resume) => {
                if let Some(position) = &stored {
                    self.status
                        .positioned(position.view(), millis(&position.updated_at).unwrap_or_default());
                }
                let subscribe = resume.replay_id.clone().map_or(Start::Earliest, Start::After);
                return Ok(Beginning {
                    producer,
                    session,
                    subscribe,
                    resume,
                });
            }
            StartDecision::FirstEarliest => {
                return Ok(Beginning {
                    producer,
                    session,
                    subscribe: Start::Earliest,
                    resume: Resume::default(),
                });
            }
            StartDecision::FirstLatest => {
                let since_ms = self.salesforce_time(stop).await?;
                let resume = Resume {
                    since_ms: Some(since_ms),
                    ..Resume::default()
                };
                self.store(&mut producer, &session, &resume, None).await?;
                return Ok(Beginning {
                    producer,
                    session,
                    subscribe: Start::Latest,
                    resume,
                });
            }
            StartDecision::Lost { why } => why,
        };
        let resume = self
            .lose_position(&mut producer, &session, stored.as_ref(), &lost, stop)
            .await?;
        Ok(Beginning {
            producer,
            session,
            subscribe: Start::Earliest,
            resume,
        })
    }

    async fn producer(&self) -> Result<Lanes, Failure> {
        let Shared {
            bridge, connection, ..
        } = &self.shared;
        match self.flow.delivery {
            Delivery::ExactlyOnce => {
                Lanes::take_over(
                    connection,
                    &format!("sfbridge.{bridge}.{}", self.config.name),
                    Timing::DEFAULT,
                )
                .await
            }
            Delivery::AtLeastOnce => Lanes::idempotent(connection, Timing::DEFAULT).await,
        }
    }

    pub(super) async fn stored_position(&self) -> Result<Option<Position>, Failure> {
        let route = &self.config.name;
        let value = self
            .shared
            .positions
            .read(route, &|why| self.status.starting(&why))
            .await?;
        value.map(|value| Position::parse(route, &value)).transpose()
    }

    async fn salesforce_time(&self, stop: &mut StopSignal) -> Result<i64, RunEnd> {
        until_done(self, stop, || self.shared.salesforce.tokens.server_time_ms()).await
    }

    /// What `on_lost_position` says: the gap report and the new position go in one transaction, so that the
    /// position never moves past a loss that is not reported.
    pub(super) async fn lose_position(
        &self,
        producer: &mut Lanes,
        session: &Session,
        stored: Option<&Position>,
        why: &str,
        stop: &mut StopSignal,
    ) -> Result<Resume, RunEnd> {
        let policy = self.flow.from.on_lost_position;
        let topic = &self.flow.from.topic;
        let halt = |remedy: &str| {
            let message = format!("the position in {topic} is lost: {why}");
            RunEnd::Halted(Failure::new(ErrorKind::LostPosition, message).remedy(remedy))
        };
        tracing::error!(route = %self.config.name, topic, why, policy = ?policy, "position lost");
        let (resolution, resume) = match policy {
            LostPositionPolicy::Halt => {
                self.count_gap(GapKind::LostPosition);
                return Err(halt(
                    "set the route's `on_lost_position` to earliest (what may have been delivered before is marked) or latest (what came in between is missing) and restart sfbridge: the gap report is written then",
                ));
            }
            LostPositionPolicy::Earliest => {
                let event_time_ms = stored
                    .and_then(|position| position.event_time.as_deref())
                    .and_then(millis);
                // Without a delivered event nothing can come twice, unless a replay was under way already.
                let before = stored
                    .and_then(|position| position.replayed_until.as_deref())
                    .and_then(millis);
                (
                    "earliest",
                    Resume {
                        replayed_until_ms: event_time_ms.max(before),
                        event_time_ms,
                        ..Resume::default()
                    },
                )
            }
            LostPositionPolicy::Latest => {
                let since_ms = self.salesforce_time(stop).await?;
                (
                    "latest",
                    Resume {
                        since_ms: Some(since_ms),
                        ..Resume::default()
                    },
                )
            }
        };
        let mut report = GapReport::new(&self.config.name, topic, GapKind::LostPosition, resolution);
        report.from_replay_id = stored.and_then(|position| position.replay_id.clone());
        report.from_event_time = stored.and_then(|position| position.event_time.clone());
        let record = until_done(self, stop, || self.gap_record(&report)).await?;
        self.store(producer, session, &resume, Some(record)).await?;
        self.count_gap(GapKind::LostPosition);
        Ok(resume)
    }

    /// Stores a position without an event.
    async fn store(
        &self,
        producer: &mut Lanes,
        session: &Session,
        resume: &Resume,
        report: Option<Record>,
    ) -> Result<(), RunEnd> {
        let position = self.position(&session.organization_id, None, &[], resume);
        let record = self
            .shared
            .positions
            .record(&self.config.name, Bytes::from(position.to_json()));
        producer
            .write(report.into_iter().collect(), record)
            .await
            .map_err(|error| RunEnd::of_write(error, Vec::new()))?;
        self.status.positioned(position.view(), clock::now_ms());
        Ok(())
    }

    /// The position as it is stored.
    pub(super) fn position(
        &self,
        org_id: &str,
        complete: Option<&Bytes>,
        after: &[String],
        resume: &Resume,
    ) -> Position {
        Position {
            replay_id: complete.map(hex::encode),
            after: after.to_vec(),
            topic: self.flow.from.topic.clone(),
            org_id: org_id.to_owned(),
            event_time: resume.event_time_ms.map(clock::rfc3339_ms),
            updated_at: clock::rfc3339_ms(clock::now_ms()),
            since: resume.since_ms.map(clock::rfc3339_ms),
            replayed_until: resume.replayed_until_ms.map(clock::rfc3339_ms),
            read_as_of: resume
                .read_as_of
                .iter()
                .map(|(id, as_of)| (id.clone(), clock::rfc3339_ms(as_of)))
                .collect(),
        }
    }

    /// A gap report as a record; its topic is there before any transaction begins.
    pub(super) async fn gap_record(&self, report: &GapReport) -> Result<Record, Failure> {
        let topic = gap::topic(&self.shared.bridge);
        self.shared.topics.ensure_gaps(&topic).await?;
        Ok(report.record(&topic))
    }
}
