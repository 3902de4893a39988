//! The outputs of a run, and before the first record of a schema each output's draft, its registration, its plan.
//! All of it is finished before a transaction begins.
//!
//! A contract that breaks does what the output's `on_break` says: it halts the route, or from then on its events
//! become dead letters while the other outputs go on, or the schema gets a subject of its own.

use super::{RunEnd, ToKafkaRoute, until_done};
use crate::config::{OnBreak, ToKafkaConfig};
use crate::contracts::publish::publish;
use crate::contracts::written::entity_of;
use crate::error::{Action, Failure, chain};
use crate::routes::output::{Outputs, Plan, Registration};
use crate::routes::state::ContractView;
use crate::runtime::shutdown::StopSignal;
use crate::salesforce::Salesforce;
use crate::salesforce::event::{DecodedEvent, EventSchema};

impl ToKafkaRoute {
    /// The outputs, held against the events that the topic has now: a filter, a key or a field that does not fit
    /// shows at the start. A contract that these events break is said in the log and no more, because what is
    /// still to come before them may be of an older schema; for the same reason nothing is registered yet. A
    /// channel tells its schemas with its events.
    pub(super) async fn outputs(&self, stop: &mut StopSignal) -> Result<Outputs, RunEnd> {
        let ToKafkaConfig { from, to, .. } = &self.flow;
        let outputs = Outputs::new(&self.config.name, &from.topic, self.shared.naming, to)?;
        if !outputs.depend_on_the_schema() {
            return Ok(outputs);
        }
        let Salesforce { pubsub, schemas, .. } = &self.shared.salesforce;
        self.status
            .starting("checking the outputs against the topic's schema");
        let topic = until_done(self, stop, || pubsub.get_topic(&from.topic)).await?;
        if topic.schema_id.is_empty() {
            return Ok(outputs);
        }
        let schema = match until_done(self, stop, || schemas.get(&topic.schema_id)).await {
            // Its events will be dead letters, if any come.
            Err(RunEnd::Failed(failure)) if failure.action() == Action::DeadLetter => return Ok(outputs),
            schema => schema?,
        };
        let entity = schema.is_change_event().then(|| entity_of(schema.name()));
        for output in outputs.unplanned(&schema, entity.as_deref()) {
            outputs.check_filter(output, &schema)?;
            let Err(failure) = outputs.draft(output, &schema, entity.as_deref()) else {
                continue;
            };
            let contract = outputs.config(output).and_then(|config| config.contract.as_ref());
            if contract.is_none_or(|contract| contract.file.is_none()) {
                return Err(failure.into());
            }
            tracing::warn!(route = %self.config.name, why = %chain(&failure), remedy = failure.remedy, "the contract will break with the first event of the topic's present schema");
        }
        Ok(outputs)
    }

    /// Makes the plans that the outputs lack for this schema; not of those whose filter leaves `event` out: of a
    /// channel's objects a contract may fit only the one that its filter lets through.
    pub(super) async fn prepare(
        &self,
        outputs: &mut Outputs,
        schema: &EventSchema,
        entity: Option<&str>,
        event: Option<(&[u8], &DecodedEvent)>,
        stop: &mut StopSignal,
    ) -> Result<(), RunEnd> {
        for output in outputs.unplanned(schema, entity) {
            if event.is_some_and(|(payload, event)| outputs.leaves_out(output, schema, payload, event)) {
                continue;
            }
            let config = outputs.config(output);
            let contract = config.and_then(|config| config.contract.as_ref());
            let on_break = contract.map_or(OnBreak::Halt, |contract| contract.on_break);
            match self
                .planned(outputs, output, schema, entity, on_break, stop)
                .await
            {
                Ok(plan) => outputs.plan(output, schema, entity, plan),
                Err(RunEnd::Failed(failure)) if is_stored(&failure, on_break) => {
                    let why = chain(&failure);
                    tracing::error!(route = %self.config.name, %why, remedy = failure.remedy, "contract broken: events become dead letters");
                    outputs.broken(output, schema, why);
                }
                Err(end) => return Err(end),
            }
        }
        Ok(())
    }

    async fn planned(
        &self,
        outputs: &Outputs,
        output: usize,
        schema: &EventSchema,
        entity: Option<&str>,
        on_break: OnBreak,
        stop: &mut StopSignal,
    ) -> Result<Plan, RunEnd> {
        let draft = outputs.draft(output, schema, entity)?;
        let Some(registration) = draft.registration.clone() else {
            return Ok(draft.plan(None, schema));
        };
        let Registration {
            subject,
            schema: contract,
        } = &registration;
        let registry = self.shared.registry.as_ref();
        let published = until_done(self, stop, || publish(registry, subject, contract, on_break)).await?;
        tracing::info!(route = %self.config.name, topic = %draft.topic, subject = published.subject, schema_id = published.id, salesforce_schema = schema.id(), "contract");
        self.status.contract(ContractView {
            topic: draft.topic.to_string(),
            event: schema.name().to_owned(),
            subject: published.subject,
            schema_id: published.id,
            version: published.version,
            salesforce_schema: schema.id().to_owned(),
        });
        Ok(draft.plan(Some(published.id), schema))
    }
}

/// Whether the policy of an output turns the failure into dead letters of that output alone.
fn is_stored(failure: &Failure, on_break: OnBreak) -> bool {
    failure.action() == Action::OnBreak && on_break == OnBreak::DeadLetter
}
