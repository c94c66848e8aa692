//! Kafka's and librdkafka's errors in our words: what happened, and what to do next.

use rdkafka::{error::KafkaError, types::RDKafkaErrorCode as Code};

use super::{config::Connection, native::Failure};
use crate::error::{Error, Kind};

const GRANT: &str = "Grant the user DESCRIBE on it; the Kafka page of the documentation lists all rights that are needed.";

/// The cluster cannot be reached, or refuses us.
pub fn of_connection(failure: &Failure, connection: &Connection) -> Error {
    let text = &failure.text;
    let (kind, next) = match failure.code {
        Code::Authentication => return of_login(text, connection),
        // Said of a handshake, whether it failed or the broker hung up in it.
        _ if text.contains("PLAINTEXT broker") || text.contains("wrong version number") => (
            Kind::Unreachable,
            "The port does not speak TLS: leave out `tls`, or use the TLS port.",
        ),
        Code::SSL => (
            Kind::Unreachable,
            "Check that ca is the authority of the brokers' certificates, that each carries its broker's name, and cert and key if the brokers ask for them.",
        ),
        Code::Resolve => (Kind::Unreachable, "Check the names in bootstrapServers."),
        _ if text.contains("security.protocol") || text.contains("Disconnected") => (
            Kind::Unreachable,
            "The broker hung up: if that stays so, check `tls: enable` and `sasl` against what the port expects.",
        ),
        Code::OperationTimedOut | Code::RequestTimedOut => (
            Kind::TimedOut,
            "Check that the brokers answer, and bootstrapServers, tls and sasl.",
        ),
        _ => (
            Kind::Unreachable,
            "Check that the brokers run, and bootstrapServers, tls and sasl.",
        ),
    };
    Error::new(kind, text.clone(), next)
}

fn of_login(text: &str, connection: &Connection) -> Error {
    let user = connection.sasl.as_ref().map_or("", |sasl| sasl.username());
    Error::new(
        Kind::Unauthorized,
        format!("authentication of user {user} failed: {text}"),
        "Check sasl, username and password, or the named connection's.",
    )
}

/// librdkafka does not take what we configured.
pub fn of_config(error: &KafkaError) -> Error {
    let text = match error {
        KafkaError::ClientCreation(text) => text.replace(['\r', '\n'], " "),
        // Neither the value nor librdkafka's words about it: it may be a secret.
        KafkaError::ClientConfig(_, _, key, _) => format!("{key} is not accepted"),
        _ => "the configuration is not accepted".to_owned(),
    };
    let next = match text.contains("ssl.") || text.contains("PEM") {
        true => "Check ca, cert, key and keyPassword: each must be PEM, and key must fit cert.",
        false => "Check the connection's keys.",
    };
    Error::new(Kind::Invalid, text, next)
}

/// The committed offsets of a group cannot be read.
pub fn of_group(group: &str, failure: &Failure) -> Error {
    let what = format!("offsets of group {group}: {}", failure.text);
    let (kind, next) = match failure.code {
        Code::GroupAuthorizationFailed => {
            let what = format!("the user lacks the right to DESCRIBE group {group}");
            return Error::new(Kind::Unauthorized, what, GRANT);
        }
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
            (Kind::Unauthorized, GRANT)
        }
        Code::InvalidGroupId => (Kind::Invalid, "Check consumerGroup."),
        Code::OperationTimedOut | Code::RequestTimedOut => (
            Kind::TimedOut,
            "Check that the group's coordinator answers.",
        ),
        code if is_of_coordinator(code) => (
            Kind::Unreachable,
            "The group's coordinator moves or is down; this passes by itself, or the cluster needs help.",
        ),
        _ => (Kind::Unreachable, ""),
    };
    Error::new(kind, what, next)
}

/// Nothing is wrong any more, but a new handle is in order.
pub fn worn() -> Error {
    let what = "a group's coordinator did not answer for a while";
    Error::new(Kind::Unreachable, what, "This passes by itself.")
}

/// A topic cannot be described.
pub fn of_topic(topic: &str, failure: &Failure) -> Error {
    match failure.code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic => no_topic(topic),
        Code::TopicAuthorizationFailed => no_right(topic),
        code => {
            let kind = match code {
                Code::OperationTimedOut | Code::RequestTimedOut => Kind::TimedOut,
                Code::InvalidTopic => Kind::Invalid,
                _ => Kind::Unreachable,
            };
            Error::new(kind, format!("topic {topic}: {}", failure.text), "")
        }
    }
}

/// A topic that does not exist.
pub fn no_topic(topic: &str) -> Error {
    Error::new(
        Kind::NotFound,
        format!("topic {topic} does not exist"),
        "Check the name, or create the topic; a user without the right to DESCRIBE a topic does not see it either.",
    )
}

fn no_right(topic: &str) -> Error {
    let what = format!("the user lacks the right to DESCRIBE topic {topic}");
    Error::new(Kind::Unauthorized, what, GRANT)
}

/// A partition that the topic does not have.
pub fn no_partition(topic: &str, partition: i32, count: usize) -> Error {
    Error::new(
        Kind::NotFound,
        format!("topic {topic} has {count} partitions, and no partition {partition}"),
        "Check partitionLimitation; partitions count from 0.",
    )
}

/// A partition that no broker leads.
pub fn no_leader(topic: &str, partition: i32) -> Error {
    Error::new(
        Kind::Unreachable,
        format!("partition {partition} of topic {topic} has no leader"),
        "Its lag cannot be known before a broker that holds it is back.",
    )
}

/// The offsets of a partition cannot be read.
pub fn of_partition(topic: &str, partition: i32, failure: &Failure) -> Error {
    match failure.code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
            let what = format!("partition {partition} of topic {topic} does not exist");
            Error::new(
                Kind::NotFound,
                what,
                "The topic was deleted, or made anew and smaller.",
            )
        }
        Code::TopicAuthorizationFailed => no_right(topic),
        Code::LeaderNotAvailable => no_leader(topic, partition),
        code => {
            let kind = match code {
                Code::OperationTimedOut | Code::RequestTimedOut => Kind::TimedOut,
                _ => Kind::Unreachable,
            };
            let text = &failure.text;
            Error::new(
                kind,
                format!("offsets of partition {partition} of topic {topic}: {text}"),
                "Check that the broker that leads it runs.",
            )
        }
    }
}

/// Whether the coordinator that librdkafka remembers may be the wrong one. It waits for one that
/// died until the request times out.
pub fn may_have_moved(code: Code) -> bool {
    is_of_coordinator(code) || matches!(code, Code::OperationTimedOut | Code::RequestTimedOut)
}

/// Whether a group's coordinator is elsewhere or not ready: worth another try.
pub fn is_of_coordinator(code: Code) -> bool {
    matches!(
        code,
        Code::NotCoordinator
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::BrokerTransportFailure
    )
}
