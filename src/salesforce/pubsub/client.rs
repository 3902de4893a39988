//! One HTTP/2 connection to the Pub/Sub API for all routes, and the unary calls on it.
//!
//! Connects when first used and again whenever the connection is lost. Every call carries the session as
//! metadata; a unary call whose session is refused is made once more with a new one.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use crate::config::SalesforceConfig;
use crate::error::{ErrorKind, Failure};
use crate::proto::pub_sub_client::PubSubClient as Stub;
use crate::proto::{
    FetchRequest, FetchResponse, PublishRequest, PublishResponse, SchemaInfo, SchemaRequest, TopicInfo,
    TopicRequest,
};
use crate::salesforce::auth::{Session, TokenSource};
use crate::salesforce::error::{CallError, permission};

use super::endpoint::endpoint;
use super::room::{Part, Room, SharedRoom};

/// GetTopic and GetSchema take a second at most; a deadline ends what hangs.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Salesforce sends 3 MB at most; the library's limit of 4 MB leaves no room for what proxies add in time.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Cheap to clone; all clones share the connection, the session, and the room for what is in hand.
#[derive(Clone)]
pub struct PubSubClient {
    stub: Stub<Channel>,
    tokens: TokenSource,
    room: Arc<Mutex<SharedRoom>>,
}

impl std::fmt::Debug for PubSubClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PubSubClient")
    }
}

impl PubSubClient {
    /// Must be called inside the runtime; connects with the first call.
    ///
    /// # Errors
    /// `Misconfigured`: an address or a CA file that cannot be used.
    pub fn new(config: &SalesforceConfig, tokens: TokenSource) -> Result<Self, Failure> {
        let stub = Stub::new(endpoint(config)?.connect_lazy()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Ok(Self {
            stub,
            tokens,
            room: Arc::default(),
        })
    }

    pub(super) fn tokens(&self) -> &TokenSource {
        &self.tokens
    }

    pub(super) fn part(&self, most: Room) -> Part {
        Part::of(&self.room, most)
    }

    /// What Salesforce says of a topic.
    ///
    /// # Errors
    /// `Denied` when it does not exist or must not be seen.
    pub async fn get_topic(&self, topic: &str) -> Result<TopicInfo, Failure> {
        self.call(topic, |mut stub, metadata| async move {
            let topic_name = topic.to_owned();
            stub.get_topic(request(metadata, TopicRequest { topic_name }))
                .await
        })
        .await
    }

    /// The topic, if the user may subscribe to it.
    ///
    /// # Errors
    /// As [`PubSubClient::get_topic`], and `Denied` when the user may see but not read it.
    pub async fn get_readable_topic(&self, topic: &str) -> Result<TopicInfo, Failure> {
        let info = self.get_topic(topic).await?;
        if info.can_subscribe {
            return Ok(info);
        }
        let user = self.tokens.session().await?.user();
        let failure = Failure::new(ErrorKind::Denied, format!("{user} may not read {topic}"));
        Err(failure.remedy(format!("give {user} {}, then resume", permission(topic))))
    }

    /// A schema by its id. Ask the [`super::SchemaCache`] instead: a schema never changes.
    ///
    /// # Errors
    /// What Salesforce answered, classified.
    pub(super) async fn get_schema(&self, id: &str) -> Result<SchemaInfo, Failure> {
        let object = format!("schema {id}");
        self.call(&object, |mut stub, metadata| async move {
            let schema_id = id.to_owned();
            stub.get_schema(request(metadata, SchemaRequest { schema_id }))
                .await
        })
        .await
    }

    /// Opens a stream. Answers when Salesforce sends the headers, which may be with the first event.
    pub(super) async fn subscribe(
        &self,
        metadata: MetadataMap,
        requests: impl tokio_stream::Stream<Item = FetchRequest> + Send + 'static,
    ) -> Result<Streaming<FetchResponse>, Status> {
        let answer = self.stub.clone().subscribe(request(metadata, requests)).await?;
        Ok(answer.into_inner())
    }

    /// Publishes once, with no deadline of its own.
    ///
    /// # Errors
    /// `Misconfigured`: a session that no header can carry; nothing is sent.
    pub(super) fn publish_once(
        &self,
        session: &Session,
        message: PublishRequest,
    ) -> Result<impl Future<Output = Result<PublishResponse, Status>> + use<>, Failure> {
        let mut stub = self.stub.clone();
        let request = request(metadata(session)?, message);
        Ok(async move { stub.publish(request).await.map(Response::into_inner) })
    }

    /// A unary call, within its deadline, once more with a new session if the first is refused.
    async fn call<T, F>(
        &self,
        object: &str,
        rpc: impl Fn(Stub<Channel>, MetadataMap) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let attempt = async |session: &Session| {
            let answer = tokio::time::timeout(CALL_TIMEOUT, rpc(self.stub.clone(), metadata(session)?)).await;
            let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in 30 s")));
            answer
                .map(Response::into_inner)
                .map_err(|status| CallError::from_status(&status).into_failure(object, &session.user()))
        };
        let session = self.tokens.session().await?;
        match attempt(&session).await {
            Err(failure) if failure.kind == ErrorKind::Unauthenticated => {
                attempt(&*self.tokens.refresh(&session).await?).await
            }
            answer => answer,
        }
    }
}

fn request<T>(metadata: MetadataMap, message: T) -> Request<T> {
    Request::from_parts(metadata, tonic::Extensions::default(), message)
}

/// Who calls, and a trace id that Salesforce's support can look for.
pub(super) fn metadata(session: &Session) -> Result<MetadataMap, Failure> {
    let ascii = |what: &str, value: &str| {
        AsciiMetadataValue::try_from(value).map_err(|error| {
            Failure::new(
                ErrorKind::Misconfigured,
                format!("the session's {what} has characters that no header can carry"),
            )
            .caused_by(error)
        })
    };
    let mut token = ascii("access token", session.access_token.expose())?;
    // Keeps it out of every Debug and out of HTTP/2's header tables.
    token.set_sensitive(true);
    let mut metadata = MetadataMap::with_capacity(4);
    metadata.insert("accesstoken", token);
    metadata.insert(
        "instanceurl",
        ascii("instance URL", session.instance_url.expose())?,
    );
    metadata.insert("tenantid", ascii("organisation id", &session.organization_id)?);
    let trace = uuid::Uuid::new_v4().to_string();
    metadata.insert("x-client-trace-id", ascii("trace id", &trace)?);
    Ok(metadata)
}
