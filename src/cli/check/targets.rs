//! What routes to Salesforce write to: there, allowed, and fitting the mapping as it is now.

use std::sync::Arc;

use super::lines::Lines;
use super::{REACH_ORG, told};
use crate::cli::contracts::org::Refusal as Unreached;
use crate::config::{Operation, RouteConfig, SalesforceTarget, ToSalesforceConfig};
use crate::error::Failure;
use crate::routes::mapping::{EventTarget, Program, RecordTarget, Refusal};
use crate::salesforce::Salesforce;

/// An id of the right form: what the user's is decides nothing about the mapping.
const SOMEBODY: &str = "005000000000000AAA";

pub(super) async fn check(
    route: &RouteConfig,
    flow: &ToSalesforceConfig,
    salesforce: &Salesforce,
    unreached: Option<&Unreached>,
    lines: &mut Lines,
) {
    let name = match &flow.to {
        SalesforceTarget::Event { topic } => topic,
        SalesforceTarget::Object { sobject, .. } => sobject,
    };
    let about = format!("route {} → {name}", route.name);
    let program = match Program::compile(&route.name, flow.filter.as_deref(), &flow.fields) {
        Ok(program) => Arc::new(program),
        Err(errors) => {
            for error in errors {
                let remedy = format!("correct {}", error.place);
                lines.broken(&about, error.to_string(), remedy);
            }
            return;
        }
    };
    if let Some(refusal) = unreached {
        lines.failed(&about, &told(refusal), REACH_ORG);
        return;
    }
    let outcome = match &flow.to {
        SalesforceTarget::Event { topic } => event(route, topic, program, salesforce).await,
        SalesforceTarget::Object {
            sobject,
            operation,
            external_id,
            on_tombstone,
            ..
        } => match salesforce.rest.describe(sobject).await {
            Ok(describe) => {
                let external_id = external_id.as_deref();
                RecordTarget::new(program, &describe, *operation, external_id, *on_tombstone)
                    .map(|_| format!("{} is allowed, and the mapping fits", verb(*operation)))
                    .map_err(|wrong| Refusal::halt(&route.name, &wrong))
            }
            Err(failure) => Err(failure),
        },
    };
    match outcome {
        Ok(message) => lines.holds(&about, message),
        Err(failure) => lines.failed(&about, &failure, REACH_ORG),
    }
}

async fn event(
    route: &RouteConfig,
    topic: &str,
    program: Arc<Program>,
    salesforce: &Salesforce,
) -> Result<String, Failure> {
    let info = salesforce.pubsub.get_publishable_topic(topic).await?;
    let schema = salesforce.schemas.get(&info.schema_id).await?;
    EventTarget::new(program, &schema, SOMEBODY).map_err(|wrong| Refusal::halt(&route.name, &wrong))?;
    Ok(format!(
        "publishing is allowed, and the mapping fits schema {}",
        info.schema_id
    ))
}

const fn verb(operation: Operation) -> &'static str {
    match operation {
        Operation::Upsert => "upsert",
        Operation::Update => "update",
        Operation::Insert => "insert",
        Operation::Delete => "delete",
    }
}
