//! Before the first record of a schema: each output's draft, its registration, its plan. All of it is finished
//! before a transaction begins.
//!
//! A contract that breaks does what the output's `on_break` says: it halts the route, or from then on its events
//! become dead letters while the other outputs go on, or the schema gets a subject of its own.

use super::intake::Intake;
use super::{RunEnd, ToKafkaRoute, until_done};
use crate::config::OnBreak;
use crate::contracts::publish::publish;
use crate::error::{Action, Failure, chain};
use crate::routes::output::{Plan, Registration};
use crate::routes::state::ContractView;
use crate::runtime::shutdown::StopSignal;
use crate::salesforce::event::EventSchema;

impl Intake {
    /// Makes the plans that the outputs lack for this schema.
    pub(super) async fn prepare(
        &mut self,
        route: &ToKafkaRoute,
        schema: &EventSchema,
        entity: Option<&str>,
        stop: &mut StopSignal,
    ) -> Result<(), RunEnd> {
        for output in self.outputs.unplanned(schema) {
            let config = self.outputs.config(output);
            let contract = config.and_then(|config| config.contract.as_ref());
            let on_break = contract.map_or(OnBreak::Halt, |contract| contract.on_break);
            match self.planned(route, output, schema, entity, on_break, stop).await {
                Ok(plan) => self.outputs.plan(output, schema, plan),
                Err(RunEnd::Failed(failure)) if is_stored(&failure, on_break) => {
                    let why = chain(&failure);
                    tracing::error!(route = %route.config.name, %why, remedy = failure.remedy, "contract broken: events become dead letters");
                    self.outputs.broken(output, schema, why);
                }
                Err(end) => return Err(end),
            }
        }
        Ok(())
    }

    async fn planned(
        &self,
        route: &ToKafkaRoute,
        output: usize,
        schema: &EventSchema,
        entity: Option<&str>,
        on_break: OnBreak,
        stop: &mut StopSignal,
    ) -> Result<Plan, RunEnd> {
        let draft = self.outputs.draft(output, schema, entity)?;
        let Some(registration) = draft.registration.clone() else {
            return Ok(draft.plan(None, schema));
        };
        let Registration {
            subject,
            schema: contract,
        } = &registration;
        let registry = route.shared.registry.as_ref();
        let published = until_done(route, stop, || publish(registry, subject, contract, on_break)).await?;
        tracing::info!(route = %route.config.name, topic = %draft.topic, subject = published.subject, schema_id = published.id, salesforce_schema = schema.id(), "contract");
        route.status.contract(ContractView {
            topic: draft.topic.to_string(),
            event: schema.name().to_owned(),
            subject: published.subject,
            schema_id: published.id,
            salesforce_schema: schema.id().to_owned(),
        });
        Ok(draft.plan(Some(published.id), schema))
    }
}

/// Whether the policy of an output turns the failure into dead letters of that output alone.
fn is_stored(failure: &Failure, on_break: OnBreak) -> bool {
    failure.action() == Action::OnBreak && on_break == OnBreak::DeadLetter
}
