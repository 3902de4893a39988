//! The loop guard of what a worker writes: announced before the request, settled by its answer. Nothing at all where no
//! route skips changes of the object.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::target;
use super::worker::{End, Worker};
use crate::config::Operation;
use crate::routes::loop_guard::{Announced, Intent, Settled};
use crate::salesforce::rest::{RowVerdict, WriteError, WriteOutcome};

impl Worker {
    /// Announces the records of a request, in its order; of a job, which may write them much later, with its time.
    pub(super) async fn announce_writes(
        &mut self,
        places: &[usize],
        within: Option<Duration>,
    ) -> Result<Announced, End> {
        let target = target::write_target(&self.parts.route.flow);
        let own_writes = &self.parts.route.shared.own_writes;
        if !own_writes.is_needed(&target.sobject) {
            return Ok(Announced::default());
        }
        let route = self.parts.route.config.name.clone();
        let mut intents = Vec::with_capacity(places.len());
        for place in places {
            let Some(body) = self.body(*place) else {
                continue;
            };
            // It was written from such a map.
            let body: Map<String, Json> = serde_json::from_str(body.get()).unwrap_or_default();
            let intent = Intent::new(&route, &target.sobject, target.operation, &body);
            let key = target.external_id.as_deref();
            let intent = match key.and_then(|field| Some((field, body.get(field)?))) {
                Some((field, value)) => intent.of_external_id(field, value),
                None => intent,
            };
            intents.push(intent);
        }
        self.announce(intents, within).await
    }

    /// Announces the deletion of records by their ids.
    pub(super) async fn announce_deletes(
        &self,
        sobject: &str,
        ids: &[String],
        within: Option<Duration>,
    ) -> Result<Announced, End> {
        if !self.parts.route.shared.own_writes.is_needed(sobject) {
            return Ok(Announced::default());
        }
        let route = &self.parts.route.config.name;
        let nothing = Map::new();
        let intent = |id: &String| Intent::new(route, sobject, Operation::Delete, &nothing).of_record(id);
        self.announce(ids.iter().map(intent).collect(), within).await
    }

    async fn announce(&self, intents: Vec<Intent>, within: Option<Duration>) -> Result<Announced, End> {
        let route = &self.parts.route;
        let intents: Vec<Intent> = match within {
            Some(time) => intents.into_iter().map(|intent| intent.open_for(time)).collect(),
            None => intents,
        };
        let announce = || route.shared.own_writes.announce(&intents);
        Ok(self.until_done(announce).await?)
    }

    /// Tells what became of a request.
    pub(super) async fn settle_announced(
        &self,
        announced: Announced,
        answer: &Result<Vec<RowVerdict>, WriteError>,
    ) {
        if announced.is_empty() {
            return;
        }
        let answers: Vec<Settled> = match answer {
            Ok(verdicts) => verdicts.iter().map(settled).collect(),
            // Whatever comes back of it is still recognised.
            Err(WriteError::Failed {
                outcome: WriteOutcome::Unknown,
                ..
            }) => return,
            Err(_) => vec![Settled::Refused; announced.len()],
        };
        self.parts
            .route
            .shared
            .own_writes
            .settle(announced, &answers)
            .await;
    }

    /// Tells what became of a job's records; of those without a verdict nobody knows.
    pub(super) async fn settle_places(
        &self,
        announced: Announced,
        places: &[usize],
        verdicts: &HashMap<usize, RowVerdict>,
    ) {
        let answers: Vec<Settled> = places
            .iter()
            .map(|place| verdicts.get(place).map_or(Settled::Unknown, settled))
            .collect();
        self.parts
            .route
            .shared
            .own_writes
            .settle(announced, &answers)
            .await;
    }
}

fn settled(verdict: &RowVerdict) -> Settled {
    match verdict {
        RowVerdict::Done { id, created } => Settled::Written {
            record_id: id.clone(),
            created: Some(*created),
        },
        RowVerdict::Refused(_) => Settled::Refused,
    }
}
