//! The ceiling: a client that knows nothing of Kafka and sends ready-made requests of two hundred, as many side by
//! side as the topic has partitions.

use apache_avro::types::Value as Avro;
use apache_avro::{Schema, to_avro_datum};
use bytes::Bytes;
use serde_json::{Value, json};
use sfbridge::proto::pub_sub_client::PubSubClient;
use sfbridge::proto::{ProducerEvent, PublishRequest, SchemaRequest, TopicRequest};
use tonic::Request;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;

use crate::support::PARTITIONS;
use crate::support::org::Org;
use crate::{REQUEST, Target};

const SHIPPED: &str = "/event/Order_Shipped__e";

/// What a login tells.
#[derive(Debug, Clone)]
pub struct Bare {
    token: String,
    instance_url: String,
    tenant: String,
}

impl Bare {
    /// Sends so many records and waits for all answers. Requests are made as they go, as the bridge makes them.
    pub async fn send_all(org: &Org, target: Target, records: u64) {
        let bare = Self::log_in(org).await;
        let lines = u64::from(PARTITIONS.unsigned_abs());
        let mut sending = tokio::task::JoinSet::new();
        let event = match target {
            Target::Publish => Some(bare.event(org).await),
            Target::Upsert => None,
        };
        for line in 0..lines {
            let (bare, event) = (bare.clone(), event.clone());
            // As the keys lie in partitions: no two lines have the same record.
            let numbers: Vec<u64> = (0..records).filter(|number| number % lines == line).collect();
            sending.spawn(async move {
                let http = reqwest::Client::builder().no_proxy().build().unwrap();
                for chunk in numbers.chunks(usize::try_from(REQUEST).unwrap()) {
                    match &event {
                        Some(event) => event.publish(&bare, chunk, records).await,
                        None => bare.upsert(&http, chunk, records).await,
                    }
                }
            });
        }
        while let Some(ended) = sending.join_next().await {
            ended.unwrap();
        }
    }

    async fn log_in(org: &Org) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client
            .post(format!("{}/services/oauth2/token", org.login_url))
            .header("content-type", "application/x-www-form-urlencoded")
            .body("grant_type=client_credentials&client_id=3MVG9.simulated.client&client_secret=simulated-secret")
            .send()
            .await
            .unwrap();
        let told: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        let text = |key: &str| told[key].as_str().unwrap().to_owned();
        // `…/id/<organization>/<user>`
        let id = text("id");
        Self {
            token: text("access_token"),
            instance_url: text("instance_url"),
            tenant: id.rsplit('/').nth(1).unwrap().to_owned(),
        }
    }

    async fn upsert(&self, http: &reqwest::Client, numbers: &[u64], records: u64) {
        let rows: Vec<Value> = numbers
            .iter()
            .map(|number| {
                let mut record = Target::Upsert.record(*number, records);
                record["attributes"] = json!({"type": "Account"});
                record
            })
            .collect();
        let url = format!(
            "{}/services/data/v66.0/composite/sobjects/Account/Customer_Id__c",
            self.instance_url
        );
        let body = json!({"allOrNone": false, "records": rows}).to_string();
        let request = http.patch(url).bearer_auth(&self.token);
        let answer = request
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .unwrap();
        let results: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        let results = results.as_array().unwrap();
        assert!(results.iter().all(|result| result["success"] == true));
        assert_eq!(results.len(), numbers.len());
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        for (key, value) in [
            ("accesstoken", &self.token),
            ("instanceurl", &self.instance_url),
            ("tenantid", &self.tenant),
        ] {
            let value = MetadataValue::try_from(value.as_str()).unwrap();
            request.metadata_mut().insert(key, value);
        }
        request
    }

    async fn event(&self, org: &Org) -> Event {
        let mut stub = PubSubClient::connect(org.pubsub_url.clone()).await.unwrap();
        let topic = TopicRequest {
            topic_name: SHIPPED.to_owned(),
        };
        let topic = stub.get_topic(self.request(topic)).await.unwrap().into_inner();
        let schema_id = topic.schema_id;
        let request = SchemaRequest {
            schema_id: schema_id.clone(),
        };
        let answer = stub.get_schema(self.request(request)).await.unwrap().into_inner();
        Event {
            stub,
            schema_id,
            schema: Schema::parse_str(&answer.schema_json).unwrap(),
        }
    }
}

#[derive(Debug, Clone)]
struct Event {
    stub: PubSubClient<Channel>,
    schema_id: String,
    schema: Schema,
}

impl Event {
    async fn publish(&self, bare: &Bare, numbers: &[u64], records: u64) {
        let events = numbers.iter().map(|number| ProducerEvent {
            id: format!("00000000-0000-4000-8000-{number:012}"),
            schema_id: self.schema_id.clone(),
            payload: self.payload(&Target::Publish.record(*number, records)),
            ..ProducerEvent::default()
        });
        let request = PublishRequest {
            topic_name: SHIPPED.to_owned(),
            events: events.collect(),
            ..PublishRequest::default()
        };
        let answer = self
            .stub
            .clone()
            .publish(bare.request(request))
            .await
            .unwrap()
            .into_inner();
        assert!(answer.results.iter().all(|result| result.error.is_none()));
        assert_eq!(answer.results.len(), numbers.len());
    }

    fn payload(&self, record: &Value) -> Bytes {
        let Schema::Record(schema) = &self.schema else {
            panic!("an event is a record")
        };
        let fields = schema.fields.iter().map(|field| {
            let value = match (field.name.as_str(), &record[&field.name]) {
                ("CreatedDate", _) => Avro::Long(1_700_000_000_000),
                ("CreatedById", _) => Avro::String("005SB0000000001AAA".to_owned()),
                (_, Value::String(text)) => filled(Avro::String(text.clone())),
                (_, Value::Number(number)) => filled(Avro::Double(number.as_f64().unwrap())),
                (_, Value::Bool(bool)) => filled(Avro::Boolean(*bool)),
                _ => Avro::Union(0, Box::new(Avro::Null)),
            };
            (field.name.clone(), value)
        });
        to_avro_datum(&self.schema, Avro::Record(fields.collect()))
            .unwrap()
            .into()
    }
}

/// Every custom field may be null.
fn filled(value: Avro) -> Avro {
    Avro::Union(1, Box::new(value))
}
