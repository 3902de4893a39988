//! One demonstration from its start to its verdict: the loop. What it decides with stands in `ledger`, what it
//! shows in `view`.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::Args;
use super::board::Board;
use super::cluster::Cluster;
use super::plan::{OrgAccess, PARTITIONS, Plan};
use super::reader::Reader;
use super::screen::Screen;
use super::view::{self, Addresses, Ending, Phase, RouteRow, Snapshot};
use crate::app::{App, Exit, Stopped, Timings};
use crate::cli::answer::{Output, pretty, print};
use crate::config::{Environment, Flow, load_text};
use crate::error::{ErrorKind, Failure, chain};
use crate::kafka::{Connection, internal_topics};
use crate::routes::state::RouteStatus;
use crate::runtime::shutdown::{Drain, Signals, Stop, stop_pair};
use crate::runtime::task::{Task, spawn};
use crate::simulator::{Simulator, SimulatorSettings};

/// How often a terminal is painted: fast enough to look alive, slow enough to be read.
const PAINT_EVERY: Duration = Duration::from_millis(250);
/// How often a pipe gets its lines.
const LINES_EVERY: Duration = Duration::from_secs(1);
/// How often the end looks whether everything has arrived.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What does not arrive for this long after the org has gone quiet is not on its way any more: longer than a
/// stream or a producer takes to recover from a fault.
const STALLED_AFTER: Duration = Duration::from_secs(20);
/// A real Kafka's first answer.
const KAFKA_ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// What a rate is taken over.
const RATE_OVER: Duration = Duration::from_secs(3);
/// Events that the org keeps, in place of two million: the ledger follows far closer than that.
const RETAINED_EVENTS: usize = 100_000;

pub(super) struct Session {
    screen: Screen,
    output: Output,
    org: Arc<Simulator>,
    cluster: Cluster,
    keep_topics: bool,
    plan: Plan,
    board: Board,
    app: App,
    reader: Reader,
    began: Instant,
    ends_after: Option<Duration>,
}

/// How the waiting for the last records ended.
enum Finished {
    Delivered,
    Unchecked(String),
    Cut,
}

impl Session {
    /// Starts the org, finds Kafka, opens the bridge's admin listener.
    pub(super) async fn open(arguments: &Args, mut screen: Screen) -> Result<Self, Stopped> {
        let began = Instant::now();
        let settings = SimulatorSettings {
            rate: arguments.rate,
            retained_events: RETAINED_EVENTS,
            ..SimulatorSettings::default()
        };
        let (client_id, client_secret) = (settings.client_id.clone(), settings.client_secret.clone());
        let org = Simulator::start(settings).await.map_err(|error| {
            bug(Failure::new(ErrorKind::Unknown, "the simulated org did not start").caused_by(error))
        })?;
        let cluster = Cluster::open(arguments.kafka.as_deref()).map_err(bug)?;
        let run = uuid::Uuid::new_v4().simple().to_string();
        let plan = Plan::new((!cluster.is_embedded()).then_some(&run[..8]));
        let access = OrgAccess {
            login_url: org.login_url(),
            pubsub_url: &org.pubsub_url(),
            client_id: &client_id,
            client_secret: &client_secret,
        };
        let bootstrap_servers = cluster.bootstrap_servers();
        let yaml = plan.yaml(&access, &bootstrap_servers, "127.0.0.1:0");
        let loaded = load_text("sfbridge demo", yaml, &Environment::default()).map_err(|problems| {
            refused(problems.to_string()).remedy("give --kafka as host:port, or several separated by commas")
        });
        let config = loaded.map_err(wrong)?.config;
        if let Some(file) = &arguments.write_config {
            write_config(file, &plan.yaml(&access, &bootstrap_servers, "127.0.0.1:9400"))?;
        }
        let connection = Connection::new(config.kafka.clone(), &config.bridge.name);
        // The routes share their dead-letter topic.
        let mut topics = BTreeMap::from(internal_topics(&connection));
        let dead_letters = config.routes.iter().map(|route| route.dead_letter.topic.clone());
        let gaps = format!("sfbridge.{}.gaps", plan.bridge);
        let data = plan.data_topics().into_iter().chain(dead_letters).chain([gaps]);
        topics.extend(data.map(|topic| (topic, PARTITIONS)));
        cluster.make(topics).map_err(bug)?;
        if !cluster.is_embedded() {
            reach(&connection).await?;
        }
        let app = App::open(config, Timings::default()).await?;
        let app = if cluster.is_embedded() {
            app.on_mock_cluster()
        } else {
            app
        };
        let org = Arc::new(org);
        let board = Board::new(Arc::clone(&org), &plan);
        let reader = Reader::new(&bootstrap_servers, plan.data_topics(), board.clone())
            .map_err(|error| wrong(refused("the reader's client cannot be made").caused_by(error)))?;
        // A closed pipe is noticed by the first lines.
        let _ = screen.print(&view::introduction(&Addresses {
            bootstrap_servers,
            embedded: cluster.is_embedded(),
            topics: plan.data_topics(),
            admin: app.admin_address.to_string(),
            control: format!("{}/control", org.login_url()),
            config_file: arguments
                .write_config
                .as_ref()
                .map(|file| file.display().to_string()),
        }));
        Ok(Self {
            screen,
            output: arguments.output,
            org,
            cluster,
            keep_topics: arguments.keep_topics,
            plan,
            board,
            app,
            reader,
            began,
            ends_after: arguments.seconds.map(Duration::from_secs),
        })
    }

    /// Runs to the summary.
    pub(super) async fn run(self, signals: &mut Signals) -> Result<Exit, Stopped> {
        let statuses = self.app.routes();
        let (stop_bridge, word) = stop_pair();
        let app = self.app;
        let bridge = spawn("bridge", async move {
            let mut word = Signals::of(word);
            app.run(&mut word).await
        });
        let (stop_reader, word) = stop_pair();
        let reading = spawn("demo-reader", self.reader.follow(word));
        let mut live = Live {
            screen: self.screen,
            output: self.output,
            board: self.board,
            statuses,
            began: self.began,
            samples: VecDeque::new(),
        };
        live.until_end(self.ends_after, &bridge, signals).await?;
        self.org.stop_generator().await;
        let finished = live.until_delivered(&bridge, signals).await?;
        let (finished, drain) = stop_the_bridge(finished, stop_bridge, bridge, signals).await?;
        stop_reader.stop();
        let finished = match (finished, reading.join().await) {
            (Finished::Cut, _) => Finished::Cut,
            (finished, Ok(reader)) => tokio::select! {
                read = reader.read_to_end() => match read {
                    Ok(()) => finished,
                    Err(why) => Finished::Unchecked(why),
                },
                () = signals.next() => Finished::Cut,
            },
            (_, Err(_)) => Finished::Unchecked("the reader ended by a bug".to_owned()),
        };
        let topics = clear_up(&self.cluster, self.keep_topics, &self.plan).await;
        live.conclude(finished, drain, topics)
    }
}

/// The daemon waits a minute for a Kafka that is on its way; whoever tries a demonstration has mistyped.
async fn reach(connection: &Connection) -> Result<(), Stopped> {
    let asked = connection.check(KAFKA_ANSWERS_WITHIN).await;
    asked.map_err(|failure| Stopped {
        exit: Exit::KafkaUnavailable,
        failure: failure.remedy("start it, or name another with --kafka; without it a mock is used"),
    })
}

/// Waits for the bridge's drain; a second signal cuts it off.
async fn stop_the_bridge(
    finished: Finished,
    stop: Stop,
    bridge: Task<Result<Drain, Stopped>>,
    signals: &mut Signals,
) -> Result<(Finished, Drain), Stopped> {
    stop.stop();
    if matches!(finished, Finished::Cut) {
        return Ok((Finished::Cut, Drain::Cut));
    }
    tokio::select! {
        ended = bridge.join() => Ok((finished, outcome(ended)?)),
        () = signals.next() => Ok((Finished::Cut, Drain::Cut)),
    }
}

fn outcome(ended: Result<Result<Drain, Stopped>, tokio::task::JoinError>) -> Result<Drain, Stopped> {
    ended.map_err(|error| bug(Failure::new(ErrorKind::Unknown, "a bug ended the bridge").caused_by(error)))?
}

/// What is shown while it runs.
struct Live {
    screen: Screen,
    output: Output,
    board: Board,
    statuses: Arc<[Arc<RouteStatus>]>,
    began: Instant,
    /// Records written by each route, at moments of the last seconds.
    samples: VecDeque<(Instant, Vec<u64>)>,
}

impl Live {
    /// Until the time is over, a signal comes, nobody looks any more, or the bridge ends by itself.
    async fn until_end(
        &mut self,
        ends_after: Option<Duration>,
        bridge: &Task<Result<Drain, Stopped>>,
        signals: &mut Signals,
    ) -> Result<(), Stopped> {
        let every = if self.screen.is_terminal() {
            PAINT_EVERY
        } else {
            LINES_EVERY
        };
        let end_at = ends_after.map(|time| self.began + time);
        let end = async {
            match end_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(end);
        let mut ticks = tokio::time::interval_at(Instant::now() + every, every);
        loop {
            tokio::select! {
                () = &mut end => return Ok(()),
                () = signals.next() => return Ok(()),
                _ = ticks.tick() => {
                    let snapshot = self.snapshot(Phase::Running)?;
                    let shown = if self.screen.is_terminal() {
                        self.screen.paint(&view::table(&snapshot))
                    } else {
                        self.screen.print(&view::lines(&snapshot))
                    };
                    if shown.is_err() || bridge.is_finished() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Until every record that was sent has been read, or none comes any more.
    async fn until_delivered(
        &mut self,
        bridge: &Task<Result<Drain, Stopped>>,
        signals: &mut Signals,
    ) -> Result<Finished, Stopped> {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        let (mut arrived, mut moved) = (0, Instant::now());
        loop {
            tokio::select! {
                () = signals.next() => return Ok(Finished::Cut),
                _ = ticks.tick() => {}
            }
            let snapshot = self.snapshot(Phase::Finishing)?;
            if self.screen.is_terminal() {
                // Where nobody looks any more the check goes on: its outcome is the exit code.
                let _ = self.screen.paint(&view::table(&snapshot));
            }
            if (snapshot.missing() == 0 && snapshot.is_published()) || bridge.is_finished() {
                return Ok(Finished::Delivered);
            }
            if snapshot.verdict.arrived > arrived {
                (arrived, moved) = (snapshot.verdict.arrived, Instant::now());
            }
            if moved.elapsed() >= STALLED_AFTER {
                return Ok(Finished::Delivered);
            }
        }
    }

    fn snapshot(&mut self, phase: Phase) -> Result<Snapshot, Stopped> {
        let verdict = self.board.verdict().map_err(|error| {
            bug(Failure::new(ErrorKind::Unknown, "the org does not say what it sent").caused_by(error))
        })?;
        let rates = self.rates();
        let rows = self.statuses.iter().zip(rates).map(|(status, rate)| {
            let seen = self.board.route(&status.name);
            RouteRow {
                name: status.name.to_string(),
                is_back: status.direction == Flow::TO_SALESFORCE,
                state: status.state(),
                events: status.counters.events_received.load(Ordering::Relaxed),
                records: status.counters.records_written.load(Ordering::Relaxed),
                rate,
                latency_ms: seen.quantiles_ms(),
                last: seen.last,
            }
        });
        Ok(Snapshot {
            elapsed: self.began.elapsed(),
            phase,
            rows: rows.collect(),
            verdict,
            dead_letters: self
                .statuses
                .iter()
                .map(|status| status.counters.dead_letters.load(Ordering::Relaxed))
                .sum(),
        })
    }

    fn rates(&mut self) -> Vec<f64> {
        let now = Instant::now();
        let counts = self.statuses.iter();
        let counts: Vec<u64> = counts
            .map(|status| status.counters.records_written.load(Ordering::Relaxed))
            .collect();
        while self.samples.len() > 1 && now - self.samples[0].0 > RATE_OVER {
            self.samples.pop_front();
        }
        let rates = match self.samples.front() {
            Some((at, before)) if now > *at => {
                let seconds = (now - *at).as_secs_f64();
                let pairs = counts.iter().zip(before);
                #[allow(clippy::cast_precision_loss, reason = "records of three seconds")]
                pairs
                    .map(|(now, before)| (now - before) as f64 / seconds)
                    .collect()
            }
            _ => vec![0.0; counts.len()],
        };
        self.samples.push_back((now, counts));
        rates
    }

    fn conclude(
        &mut self,
        finished: Finished,
        drain: Drain,
        topics: Option<String>,
    ) -> Result<Exit, Stopped> {
        let snapshot = self.snapshot(Phase::Finishing)?;
        let good = snapshot.is_good();
        let (unchecked, exit) = match finished {
            Finished::Cut => (Some("a second signal ended it".to_owned()), Exit::CutOff),
            Finished::Unchecked(why) => (Some(why), Exit::Bug),
            Finished::Delivered if !good => (None, Exit::Bug),
            Finished::Delivered if drain == Drain::Cut => (None, Exit::CutOff),
            Finished::Delivered => (None, Exit::Clean),
        };
        let ending = Ending {
            snapshot,
            unchecked,
            topics,
        };
        // Where nobody looks any more the exit code still says it.
        let _ = self.screen.print(&view::summary(&ending));
        if self.output.is_json() {
            print(&pretty(&view::json(&ending)));
        }
        Ok(exit)
    }
}

/// Deletes what this run made on a real Kafka, and says so.
async fn clear_up(cluster: &Cluster, keep: bool, plan: &Plan) -> Option<String> {
    let bridge = &plan.bridge;
    if cluster.is_embedded() {
        return None;
    }
    if keep {
        return Some(format!(
            "kept: {bridge}.*, sfbridge.{bridge}.*, _sfbridge.{bridge}.*"
        ));
    }
    let prefixes = ["", "sfbridge.", "_sfbridge."].map(|prefix| format!("{prefix}{bridge}."));
    let ours = |topic: &str| prefixes.iter().any(|prefix| topic.starts_with(prefix));
    Some(match cluster.clear_up(ours).await {
        Ok(count) => format!("{count} topics of this run deleted (--keep-topics leaves them)"),
        Err(error) => format!("not deleted, names with {bridge}: {}", chain(&error)),
    })
}

fn write_config(file: &Path, yaml: &str) -> Result<(), Stopped> {
    std::fs::write(file, yaml).map_err(|error| {
        wrong(refused(format!("--write-config: {} cannot be written", file.display())).caused_by(error))
    })
}

fn refused(message: impl Into<String>) -> Failure {
    Failure::new(ErrorKind::Misconfigured, message)
}

fn wrong(failure: Failure) -> Stopped {
    Stopped {
        exit: Exit::Configuration,
        failure,
    }
}

fn bug(failure: Failure) -> Stopped {
    Stopped {
        exit: Exit::Bug,
        failure,
    }
}
