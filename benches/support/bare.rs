//! The floor: a transactional producer with no source behind it, doing by hand what the bridge's does.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::process::Usage;
use super::topic::{self, Seen, unique};

/// For a call that waits for the broker.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks at what is in flight: a blocking poll would either spin or oversleep.
const LOOK_EVERY: Duration = Duration::from_micros(50);
/// What a position weighs.
const POSITION: &[u8] = &[b'p'; 300];

pub struct Bare {
    producer: BaseProducer,
    positions: String,
}

/// What a run cost.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    pub took: Duration,
    pub cpu: Duration,
}

impl Bare {
    /// With `linger_ms: 0` for single records; a run of full batches is given librdkafka's own 5.
    pub async fn new(kafka: &str, linger_ms: u32) -> Self {
        let positions = unique("bare-positions");
        topic::create(kafka, &positions, 1, &[("cleanup.policy", "compact")]).await;
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", kafka)
            .set("transactional.id", unique("bare"))
            .set("acks", "all")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", linger_ms.to_string())
            .set("socket.nagle.disable", "true")
            .create()
            .unwrap();
        producer.init_transactions(CALL_TIMEOUT).unwrap();
        Self { producer, positions }
    }

    /// Sends records in transactions of so many, each with a position, as fast as it goes.
    pub fn send_all(&self, topic: &str, records: &[Seen], batch: usize) -> Cost {
        let cpu = Usage::of(std::process::id()).cpu;
        let started = Instant::now();
        for batch in records.chunks(batch) {
            self.commit(topic, batch);
        }
        Cost {
            took: started.elapsed(),
            cpu: Usage::of(std::process::id()).cpu - cpu,
        }
    }

    /// One transaction: produce, wait for delivery, commit.
    pub fn commit(&self, topic: &str, records: &[Seen]) {
        self.producer.begin_transaction().unwrap();
        for record in records {
            self.producer.send(base(topic, record)).unwrap();
        }
        let position: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.positions)
            .key(b"route".as_slice())
            .payload(POSITION);
        self.producer.send(position).unwrap();
        // Only then the commit: the crate's own flush waits in steps of 100 ms.
        while self.producer.in_flight_count() > 0 {
            let before = self.producer.in_flight_count();
            self.producer.poll(Duration::ZERO);
            if self.producer.in_flight_count() == before {
                std::thread::sleep(LOOK_EVERY);
            }
        }
        self.producer.commit_transaction(CALL_TIMEOUT).unwrap();
    }
}

fn base<'a>(topic: &'a str, record: &'a Seen) -> BaseRecord<'a, [u8], [u8]> {
    let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
    for (key, value) in &record.headers {
        headers = headers.insert(Header {
            key,
            value: Some(value.as_slice()),
        });
    }
    let mut base = BaseRecord::to(topic)
        .headers(headers)
        .timestamp(record.timestamp_ms.unwrap());
    if let Some(key) = &record.key {
        base = base.key(key.as_slice());
    }
    if let Some(value) = &record.value {
        base = base.payload(value.as_slice());
    }
    base
}
