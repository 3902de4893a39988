//! Every error the Pub/Sub API is known to answer, in one table: suffix of the `error-code` trailer, gRPC status,
//! text. Where Salesforce's status is not known the table holds the likeliest one; a scripted fault may give
//! another, because a client must branch on the code and never on the status.

use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

/// What stands before every suffix on the wire.
pub const PREFIX: &str = "sfdc.platform.eventbus.grpc.";

/// One row: what the server says when it refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiError {
    pub suffix: &'static str,
    pub status: Code,
    pub text: &'static str,
}

const fn row(suffix: &'static str, status: Code, text: &'static str) -> ApiError {
    ApiError { suffix, status, text }
}

pub(super) const SERVICE_UNAVAILABLE: ApiError = row(
    "service.unavailable",
    Code::Internal,
    "The service is unavailable. Try again later.",
);
pub(super) const AUTH_ERROR: ApiError = row(
    "service.auth.error",
    Code::Unauthenticated,
    "An authentication exception occurred. Provide valid authentication via metadata headers.",
);
pub(super) const AUTH_HEADERS_INVALID: ApiError = row(
    "service.auth.headers.invalid",
    Code::InvalidArgument,
    "A metadata header is missing, blank or malformed: accesstoken, instanceurl and tenantid are required.",
);
pub(super) const TOPIC_NOT_FOUND: ApiError = row(
    "topic.not.found",
    Code::NotFound,
    "The topic information for the org was not found. Ensure the topic name is correct and that the topic exists.",
);
pub(super) const TOPIC_PERMISSION: ApiError = row(
    "topic.meta.permission",
    Code::PermissionDenied,
    "An error occurred while getting the topic's metadata. Ensure the credentials and topic name are correct.",
);
pub(super) const TOPIC_EMPTY: ApiError = row(
    "topic.validation.empty",
    Code::InvalidArgument,
    "The topic name can't be blank.",
);
pub(super) const SCHEMA_INVALID: ApiError = row(
    "schema.validation.failed",
    Code::InvalidArgument,
    "Schema validation failed. The schema ID can't be blank.",
);
pub(super) const REPLAY_CORRUPTED: ApiError = row(
    "subscription.fetch.replayid.corrupted",
    Code::InvalidArgument,
    "The Replay ID validation failed. Ensure that the replay_id field value in FetchRequest is valid and refers \
     to an event that is within the retention window.",
);
pub(super) const REPLAY_MISSING: ApiError = row(
    "subscription.fetch.replayid.validation.failed",
    Code::InvalidArgument,
    "The replay preset CUSTOM needs a replay ID.",
);
pub(super) const NUM_REQUESTED_INVALID: ApiError = row(
    "subscription.fetch.requested.events.invalid",
    Code::InvalidArgument,
    "The number of requested events must be greater than zero.",
);
pub(super) const TOPIC_MISMATCH: ApiError = row(
    "subscription.fetch.topic.mismatch",
    Code::InvalidArgument,
    "The topic name differs from the one in the stream's first request.",
);
pub(super) const CANNOT_SUBSCRIBE: ApiError = row(
    "subscription.topic.cannot.subscribe",
    Code::PermissionDenied,
    "The user may not subscribe to this topic.",
);
pub(super) const STREAM_LIMIT: ApiError = row(
    "service.protection.stream.limit.triggered",
    Code::ResourceExhausted,
    "Too many requests on the stream. Slow down.",
);
pub(super) const SWEEPER_TIMEOUT: ApiError = row(
    "publish.stream.sweeper.timeout",
    Code::DeadlineExceeded,
    "No publish request was received within the window. The stream is closed.",
);
pub(super) const EVENT_COUNT_INVALID: ApiError = row(
    "publish.event.count.invalid",
    Code::InvalidArgument,
    "A publish request must contain at least one event.",
);
pub(super) const PUBLISH_TOPIC_MISMATCH: ApiError = row(
    "publish.topic.mismatch",
    Code::InvalidArgument,
    "The topic name differs from the one in the stream's first request.",
);
pub(super) const PUBLISH_TOPIC_EMPTY: ApiError = row(
    "publish.topic.validation.empty",
    Code::InvalidArgument,
    "The topic name can't be blank.",
);

/// All of them. The order is the documentation's: service, topic, schema, subscribe, publish, managed subscribe.
pub const ALL: &[ApiError] = &[
    SERVICE_UNAVAILABLE,
    AUTH_ERROR,
    AUTH_HEADERS_INVALID,
    row(
        "service.auth.refresh.invalid",
        Code::Unauthenticated,
        "The auth refresh is not valid.",
    ),
    STREAM_LIMIT,
    row(
        "service.protection.triggered",
        Code::ResourceExhausted,
        "Too many connections or requests. Slow down.",
    ),
    row(
        "service.tenant.license",
        Code::PermissionDenied,
        "The org has no licence for this API.",
    ),
    row(
        "concurrent.client.limit.exceeded",
        Code::ResourceExhausted,
        "Too many publish and subscribe clients are connected.",
    ),
    TOPIC_NOT_FOUND,
    TOPIC_PERMISSION,
    row(
        "topic.api.unavailable",
        Code::Unavailable,
        "The topic can't be read at present. Try again later.",
    ),
    TOPIC_EMPTY,
    row(
        "schema.meta.permission",
        Code::PermissionDenied,
        "The user may not read this schema.",
    ),
    row(
        "schema.api.unavailable",
        Code::Unavailable,
        "The schema can't be read at present. Try again later.",
    ),
    SCHEMA_INVALID,
    REPLAY_CORRUPTED,
    REPLAY_MISSING,
    row(
        "subscription.fetch.replay.repeated",
        Code::Aborted,
        "An event arrived with a lower replay ID than the one before.",
    ),
    row(
        "subscription.limit.exceeded",
        Code::ResourceExhausted,
        "You have exceeded the event delivery limit for your org.",
    ),
    row(
        "subscription.fetch.overflow",
        Code::OutOfRange,
        "More events were requested than were drained.",
    ),
    NUM_REQUESTED_INVALID,
    TOPIC_MISMATCH,
    row(
        "subscription.fetch.request.invalid",
        Code::InvalidArgument,
        "The fetch request is not valid.",
    ),
    CANNOT_SUBSCRIBE,
    row(
        "subscription.internal.error",
        Code::Internal,
        "An internal error occurred in the subscription.",
    ),
    SWEEPER_TIMEOUT,
    row(
        "publish.auth.refresh.invalid",
        Code::InvalidArgument,
        "The first request can't refresh authentication.",
    ),
    EVENT_COUNT_INVALID,
    PUBLISH_TOPIC_MISMATCH,
    PUBLISH_TOPIC_EMPTY,
    row(
        "managed.subscription.already.active",
        Code::AlreadyExists,
        "An active managed subscription with the same ID already exists.",
    ),
    row(
        "managed.subscription.config.stopped",
        Code::FailedPrecondition,
        "The managed subscription is stopped.",
    ),
    row(
        "managed.subscription.config.deleted",
        Code::NotFound,
        "The managed subscription was deleted.",
    ),
    row(
        "managed.subscription.developer.name.not.found",
        Code::NotFound,
        "No such developer name.",
    ),
    row(
        "managed.subscription.subscription.id.not.found",
        Code::NotFound,
        "No such subscription ID.",
    ),
    row(
        "managed.subscription.subscription.id.invalid",
        Code::InvalidArgument,
        "A subscription ID has 15 or 18 characters.",
    ),
    row(
        "managed.subscription.id.or.developer.name.empty",
        Code::InvalidArgument,
        "Give exactly one of subscription ID and developer name.",
    ),
    row(
        "managed.subscription.fetch.request.events.invalid",
        Code::InvalidArgument,
        "The number of requested events can't be negative.",
    ),
    row(
        "managed.subscription.fetch.request.invalid",
        Code::InvalidArgument,
        "The request neither fetches nor commits.",
    ),
    row(
        "managed.subscription.fetch.request.commit.request.restricted",
        Code::InvalidArgument,
        "The first request can't commit.",
    ),
    row(
        "managed.subscription.fetch.request.auth.request.restricted",
        Code::InvalidArgument,
        "The first request can't refresh authentication.",
    ),
];

/// The row of a code, given with or without the prefix.
pub fn find(code: &str) -> Option<ApiError> {
    let suffix = code.strip_prefix(PREFIX).unwrap_or(code);
    ALL.iter().copied().find(|error| error.suffix == suffix)
}

impl ApiError {
    /// The gRPC status with the trailers that Salesforce sends.
    pub(super) fn status(self, rpc: &'static str, rpc_id: &str) -> Status {
        self.status_as(self.status, rpc, rpc_id)
    }

    /// The same under another gRPC status.
    pub(super) fn status_as(self, code: Code, rpc: &'static str, rpc_id: &str) -> Status {
        let mut trailers = MetadataMap::new();
        let mut put = |key: &'static str, value: String| {
            if let Ok(value) = MetadataValue::try_from(value) {
                trailers.insert(key, value);
            }
        };
        put("error-code", format!("{PREFIX}{}", self.suffix));
        put("rpc-id", rpc_id.to_owned());
        put("type", rpc.to_owned());
        Status::with_metadata(code, format!("{} rpcId: {rpc_id}", self.text), trailers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_with_and_without_its_prefix_and_only_once() {
        for error in ALL {
            assert_eq!(find(error.suffix), Some(*error));
            assert_eq!(find(&format!("{PREFIX}{}", error.suffix)), Some(*error));
            assert_eq!(
                ALL.iter().filter(|other| other.suffix == error.suffix).count(),
                1,
                "{}",
                error.suffix
            );
        }
        assert_eq!(find("nothing.of.the.kind"), None);
    }

    #[test]
    fn a_status_carries_the_three_trailers() {
        let status = REPLAY_CORRUPTED.status("Subscribe", "abc");
        assert_eq!(status.code(), Code::InvalidArgument);
        let get = |key| status.metadata().get(key).and_then(|value| value.to_str().ok());
        assert_eq!(
            get("error-code"),
            Some("sfdc.platform.eventbus.grpc.subscription.fetch.replayid.corrupted")
        );
        assert_eq!(get("rpc-id"), Some("abc"));
        assert_eq!(get("type"), Some("Subscribe"));
        assert!(status.message().ends_with("rpcId: abc"));
    }
}
