//! A record out of librdkafka's memory.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

use super::stream::ConsumedRecord;

pub(in crate::kafka) fn record_of(topic: &Arc<str>, message: &BorrowedMessage<'_>) -> ConsumedRecord {
    ConsumedRecord {
        topic: topic.clone(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis(),
        key: message.key().map(Bytes::copy_from_slice),
        value: message.payload().map(Bytes::copy_from_slice),
        headers: headers_of(message),
    }
}

fn headers_of(message: &BorrowedMessage<'_>) -> Vec<(String, Option<Bytes>)> {
    let Some(headers) = message.headers() else {
        return Vec::new();
    };
    let read = |at| {
        // rdkafka 0.39 panics at a name that is not UTF-8, which any producer may send.
        let header = catch_unwind(AssertUnwindSafe(|| headers.get(at)));
        match header {
            Ok(header) => (header.key.to_owned(), header.value.map(Bytes::copy_from_slice)),
            Err(_) => ("?".to_owned(), None),
        }
    };
    (0..headers.count()).map(read).collect()
}
