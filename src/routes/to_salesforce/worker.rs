//! One partition: takes records, sends them, commits what is finished. Decisions are in `window` and `outcome`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::ToSalesforceRoute;
use super::board::{Board, Place};
use super::dead_letters::DeadLetters;
use super::records::Records;
use super::target::{self, Entry, Outgoing, Target};
use super::window::{Fate, Kind, Next, Window};
use super::write::IN_DOUBT_FOR;
use crate::config::LostPositionPolicy;
use crate::error::{ErrorKind, Failure};
use crate::kafka::ConsumedRecord;
use crate::routes::dead_letter::{self, PoisonCounter, Reason};
use crate::routes::gap::GapKind;
use crate::routes::mapping::{DecodeError, Incoming, Program, Refusal, Source};
use crate::routes::redrive::{Address, Outcome};
use crate::routes::waits::{self, Interrupted, Pauses};
use crate::runtime::clock;
use crate::runtime::shutdown::StopSignal;
use crate::salesforce::rest::{ApiBudget, WRITE_RECORDS_MAX};

/// What all workers of a run share.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) route: Arc<ToSalesforceRoute>,
    pub(super) source: Source,
    pub(super) program: Arc<Program>,
    pub(super) target: parking_lot::Mutex<Arc<Target>>,
    pub(super) dead_letters: DeadLetters,
    pub(super) poison: Arc<parking_lot::Mutex<PoisonCounter>>,
    pub(super) board: Board,
}

impl Parts {
    pub(super) fn new(
        route: &Arc<ToSalesforceRoute>,
        source: Source,
        program: Arc<Program>,
        target: Target,
        poison: &Arc<parking_lot::Mutex<PoisonCounter>>,
    ) -> Self {
        let status = &route.status;
        let topic = &route.config.dead_letter.topic;
        Self {
            source,
            program,
            target: parking_lot::Mutex::new(Arc::new(target)),
            dead_letters: DeadLetters::new(Arc::clone(&status.name), topic, route.shared.clone()),
            poison: Arc::clone(poison),
            board: Board::new(Arc::clone(status)),
            route: Arc::clone(route),
        }
    }

    pub(super) fn target(&self) -> Arc<Target> {
        Arc::clone(&self.target.lock())
    }
}

/// How a worker ended.
#[derive(Debug)]
pub(super) enum End {
    /// The partition was taken away, or the route is to stop: nothing is under way.
    Over,
    Failed(Failure),
    TooManyDeadLetters,
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Interrupted> for End {
    fn from(interrupted: Interrupted) -> Self {
        match interrupted {
            Interrupted::Stopped => Self::Over,
            Interrupted::Failed(failure) => Self::Failed(failure),
        }
    }
}

/// A record in the window: what it came as, and what goes out for it.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) record: ConsumedRecord,
    pub(super) send: Outgoing,
}

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) parts: Arc<Parts>,
    pub(super) place: Place,
    pub(super) stream: Records,
    pub(super) stop: StopSignal,
    pub(super) window: Window<Work>,
    /// Of the target that the window's records were made for.
    pub(super) target: Arc<Target>,
    /// The schema that an answer showed last, where it was another one than the target's: looked at once.
    pub(super) schema_noticed: String,
    /// When the target was loaded again.
    pub(super) renewed: Option<Instant>,
    /// Records taken and neither finished nor given up.
    pub(super) in_hand: u64,
    pub(super) pauses: Pauses,
    pub(super) budget: ApiBudget,
    committed: Option<i64>,
    /// What is there goes through Bulk, as far as it can.
    pub(super) is_bulk: bool,
    /// Bulk did not come to some of the window's records: they go through Collections.
    pub(super) is_bulk_spent: bool,
}

impl Worker {
    pub(super) fn new(parts: &Arc<Parts>, stream: Records, stop: StopSignal) -> Self {
        Self {
            place: stream.place(),
            window: Window::new(target::rules(&parts.route.flow)),
            target: parts.target(),
            budget: ApiBudget::new(parts.route.api_reserve_percent),
            parts: Arc::clone(parts),
            stream,
            stop,
            schema_noticed: String::new(),
            renewed: None,
            in_hand: 0,
            pauses: Pauses::new(),
            committed: None,
            is_bulk: false,
            is_bulk_spent: false,
        }
    }

    /// Works until the partition is taken away, the route stops, or a failure ends it.
    pub(super) async fn run(mut self) -> End {
        let end = match self.work().await {
            Ok(()) => End::Over,
            Err(end) => end,
        };
        self.commit();
        self.left();
        end
    }

    async fn work(&mut self) -> Result<(), End> {
        self.report_loss().await?;
        self.settle_noted_job().await?;
        if let Some(offset) = self.stream.inherited() {
            self.window.inherit(offset, Instant::now() + IN_DOUBT_FOR);
        }
        loop {
            if self.is_over() {
                return Ok(());
            }
            self.choose_way().await?;
            self.fill().await?;
            self.count_row()?;
            self.commit();
            match self.window.next(Instant::now()) {
                Next::Send(places) => self.send(&places).await?,
                Next::Wait(until) if self.window.has_room() => {
                    tokio::select! {
                        record = self.stream.next_while_open() => match record {
                            Some(record) => self.enter(vec![record]).await?,
                            None => return Ok(()),
                        },
                        () = tokio::time::sleep_until(until) => {}
                        () = self.stop.stopped() => return Ok(()),
                    }
                }
                Next::Wait(until) => self.pause_until(until).await,
                Next::Empty => {
                    self.is_bulk_spent = false;
                    self.parts.board.is_quiet(&self.place);
                    tokio::select! {
                        record = self.stream.next() => match record {
                            Some(record) => self.enter(vec![record]).await?,
                            None => return Ok(()),
                        },
                        () = self.stop.stopped() => return Ok(()),
                    }
                }
            }
            self.count_row()?;
        }
    }

    /// Counts dead letters in a row, in the order of the records: a request's records, and what never got into one,
    /// end in another.
    ///
    /// # Errors
    /// Too many; what stands before the last of them is finished.
    fn count_row(&mut self) -> Result<(), End> {
        let fates = self.window.shrink();
        let mut poison = self.parts.poison.lock();
        for fate in fates {
            match fate {
                Fate::Delivered => poison.delivered(),
                Fate::LeftOut => {}
                Fate::DeadLetter if poison.dead_lettered() => return Err(End::TooManyDeadLetters),
                Fate::DeadLetter => {}
            }
        }
        Ok(())
    }

    pub(super) fn is_over(&self) -> bool {
        self.stop.is_stopped() || self.stream.is_revoked()
    }

    /// Resolves when the worker is to stop.
    pub(super) fn over(&self) -> impl Future<Output = ()> + use<'_> {
        let mut stop = self.stop.clone();
        async move {
            tokio::select! {
                () = stop.stopped() => {}
                () = self.stream.revoked() => {}
            }
        }
    }

    pub(super) async fn pause_until(&self, until: Instant) {
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            () = self.over() => {}
        }
    }

    /// Shows a failure and waits as the policy table says.
    ///
    /// # Errors
    /// A failure that waiting does not mend.
    pub(super) async fn wait_after(&mut self, failure: Failure) -> Result<(), End> {
        let Some(pause) = self.pauses.after(&failure) else {
            return Err(failure.into());
        };
        self.wait(&failure, pause).await;
        Ok(())
    }

    pub(super) async fn wait(&mut self, failure: &Failure, pause: Duration) {
        // What this request delivered is not to come again if the process dies meanwhile.
        self.commit();
        let until_ms = clock::now_ms() + i64::try_from(pause.as_millis()).unwrap_or(i64::MAX / 2);
        self.parts
            .board
            .waits(&self.place, failure, self.pauses.tried(), until_ms);
        let from = Instant::now();
        self.pause_until(from + pause).await;
        self.window.waited(from.elapsed());
    }

    /// What was lost before the partition's first record is told before anything of it is taken.
    async fn report_loss(&mut self) -> Result<(), End> {
        let Some(lost) = self.stream.lost().cloned() else {
            return Ok(());
        };
        let parts = &self.parts;
        let policy = match parts.route.flow.from.on_lost_position {
            LostPositionPolicy::Earliest => "earliest",
            LostPositionPolicy::Latest => "latest",
            LostPositionPolicy::Halt => "halt",
        };
        let report = || parts.dead_letters.report(&lost, policy);
        waits::until_done(&parts.route.status, self.over(), report).await?;
        tracing::error!(topic = %lost.topic, partition = lost.partition, from = lost.from_offset, to = lost.to_offset, "position lost: {}", lost.reason.text());
        self.count_gap(GapKind::LostPosition);
        self.stream.commit(lost.to_offset);
        Ok(())
    }

    /// Takes what is there, as far as a request has room.
    async fn fill(&mut self) -> Result<(), End> {
        let mut records = Vec::new();
        let (mut bytes, most) = (0, target::rules(&self.parts.route.flow));
        while self.window.has_room()
            && self.window.open() + records.len() < most.records_max
            && bytes < most.bytes_max
        {
            let Some(record) = self.stream.try_next() else {
                break;
            };
            bytes += record.bytes();
            records.push(record);
        }
        self.enter(records).await
    }

    /// Decodes, filters and maps records, and puts them into the window. What can never be sent is stored as a dead
    /// letter first: what stands finished in the window may be committed.
    pub(super) async fn enter(&mut self, records: Vec<ConsumedRecord>) -> Result<(), End> {
        let mut made = Vec::with_capacity(records.len());
        let (mut dead, mut filtered) = (Vec::new(), Vec::new());
        self.received(&records);
        for record in records {
            let offset = record.offset;
            match self.entry(&record).await? {
                Ok(Some(entry)) => made.push((offset, Ok((record, entry)))),
                Ok(None) => {
                    self.filtered(&record);
                    filtered.push(offset);
                    made.push((offset, Err(Fate::LeftOut)));
                }
                Err(refusal) => {
                    made.push((offset, Err(Fate::DeadLetter)));
                    dead.push((record, poison(refusal.reason, 1)));
                }
            }
        }
        self.tell_filtered(&filtered);
        self.bury(&dead).await?;
        for (offset, made) in made {
            match made {
                Ok((record, entry)) => {
                    let Entry {
                        kind,
                        key,
                        bytes,
                        send,
                    } = entry;
                    let bytes_held = bytes.max(record.bytes());
                    let work = Work { record, send };
                    self.window.push(offset, kind, key, bytes_held, work);
                }
                Err(fate) => self.window.pass(offset, fate),
            }
        }
        Ok(())
    }

    /// What goes out for a record: nothing where the filter or the mapping says so.
    pub(super) async fn entry(&self, record: &ConsumedRecord) -> Result<Result<Option<Entry>, Refusal>, End> {
        // A dead letter is mapped as the record that it was.
        let place = dead_letter::Source::of(record);
        let incoming = Incoming {
            topic: &place.topic,
            partition: place.partition,
            offset: place.offset,
            timestamp_ms: place.timestamp_ms,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &record.headers,
        };
        let source = &self.parts.source;
        let decode = || async {
            match source.decode(&incoming).await {
                Ok(decoded) => Ok(Ok(decoded)),
                Err(DecodeError::Poison(refusal)) => Ok(Err(refusal)),
                Err(DecodeError::Failure(failure)) => Err(failure),
            }
        };
        let decoded = match waits::until_done(&self.parts.route.status, self.over(), decode).await? {
            Ok(decoded) => decoded,
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.parts.route.status.activity.decoded(
            clock::now_ms(),
            || Address::of(record).to_string(),
            || match &decoded.value {
                Some(value) => serde_json::to_string(value).ok(),
                None => Some("tombstone".to_owned()),
            },
        );
        let entry = self.parts.program.keeps(&decoded).and_then(|keeps| {
            if keeps {
                self.target.entry(record, &decoded, clock::now_ms())
            } else {
                Ok(None)
            }
        });
        Ok(entry)
    }

    /// Stores records of the window as dead letters, with the reasons; then they are finished.
    pub(super) async fn condemn(&mut self, places: Vec<(usize, String)>) -> Result<(), End> {
        let mut dead = Vec::new();
        for (place, reason) in &places {
            if let Some(item) = self.window.item(*place) {
                dead.push((
                    item.content.record.clone(),
                    poison(reason.clone(), item.tries + 1),
                ));
            }
        }
        self.bury(&dead).await?;
        for (place, _) in places {
            self.window.finish(place, Fate::DeadLetter);
        }
        Ok(())
    }

    /// Stores dead letters, for as long as it takes.
    async fn bury(&mut self, dead: &[(ConsumedRecord, Reason)]) -> Result<(), End> {
        if dead.is_empty() {
            return Ok(());
        }
        let letters: Vec<_> = dead.iter().map(|(record, reason)| (record, reason)).collect();
        let store = || self.parts.dead_letters.store(&letters);
        let times = waits::until_done(&self.parts.route.status, self.over(), store).await?;
        for (record, _) in dead {
            self.stream.finished(record, Outcome::DeadLetter);
            tracing::warn!(topic = %record.topic, partition = record.partition, offset = record.offset, "dead letter");
        }
        self.dead_lettered(dead, &times);
        Ok(())
    }

    async fn send(&mut self, places: &[usize]) -> Result<(), End> {
        let kind = places
            .first()
            .and_then(|place| self.window.item(*place))
            .map(|item| item.kind);
        // A job's rules let more go than a request takes.
        let request = places.get(..WRITE_RECORDS_MAX).unwrap_or(places);
        match kind {
            Some(Kind::Publish) => self.publish(places).await,
            Some(kind) if self.goes_by_bulk(kind, places) => self.write_by_bulk(places).await,
            Some(Kind::Write | Kind::WriteApart) => self.write(request).await,
            Some(Kind::Delete) => self.delete(request).await,
            None => Ok(()),
        }
    }

    /// Records are in Salesforce.
    pub(super) fn delivered(&mut self, places: &[usize]) {
        self.pauses.reset();
        self.parts.board.flows(&self.place);
        let finished = places
            .iter()
            .filter_map(|place| self.window.finish(*place, Fate::Delivered));
        let work: Vec<Work> = finished.map(|item| item.content).collect();
        self.account(&work);
    }

    /// Tells Kafka how far everything is finished.
    fn commit(&mut self) {
        let Some(offset) = self.window.committable() else {
            return;
        };
        if self.committed != Some(offset) {
            self.committed = Some(offset);
            self.stream.commit(offset);
            self.parts
                .route
                .status
                .counters
                .commits
                .fetch_add(1, Ordering::Relaxed);
        }
        self.show_lag(self.stream.lag());
    }
}

/// Why a record is a dead letter.
fn poison(error: String, attempts: u32) -> Reason {
    Reason {
        kind: ErrorKind::Poison,
        error,
        attempts,
    }
}
