//! The guard's shared part: intents to Kafka before the request, their answers after it, and the [`Book`] of them
//! that every route which skips reads.
//!
//! One producer a process writes them, in the order they are given; what comes while one write is under way goes
//! with the next. The book knows only what was read back from the topic, so all instances see the same.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{OnceCell, mpsc, oneshot};

use super::book::Book;
use super::intent::{Announced, Intent, Settled};
use super::origin::client_name;
use super::scope::Scope;
use crate::config::RouteConfig;
use crate::error::{ErrorKind, Failure, chain};
use crate::kafka::{Changes, Following, Record, RouteProducer, Topics, WriteError, WritesTopic};
use crate::runtime::clock;
use crate::runtime::retry::RetryPolicy;
use crate::runtime::task::{Task, spawn};

/// Writes that may wait to be taken; more callers wait themselves.
const JOBS_WAITING: usize = 64;
/// Records of one write to Kafka: some twenty requests' intents.
const RECORDS_AT_ONCE: usize = 4000;
/// Answers kept while Kafka does not take them: beyond that the oldest stay open, and events wait for them.
const ANSWERS_KEPT: usize = 50_000;

/// What the bridge writes itself; cheap to clone, one a process.
#[derive(Debug, Clone)]
pub struct OwnWrites(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    scope: Scope,
    client: String,
    topics: Topics,
    topic: OnceCell<WritesTopic>,
    jobs: mpsc::Sender<Job>,
    _writer: Task<()>,
    followed: OnceCell<Followed>,
    /// What is known before anything was read.
    nothing: Mutex<Book>,
}

/// The topic as far as this process has read it.
#[derive(Debug)]
struct Followed {
    following: Following,
    book: Arc<Mutex<Book>>,
}

/// Intents and answers on their way to Kafka.
#[derive(Debug)]
struct Job {
    records: Vec<Record>,
    topic: WritesTopic,
    /// Who waits for it; what nobody waits for is tried until it is written.
    done: Option<oneshot::Sender<Result<(), Failure>>>,
}

impl OwnWrites {
    /// Must be called inside the runtime. Asks nothing of Kafka yet: a bridge whose routes need no guard has no
    /// topic for it.
    pub fn new(bridge: &str, routes: &[RouteConfig], topics: &Topics) -> Self {
        let (jobs, waiting) = mpsc::channel(JOBS_WAITING);
        Self(Arc::new(Inner {
            scope: Scope::new(routes),
            client: client_name(bridge),
            topics: topics.clone(),
            topic: OnceCell::new(),
            jobs,
            _writer: spawn("own-writes", write(waiting)),
            followed: OnceCell::new(),
            nothing: Mutex::default(),
        }))
    }

    /// Whether some route skips changes of the object. Where none does, [`OwnWrites::announce`] does nothing.
    pub fn is_needed(&self, sobject: &str) -> bool {
        self.0.scope.is_needed(sobject)
    }

    /// What the configuration says about the guard.
    pub fn scope(&self) -> &Scope {
        &self.0.scope
    }

    /// The name that this bridge writes under, for `Sforce-Call-Options`.
    pub fn client(&self) -> &str {
        &self.0.client
    }

    /// Stores what is about to be written, all of one object; returns when Kafka has it. Only then may the request
    /// go. `writes` stand in the order of the request's records.
    ///
    /// # Errors
    /// When Kafka does not take it: the request must not go. To be tried again as the failure's kind says.
    pub async fn announce(&self, writes: &[Intent]) -> Result<Announced, Failure> {
        let is_needed = writes.first().is_some_and(|first| self.is_needed(&first.sobject));
        if !is_needed {
            return Ok(Announced::default());
        }
        let topic = self.topic().await?;
        let records = writes
            .iter()
            .map(|intent| topic.record(&intent.id, Some(intent.to_json())))
            .collect();
        self.written(topic, records).await?;
        Ok(Announced {
            intents: writes.to_vec(),
        })
    }

    /// Stores what became of them; `answers` in the order of the intents, and what is missing is unknown. Waits for
    /// room in the queue alone: an answer that Kafka does not take is tried again, and until then events of the
    /// integration user may wait for it, bounded.
    pub async fn settle(&self, announced: Announced, answers: &[Settled]) {
        let Some(topic) = self.0.topic.get().filter(|_| !announced.is_empty()) else {
            return;
        };
        let now_ms = clock::now_ms();
        let records: Vec<Record> = announced
            .intents
            .into_iter()
            .zip(answers)
            .filter(|(_, answer)| **answer != Settled::Unknown)
            .map(|(intent, answer)| {
                let id = Arc::clone(&intent.id);
                let settled = intent.settled(answer, now_ms);
                topic.record(&id, settled.map(|intent| intent.to_json()))
            })
            .collect();
        self.unwaited(topic, records).await;
    }

    /// Returns when everything that was settled is stored, or cannot be: for the end of a route.
    pub async fn flush(&self) {
        if let Some(topic) = self.0.topic.get() {
            // What is not stored stays open, as after a crash.
            let _ = self.written(topic, Vec::new()).await;
        }
    }

    /// Applies all that was stored before the call. The first call reads the whole topic.
    ///
    /// # Errors
    /// When Kafka does not answer, or the topic is missing and may not be made.
    pub async fn catch_up(&self) -> Result<(), Failure> {
        self.followed().await?.following.caught_up().await
    }

    /// What becomes known from now on; nothing before the first [`OwnWrites::catch_up`].
    pub fn changes(&self) -> Option<Changes> {
        self.0.followed.get().map(|followed| followed.following.changes())
    }

    /// What is known, as of the last [`OwnWrites::catch_up`] or later; nothing before the first.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        let read = self.0.followed.get().map(|followed| &*followed.book);
        read.unwrap_or(&self.0.nothing).lock()
    }

    /// Ends writes that were seen back and that nobody else waits for. Those that cannot go now stay in `intents`.
    pub(super) fn forget(&self, intents: &mut Vec<Arc<str>>) {
        let Some(topic) = self.0.topic.get().filter(|_| !intents.is_empty()) else {
            return;
        };
        let job = Job {
            records: intents.iter().map(|id| topic.record(id, None)).collect(),
            topic: topic.clone(),
            done: None,
        };
        // tidy: try-send: nothing is lost, they are ended with the next batch
        if self.0.jobs.try_send(job).is_ok() {
            intents.clear();
        }
    }

    async fn topic(&self) -> Result<&WritesTopic, Failure> {
        let open = || WritesTopic::open(&self.0.topics);
        self.0.topic.get_or_try_init(open).await
    }

    async fn followed(&self) -> Result<&Followed, Failure> {
        let follow = || async {
            let book = Arc::new(Mutex::new(Book::default()));
            let applied = Arc::clone(&book);
            let apply = move |id: &str, value: Option<&[u8]>| {
                let intent = value.map(|json| Intent::parse(id, json)).transpose();
                match intent {
                    Ok(intent) => applied.lock().apply(id, intent, clock::now_ms()),
                    Err(failure) => tracing::warn!(intent = id, why = %chain(&failure), "left out"),
                }
            };
            let following = self.topic().await?.follow(apply).await?;
            Ok::<_, Failure>(Followed { following, book })
        };
        self.0.followed.get_or_try_init(follow).await
    }

    async fn written(&self, topic: &WritesTopic, records: Vec<Record>) -> Result<(), Failure> {
        let (done, outcome) = oneshot::channel();
        self.job(topic, records, Some(done)).await;
        outcome.await.unwrap_or_else(|_| Err(ended()))
    }

    async fn unwaited(&self, topic: &WritesTopic, records: Vec<Record>) {
        if !records.is_empty() {
            self.job(topic, records, None).await;
        }
    }

    async fn job(
        &self,
        topic: &WritesTopic,
        records: Vec<Record>,
        done: Option<oneshot::Sender<Result<(), Failure>>>,
    ) {
        let job = Job {
            records,
            topic: topic.clone(),
            done,
        };
        // The writer ends with the program; whoever waits hears of it by its dropped `done`.
        let _ = self.0.jobs.send(job).await;
    }
}

fn ended() -> Failure {
    Failure::new(ErrorKind::Transient, "the writer of own writes has ended")
}

/// The writer: one write to Kafka at a time.
async fn write(mut jobs: mpsc::Receiver<Job>) {
    let mut producer = None;
    let mut kept: Vec<Record> = Vec::new();
    let mut delays = RetryPolicy::TRANSIENT.delays();
    let mut topic = None;
    loop {
        let mut taken = Vec::new();
        if kept.is_empty() {
            match jobs.recv().await {
                Some(job) => taken.push(job),
                None => return,
            }
        } else {
            tokio::select! {
                job = jobs.recv() => match job {
                    Some(job) => taken.push(job),
                    None => return,
                },
                () = tokio::time::sleep(delays.next(None)) => {}
            }
        }
        let mut records = std::mem::take(&mut kept);
        let mut waiting = Vec::new();
        let mut unwaited = records.clone();
        loop {
            for Job {
                records: more,
                topic: to,
                done,
            } in taken.drain(..)
            {
                match done {
                    Some(done) => waiting.push(done),
                    None => unwaited.extend(more.iter().cloned()),
                }
                records.extend(more);
                topic = Some(to);
            }
            if records.len() >= RECORDS_AT_ONCE {
                break;
            }
            match jobs.try_recv() {
                Ok(job) => taken.push(job),
                Err(_) => break,
            }
        }
        let Some(topic) = &topic else { continue };
        let outcome = write_once(topic, &mut producer, records).await;
        let failure = match outcome {
            Ok(()) => {
                delays.reset();
                None
            }
            Err(failure) => {
                tracing::warn!(why = %chain(&failure), "own writes are not stored yet");
                let excess = unwaited.len().saturating_sub(ANSWERS_KEPT);
                kept = unwaited.split_off(excess);
                Some(Arc::new(failure))
            }
        };
        for done in waiting {
            let outcome = failure
                .as_ref()
                .map_or(Ok(()), |failure| Err(Failure::shared(failure)));
            // Whoever went away announces again.
            let _ = done.send(outcome);
        }
    }
}

async fn write_once(
    topic: &WritesTopic,
    producer: &mut Option<RouteProducer>,
    mut records: Vec<Record>,
) -> Result<(), Failure> {
    let Some(last) = records.pop() else {
        return Ok(());
    };
    let mut open = match producer.take() {
        Some(open) => open,
        None => topic.producer().await?,
    };
    match open.write(records, last).await {
        Ok(_) => {
            *producer = Some(open);
            Ok(())
        }
        Err(WriteError::Aborted(failure) | WriteError::Lost(failure)) => Err(failure),
        Err(refused @ WriteError::Refused(_)) => {
            Err(Failure::new(ErrorKind::Unknown, "a record of the own writes was refused").caused_by(refused))
        }
    }
}
