//! The guard of one route that skips: holds its events against the book.
//!
//! It lives as long as the route does in this process, over all its runs: an event that comes again because its
//! batch was aborted gets the verdict it had.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::change::{Changed, ObjectFields};
use super::judge::{Change, Judge, Verdict};
use super::origin::is_own;
use super::store::OwnWrites;
use crate::error::Failure;
use crate::kafka::Changes;
use crate::salesforce::auth::id18;
use crate::salesforce::event::ChangeEventHeader;

/// What describe told of an object is asked for again after this long.
const OBJECT_AGE_MAX: Duration = Duration::from_secs(3600);

/// What a route that skips its bridge's own writes knows.
#[derive(Debug)]
pub struct RouteGuard {
    own: OwnWrites,
    judge: Judge,
    /// 18 characters.
    user_id: Option<String>,
    /// Nothing that came since could be missing in the book.
    is_caught_up: bool,
    objects: HashMap<String, (Instant, Arc<ObjectFields>)>,
    /// Seen back and committed, and not ended in the topic yet.
    ended: Vec<Arc<str>>,
}

/// Whose the records of one event are.
#[derive(Debug, Default)]
pub struct Verdicts {
    /// For every record whether the bridge made the change.
    pub own: Vec<bool>,
    /// Whether some answer is worth waiting for: then nothing is decided yet.
    pub waits: bool,
    /// Writes that were seen back, to be ended when the event is committed.
    pub seen: Vec<Arc<str>>,
    /// For [`RouteGuard::committed`].
    pub number: u64,
}

impl RouteGuard {
    pub fn new(own: OwnWrites) -> Self {
        Self {
            own,
            judge: Judge::default(),
            user_id: None,
            is_caught_up: false,
            objects: HashMap::new(),
            ended: Vec::new(),
        }
    }

    /// The integration user, of 15 or 18 characters; unknown, the client name alone can recognise a write.
    pub fn user(&mut self, user_id: Option<&str>) {
        self.user_id = user_id.and_then(id18);
    }

    /// Events came: what was written before them may not be in the book yet.
    pub fn received(&mut self) {
        self.is_caught_up = false;
    }

    /// Whether the bridge may have made the change: everything else is foreign without a question.
    pub fn may_be_own(&self, header: &ChangeEventHeader) -> bool {
        self.by_name(header) || self.by_user(header)
    }

    /// Whether a question to Kafka must come before the verdict.
    pub fn is_caught_up(&self) -> bool {
        self.is_caught_up || !self.own.scope().is_announced()
    }

    /// Reads what is known up to now.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub async fn catch_up(&self) -> Result<(), Failure> {
        self.own.catch_up().await
    }

    pub fn caught_up(&mut self) {
        self.is_caught_up = true;
    }

    /// What becomes known from now on.
    pub fn changes(&self) -> Option<Changes> {
        self.own.changes()
    }

    /// Whether describe is to be asked about the object before the verdict.
    pub fn needs_object(&self, entity: &str) -> bool {
        let known = self.objects.get(entity);
        self.own.scope().is_written(entity)
            && known.is_none_or(|(since, _)| since.elapsed() >= OBJECT_AGE_MAX)
    }

    pub fn object(&mut self, entity: &str, fields: ObjectFields) {
        let known = (Instant::now(), Arc::new(fields));
        self.objects.insert(entity.to_owned(), known);
    }

    /// Judges each record of an event. `body` is the event as JSON, `ce_ids` one for each record.
    pub fn judge(
        &mut self,
        header: &ChangeEventHeader,
        body: &Map<String, Value>,
        ce_ids: &[String],
        may_wait: bool,
    ) -> Verdicts {
        let changed = Changed::new(header, body);
        let object = self
            .objects
            .get(&header.entity_name)
            .map(|(_, object)| Arc::clone(object));
        let object = object.unwrap_or_default();
        let (by_name, by_user) = (self.by_name(header), self.by_user(header));
        let own = self.own.clone();
        let book = own.book();
        let mut verdicts = Verdicts::default();
        for (id, ce_id) in header.record_ids.iter().zip(ce_ids) {
            let record_id = id18(id);
            let change = Change {
                event: ce_id,
                entity: &header.entity_name,
                record_id: record_id.as_deref().unwrap_or(id),
                by_name,
                by_user,
                committed_ms: header.commit_timestamp_ms,
                changed: &changed,
                object: &object,
            };
            let judged = self.judge.judge(own.scope(), &book, &change, may_wait);
            verdicts.waits |= judged.verdict == Verdict::Wait;
            verdicts.own.push(judged.verdict == Verdict::Own);
            verdicts.seen.extend(judged.seen);
            verdicts.number = verdicts.number.max(judged.number);
        }
        verdicts
    }

    /// The events up to `number` are committed, and with them these writes were seen back.
    pub fn committed(&mut self, number: u64, seen: Vec<Arc<str>>) {
        self.judge.committed(number);
        if !self.own.scope().has_one_skipping_route() {
            return;
        }
        self.ended.extend(seen);
        if self.ended.is_empty() {
            return;
        }
        let own = self.own.clone();
        let book = own.book();
        // An answer that came after its end would bring the write back.
        let is_open = |id: &Arc<str>| book.get(id).is_some_and(|write| write.outcome.is_none());
        let (open, mut settled): (Vec<_>, Vec<_>) = self.ended.drain(..).partition(is_open);
        drop(book);
        own.forget(&mut settled);
        self.ended = open;
        self.ended.append(&mut settled);
        // The answer to these was lost: time ends them.
        let excess = self.ended.len().saturating_sub(ENDED_MAX);
        self.ended.drain(..excess);
    }

    fn by_name(&self, header: &ChangeEventHeader) -> bool {
        is_own(&header.change_origin, self.own.client())
    }

    fn by_user(&self, header: &ChangeEventHeader) -> bool {
        self.user_id.is_some() && self.user_id == id18(&header.commit_user)
    }
}

/// Writes seen back whose answers are still to come: some requests' worth.
const ENDED_MAX: usize = 10_000;
