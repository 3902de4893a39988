//! A started bridge: what the group assigns runs, what it takes stops, what a person orders is done.
//!
//! A route to Kafka runs where the bridge's group puts it. A route to Salesforce is a group of its own: it runs in every
//! instance, and each gets some of its partitions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};

use crate::admin::{CommandRequest, RouteCommand};
use crate::config::{Config, Flow};
use crate::error::{Failure, chain};
use crate::kafka::{Assignment, Ownership};
use crate::routes::route::{RouteEnd, Shared};
use crate::routes::state::{RouteStatus, StateName};
use crate::routes::to_kafka::ToKafkaRoute;
use crate::routes::to_salesforce::ToSalesforceRoute;
use crate::runtime::retry::{RetryPolicy, Tried};
use crate::runtime::shutdown::{Drain, Signals, drain};
use crate::runtime::supervisor::{Ended, Supervisor};
use crate::runtime::task::{Task, spawn};
use crate::salesforce::Salesforce;

/// A pause that another instance was told of takes effect here within this time.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A started bridge: the routes that the group gave us, running.
pub(super) struct Bridge {
    config: Config,
    statuses: Arc<[Arc<RouteStatus>]>,
    unknown_routes: Arc<parking_lot::Mutex<Vec<String>>>,
    shared: Shared,
    ownership: Arc<Ownership>,
    /// Tells the other instances which routes there are; nothing waits for it.
    _registering: Task<()>,
    running: Supervisor<RouteEnd>,
    /// Ended for good, until a person restarts them.
    halted: BTreeSet<Arc<str>>,
    /// The routes to Salesforce that a person has paused; None until it is known.
    paused: watch::Receiver<Option<BTreeSet<Arc<str>>>>,
    look_again: Arc<Notify>,
    _looking: Task<()>,
    _polling: Task<()>,
}

impl Bridge {
    pub(super) fn new(
        config: Config,
        statuses: Arc<[Arc<RouteStatus>]>,
        unknown_routes: Arc<parking_lot::Mutex<Vec<String>>>,
        shared: Shared,
        ownership: Ownership,
    ) -> Self {
        let ownership = Arc::new(ownership);
        let names = config.routes.iter().map(|route| route.name.clone()).collect();
        let back = statuses
            .iter()
            .filter(|status| status.direction == Flow::TO_SALESFORCE)
            .map(|status| Arc::clone(&status.name))
            .collect();
        let (publish, paused) = watch::channel(None);
        let look_again = Arc::new(Notify::new());
        let looking = look(Arc::clone(&ownership), back, publish, Arc::clone(&look_again));
        Self {
            paused,
            look_again,
            _looking: spawn("paused-routes", looking),
            _polling: spawn(
                "limits",
                poll_limits(shared.salesforce.clone(), Arc::clone(&statuses)),
            ),
            _registering: spawn("register-routes", register(Arc::clone(&ownership), names)),
            config,
            statuses,
            unknown_routes,
            shared,
            ownership,
            running: Supervisor::new(),
            halted: BTreeSet::new(),
        }
    }

    /// Keeps what runs in step with what is assigned, for ever.
    pub(super) async fn supervise(&mut self, commands: &mut mpsc::Receiver<CommandRequest>) {
        let mut assignment = self.ownership.watch();
        loop {
            let current = assignment.borrow_and_update().clone();
            self.apply(&current);
            self.apply_back();
            tokio::select! {
                // Its sender lives as long as the bridge.
                Ok(()) = self.paused.changed() => {}
                changed = assignment.changed() => if changed.is_err() {
                    tracing::error!("the group membership ended");
                    return;
                },
                (route, ended) = self.running.next_end() => self.ended(&route, ended),
                Some(request) = commands.recv() => self.command(request).await,
            }
        }
    }

    /// Starts what is ours and does not run; stops what runs and is not ours.
    fn apply(&mut self, assignment: &Assignment) {
        let statuses = Arc::clone(&self.statuses);
        let there = |status: &&Arc<RouteStatus>| status.direction != Flow::TO_SALESFORCE;
        for status in statuses.iter().filter(there) {
            let name = &status.name;
            let paused = assignment.is_paused(name);
            if !assignment.owns(name) {
                self.running.stop(name);
                self.halted.remove(name);
                match &assignment.trouble {
                    Some(trouble) => status.fails((&**trouble).into(), Tried::default(), None),
                    None if assignment.is_elsewhere(name) => status.assigned_elsewhere(),
                    // Before the group has decided, the route is still starting.
                    None => {}
                }
            } else if paused {
                status.assigned_here();
                self.running.stop(name);
                if !self.running.is_running(name) {
                    status.paused();
                }
            } else if !self.running.is_running(name) && !self.halted.contains(name) {
                self.start(status);
            }
        }
        let known = |route: &str| self.statuses.iter().any(|status| *status.name == *route);
        let unknown = assignment
            .noted_routes()
            .filter(|route| !known(route))
            .map(str::to_owned)
            .collect();
        *self.unknown_routes.lock() = unknown;
    }

    /// The routes to Salesforce run here, but for the paused and the halted ones.
    fn apply_back(&mut self) {
        let Some(paused) = self.paused.borrow_and_update().clone() else {
            return;
        };
        let statuses = Arc::clone(&self.statuses);
        for status in statuses
            .iter()
            .filter(|status| status.direction == Flow::TO_SALESFORCE)
        {
            let name = &status.name;
            let is_running = self.running.is_running(name);
            if paused.contains(name) {
                status.assigned_here();
                self.running.stop(name);
                if !is_running {
                    status.paused();
                }
            } else if !is_running && !self.halted.contains(name) {
                self.start(status);
            }
        }
    }

    fn start(&mut self, status: &Arc<RouteStatus>) {
        let Some(config) = self
            .config
            .routes
            .iter()
            .find(|route| *route.name == *status.name)
            .cloned()
        else {
            return;
        };
        status.assigned_here();
        let status = Arc::clone(status);
        let name = Arc::clone(&status.name);
        let shared = self.shared.clone();
        match config.flow.clone() {
            Flow::ToKafka(flow) => {
                let route = ToKafkaRoute {
                    config,
                    flow,
                    status,
                    shared,
                };
                self.running.start(&name, |stop| route.run(stop));
            }
            Flow::ToSalesforce(flow) => {
                let route = ToSalesforceRoute::new(&self.config, config, flow, status, shared);
                self.running.start(&name, |stop| route.run(stop));
            }
        }
    }

    fn ended(&mut self, name: &Arc<str>, ended: Ended<RouteEnd>) {
        match ended {
            Ended::With(RouteEnd::Stopped) => tracing::info!(route = %name, "route stopped"),
            Ended::With(RouteEnd::Halted) => {
                self.halted.insert(Arc::clone(name));
            }
            Ended::Panicked(why) => {
                if let Some(status) = self.statuses.iter().find(|status| status.name == *name) {
                    status.halted(
                        &format!("a bug ended the route: {why}"),
                        Some("report it with the log around this time, then restart the route"),
                    );
                }
                self.halted.insert(Arc::clone(name));
            }
        }
    }

    async fn command(&mut self, request: CommandRequest) {
        let CommandRequest {
            route,
            command,
            answer,
        } = request;
        tracing::info!(%route, ?command, "operator command");
        let outcome = match command {
            RouteCommand::Pause => self.ownership.set_paused(&route, true).await,
            RouteCommand::Resume => {
                if let Some(status) = self.statuses.iter().find(|status| status.name == route) {
                    status.resume_past_gap();
                }
                self.halted.remove(&route);
                self.ownership.set_paused(&route, false).await
            }
            RouteCommand::Forget => self.ownership.forget(&route).await,
            RouteCommand::Restart => {
                self.halted.remove(&route);
                self.running.stop(&route);
                Ok(())
            }
        };
        self.look_again.notify_one();
        // A caller that went away does not need the answer.
        let _ = answer.send(outcome.map_err(|failure| chain(&failure)));
    }

    /// Stops all routes together, within the deadline.
    pub(super) async fn drain(&mut self, deadline: Duration, signals: &mut Signals) -> Drain {
        self.running.stop_all();
        let left = Arc::new(parking_lot::Mutex::new(self.running.left()));
        let report = Arc::clone(&left);
        let statuses = Arc::clone(&self.statuses);
        let done = async {
            while !self.running.left().is_empty() {
                self.running.next_end().await;
                *left.lock() = self.running.left();
            }
        };
        let describe = || {
            let left = report.lock().clone();
            left.into_iter()
                .map(|route| describe(&statuses, &route))
                .collect()
        };
        drain(done, deadline, describe, signals).await
    }
}

/// What is left of a route, for the person who waits for the shutdown.
fn describe(statuses: &[Arc<RouteStatus>], route: &str) -> String {
    let in_hand = statuses
        .iter()
        .find(|status| *status.name == *route)
        .map_or(0, |status| {
            status.counters.in_hand.load(std::sync::atomic::Ordering::Relaxed)
        });
    format!("route {route}: {in_hand} events in hand")
}

/// Keeps up with which routes to Salesforce are paused, also by another instance.
async fn look(
    ownership: Arc<Ownership>,
    routes: Vec<Arc<str>>,
    publish: watch::Sender<Option<BTreeSet<Arc<str>>>>,
    again: Arc<Notify>,
) {
    let mut delays = RetryPolicy::TRANSIENT.delays();
    while !routes.is_empty() {
        let looks = routes.iter().map(async |route| {
            let is_paused = ownership.is_paused(route).await?;
            Ok::<_, Failure>(is_paused.then(|| Arc::clone(route)))
        });
        let pause = match futures_util::future::try_join_all(looks).await {
            Ok(paused) => {
                delays.reset();
                let paused = Some(paused.into_iter().flatten().collect());
                publish.send_if_modified(|known| {
                    let is_other = *known != paused;
                    *known = paused;
                    is_other
                });
                LOOK_EVERY
            }
            Err(failure) => {
                tracing::warn!(why = %chain(&failure), "which routes are paused cannot be read");
                delays.next(failure.retry_after)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = again.notified() => {}
        }
    }
    // Nothing is asked for; the channel stays open.
    std::future::pending::<()>().await;
}

/// A look at the routes: none may run here yet, or any more.
const LIMITS_LOOK_EVERY: Duration = Duration::from_secs(2);

/// Keeps up with what is left of the org's limits, while a route runs here: one that does has a session.
async fn poll_limits(salesforce: Salesforce, statuses: Arc<[Arc<RouteStatus>]>) {
    let is_well = |status: &Arc<RouteStatus>| {
        let is_well = matches!(status.state_name(), StateName::Streaming | StateName::Idle);
        is_well && status.runs_here()
    };
    let mut remarked = false;
    loop {
        let pause = if statuses.iter().any(is_well) {
            salesforce.rest.poll_limits(&mut remarked).await
        } else {
            LIMITS_LOOK_EVERY
        };
        tokio::time::sleep(pause).await;
    }
}

/// Notes the routes for the other instances, until Kafka has taken it.
async fn register(ownership: Arc<Ownership>, routes: Vec<String>) {
    let mut delays = RetryPolicy::TRANSIENT.delays();
    while let Err(failure) = ownership.register(&routes).await {
        tracing::warn!(why = %chain(&failure), "the routes cannot be noted for the other instances yet");
        tokio::time::sleep(delays.next(failure.retry_after)).await;
    }
}
