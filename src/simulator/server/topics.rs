//! `GetTopic` and `GetSchema`.

use std::sync::Arc;
use std::time::Duration;

use tonic::Status;

use crate::proto::{SchemaInfo, TopicInfo};
use crate::simulator::errors::{ApiError, SCHEMA_INVALID, TOPIC_EMPTY, TOPIC_NOT_FOUND, TOPIC_PERMISSION};
use crate::simulator::faults::Rpc;
use crate::simulator::org::Org;
use crate::simulator::org::topics::{Kind, Topic};

use super::Caller;

/// The topic, where it exists and the user may see it.
pub(super) fn visible(org: &Org, name: &str) -> Result<Arc<Topic>, ApiError> {
    if name.trim().is_empty() {
        return Err(TOPIC_EMPTY);
    }
    let missing = if org.settings.missing_topic_is_forbidden {
        TOPIC_PERMISSION
    } else {
        TOPIC_NOT_FOUND
    };
    let topic = org.topic(name).ok_or(missing)?;
    if topic.is_permitted() {
        Ok(topic)
    } else {
        Err(TOPIC_PERMISSION)
    }
}

/// Meets a unary call's scripted fault: waits, and refuses or cuts the connection where told.
pub(super) async fn meet_fault(org: &Org, rpc: Rpc, name: &str, caller: &Caller) -> Result<(), Status> {
    let Some(fault) = org.faults.take(rpc, name) else {
        return Ok(());
    };
    tokio::time::sleep(Duration::from_millis(fault.delay_ms)).await;
    caller.refusal(rpc, &fault.then).map_or(Ok(()), Err)
}

pub(super) fn get_topic(org: &Org, name: &str, rpc_id: String) -> Result<TopicInfo, Status> {
    let topic = visible(org, name).map_err(|error| error.status(Rpc::GetTopic.name(), &rpc_id))?;
    topic.counters.get_topic_calls.add(1);
    let schema_id = topic
        .schema
        .read()
        .as_ref()
        .map(|schema| schema.id.clone())
        .unwrap_or_default();
    Ok(TopicInfo {
        topic_name: topic.name.clone(),
        tenant_guid: org.organization_id(),
        can_publish: topic.kind == Kind::Platform,
        can_subscribe: topic.may_subscribe(),
        // Blank for a channel, whose events name their schemas themselves.
        schema_id,
        rpc_id,
    })
}

pub(super) fn get_schema(org: &Org, id: &str, rpc_id: String) -> Result<SchemaInfo, Status> {
    org.counters.get_schema_calls.add(1);
    let schema = org
        .schemas
        .get(id)
        .ok_or_else(|| SCHEMA_INVALID.status(Rpc::GetSchema.name(), &rpc_id))?;
    Ok(SchemaInfo {
        schema_json: schema.json.clone(),
        schema_id: schema.id.clone(),
        rpc_id,
    })
}
