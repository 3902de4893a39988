//! A Pub/Sub API for tests: hands every stream that is opened to the test, which plays the server on it.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

use crate::config::SalesforceConfig;
use crate::proto::pub_sub_server::{PubSub, PubSubServer};
use crate::proto::{
    ConsumerEvent, FetchRequest, FetchResponse, ManagedFetchRequest, ManagedFetchResponse, ProducerEvent,
    PublishRequest, PublishResponse, SchemaInfo, SchemaRequest, TopicInfo, TopicRequest,
};
use crate::runtime::task::{self, Task};
use crate::salesforce::auth::TokenSource;
use crate::salesforce::auth::scripted::LoginHost;
use crate::telemetry::metrics::Metrics;

use super::client::PubSubClient;

pub(super) struct Org {
    pub(super) login: LoginHost,
    pub(super) client: PubSubClient,
    pub(super) calls: Arc<Calls>,
    opened: mpsc::Receiver<Opened>,
    _server: Task<()>,
}

/// Unary calls: answers put down by the test, and what came.
#[derive(Default)]
pub(super) struct Calls {
    pub(super) schemas: Mutex<VecDeque<Result<String, Status>>>,
    pub(super) topics: Mutex<VecDeque<Result<TopicInfo, Status>>>,
    pub(super) schema_ids: Mutex<Vec<String>>,
    pub(super) publishes: Mutex<VecDeque<Result<PublishResponse, Status>>>,
    pub(super) published: Mutex<Vec<PublishRequest>>,
}

/// A stream that the client opened. Dropping it completes the stream cleanly.
pub(super) struct Opened {
    pub(super) metadata: MetadataMap,
    pub(super) asks: Streaming<FetchRequest>,
    say: mpsc::Sender<Result<FetchResponse, Status>>,
}

impl Opened {
    pub(super) async fn ask(&mut self) -> FetchRequest {
        let ask = self.asks.message().await.expect("the client lives");
        ask.expect("the client asks on")
    }

    /// One response with one event an id, of so many bytes each.
    pub(super) async fn events(&self, ids: &[u64], bytes: usize) {
        let events = ids.iter().map(|at| ConsumerEvent {
            replay_id: id(*at),
            event: Some(ProducerEvent {
                id: format!("event-{at}"),
                schema_id: "schema-1".to_owned(),
                payload: vec![0; bytes].into(),
                headers: Vec::new(),
            }),
        });
        let response = FetchResponse {
            events: events.collect(),
            // Ahead of the events, as Salesforce's may be: it must not be used.
            latest_replay_id: id(9_999),
            ..FetchResponse::default()
        };
        self.say(Ok(response)).await;
    }

    pub(super) async fn keep_alive(&self, at: u64) {
        let response = FetchResponse {
            latest_replay_id: id(at),
            ..FetchResponse::default()
        };
        self.say(Ok(response)).await;
    }

    pub(super) async fn fail(self, status: Status) {
        self.say(Err(status)).await;
    }

    /// Waits until the client has given the stream up.
    pub(super) async fn closed(&self) {
        self.say.closed().await;
    }

    async fn say(&self, answer: Result<FetchResponse, Status>) {
        self.say.send(answer).await.expect("the client lives");
    }
}

/// Ten bytes, as Salesforce's.
pub(super) fn id(at: u64) -> Bytes {
    let mut bytes = at.to_be_bytes().to_vec();
    bytes.extend([0, 0]);
    bytes.into()
}

/// A refusal as Salesforce makes it.
pub(super) fn refusal(suffix: &str) -> Status {
    let mut trailers = MetadataMap::new();
    let code = format!("sfdc.platform.eventbus.grpc.{suffix}");
    trailers.insert("error-code", code.parse().expect("ascii"));
    Status::with_metadata(tonic::Code::InvalidArgument, "refused", trailers)
}

impl Org {
    pub(super) async fn start() -> Self {
        let login = LoginHost::start().await;
        let config = login.client_credentials();
        Self::with(login, config, None).await
    }

    /// With another configuration, or over TLS.
    pub(super) async fn with(login: LoginHost, config: SalesforceConfig, identity: Option<Identity>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let scheme = if identity.is_some() { "https" } else { "http" };
        let pubsub_url = format!("{scheme}://{}", listener.local_addr().expect("bound"));
        let (sender, opened) = mpsc::channel(8);
        let calls = Arc::new(Calls::default());
        let service = PubSubServer::new(Scripted {
            opened: sender,
            calls: Arc::clone(&calls),
        });
        let mut server = Server::builder();
        if let Some(identity) = identity {
            let tls = ServerTlsConfig::new().identity(identity);
            server = server.tls_config(tls).expect("a certificate");
        }
        let server = server
            .add_service(service)
            .serve_with_incoming(TcpIncoming::from(listener));
        let server = task::spawn("pub/sub host", async move {
            server.await.expect("serves until dropped")
        });
        let config = SalesforceConfig { pubsub_url, ..config };
        let tokens = TokenSource::new(&config, Metrics::new()).expect("usable");
        let client = PubSubClient::new(&config, tokens).expect("usable");
        Self {
            login,
            client,
            calls,
            opened,
            _server: server,
        }
    }

    pub(super) async fn opened(&mut self) -> Opened {
        self.opened.recv().await.expect("the server lives")
    }

    pub(super) fn none_opened(&mut self) -> bool {
        self.opened.try_recv().is_err()
    }
}

struct Scripted {
    opened: mpsc::Sender<Opened>,
    calls: Arc<Calls>,
}

#[tonic::async_trait]
impl PubSub for Scripted {
    type SubscribeStream = ReceiverStream<Result<FetchResponse, Status>>;
    type PublishStreamStream = ReceiverStream<Result<PublishResponse, Status>>;
    type ManagedSubscribeStream = ReceiverStream<Result<ManagedFetchResponse, Status>>;

    async fn subscribe(
        &self,
        request: Request<Streaming<FetchRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let (metadata, _, asks) = request.into_parts();
        let (say, said) = mpsc::channel(8);
        let opened = Opened { metadata, asks, say };
        self.opened
            .send(opened)
            .await
            .map_err(|_| Status::cancelled("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(said)))
    }

    async fn get_schema(&self, request: Request<SchemaRequest>) -> Result<Response<SchemaInfo>, Status> {
        self.calls.schema_ids.lock().push(request.into_inner().schema_id);
        let answer = self.calls.schemas.lock().pop_front();
        let schema_json = answer.unwrap_or_else(|| Ok("\"string\"".to_owned()))?;
        Ok(Response::new(SchemaInfo {
            schema_json,
            ..SchemaInfo::default()
        }))
    }

    async fn get_topic(&self, _: Request<TopicRequest>) -> Result<Response<TopicInfo>, Status> {
        let answer = self.calls.topics.lock().pop_front();
        answer
            .unwrap_or_else(|| Err(refusal("topic.not.found")))
            .map(Response::new)
    }

    async fn publish(&self, request: Request<PublishRequest>) -> Result<Response<PublishResponse>, Status> {
        self.calls.published.lock().push(request.into_inner());
        let answer = self.calls.publishes.lock().pop_front();
        match answer {
            Some(answer) => answer.map(Response::new),
            None => std::future::pending().await,
        }
    }

    async fn publish_stream(
        &self,
        _: Request<Streaming<PublishRequest>>,
    ) -> Result<Response<Self::PublishStreamStream>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn managed_subscribe(
        &self,
        _: Request<Streaming<ManagedFetchRequest>>,
    ) -> Result<Response<Self::ManagedSubscribeStream>, Status> {
        Err(Status::unimplemented("not scripted"))
    }
}
