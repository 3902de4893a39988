//! A Salesforce org that we run ourselves, on loopback: Pub/Sub API, OAuth and REST, over an org in memory.
//!
//! It does what Salesforce was seen or is documented to do, its awkward sides included, and can be told to go wrong
//! ([`faults`], [`Control`]). It uses the generated protocol types and nothing else of this crate, and encodes with
//! another Avro implementation than the bridge reads with, so that the two check each other.
//!
//! ```text
//!  gRPC ──▶ server ─┐                 ┌─ bus: numbers and stores events
//!  HTTP ──▶ http ───┼──▶ org ─────────┼─ topics: a log each, that streams read and wait on
//!  tests ─▶ control ┤   (in memory)   ├─ schemas, tokens
//!  generator ───────┘                 ├─ records: what REST reads
//!                                     └─ faults, counters
//! ```
//!
//! Events are kept in memory, the newest two million a topic, records a hundred thousand an object; a restart begins
//! a new org.

pub mod bulk;
mod clock;
mod control;
mod counters;
mod delay;
pub mod errors;
pub mod faults;
mod generator;
mod http;
mod ids;
mod journal;
mod limits;
pub mod oauth;
mod org;
pub mod rest;
mod server;
mod settings;
#[cfg(test)]
mod tests;
pub mod writes;

use std::future::Future;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use self::control::{Control, Emitted, Refused};
pub use self::counters::{OrgCounts, TopicCounts};
pub use self::http::control::HELP as CONTROL_HELP;
pub use self::journal::{SentChange, SentContent, SentEvent};
pub use self::org::Ungrouped;
pub use self::org::change::{Change, ChangeType, OVERFLOW_RECORD_ID, PlatformEvent, RawEvent};
pub use self::org::fields::FieldRules;
pub use self::org::prepared::{TestEvents, test_record_id};
pub use self::settings::{SimulatorSettings, TlsFiles};

use self::org::Org;

/// Why an org did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the simulator cannot listen on {address}: choose another port, or 0 for a free one")]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error("the simulator's certificate or key is not usable: give a PEM certificate and its PEM key")]
    Tls(#[source] tonic::transport::Error),
    #[error("the simulator's org is not consistent: {0}")]
    Org(String),
}

/// A running org. Dropping it ends its servers and cuts their connections.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use sfbridge::simulator::{Change, ChangeType, Simulator, SimulatorSettings};
///
/// let org = Simulator::start(SimulatorSettings::default()).await?;
/// org.change(&Change::new("Account", ChangeType::Create).field("Name", "Acme"))?;
/// println!("Pub/Sub API at {}, OAuth at {}", org.pubsub_url(), org.login_url());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Simulator {
    control: Arc<Control>,
    pubsub: SocketAddr,
    http: SocketAddr,
    stopped: CancellationToken,
    generator: Generator,
}

/// The two ends of the generator's life.
#[derive(Debug)]
struct Generator {
    stop: CancellationToken,
    ended: CancellationToken,
}

impl Simulator {
    /// Starts an org: it answers when this returns.
    ///
    /// # Errors
    /// When an address is taken, or the TLS files are not usable.
    pub async fn start(settings: SimulatorSettings) -> Result<Self, StartError> {
        let stopped = CancellationToken::new();
        let (http_listener, http) = listen(settings.http).await?;
        let (mut pubsub_listener, pubsub) = listen(settings.pubsub).await?;
        let instance_url = format!("http://{http}");
        let org = Arc::new(Org::new(settings).map_err(StartError::Org)?);
        let settings = &org.settings;
        if !settings.delay.is_zero() {
            let (inner, target) = listen(SocketAddr::from((pubsub.ip(), 0))).await?;
            let outer = std::mem::replace(&mut pubsub_listener, inner);
            spawn(delay::relay(outer, target, settings.delay, stopped.clone()));
        }
        let tls = settings.tls.as_ref();
        let serving = server::serve(
            org.clone(),
            instance_url.clone(),
            pubsub_listener,
            tls,
            stopped.clone(),
        )
        .map_err(StartError::Tls)?;
        spawn(serving);
        let control = Arc::new(Control::new(org.clone(), instance_url));
        let router = http::router(control.clone());
        spawn(org::late::run(org.clone(), stopped.clone()));
        let ended = stopped.clone();
        let http_listener = http::connection::Listener {
            tcp: http_listener,
            all: stopped.clone(),
        };
        spawn(async move {
            let service = router.into_make_service_with_connect_info::<server::connection::Cut>();
            let serving = axum::serve(http_listener, service).into_future();
            ended.run_until_cancelled(serving).await;
        });
        if settings.prepared > 0 {
            let events = TestEvents {
                count: settings.prepared,
                keys: PREPARED_KEYS,
                bytes: PREPARED_BYTES,
                ..TestEvents::default()
            };
            control
                .emit_test_events(&events)
                .map_err(|refused| StartError::Org(refused.0))?;
        }
        let generator = Generator {
            stop: stopped.child_token(),
            ended: CancellationToken::new(),
        };
        if settings.rate > 0.0 {
            let running = generator::run(org.clone(), settings.rate, settings.seed, generator.stop.clone());
            let ended = generator.ended.clone().drop_guard();
            spawn(async move {
                running.await;
                drop(ended);
            });
        } else {
            generator.ended.cancel();
        }
        Ok(Self {
            control,
            pubsub,
            http,
            stopped,
            generator,
        })
    }

    /// Ends the generator; when this returns, its last event is on the bus. The org goes on.
    pub async fn stop_generator(&self) {
        self.generator.stop.cancel();
        self.generator.ended.cancelled().await;
    }

    pub fn pubsub_address(&self) -> SocketAddr {
        self.pubsub
    }

    pub fn http_address(&self) -> SocketAddr {
        self.http
    }

    /// For `salesforce.pubsub_url`.
    pub fn pubsub_url(&self) -> String {
        let scheme = if self.control.org().settings.tls.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}", self.pubsub)
    }

    /// For `salesforce.login_url`.
    pub fn login_url(&self) -> &str {
        self.control.instance_url()
    }
}

impl Deref for Simulator {
    type Target = Control;

    fn deref(&self) -> &Control {
        &self.control
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stopped.cancel();
    }
}

/// What a business event weighs: the mean of a filled Account change.
const PREPARED_BYTES: usize = 1_020;
/// Enough records that no key is hot.
const PREPARED_KEYS: u64 = 50_000;

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bound
        .await
        .map_err(|source| StartError::Listen { address, source })
}

/// Starts a task that ends with the org: all of them watch its token, or a client that leaves.
#[allow(
    clippy::disallowed_methods,
    reason = "the simulator uses nothing of the crate but the protocol"
)]
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}
