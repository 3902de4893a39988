//! The Pub/Sub API's server. Each RPC: check the metadata, meet a scripted fault, do the work. The work itself is
//! in the module of its name.

pub(super) mod connection;
mod credit;
mod metadata;
mod publish;
mod subscribe;
mod topics;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _, stream};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TlsConnectInfo;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Extensions, Request, Response, Status, Streaming};

use crate::proto::pub_sub_server::{PubSub, PubSubServer};
use crate::proto::{
    FetchRequest, FetchResponse, ManagedFetchRequest, ManagedFetchResponse, PublishRequest, PublishResponse,
    SchemaInfo, SchemaRequest, TopicInfo, TopicRequest,
};

use self::connection::Cut;
use super::faults::{Rpc, Then};
use super::ids;
use super::org::Org;
use super::settings::TlsFiles;
use super::spawn;

/// What a request may have on the wire. Above the API's own 4 MB, which `publish` refuses in the API's words.
const DECODED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Serves until `stopped`, which also cuts every connection.
pub(super) fn serve(
    org: Arc<Org>,
    instance_url: String,
    listener: TcpListener,
    tls: Option<&TlsFiles>,
    stopped: CancellationToken,
) -> Result<impl Future<Output = ()> + Send + use<>, tonic::transport::Error> {
    let service = PubSubServer::new(Service {
        org: org.clone(),
        instance_url,
    })
    .max_decoding_message_size(DECODED_BYTES_MAX)
    .max_encoding_message_size(usize::MAX);
    let mut server = Server::builder();
    if let Some(tls) = tls {
        let identity = Identity::from_pem(&tls.certificate_pem, &tls.key_pem);
        server = server.tls_config(ServerTlsConfig::new().identity(identity))?;
    }
    let incoming = connection::incoming(listener, org, stopped.clone());
    let serving = server
        .add_service(service)
        .serve_with_incoming_shutdown(incoming, stopped.cancelled_owned());
    Ok(async move {
        if let Err(error) = serving.await {
            tracing::warn!(%error, "the simulator's Pub/Sub server ended");
        }
    })
}

struct Service {
    org: Arc<Org>,
    instance_url: String,
}

impl Service {
    fn enter<T>(&self, request: &Request<T>, rpc: Rpc) -> Result<Caller, Status> {
        let rpc_id = ids::rpc_id();
        metadata::authenticate(&self.org, &self.instance_url, request.metadata(), rpc, &rpc_id)?;
        Ok(Caller {
            rpc_id,
            connection: cut(request.extensions()),
        })
    }
}

/// A call that was let in.
struct Caller {
    rpc_id: String,
    /// Cuts the TCP connection that the call came on.
    connection: CancellationToken,
}

impl Caller {
    /// What a scripted fault answers, its connection cut where told; `None` where the call goes on or ends well.
    fn refusal(&self, rpc: Rpc, then: &Then) -> Option<Status> {
        if *then == Then::Disconnect {
            self.connection.cancel();
        }
        then.status(rpc, &self.rpc_id)
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The cut of the connection under a call, with or without TLS.
fn cut(extensions: &Extensions) -> CancellationToken {
    let plain = extensions.get::<Cut>();
    let under_tls = extensions
        .get::<TlsConnectInfo<Cut>>()
        .map(TlsConnectInfo::get_ref);
    plain.or(under_tls).map(|cut| cut.0.clone()).unwrap_or_default()
}

#[tonic::async_trait]
impl PubSub for Service {
    type SubscribeStream = Answers<FetchResponse>;
    type PublishStreamStream = Answers<PublishResponse>;
    type ManagedSubscribeStream = Answers<ManagedFetchResponse>;

    async fn subscribe(
        &self,
        request: Request<Streaming<FetchRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let caller = self.enter(&request, Rpc::Subscribe)?;
        let (answers, mut receiver) = mpsc::channel(subscribe::RESPONSES_IN_FLIGHT);
        let call = subscribe::Call {
            org: self.org.clone(),
            caller,
            answers,
        };
        spawn(subscribe::run(call, request.into_inner()));
        if !self.org.settings.hold_headers {
            return Ok(Response::new(Box::pin(ReceiverStream::new(receiver))));
        }
        let first = receiver.recv().await;
        // A refusal before the first response is the call's own status.
        let first = first.transpose()?;
        let rest = ReceiverStream::new(receiver);
        Ok(Response::new(Box::pin(stream::iter(first.map(Ok)).chain(rest))))
    }

    async fn get_schema(&self, request: Request<SchemaRequest>) -> Result<Response<SchemaInfo>, Status> {
        let caller = self.enter(&request, Rpc::GetSchema)?;
        let id = request.into_inner().schema_id;
        topics::meet_fault(&self.org, Rpc::GetSchema, &id, &caller).await?;
        topics::get_schema(&self.org, &id, caller.rpc_id).map(Response::new)
    }

    async fn get_topic(&self, request: Request<TopicRequest>) -> Result<Response<TopicInfo>, Status> {
        let caller = self.enter(&request, Rpc::GetTopic)?;
        let name = request.into_inner().topic_name;
        topics::meet_fault(&self.org, Rpc::GetTopic, &name, &caller).await?;
        topics::get_topic(&self.org, &name, caller.rpc_id).map(Response::new)
    }

    async fn publish(&self, request: Request<PublishRequest>) -> Result<Response<PublishResponse>, Status> {
        let caller = self.enter(&request, Rpc::Publish)?;
        publish::publish(&self.org, request.into_inner(), Rpc::Publish, &caller)
            .await
            .map(Response::new)
    }

    async fn publish_stream(
        &self,
        request: Request<Streaming<PublishRequest>>,
    ) -> Result<Response<Self::PublishStreamStream>, Status> {
        let caller = self.enter(&request, Rpc::PublishStream)?;
        let (answers, receiver) = mpsc::channel(publish::ANSWERS_IN_FLIGHT);
        spawn(publish::stream(
            self.org.clone(),
            request.into_inner(),
            answers,
            caller,
        ));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn managed_subscribe(
        &self,
        request: Request<Streaming<ManagedFetchRequest>>,
    ) -> Result<Response<Self::ManagedSubscribeStream>, Status> {
        self.enter(&request, Rpc::ManagedSubscribe)?;
        Err(Status::unimplemented(
            "the simulator has no managed subscriptions",
        ))
    }
}
