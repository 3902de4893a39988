//! librdkafka's errors as the program's [`Failure`]s: one table from code to kind.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::error::{ErrorKind, Failure};

/// The table. What is not in it is unknown and halts the route.
pub(super) const fn kind(code: Code) -> ErrorKind {
    match code {
        // The line, a broker that starts or moves, an election: all pass by themselves.
        Code::BrokerDestroy
        | Code::DestroyBroker
        | Code::BrokerTransportFailure
        | Code::Resolve
        | Code::SSL
        | Code::MessageTimedOut
        | Code::AllBrokersDown
        | Code::OperationTimedOut
        | Code::QueueFull
        | Code::ISRInsufficient
        | Code::NodeUpdate
        | Code::WaitingForCoordinator
        | Code::InProgress
        | Code::PreviousInProgress
        | Code::TimedOutQueue
        | Code::WaitCache
        | Code::Interrupted
        | Code::Retry
        | Code::Outdated
        | Code::Partial
        | Code::NoEnt
        | Code::UnknownBroker
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::RequestTimedOut
        | Code::BrokerNotAvailable
        | Code::ReplicaNotAvailable
        | Code::StaleControllerEpoch
        | Code::NetworkException
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::NotController
        | Code::ConcurrentTransactions
        | Code::KafkaStorageError
        | Code::ReassignmentInProgress
        | Code::FetchSessionIdNotFound
        | Code::InvalidFetchSessionEpoch
        | Code::ListenerNotFound
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::StaleBrokerEpoch
        | Code::OffsetNotAvailable
        | Code::PreferredLeaderNotAvailable
        | Code::EligibleLeadersNotAvailable
        | Code::RebalanceInProgress
        | Code::IllegalGeneration
        | Code::UnknownMemberId
        | Code::UnstableOffsetCommit
        | Code::RebootstrapRequired
        // A password being rolled and a listener that starts look like this too, and the line is opened
        // again anyway: shown, not given up.
        | Code::Authentication
        | Code::SaslAuthenticationFailed => ErrorKind::Transient,
        Code::ThrottlingQuotaExceeded => ErrorKind::Throttled,
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::DelegationTokenAuthorizationFailed
        | Code::UnknownTopic
        | Code::UnknownPartition
        | Code::UnknownTopicOrPartition
        | Code::UnknownTopicId
        | Code::InvalidTopic
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::InvalidConfig
        | Code::PolicyViolation
        | Code::InvalidTransactionTimeout
        | Code::InvalidGroupId
        | Code::InvalidSessionTimeout
        | Code::UnsupportedSASLMechanism
        | Code::UnsupportedVersion
        | Code::UnsupportedFeature
        | Code::SecurityDisabled
        | Code::GroupMaxSizeReached
        | Code::FencedInstanceId => ErrorKind::Denied,
        Code::OffsetOutOfRange | Code::AutoOffsetReset | Code::NoOffset | Code::LogTruncation => {
            ErrorKind::LostPosition
        }
        Code::MessageSizeTooLarge
        | Code::MessageBatchTooLarge
        | Code::InvalidMessage
        | Code::InvalidMessageSize
        | Code::InvalidTimestamp
        | Code::InvalidRecord
        | Code::UnsupportedForMessageFormat
        | Code::UnsupportedCompressionType => ErrorKind::Poison,
        // What a producer hears whose transaction the broker timed out differs with the call and the broker's
        // version: any of these (tried on 4.3: _FENCED and INVALID_TXN_STATE).
        Code::Fenced
        | Code::InvalidTransactionalState
        | Code::ProducerFenced
        | Code::InvalidProducerEpoch
        | Code::TransactionCoordinatorFenced
        | Code::InvalidProducerIdMapping
        | Code::UnknownProducerId
        | Code::OutOfOrderSequenceNumber
        | Code::DuplicateSequenceNumber
        | Code::GaplessGuarantee
        | Code::Fatal => ErrorKind::Fenced,
        Code::PurgeQueue | Code::PurgeInflight => ErrorKind::Abortable,
        _ => ErrorKind::Unknown,
    }
}

/// Whether the broker refuses the record as it is: sending it again changes nothing.
pub(super) const fn is_refusal(code: Code) -> bool {
    matches!(kind(code), ErrorKind::Poison)
}

pub(super) const fn is_too_large(code: Code) -> bool {
    matches!(
        code,
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize
    )
}

/// A failure about `object` (a topic, a group, a transactional id, the brokers).
pub(super) fn failure(error: &KafkaError, object: &str) -> Failure {
    if matches!(
        error,
        KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_)
    ) {
        return creation_failure(error);
    }
    let code = match error {
        // The library's own answer leaves these out.
        KafkaError::AdminOp(code) => *code,
        _ => error.rdkafka_error_code().unwrap_or(Code::Unknown),
    };
    let kind = match error {
        KafkaError::Transaction(error) if error.txn_requires_abort() => ErrorKind::Abortable,
        KafkaError::Transaction(error) if error.is_fatal() => match kind(code) {
            // Fatal only says that this producer is dead; what is denied or unknown is so for the next one.
            ErrorKind::Transient | ErrorKind::Abortable => ErrorKind::Fenced,
            kind => kind,
        },
        KafkaError::Transaction(error) if error.is_retriable() => ErrorKind::Transient,
        _ => kind(code),
    };
    let failure = Failure::new(kind, format!("Kafka, {object}")).caused_by(error.clone());
    match remedy(code, object) {
        Some(remedy) => failure.remedy(remedy),
        None => failure,
    }
}

fn remedy(code: Code, object: &str) -> Option<String> {
    Some(match code {
        Code::TopicAuthorizationFailed => format!(
            "give the user of kafka.properties the ACLs Describe, Read, Write (and Create, for topics that \
             the bridge makes) on {object}"
        ),
        Code::GroupAuthorizationFailed => {
            format!("give the user of kafka.properties the ACL Read on {object}")
        }
        Code::TransactionalIdAuthorizationFailed => {
            format!("give the user of kafka.properties the ACLs Describe and Write on {object}")
        }
        Code::ClusterAuthorizationFailed => {
            "give the user of kafka.properties the ACL IdempotentWrite on the cluster, or Create for the \
             topics that the bridge makes"
                .to_owned()
        }
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            format!("create {object}, or set kafka.create_topics: true")
        }
        Code::FencedInstanceId => {
            "two running processes have the same bridge.instance: give each its own".to_owned()
        }
        Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism => {
            "check sasl.mechanism, sasl.username and sasl.password in kafka.properties".to_owned()
        }
        Code::SSL => "check security.protocol and ssl.ca.location in kafka.properties".to_owned(),
        Code::InvalidTransactionTimeout => {
            "the broker's transaction.max.timeout.ms must be at least 60000".to_owned()
        }
        _ => return None,
    })
}

/// A client could not be made. The property is named; its value, which may be a secret, is not, so the
/// library's own words (which quote it) are not kept as the cause.
pub(super) fn creation_failure(error: &KafkaError) -> Failure {
    match error {
        KafkaError::ClientConfig(_, _, key, _) => Failure::new(
            ErrorKind::Misconfigured,
            format!("kafka.properties.{key}: librdkafka does not know this property or takes no such value"),
        )
        .remedy("compare it with librdkafka's list of properties (CONFIGURATION.md)"),
        other => Failure::new(
            ErrorKind::Misconfigured,
            "kafka.properties: no client can be made",
        )
        .caused_by(other.clone()),
    }
}

/// A thread of ours is gone: only a bug does that.
pub(super) fn thread_failure(which: &str) -> Failure {
    Failure::new(ErrorKind::Unknown, format!("{which} ended without an answer"))
        .remedy("this is a bug in sfbridge: report it with the log before it, then restart the route")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_is_not_in_the_table_halts() {
        assert_eq!(kind(Code::BadCompression), ErrorKind::Unknown);
        assert_eq!(kind(Code::Unknown), ErrorKind::Unknown);
    }

    #[test]
    fn what_the_broker_refuses_is_told_from_what_it_cannot_take_now() {
        assert!(is_refusal(Code::InvalidTimestamp));
        assert!(is_refusal(Code::MessageSizeTooLarge));
        assert!(!is_refusal(Code::NotEnoughReplicas));
        assert!(is_too_large(Code::MessageSizeTooLarge));
        assert!(!is_too_large(Code::InvalidTimestamp));
    }

    #[test]
    fn an_administrative_answer_is_looked_up_like_any_other() {
        let timed_out = failure(&KafkaError::AdminOp(Code::OperationTimedOut), "topic t");
        assert_eq!(timed_out.kind, ErrorKind::Transient);
        let denied = failure(&KafkaError::AdminOp(Code::TopicAuthorizationFailed), "topic t");
        assert_eq!(denied.kind, ErrorKind::Denied);
        assert!(denied.remedy.is_some());
    }

    #[test]
    fn a_missing_right_names_the_object_and_the_rule() {
        let error = KafkaError::MessageProduction(Code::TopicAuthorizationFailed);
        let failure = failure(&error, "topic salesforce.cdc.Account");
        assert_eq!(failure.kind, ErrorKind::Denied);
        assert!(failure.message.contains("topic salesforce.cdc.Account"));
        assert!(
            failure
                .remedy
                .is_some_and(|remedy| remedy.contains("ACLs") && remedy.contains("salesforce.cdc.Account"))
        );
    }
}
