//! The servers, seen through the generated client: what goes over the wire and nothing beside it.

mod bulk;
mod events;
mod faults;
mod http;
mod publish;
mod rest;
mod subscribe;
mod writes;

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

use super::faults::{Fault, Rpc, StreamMode, Then};
use super::*;
use crate::proto::pub_sub_client::PubSubClient;
use crate::proto::{
    FetchRequest, FetchResponse, ProducerEvent, PublishRequest, ReplayPreset, SchemaRequest, TopicRequest,
};

const ACCOUNTS: &str = "/data/AccountChangeEvent";
const SHIPPED: &str = "/event/Order_Shipped__e";

async fn start(settings: SimulatorSettings) -> Simulator {
    Simulator::start(settings).await.expect("the org starts")
}

struct Client {
    stub: PubSubClient<Channel>,
    metadata: [(&'static str, String); 3],
}

impl Client {
    async fn new(org: &Simulator) -> Self {
        let stub = PubSubClient::connect(org.pubsub_url())
            .await
            .expect("the server answers");
        let metadata = [
            ("accesstoken", org.issue_token()),
            ("instanceurl", org.instance_url().to_owned()),
            ("tenantid", org.organization_id()),
        ];
        Self { stub, metadata }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        for (key, value) in &self.metadata {
            let value = MetadataValue::try_from(value.as_str()).expect("ASCII");
            request.metadata_mut().insert(*key, value);
        }
        request
    }

    async fn subscribe(&self, first: FetchRequest) -> Result<Subscription, Status> {
        let (requests, receiver) = mpsc::channel(8);
        requests.try_send(first).expect("there is room");
        let call = self
            .stub
            .clone()
            .subscribe(self.request(ReceiverStream::new(receiver)))
            .await;
        Ok(Subscription {
            requests,
            responses: call?.into_inner(),
        })
    }

    async fn refusal(&self, first: FetchRequest) -> (Code, String) {
        match self.subscribe(first).await {
            Ok(mut stream) => code_of(&stream.responses.message().await.expect_err("the server refuses")),
            Err(status) => code_of(&status),
        }
    }
}

struct Subscription {
    requests: mpsc::Sender<FetchRequest>,
    responses: Streaming<FetchResponse>,
}

impl Subscription {
    async fn next(&mut self) -> FetchResponse {
        self.responses.message().await.expect("no error").expect("no end")
    }

    async fn ask(&self, events: i32) {
        let more = FetchRequest {
            num_requested: events,
            ..FetchRequest::default()
        };
        self.requests.send(more).await.expect("the stream is open");
    }
}

fn code_of(status: &Status) -> (Code, String) {
    let code = status
        .metadata()
        .get("error-code")
        .map(|code| code.to_str().expect("ASCII"));
    (
        status.code(),
        code.map_or(String::new(), |code| code.replace(errors::PREFIX, "")),
    )
}

fn fetch(topic: &str, preset: ReplayPreset, events: i32) -> FetchRequest {
    FetchRequest {
        topic_name: topic.into(),
        replay_preset: preset.into(),
        num_requested: events,
        ..FetchRequest::default()
    }
}

fn after(topic: &str, replay_id: &[u8], events: i32) -> FetchRequest {
    let replay_id = bytes::Bytes::copy_from_slice(replay_id);
    FetchRequest {
        replay_id,
        ..fetch(topic, ReplayPreset::Custom, events)
    }
}
