use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::super::{Decoded, Key, Program};

/// A record of topic `orders`, partition 3, offset 42.
pub(super) fn record(value: Json) -> Decoded {
    Decoded {
        topic: "orders".to_owned(),
        partition: 3,
        offset: 42,
        timestamp_ms: Some(1_700_000_000_123),
        key: Key::Absent,
        value: Some(value),
        headers: Map::new(),
    }
}

pub(super) fn tombstone(key: Key) -> Decoded {
    Decoded {
        key,
        value: None,
        ..record(Json::Null)
    }
}

pub(super) fn by_name() -> Arc<Program> {
    program(None, &[])
}

pub(super) fn program(filter: Option<&str>, fields: &[(&str, &str)]) -> Arc<Program> {
    let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    let fields: BTreeMap<_, _> = fields.iter().map(owned).collect();
    Arc::new(Program::compile("orders", filter, &fields).unwrap())
}
