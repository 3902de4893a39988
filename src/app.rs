//! The composition root: configuration → parts → supervised routes. The only file that knows everything.
//!
//! ```text
//!  admin listener up ─▶ Kafka reached (60 s, else exit 69) ─▶ internal topics ─▶ routes assigned ─▶ routes run
//!  stop: routes drain together within one deadline; the admin listener goes last
//! ```

mod bridge;
mod redrive;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use crate::admin::{self, AdminState, CommandRequest, History, RouteAbout};
use crate::config::{Config, SubjectNaming};
use crate::contracts::registry::Registry;
use crate::error::{Action, ErrorKind, Failure, chain};
use crate::kafka::{Connection, Ownership, PositionStore, Topics};
use crate::routes::loop_guard::{OwnWrites, client_name};
use crate::routes::route::Shared;
use crate::routes::state::RouteStatus;
use crate::runtime::retry::{RetryPolicy, Tried};
use crate::runtime::shutdown::{Drain, Signals};
use crate::runtime::task::{Task, spawn};
use crate::salesforce::Salesforce;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;
use bridge::Bridge;
pub use redrive::Redriver;

/// What the process tells whoever started it; the codes of sysexits.h, as supervisors know them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Clean,
    /// Something that was to be checked is broken, or a command could not do what it was asked to.
    Failed,
    /// The configuration, or the command line, is wrong: starting again will not help.
    Configuration,
    /// Kafka was not reached within a minute of the start.
    KafkaUnavailable,
    Bug,
    /// The drain deadline cut something off; the next start goes on where it stopped.
    CutOff,
}

impl Exit {
    pub const fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Failed => 1,
            Self::Configuration => 64,
            Self::KafkaUnavailable => 69,
            Self::Bug => 70,
            Self::CutOff => 75,
        }
    }
}

/// How long Kafka may take to answer at the start.
const KAFKA_START_TIMEOUT: Duration = Duration::from_secs(60);
/// One question to Kafka while waiting for it.
const KAFKA_TRY_TIMEOUT: Duration = Duration::from_secs(5);
/// A collector that is away must not hold up the stop for longer.
const TRACES_FLUSH_MAX: Duration = Duration::from_secs(5);
/// Operator commands that may wait to be taken; more callers wait themselves.
const COMMANDS_WAITING: usize = 16;

/// What a caller may set beside the configuration: tests shorten it.
#[derive(Debug, Clone, Copy)]
pub struct Timings {
    /// After this long without an answer from its other side a route makes `/ready` fail.
    pub silence_max: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            silence_max: admin::SILENCE_MAX,
        }
    }
}

/// Why the bridge did not start, or stopped.
#[derive(Debug)]
pub struct Stopped {
    pub exit: Exit,
    pub failure: Failure,
}

/// A bridge whose admin listener is up.
#[derive(Debug)]
pub struct App {
    config: Config,
    metrics: Metrics,
    traces: Traces,
    statuses: Arc<[Arc<RouteStatus>]>,
    unknown_routes: Arc<parking_lot::Mutex<Vec<String>>>,
    /// Taken by [`App::run`].
    commands: Option<mpsc::Receiver<CommandRequest>>,
    mock_cluster: bool,
    pub admin_address: std::net::SocketAddr,
    admin: Task<()>,
}

impl App {
    /// Opens the admin listener, so that whatever follows can be watched.
    ///
    /// # Errors
    /// When its address cannot be bound.
    pub async fn open(config: Config, timings: Timings) -> Result<Self, Stopped> {
        let metrics = Metrics::new();
        let statuses: Arc<[_]> = config
            .routes
            .iter()
            .map(|route| RouteStatus::new(&route.name, route.flow.direction(), metrics.clone()))
            .collect();
        if config.admin.show_payloads {
            statuses.iter().for_each(|status| status.activity.keep_payloads());
        }
        let (listener, admin_address) = admin::bind(config.admin.listen).await.map_err(|error| Stopped {
            exit: Exit::Configuration,
            failure: Failure::new(
                ErrorKind::Misconfigured,
                format!("admin.listen: {} cannot be bound", config.admin.listen),
            )
            .remedy("stop what listens there or choose another address")
            .caused_by(error),
        })?;
        let (sender, commands) = mpsc::channel(COMMANDS_WAITING);
        let unknown_routes = Arc::default();
        let state = AdminState {
            bridge: config.bridge.name.as_str().into(),
            routes: Arc::clone(&statuses),
            about: RouteAbout::all(&config),
            history: Arc::new(History::new(statuses.len())),
            streams: Arc::new(Semaphore::new(admin::STREAMS_MAX)),
            unknown_routes: Arc::clone(&unknown_routes),
            metrics: metrics.clone(),
            token: config.admin.token.clone(),
            silence_max: timings.silence_max,
            commands: sender,
        };
        let traces = Traces::from_environment(&config.bridge.name, &config.bridge.instance);
        let admin = spawn("admin", serve(listener, state));
        tracing::info!(address = %admin_address, "admin listener is up");
        Ok(Self {
            config,
            metrics,
            traces,
            statuses,
            unknown_routes,
            commands: Some(commands),
            mock_cluster: false,
            admin_address,
            admin,
        })
    }

    /// The configured cluster is a mock of librdkafka in this process.
    #[must_use]
    pub fn on_mock_cluster(mut self) -> Self {
        self.mock_cluster = true;
        self
    }

    /// What each route does, as it changes.
    pub fn routes(&self) -> Arc<[Arc<RouteStatus>]> {
        Arc::clone(&self.statuses)
    }

    /// Runs until a signal comes, then drains.
    ///
    /// # Errors
    /// When the bridge cannot start; the exit code says why.
    pub async fn run(mut self, signals: &mut Signals) -> Result<Drain, Stopped> {
        let Some(mut commands) = self.commands.take() else {
            return Ok(Drain::Clean);
        };
        let mut bridge = tokio::select! {
            bridge = self.start() => bridge?,
            () = refuse(&mut commands) => return Ok(Drain::Clean),
            () = signals.next() => return Ok(Drain::Clean),
        };
        tracing::info!(bridge = %self.config.bridge.name, instance = %self.config.bridge.instance, routes = self.config.routes.len(), "bridge started");
        // Nothing but a bug ends the supervision: the routes still drain, and the exit code says so.
        let is_asked = tokio::select! {
            () = bridge.supervise(&mut commands) => false,
            () = signals.next() => true,
        };
        tracing::info!(
            deadline_seconds = self.config.bridge.shutdown_timeout.as_secs_f64(),
            "stopping: routes drain"
        );
        let stop_by = Instant::now() + self.config.bridge.shutdown_timeout;
        let outcome = bridge.drain(self.config.bridge.shutdown_timeout, signals).await;
        drop(bridge);
        self.close_traces(stop_by, signals).await;
        drop(self.admin);
        if is_asked {
            return Ok(outcome);
        }
        let message = "the group membership ended without an answer";
        Err(Stopped {
            exit: Exit::Bug,
            failure: Failure::new(ErrorKind::Unknown, message)
                .remedy("report it with the log before it, then start the bridge again"),
        })
    }

    /// What is queued goes out, unless the deadline or a signal comes first.
    async fn close_traces(&self, stop_by: Instant, signals: &mut Signals) {
        let left = stop_by.saturating_duration_since(Instant::now());
        tokio::select! {
            () = self.traces.flush_and_close(left.min(TRACES_FLUSH_MAX)) => {}
            () = signals.next() => {}
        }
    }

    /// Everything up to the point where routes can be assigned.
    async fn start(&self) -> Result<Bridge, Stopped> {
        let config = &self.config;
        let connection = Connection::new(config.kafka.clone(), &config.bridge.name);
        let connection = if self.mock_cluster {
            connection.to_mock()
        } else {
            connection
        };
        self.reach_kafka(&connection).await?;
        let salesforce = Salesforce::new(
            &config.salesforce,
            &client_name(&config.bridge.name),
            self.metrics.clone(),
        )
        .map_err(|failure| Stopped {
            exit: Exit::Configuration,
            failure,
        })?;
        let topics = Topics::new(&connection).map_err(|failure| Stopped {
            exit: Exit::Configuration,
            failure,
        })?;
        let (positions, ownership) = self.join(&topics).await?;
        let registry = self.registry()?;
        let telemetry = (self.metrics.clone(), self.traces.clone());
        let shared = shared(
            config, connection, topics, positions, salesforce, registry, telemetry,
        );
        Ok(Bridge::new(
            config.clone(),
            Arc::clone(&self.statuses),
            Arc::clone(&self.unknown_routes),
            shared,
            ownership,
        ))
    }

    /// Nothing is asked of it yet: a registry that is down stops no route that does without it.
    fn registry(&self) -> Result<Option<Registry>, Stopped> {
        let configured = self.config.schema_registry.as_ref();
        configured
            .map(Registry::new)
            .transpose()
            .map_err(|failure| Stopped {
                exit: Exit::Configuration,
                failure,
            })
    }

    async fn reach_kafka(&self, connection: &Connection) -> Result<(), Stopped> {
        let began = Instant::now();
        let mut delays = RetryPolicy::TRANSIENT.delays();
        loop {
            let Err(failure) = connection.check(KAFKA_TRY_TIMEOUT).await else {
                return Ok(());
            };
            if failure.kind == ErrorKind::Misconfigured {
                return Err(Stopped {
                    exit: Exit::Configuration,
                    failure,
                });
            }
            if began.elapsed() + KAFKA_TRY_TIMEOUT > KAFKA_START_TIMEOUT {
                return Err(Stopped {
                    exit: Exit::KafkaUnavailable,
                    failure,
                });
            }
            let remedy = failure.remedy.clone();
            let mut failure = Failure::new(failure.kind, "Kafka is not reached yet").caused_by(failure);
            failure.remedy = remedy;
            tracing::warn!(remedy = failure.remedy, "{}", chain(&failure));
            let pause = delays.next(None);
            let tried = Tried {
                times: delays.tries(),
                logins: 0,
            };
            for status in self.statuses.iter() {
                status.fails((&failure).into(), tried, None);
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Opens the internal topics and joins the bridge's group. What a person must mend halts every route,
    /// visibly, and is tried again: once it is mended the bridge goes on.
    async fn join(&self, topics: &Topics) -> Result<(Arc<PositionStore>, Ownership), Stopped> {
        let mut delays = RetryPolicy::THROTTLED.delays();
        loop {
            let failure = match self.join_once(topics).await {
                Ok(joined) => return Ok(joined),
                Err(failure) => failure,
            };
            if failure.kind == ErrorKind::Misconfigured {
                return Err(Stopped {
                    exit: Exit::Configuration,
                    failure,
                });
            }
            let pause = delays.next(failure.retry_after);
            let tried = Tried {
                times: delays.tries(),
                logins: 0,
            };
            for status in self.statuses.iter() {
                match failure.action() {
                    Action::Retry | Action::Wait => status.fails((&failure).into(), tried, None),
                    _ => status.halts((&failure).into(), tried),
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn join_once(&self, topics: &Topics) -> Result<(Arc<PositionStore>, Ownership), Failure> {
        let positions = PositionStore::open(topics).await?;
        let ownership = Ownership::join(topics, &self.config.bridge.instance).await?;
        Ok((Arc::new(positions), ownership))
    }
}

/// What the routes of a bridge share.
fn shared(
    config: &Config,
    connection: Connection,
    topics: Topics,
    positions: Arc<PositionStore>,
    salesforce: Salesforce,
    registry: Option<Registry>,
    (metrics, traces): (Metrics, Traces),
) -> Shared {
    Shared {
        bridge: config.bridge.name.as_str().into(),
        connection,
        own_writes: OwnWrites::new(&config.bridge.name, &config.routes, &topics),
        topics,
        positions,
        salesforce,
        registry,
        naming: config
            .schema_registry
            .as_ref()
            .map_or(SubjectNaming::Topic, |registry| registry.subject),
        metrics,
        traces,
    }
}

/// Answers commands while there is nothing yet that could follow them; ends with the admin listener.
async fn refuse(commands: &mut mpsc::Receiver<CommandRequest>) {
    while let Some(request) = commands.recv().await {
        let why = "the bridge is still starting: GET /api/routes says what it waits for".to_owned();
        // A caller that went away does not need the answer.
        let _ = request.answer.send(Err(why));
    }
}

async fn serve(listener: TcpListener, state: AdminState) {
    admin::serve(listener, state).await;
}

/// Says on stderr why the bridge stopped and gives the exit code.
pub fn report(outcome: &Result<Drain, Stopped>) -> Exit {
    match outcome {
        Ok(Drain::Clean) => {
            tracing::info!("stopped cleanly");
            Exit::Clean
        }
        Ok(Drain::Cut) => Exit::CutOff,
        Err(stopped) => {
            eprintln!("sfbridge: {}", chain(&stopped.failure));
            if let Some(remedy) = &stopped.failure.remedy {
                eprintln!("sfbridge: remedy: {remedy}");
            }
            stopped.exit
        }
    }
}
