//! The operations of a registry, each a request or two. Nothing is kept here and nothing tried again, but at
//! the next of several URLs.
//!
//! The interface is Confluent's (`docs.confluent.io`, "Schema Registry API Reference"). Where Apicurio 2.6 and
//! 3.3 answer otherwise stands at the operation; `tests/it/registry.rs` holds both to it.

use std::collections::HashSet;
use std::fmt;

use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::SchemaRegistryConfig;
use crate::error::Failure;

use super::error::{CallError, CompatibilityError, LookupError, RegisterError, SchemaError};
use super::http::{Ask, Http, Refusal, Reply};
use super::level::Level;
use super::subject::path_segment;
use super::wire::{
    Against, Compatibility, CompatibilityAnswer, ConfigAnswer, ConfigBody, Reference, Registered,
    RegisteredSchema, SchemaBody, SchemaById, Version, WriterSchema,
};

/// No schema that people write uses more others; whoever sends more would have us ask for ever.
const REFERENCES_MAX: usize = 200;

const SUBJECT_NOT_FOUND: i64 = 40_401;
const VERSION_NOT_FOUND: i64 = 40_402;
const OPERATION_NOT_PERMITTED: i64 = 42_205;

pub struct RegistryClient(Http);

impl fmt::Debug for RegistryClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<&str> = self.0.names().collect();
        f.debug_tuple("RegistryClient").field(&hosts).finish()
    }
}

impl RegistryClient {
    /// Connects with the first call.
    ///
    /// # Errors
    /// `Misconfigured`: a URL or a CA file that cannot be used.
    pub fn new(config: &SchemaRegistryConfig) -> Result<Self, Failure> {
        Http::new(config).map(Self)
    }

    /// Makes the schema a version of the subject, if it is none yet.
    ///
    /// Hazard: for Apicurio 3 a schema that differs from a registered one in `doc`, `default` or `aliases` alone
    /// is the same, here as in [`Self::lookup`]: the id is the old text's. What is written under it stays
    /// readable, but readers do not see the new default.
    ///
    /// # Errors
    /// Incompatible, invalid, read-only, or the call failed.
    pub async fn register(
        &self,
        subject: &str,
        schema: &str,
        references: &[Reference],
    ) -> Result<Registered, RegisterError> {
        let path = format!("/subjects/{}/versions", path_segment(subject));
        match self.post(path, &SchemaBody { schema, references }).await? {
            Reply::Done(registered) => Ok(registered),
            Reply::Refused(refusal) => Err(not_registered(subject, refusal)),
        }
    }

    /// The schema's place under the subject, if it is a version of it.
    ///
    /// Hazard: what counts as the same differs. Confluent compares normalised texts, Apicurio 2 compares byte by
    /// byte (`?normalize=true` changes nothing), Apicurio 3 as at [`Self::register`].
    ///
    /// # Errors
    /// Invalid (Apicurio just does not find such a text), or the call failed.
    pub async fn lookup(
        &self,
        subject: &str,
        schema: &str,
        references: &[Reference],
    ) -> Result<Option<Registered>, LookupError> {
        let path = format!("/subjects/{}", path_segment(subject));
        match self.post(path, &SchemaBody { schema, references }).await? {
            Reply::Done(registered) => Ok(Some(registered)),
            Reply::Refused(refusal) if refusal.status == 404 => Ok(None),
            Reply::Refused(refusal) if refusal.status == 422 => Err(LookupError::Invalid {
                subject: subject.to_owned(),
                reason: refusal.reason,
            }),
            Reply::Refused(refusal) => Err(refusal.unforeseen().into()),
        }
    }

    /// The schema that records with this id were written with, and every schema that it uses.
    ///
    /// # Errors
    /// Unknown, of another kind, a reference that is not to be had, or the call failed.
    pub async fn schema_by_id(&self, id: u32) -> Result<WriterSchema, SchemaError> {
        let found: SchemaById = match self.get(format!("/schemas/ids/{id}")).await? {
            Reply::Done(found) => found,
            Reply::Refused(refusal) if refusal.status == 404 => return Err(SchemaError::UnknownId { id }),
            Reply::Refused(refusal) => return Err(refusal.unforeseen().into()),
        };
        if let Some(kind) = found.schema_type.filter(|kind| kind != "AVRO") {
            return Err(SchemaError::NotAvro { id, kind });
        }
        Ok(WriterSchema {
            id,
            schema: found.schema,
            references: self.resolve(id, found.references).await?,
        })
    }

    /// The subject's versions, oldest first; none for a subject that is not there.
    ///
    /// # Errors
    /// The call failed.
    pub async fn versions(&self, subject: &str) -> Result<Vec<u32>, CallError> {
        let path = format!("/subjects/{}/versions", path_segment(subject));
        self.get(path).await?.found().map(Option::unwrap_or_default)
    }

    /// # Errors
    /// The call failed.
    pub async fn version(
        &self,
        subject: &str,
        version: Version,
    ) -> Result<Option<RegisteredSchema>, CallError> {
        let version = match version {
            Version::Latest => "latest".to_owned(),
            Version::Number(number) => number.to_string(),
        };
        let path = format!("/subjects/{}/versions/{version}", path_segment(subject));
        self.get(path).await?.found()
    }

    /// Every version of the subject, the oldest first.
    ///
    /// # Errors
    /// As every call.
    pub async fn every_version(&self, subject: &str) -> Result<Vec<RegisteredSchema>, CallError> {
        let mut found = Vec::new();
        for number in self.versions(subject).await? {
            // A version that was deleted in between is none.
            found.extend(self.version(subject, Version::Number(number)).await?);
        }
        Ok(found)
    }

    /// # Errors
    /// The call failed.
    pub async fn subjects(&self) -> Result<Vec<String>, CallError> {
        self.get("/subjects".to_owned()).await?.done()
    }

    /// Whether the subject's level would let the schema pass. With an unknown subject, or one without versions,
    /// everything is compatible.
    ///
    /// Hazard: Apicurio finds a schema with references invalid here, though it registers it.
    ///
    /// # Errors
    /// Invalid, no such version, or the call failed.
    pub async fn compatible(
        &self,
        subject: &str,
        against: Against,
        schema: &str,
        references: &[Reference],
    ) -> Result<Compatibility, CompatibilityError> {
        let version = match against {
            Against::Latest => "/latest".to_owned(),
            Against::Version(number) => format!("/{number}"),
            Against::All => String::new(),
        };
        let segment = path_segment(subject);
        let path = format!("/compatibility/subjects/{segment}/versions{version}?verbose=true");
        let refusal = match self.post(path, &SchemaBody { schema, references }).await? {
            Reply::Done(answer) => return Ok(CompatibilityAnswer::into(answer)),
            Reply::Refused(refusal) => refusal,
        };
        let subject = subject.to_owned();
        match (refusal.status, refusal.code, against) {
            (404, Some(VERSION_NOT_FOUND), Against::Version(version)) => {
                Err(CompatibilityError::NoSuchVersion { subject, version })
            }
            (404, Some(SUBJECT_NOT_FOUND | VERSION_NOT_FOUND), _) => Ok(Compatibility {
                is_compatible: true,
                messages: Vec::new(),
            }),
            (422, ..) => Err(CompatibilityError::Invalid {
                subject,
                reason: refusal.reason,
            }),
            _ => Err(refusal.unforeseen().into()),
        }
    }

    /// The level that decides about the subject: its own, or the registry's.
    ///
    /// # Errors
    /// The call failed.
    pub async fn config(&self, subject: &str) -> Result<Level, CallError> {
        let path = format!("/config/{}?defaultToGlobal=true", path_segment(subject));
        // Apicurio and older registries do not know the subject's level before its first version, whatever the
        // parameter says.
        let own: Option<ConfigAnswer> = self.get(path).await?.found()?;
        let answer = match own {
            Some(own) => own,
            None => self.get("/config".to_owned()).await?.done()?,
        };
        Ok(answer.compatibility_level)
    }

    /// # Errors
    /// The call failed.
    pub async fn set_config(&self, subject: &str, level: Level) -> Result<(), CallError> {
        let path = format!("/config/{}", path_segment(subject));
        let body = ConfigBody { compatibility: level };
        let reply = self.call(Method::PUT, path, Some(json(&body))).await?;
        reply.done().map(|_: serde::de::IgnoredAny| ())
    }

    async fn resolve(
        &self,
        id: u32,
        references: Vec<Reference>,
    ) -> Result<Vec<RegisteredSchema>, SchemaError> {
        enum Step {
            Fetch(Reference),
            /// All that it uses is there.
            Ready(RegisteredSchema),
        }
        let (mut seen, mut resolved) = (HashSet::new(), Vec::new());
        let mut steps: Vec<Step> = references.into_iter().map(Step::Fetch).collect();
        while let Some(step) = steps.pop() {
            let Reference { subject, version, .. } = match step {
                Step::Ready(schema) => {
                    resolved.push(schema);
                    continue;
                }
                Step::Fetch(reference) => reference,
            };
            if !seen.insert((subject.clone(), version)) {
                continue;
            }
            if seen.len() > REFERENCES_MAX {
                let max = REFERENCES_MAX;
                return Err(SchemaError::TooManyReferences { id, max });
            }
            let schema = self.version(&subject, Version::Number(version)).await?;
            let schema = schema.ok_or(SchemaError::Reference { id, subject, version })?;
            let uses = schema.references.clone();
            steps.push(Step::Ready(schema));
            steps.extend(uses.into_iter().map(Step::Fetch));
        }
        Ok(resolved)
    }

    async fn get<T: DeserializeOwned>(&self, path: String) -> Result<Reply<T>, CallError> {
        self.call(Method::GET, path, None).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: String,
        body: &impl Serialize,
    ) -> Result<Reply<T>, CallError> {
        self.call(Method::POST, path, Some(json(body))).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: String,
        body: Option<Vec<u8>>,
    ) -> Result<Reply<T>, CallError> {
        self.0.call(&Ask { method, path, body }).await
    }
}

impl<T> Reply<T> {
    /// `None` where the registry does not know the object.
    fn found(self) -> Result<Option<T>, CallError> {
        match self {
            Self::Refused(refusal) if refusal.status == 404 => Ok(None),
            reply => reply.done().map(Some),
        }
    }
}

/// Texts, numbers and lists of them: there is nothing in a body that JSON cannot say.
fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).unwrap_or_default()
}

fn not_registered(subject: &str, refusal: Refusal) -> RegisterError {
    let subject = subject.to_owned();
    // Confluent has a code for a registry that takes nothing, Apicurio 3 says 409 as for an incompatible schema
    // and puts it into words only, and a proxy that lets reading pass alone says 405.
    let is_read_only = refusal.code == Some(OPERATION_NOT_PERMITTED)
        || refusal.status == 405
        || (refusal.status == 409 && refusal.code != Some(409) && refusal.reason.contains("read-only"));
    match refusal.status {
        _ if is_read_only => RegisterError::ReadOnly { subject },
        409 => RegisterError::Incompatible {
            subject,
            reasons: vec![refusal.reason],
        },
        422 => RegisterError::Invalid {
            subject,
            reason: refusal.reason,
        },
        _ => refusal.unforeseen().into(),
    }
}
