//! What can go wrong at a registry. Every operation says what its caller may have to decide about, besides
//! [`CallError`], which is the same for all; at the edge each becomes a [`Failure`] with its remedy.
//!
//! All are cheap to clone: those who waited for one call share its refusal.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{ErrorKind, Failure};

/// Nothing is known of the schema: the call itself failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    #[error("the schema registry {host} does not answer")]
    Unreachable {
        host: Arc<str>,
        #[source]
        cause: Arc<reqwest::Error>,
    },
    #[error("the schema registry {host} is unwell: it answered {status}{}", code_of(*code))]
    Unwell {
        host: Arc<str>,
        status: u16,
        code: Option<i64>,
    },
    #[error("the schema registry {host} asks to wait")]
    Throttled {
        host: Arc<str>,
        retry_after: Option<Duration>,
    },
    #[error("the schema registry {host} does not let sfbridge do this: it answered {status}")]
    Refused { host: Arc<str>, status: u16 },
    /// A proxy's page, a wrong path, a redirect.
    #[error("what answers at {host} is no schema registry (HTTP {status})")]
    NotARegistry { host: Arc<str>, status: u16 },
    /// The same where a registry had answered before.
    #[error("something else answers at {host} in place of the schema registry (HTTP {status})")]
    Displaced { host: Arc<str>, status: u16 },
    #[error("the schema registry {host} answered {status}{}, which sfbridge does not know: {reason}", code_of(*code))]
    Unforeseen {
        host: Arc<str>,
        status: u16,
        code: Option<i64>,
        reason: String,
    },
}

fn code_of(code: Option<i64>) -> String {
    code.map_or_else(String::new, |code| format!(" (error {code})"))
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum LookupError {
    #[error("subject {subject}: the registry takes the text for no valid schema: {reason}")]
    Invalid { subject: String, reason: String },
    #[error(transparent)]
    Call(#[from] CallError),
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum RegisterError {
    /// The subject's level does not let the change pass.
    #[error("subject {subject}: the schema is not compatible with the one registered: {}", reasons.join("; "))]
    Incompatible {
        subject: String,
        /// The registry's reasons in its own words.
        reasons: Vec<String>,
    },
    #[error("subject {subject}: the registry takes the text for no valid schema: {reason}")]
    Invalid { subject: String, reason: String },
    /// A follower, a mirror, or a registry that is being moved.
    #[error("subject {subject}: the schema is not registered, and the registry is read-only")]
    ReadOnly { subject: String },
    #[error(transparent)]
    Call(#[from] CallError),
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum SchemaError {
    /// Who wrote the record used another registry, or no registry at all.
    #[error("the registry does not know the schema id {id}")]
    UnknownId { id: u32 },
    #[error("the schema with the id {id} is {kind}, not Avro")]
    NotAvro { id: u32, kind: String },
    #[error("the schema with the id {id} refers to version {version} of {subject}, which is not to be had")]
    Reference { id: u32, subject: String, version: u32 },
    #[error("the schema with the id {id} uses more than {max} other schemas")]
    TooManyReferences { id: u32, max: usize },
    #[error(transparent)]
    Call(#[from] CallError),
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum CompatibilityError {
    #[error("subject {subject}: the registry takes the text for no valid schema: {reason}")]
    Invalid { subject: String, reason: String },
    #[error("subject {subject}: it has no version {version}")]
    NoSuchVersion { subject: String, version: u32 },
    #[error(transparent)]
    Call(#[from] CallError),
}

impl From<LookupError> for RegisterError {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Invalid { subject, reason } => Self::Invalid { subject, reason },
            LookupError::Call(call) => Self::Call(call),
        }
    }
}

const CORRECT_THE_SCHEMA: &str =
    "correct the schema; if it is one that sfbridge derived, report this with the reason";

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        use ErrorKind::{Denied, Throttled, Transient, Unknown};
        let message = error.to_string();
        match error {
            CallError::Unreachable { cause, .. } => Self::new(Transient, message)
                .remedy("check schema_registry.url, the network, and schema_registry.ca_file where the registry's certificate is of a private CA")
                .caused_by(cause),
            CallError::Unwell { .. } => Self::new(Transient, message),
            CallError::Throttled { retry_after, .. } => match retry_after {
                Some(told) => Self::new(Throttled, message).after(told),
                None => Self::new(Throttled, message),
            },
            CallError::Refused { host, .. } => Self::new(Denied, message).remedy(format!(
                "check schema_registry.username and schema_registry.password (or schema_registry.bearer_token), and what they are allowed at {host}"
            )),
            CallError::NotARegistry { .. } => Self::new(Denied, message).remedy(
                "set schema_registry.url to the base URL of the registry's Confluent-compatible interface, with its path and without a redirect",
            ),
            CallError::Displaced { .. } => Self::new(Transient, message).remedy(
                "if this stays, see whether the registry runs and what the proxy in front of it does, or correct schema_registry.url",
            ),
            CallError::Unforeseen { .. } => Self::new(Unknown, message),
        }
    }
}

impl From<LookupError> for Failure {
    fn from(error: LookupError) -> Self {
        RegisterError::from(error).into()
    }
}

impl From<RegisterError> for Failure {
    fn from(error: RegisterError) -> Self {
        let message = error.to_string();
        match error {
            RegisterError::Incompatible { subject, .. } => Self::new(ErrorKind::Contract, message).remedy(format!(
                "change the schema as the compatibility level of {subject} allows, or agree with its readers on another level or subject"
            )),
            RegisterError::Invalid { .. } => Self::new(ErrorKind::Denied, message).remedy(CORRECT_THE_SCHEMA),
            RegisterError::ReadOnly { subject } => Self::new(ErrorKind::Denied, message).remedy(format!(
                "have the schema registered under {subject}, or set schema_registry.url to a registry that takes schemas"
            )),
            RegisterError::Call(call) => call.into(),
        }
    }
}

impl From<SchemaError> for Failure {
    fn from(error: SchemaError) -> Self {
        let message = error.to_string();
        match error {
            // Of one record among others: it goes to the dead letters, and many in a row halt the route.
            SchemaError::UnknownId { .. } | SchemaError::NotAvro { .. } => {
                Self::new(ErrorKind::Poison, message)
            }
            SchemaError::Reference { subject, version, .. } => Self::new(ErrorKind::Denied, message)
                .remedy(format!("restore version {version} of {subject} in the registry")),
            SchemaError::TooManyReferences { .. } => Self::new(ErrorKind::Unknown, message),
            SchemaError::Call(call) => call.into(),
        }
    }
}

impl From<CompatibilityError> for Failure {
    fn from(error: CompatibilityError) -> Self {
        let message = error.to_string();
        match error {
            CompatibilityError::Invalid { .. } => {
                Self::new(ErrorKind::Denied, message).remedy(CORRECT_THE_SCHEMA)
            }
            CompatibilityError::NoSuchVersion { .. } => Self::new(ErrorKind::Denied, message),
            CompatibilityError::Call(call) => call.into(),
        }
    }
}
