//! What Salesforce's gRPC answers mean: a status and its `error-code` trailer become a [`Failure`].
//!
//! The trailer decides; the gRPC status is asked only when there is none (Salesforce reports an outage as
//! INTERNAL and many different things as INVALID_ARGUMENT). A code that is not in the table is unknown and
//! halts the route. Salesforce's own texts are left out wherever a code says what happened, for they may
//! quote field values.

use std::error::Error as StdError;
use std::fmt;

use tonic::{Code, Status};

use crate::error::{ErrorKind, Failure, chain};

/// Every code starts with this on the wire.
const PREFIX: &str = "sfdc.platform.eventbus.grpc.";

/// What to tell the operator beside the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// It passes.
    None,
    Login,
    License,
    /// Grant the user access to the topic.
    Access,
    TopicName,
    Managed,
    /// Our own misuse of the protocol.
    Report,
}

use ErrorKind::{Denied, LostPosition, Poison, Throttled, Transient, Unauthenticated, Unknown};

/// Every error code that Salesforce documents: suffix, kind, remedy.
const TABLE: &[(&str, ErrorKind, Remedy)] = &[
    ("service.unavailable", Transient, Remedy::None),
    ("service.auth.error", Unauthenticated, Remedy::Login),
    ("service.auth.headers.invalid", Unauthenticated, Remedy::Login),
    ("service.auth.refresh.invalid", Unauthenticated, Remedy::Login),
    (
        "service.protection.stream.limit.triggered",
        Throttled,
        Remedy::None,
    ),
    ("service.protection.triggered", Throttled, Remedy::None),
    ("service.tenant.license", Denied, Remedy::License),
    ("concurrent.client.limit.exceeded", Throttled, Remedy::None),
    ("topic.not.found", Denied, Remedy::TopicName),
    ("topic.meta.permission", Denied, Remedy::Access),
    ("topic.api.unavailable", Transient, Remedy::None),
    ("topic.validation.empty", Denied, Remedy::TopicName),
    ("schema.meta.permission", Denied, Remedy::Access),
    ("schema.api.unavailable", Transient, Remedy::None),
    // An event without a schema id cannot be decoded, by anybody.
    ("schema.validation.failed", Poison, Remedy::None),
    // One code for "malformed" and "expired": they cannot be told apart.
    (
        "subscription.fetch.replayid.corrupted",
        LostPosition,
        Remedy::None,
    ),
    (
        "subscription.fetch.replayid.validation.failed",
        LostPosition,
        Remedy::None,
    ),
    ("subscription.fetch.replay.repeated", Transient, Remedy::None),
    ("subscription.limit.exceeded", Throttled, Remedy::None),
    ("subscription.fetch.overflow", Throttled, Remedy::None),
    (
        "subscription.fetch.requested.events.invalid",
        Unknown,
        Remedy::Report,
    ),
    ("subscription.fetch.topic.mismatch", Unknown, Remedy::Report),
    ("subscription.fetch.request.invalid", Unknown, Remedy::Report),
    ("subscription.topic.cannot.subscribe", Denied, Remedy::Access),
    ("subscription.internal.error", Transient, Remedy::None),
    ("publish.stream.sweeper.timeout", Transient, Remedy::None),
    ("publish.auth.refresh.invalid", Unknown, Remedy::Report),
    ("publish.event.count.invalid", Unknown, Remedy::Report),
    ("publish.topic.mismatch", Unknown, Remedy::Report),
    ("publish.topic.validation.empty", Denied, Remedy::TopicName),
    ("managed.subscription.already.active", Throttled, Remedy::None),
    ("managed.subscription.config.stopped", Denied, Remedy::Managed),
    ("managed.subscription.config.deleted", Denied, Remedy::Managed),
    (
        "managed.subscription.developer.name.not.found",
        Denied,
        Remedy::Managed,
    ),
    (
        "managed.subscription.subscription.id.not.found",
        Denied,
        Remedy::Managed,
    ),
    (
        "managed.subscription.subscription.id.invalid",
        Denied,
        Remedy::Managed,
    ),
    (
        "managed.subscription.id.or.developer.name.empty",
        Denied,
        Remedy::Managed,
    ),
    (
        "managed.subscription.fetch.request.events.invalid",
        Unknown,
        Remedy::Report,
    ),
    (
        "managed.subscription.fetch.request.invalid",
        Unknown,
        Remedy::Report,
    ),
    (
        "managed.subscription.fetch.request.commit.request.restricted",
        Unknown,
        Remedy::Report,
    ),
    (
        "managed.subscription.fetch.request.auth.request.restricted",
        Unknown,
        Remedy::Report,
    ),
];

/// What a call was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Read,
    Publish,
}

/// A refused or broken call, as far as it may be shown.
#[derive(Debug)]
pub struct CallError {
    status: Code,
    /// Without the common prefix.
    pub error_code: Option<String>,
    /// What Salesforce's support asks for.
    rpc_id: Option<String>,
    /// The transport's own words, where no error code says more.
    line: Option<String>,
}

impl CallError {
    pub fn from_status(status: &Status) -> Self {
        let trailer = |key| {
            let value = status.metadata().get(key)?.to_str().ok()?;
            Some(value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let error_code =
            trailer("error-code").map(|code| code.strip_prefix(PREFIX).unwrap_or(&code).to_owned());
        let line = error_code.is_none().then(|| line(status)).flatten();
        Self {
            status: status.code(),
            error_code,
            rpc_id: trailer("rpc-id"),
            line,
        }
    }

    pub fn kind(&self) -> ErrorKind {
        self.verdict().0
    }

    fn verdict(&self) -> (ErrorKind, Remedy) {
        match &self.error_code {
            Some(code) => by_error_code(code),
            None => by_status(self.status),
        }
    }

    /// The failure of a call that was to read `object` (a topic or `schema <id>`), made as `user`.
    pub fn into_failure(self, object: &str, user: &str) -> Failure {
        self.into_failure_of(Deed::Read, object, user)
    }

    /// The failure of a call that was to do something with `object`.
    pub fn into_failure_of(self, deed: Deed, object: &str, user: &str) -> Failure {
        let (kind, remedy) = self.verdict();
        let failure = Failure::new(kind, message(deed, kind, remedy, object, user));
        let failure = match remedy_text(deed, remedy, object, user) {
            Some(text) => failure.remedy(text),
            None => failure,
        };
        failure.caused_by(self)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error_code {
            Some(code) => write!(f, "{code} (gRPC {:?}", self.status)?,
            None => write!(f, "gRPC {:?} without error code (", self.status)?,
        }
        if let Some(line) = &self.line {
            f.write_str(line)?;
        }
        if let Some(id) = &self.rpc_id {
            write!(f, ", rpc id {id}")?;
        }
        f.write_str(")")
    }
}

impl StdError for CallError {}

fn by_error_code(code: &str) -> (ErrorKind, Remedy) {
    let row = TABLE.iter().find(|(suffix, ..)| *suffix == code);
    match row {
        Some((_, kind, remedy)) => (*kind, *remedy),
        // Families that Salesforce may extend, as the failure policy names them.
        None if code.starts_with("service.auth.") => (Unauthenticated, Remedy::Login),
        None if code.starts_with("service.protection.") => (Throttled, Remedy::None),
        None if code.ends_with(".api.unavailable") => (Transient, Remedy::None),
        // That of publishing is not documented.
        None if code.ends_with(".limit.exceeded") => (Throttled, Remedy::None),
        None => (Unknown, Remedy::None),
    }
}

fn by_status(status: Code) -> (ErrorKind, Remedy) {
    match status {
        Code::Unauthenticated => (Unauthenticated, Remedy::Login),
        // A topic that does not exist is answered with either, also without a code.
        Code::NotFound => (Denied, Remedy::TopicName),
        Code::PermissionDenied => (Denied, Remedy::Access),
        Code::ResourceExhausted => (Throttled, Remedy::None),
        Code::Unavailable
        | Code::Internal
        | Code::Unknown
        | Code::Cancelled
        | Code::Aborted
        | Code::DeadlineExceeded => (Transient, Remedy::None),
        _ => (Unknown, Remedy::None),
    }
}

/// What the line said, or what tonic makes of a proxy's answer, short. The text of a server is not repeated: it may
/// quote a value.
fn line(status: &Status) -> Option<String> {
    const SHOWN_MAX: usize = 200;
    /// "…, mapped from HTTP status code 502"
    const OF_A_PROXY: &str = "grpc-status header missing";
    let text = match StdError::source(status) {
        Some(transport) => chain(transport),
        None if status.message().starts_with(OF_A_PROXY) => status.message().to_owned(),
        None => String::new(),
    };
    let text: String = text.chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect();
    (!text.is_empty()).then_some(text)
}

fn message(deed: Deed, kind: ErrorKind, remedy: Remedy, object: &str, user: &str) -> String {
    match (kind, remedy) {
        (Denied, Remedy::TopicName) => format!("Salesforce has no {object} that {user} can see"),
        (Denied, Remedy::License) => "the org is not licensed for the Pub/Sub API".to_owned(),
        (Denied, _) if deed == Deed::Publish => format!("{user} may not publish to {object}"),
        (Denied, _) => format!("{user} may not read {object}"),
        (Unauthenticated, _) => format!("Salesforce does not accept the session of {user} for {object}"),
        (Throttled, _) => format!("Salesforce asks to wait with {object}"),
        (LostPosition, _) => format!("Salesforce no longer holds the replay id asked for on {object}"),
        (Transient, _) => format!("the call for {object} did not get through"),
        (Poison, _) if deed == Deed::Publish => {
            format!("Salesforce does not take the schema that events of {object} are written in")
        }
        (Poison, _) => format!("Salesforce knows no {object}"),
        _ => format!("Salesforce refused {object} for a reason that sfbridge does not know"),
    }
}

fn remedy_text(deed: Deed, remedy: Remedy, object: &str, user: &str) -> Option<String> {
    let permission = match deed {
        Deed::Read => permission,
        Deed::Publish => publish_permission,
    };
    Some(match remedy {
        Remedy::None => return None,
        Remedy::Login => format!(
            "check that {user} is active, may use the API, and that its sessions are not locked to one IP address"
        ),
        Remedy::License => "ask Salesforce to enable the Pub/Sub API for this org".to_owned(),
        Remedy::Access => format!("give {user} {}, then resume", permission(object)),
        Remedy::TopicName => format!(
            "check the spelling and that Change Data Capture or the event is set up; else give {user} {}, then resume",
            permission(object)
        ),
        Remedy::Managed => "check the managed subscription in Setup, then resume".to_owned(),
        Remedy::Report => "this is a fault of sfbridge: report it with the rpc id".to_owned(),
    })
}

/// The permission that reading a topic takes.
pub fn permission(topic: &str) -> String {
    let name = topic.rsplit('/').next().unwrap_or(topic);
    if name == "ChangeEvents" {
        return "\"View All Data\"".to_owned();
    }
    if name.ends_with("__chn") {
        return format!("read access to every event of the channel {name}");
    }
    if let Some(custom) = name.strip_suffix("__ChangeEvent") {
        return format!("\"View All\" on {custom}__c");
    }
    match name.strip_suffix("ChangeEvent") {
        Some(entity) if topic.starts_with("/data/") => format!("\"View All\" on {entity}"),
        _ if topic.starts_with('/') => format!("\"Read\" on {name}"),
        _ => "access to the event's topic".to_owned(),
    }
}

/// The permission that publishing to a topic takes.
pub fn publish_permission(topic: &str) -> String {
    let name = topic.rsplit('/').next().unwrap_or(topic);
    format!("\"Create\" on {name}")
}

#[cfg(test)]
mod tests {
    use tonic::metadata::MetadataMap;

    use super::*;

    fn status(code: Code, error_code: &str) -> Status {
        let mut trailers = MetadataMap::new();
        let value = format!("{PREFIX}{error_code}");
        trailers.insert("error-code", value.parse().expect("ascii"));
        trailers.insert("rpc-id", "4711".parse().expect("ascii"));
        Status::with_metadata(code, "text with a Secret Name", trailers)
    }

    #[test]
    fn the_trailer_decides_whatever_the_status_says() {
        for (suffix, kind, _) in TABLE {
            for code in [
                Code::Internal,
                Code::InvalidArgument,
                Code::Unavailable,
                Code::Unauthenticated,
            ] {
                assert_eq!(
                    CallError::from_status(&status(code, suffix)).kind(),
                    *kind,
                    "{suffix}"
                );
            }
        }
    }

    #[test]
    fn every_code_stands_in_the_table_once() {
        let mut suffixes: Vec<_> = TABLE.iter().map(|row| row.0).collect();
        suffixes.sort_unstable();
        suffixes.dedup();
        assert_eq!(suffixes.len(), TABLE.len());
        assert_eq!(TABLE.len(), 41);
    }

    #[test]
    fn a_code_that_nobody_knows_halts_whatever_the_status() {
        let failure =
            CallError::from_status(&status(Code::Unavailable, "new.thing")).into_failure("/event/A__e", "u");
        assert_eq!(failure.action(), crate::error::Action::Halt);
    }

    #[test]
    fn new_members_of_a_known_family_follow_it() {
        let kind = |code| CallError::from_status(&status(Code::Unknown, code)).kind();
        assert_eq!(kind("service.protection.new.limit"), Throttled);
        assert_eq!(kind("channel.api.unavailable"), Transient);
        assert_eq!(kind("service.auth.new"), Unauthenticated);
        assert_eq!(kind("publish.limit.exceeded"), Throttled);
    }

    #[test]
    fn without_a_code_an_outage_is_transient_and_a_bad_argument_unknown() {
        let kind = |status: Status| CallError::from_status(&status).kind();
        assert_eq!(
            kind(Status::internal("Received RST_STREAM with code 0")),
            Transient
        );
        assert_eq!(kind(Status::unavailable("RST_STREAM closed stream")), Transient);
        assert_eq!(kind(Status::invalid_argument("no")), Unknown);
        assert_eq!(kind(Status::permission_denied("no")), Denied);
        assert_eq!(kind(Status::not_found("no")), Denied);
        assert_eq!(kind(Status::unauthenticated("no")), Unauthenticated);
    }

    #[test]
    fn a_denied_topic_names_user_object_and_remedy() {
        let call = CallError::from_status(&status(Code::PermissionDenied, "topic.meta.permission"));
        let failure = call.into_failure("/data/AccountChangeEvent", "the user integration@acme.com");
        assert_eq!(
            failure.message,
            "the user integration@acme.com may not read /data/AccountChangeEvent"
        );
        assert_eq!(
            failure.remedy.as_deref(),
            Some("give the user integration@acme.com \"View All\" on Account, then resume")
        );
    }

    #[test]
    fn salesforces_text_is_never_shown_where_a_code_says_it() {
        let failure = CallError::from_status(&status(Code::Internal, "service.unavailable"))
            .into_failure("/data/X", "u");
        let shown = format!("{failure:?} {}", chain(&failure));
        assert!(!shown.contains("Secret Name"), "{shown}");
        assert!(shown.contains("service.unavailable") && shown.contains("4711"));
    }

    #[test]
    fn without_a_code_only_the_lines_own_words_are_shown() {
        let told = |status: Status| {
            let failure = CallError::from_status(&status).into_failure("/data/X", "u");
            chain(&failure)
        };
        let server = told(Status::unavailable("Secret Name"));
        assert!(!server.contains("Secret"), "{server}");
        let proxy = told(Status::unavailable(
            "grpc-status header missing, mapped from HTTP status code 502",
        ));
        assert!(proxy.contains("502"), "{proxy}");
        let reset = std::io::Error::other("connection reset");
        let line = told(Status::from_error(Box::new(reset)));
        assert!(line.contains("connection reset"), "{line}");
    }

    #[test]
    fn each_sort_of_topic_takes_its_own_permission() {
        assert_eq!(permission("/data/ChangeEvents"), "\"View All Data\"");
        assert_eq!(permission("/data/Order__ChangeEvent"), "\"View All\" on Order__c");
        assert_eq!(permission("/event/Shipped__e"), "\"Read\" on Shipped__e");
        assert_eq!(
            permission("/data/All__chn"),
            "read access to every event of the channel All__chn"
        );
    }
}
