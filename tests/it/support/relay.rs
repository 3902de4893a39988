//! A way to a broker on which requests go astray: they are relayed as a whole, and the answer, or the request itself, of
//! a transaction's end can be lost, and so can what is produced to one topic. A broker advertises the relay's address, so all go through it.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// `Produce` in Kafka's protocol.
const PRODUCE: [u8; 2] = 0_u16.to_be_bytes();
/// `EndTxn`: commit or abort.
const END_TXN: [u8; 2] = 26_u16.to_be_bytes();

/// What becomes of the end of a transaction. Once one is lost, its connection is dumb for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commits {
    Pass,
    /// The broker never hears of it.
    RequestLost,
    /// It takes effect, and nobody is told.
    AnswerLost,
}

/// Dropping it cuts all connections.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    road: Arc<Road>,
    _accepting: JoinSet<()>,
}

#[derive(Debug)]
struct Road {
    broker: OnceLock<String>,
    commits: Mutex<Commits>,
    withheld: Mutex<Option<String>>,
}

impl Road {
    fn is_withheld(&self, request: &[u8]) -> bool {
        let topic = self.withheld.lock();
        let names = |topic: &String| request.windows(topic.len()).any(|part| part == topic.as_bytes());
        request.starts_with(&PRODUCE) && topic.as_ref().is_some_and(names)
    }
}

impl Relay {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let road = Arc::new(Road {
            broker: OnceLock::new(),
            commits: Mutex::new(Commits::Pass),
            withheld: Mutex::default(),
        });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&road)));
        Self {
            address,
            road,
            _accepting: accepting,
        }
    }

    /// The line of `server.properties` that sends everybody here.
    pub fn advertised(&self) -> String {
        format!("advertised.listeners=PLAINTEXT://{}", self.address)
    }

    /// Where it leads. Connections that come earlier are refused.
    pub fn lead_to(&self, broker: &str) {
        self.road.broker.set(broker.to_owned()).unwrap();
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn commits(&self, commits: Commits) {
        *self.road.commits.lock() = commits;
    }

    /// The broker never hears of what is produced to this topic, until there is none. A connection that one such request
    /// took is dumb for good.
    pub fn withhold(&self, topic: Option<&str>) {
        *self.road.withheld.lock() = topic.map(str::to_owned);
    }
}

async fn accept(listener: TcpListener, road: Arc<Road>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let Some(broker) = road.broker.get() else { continue };
        let Ok(broker) = TcpStream::connect(broker).await else {
            continue;
        };
        client.set_nodelay(true).unwrap();
        broker.set_nodelay(true).unwrap();
        let (from_client, to_client) = client.into_split();
        let (from_broker, to_broker) = broker.into_split();
        let road = Arc::clone(&road);
        let dumb = CancellationToken::new();
        connections.spawn(async move {
            // Whoever closes first ends both ways; an error is an end too.
            tokio::select! {
                _ = requests(from_client, to_broker, &road, &dumb) => {}
                _ = answers(from_broker, to_client, &dumb) => {}
            }
        });
    }
}

/// Each begins with its length in four bytes, then the number of the call in two.
async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    road: &Road,
    dumb: &CancellationToken,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    loop {
        let length = from.read_u32().await?;
        request.resize(usize::try_from(length).unwrap(), 0);
        from.read_exact(&mut request).await?;
        let commits = *road.commits.lock();
        if request.starts_with(&END_TXN) && commits != Commits::Pass {
            dumb.cancel();
        }
        if road.is_withheld(&request) {
            dumb.cancel();
        }
        if !dumb.is_cancelled() || commits == Commits::AnswerLost {
            to.write_u32(length).await?;
            to.write_all(&request).await?;
        }
    }
}

async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    dumb: &CancellationToken,
) -> std::io::Result<()> {
    tokio::select! {
        ended = tokio::io::copy(&mut from, &mut to) => ended.map(drop),
        // The connection stays open, and nothing comes out of it.
        () = dumb.cancelled() => tokio::io::copy(&mut from, &mut tokio::io::sink()).await.map(drop),
    }
}
