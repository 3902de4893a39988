//! What the registry has of a contract, asked for by these commands: they look, and register nothing.

use super::org::Refusal;
use crate::avro::Schema;
use crate::config::Config;
use crate::contracts::check_registry::{Known, Version as KnownVersion};
use crate::contracts::registry::{Against, Level, RegisteredSchema, RegistryClient, Version};
use crate::contracts::written::Written;
use crate::error::{Failure, chain};

/// The registry, if one is configured.
#[derive(Debug)]
pub(in crate::cli) struct Versions {
    client: Option<RegistryClient>,
    /// Why it is not asked what it knows.
    unreached: Option<Refusal>,
}

impl Versions {
    pub(in crate::cli) fn new(config: &Config) -> Result<Self, Failure> {
        let client = config.schema_registry.as_ref().map(RegistryClient::new);
        Ok(Self {
            client: client.transpose()?,
            unreached: None,
        })
    }

    /// Asks whether it is there; when it is not, it is asked nothing more. None: no registry is configured.
    pub(in crate::cli) async fn reach(&mut self) -> Option<Result<(), Refusal>> {
        let client = self.client.as_ref()?;
        // Any subject does: the registry's own level answers for one that is not there.
        let answer = client.config("sfbridge").await;
        Some(answer.map(drop).map_err(|error| {
            let failure = Failure::from(error);
            let refusal = Refusal::with(failure, "check that the registry can be reached from here");
            self.unreached = Some(refusal.clone());
            refusal
        }))
    }

    /// Version and id of each contract. A registry that does not answer is told on stderr: a document is no worse
    /// without them.
    pub(super) async fn fill_in(&self, written: &mut [Written]) {
        let Some(client) = &self.client else { return };
        for output in written {
            let (Some(subject), Some(contract)) = (&output.subject, &output.contract) else {
                continue;
            };
            match client.lookup(subject, &contract.json, &[]).await {
                Ok(found) => {
                    output.registered = found.and_then(|found| Some((found.version?, found.id)));
                }
                Err(error) => {
                    eprintln!("sfbridge: {}", chain(&Failure::from(error)));
                    return;
                }
            }
        }
    }

    /// The latest version of a subject, with its number.
    pub(super) async fn latest(&self, subject: &str) -> Result<Option<(u32, Schema)>, Failure> {
        let Some(client) = &self.client else {
            return Ok(None);
        };
        let latest = client.version(subject, Version::Latest).await?;
        Ok(latest.and_then(|latest| Some((latest.version, Schema::parse(&latest.schema).ok()?))))
    }

    /// Everything that decides about a registration. None: no registry is configured.
    pub(super) async fn known(&self, subject: &str, schema: &str) -> Result<Option<Known>, Failure> {
        if let Some(refusal) = &self.unreached {
            return Err(refusal.clone().into());
        }
        let Some(client) = &self.client else {
            return Ok(None);
        };
        let same = client.lookup(subject, schema, &[]).await?;
        let level = client.config(subject).await?;
        // What is no Avro schema is the registry's to judge.
        let known = |found: RegisteredSchema| {
            let schema = Schema::parse(&found.schema).ok()?;
            let number = found.version;
            Some(KnownVersion { number, schema })
        };
        let earlier = client.every_version(subject).await?;
        let earlier = earlier.into_iter().filter_map(known).collect();
        let transitive = matches!(
            level,
            Level::BackwardTransitive | Level::ForwardTransitive | Level::FullTransitive
        );
        let against = if transitive { Against::All } else { Against::Latest };
        // Apicurio 3 without any rule says NONE, and answers "incompatible" here to what it then registers.
        let verdict = match &same {
            Some(_) => None,
            None if level == Level::None => None,
            None => Some(client.compatible(subject, against, schema, &[]).await?),
        };
        Ok(Some(Known {
            level,
            same: same.map(|same| (same.version, same.id)),
            earlier,
            verdict,
        }))
    }
}
