//! Kafka's errors as ours: what happened, and what to do.

use kafka_protocol::ResponseError;

use super::{
    config::Connection,
    protocol::{BrokerError, ErrorCause, records::Unreadable},
};
use crate::{
    backends::tls,
    error::{Error, Kind},
    network,
};

const OBSERVE: &str = "Use `ageFrom: observed`, which reads no records.";

const GRANT: &str = "Grant the user DESCRIBE on it; the Kafka page of the documentation lists all rights that are needed.";

/// The cluster cannot be reached, or refuses us.
pub fn of_connection(error: &BrokerError, connection: &Connection) -> Error {
    let text = &error.text;
    let (kind, next) = match error.cause {
        ErrorCause::Login => {
            let user = connection.sasl.as_ref().map_or("", |sasl| sasl.username());
            return Error::new(
                Kind::Unauthorized,
                format!("authentication of user {user} failed: {text}"),
                "Check sasl, username and password, or the named connection's.",
            );
        }
        ErrorCause::NotAllowed => (Kind::NotAllowed, network::ADVICE),
        ErrorCause::SpeaksPlain => (Kind::Unreachable, tls::NOT_TLS_ADVICE),
        ErrorCause::SpeaksTls => (Kind::Unreachable, tls::NEEDS_TLS_ADVICE),
        ErrorCause::Tls => (Kind::Unreachable, tls::HANDSHAKE_ADVICE),
        ErrorCause::Unresolved => (
            Kind::Unreachable,
            "Check the names in bootstrapServers, and those that the brokers advertise.",
        ),
        ErrorCause::Closed => (
            Kind::Unreachable,
            "If that stays so, check `tls: enable` and `sasl` against what the port expects.",
        ),
        ErrorCause::TimedOut => (
            Kind::TimedOut,
            "Check that the brokers respond, and bootstrapServers, tls and sasl.",
        ),
        ErrorCause::Malformed => (
            Kind::Unreachable,
            "Check that bootstrapServers are brokers of Kafka, 1.0 or newer.",
        ),
        ErrorCause::Unreachable | ErrorCause::Code(_) => (
            Kind::Unreachable,
            "Check that the brokers run, and bootstrapServers, tls and sasl.",
        ),
    };
    let what = Error::new(kind, text.clone(), next);
    match &error.source {
        Some(source) => what.caused_by(source.clone()),
        None => what,
    }
}

/// The committed offsets of a group cannot be read.
pub fn of_group(group: &str, error: &BrokerError) -> Error {
    use ResponseError as Code;
    let what = format!("offsets of group {group}: {}", error.text);
    let (kind, next) = match error.cause {
        ErrorCause::Code(Code::GroupAuthorizationFailed) => {
            let what = format!("the user lacks permission to DESCRIBE group {group}");
            return Error::new(Kind::Unauthorized, what, GRANT);
        }
        ErrorCause::Code(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => {
            (Kind::Unauthorized, GRANT)
        }
        ErrorCause::NotAllowed => (Kind::NotAllowed, network::ADVICE),
        ErrorCause::Code(Code::InvalidGroupId) => (Kind::Invalid, "Check consumerGroup."),
        ErrorCause::Code(code) if code.is_retriable() => (
            Kind::Unreachable,
            "The group's coordinator moves or is down; usually transient; if it stays so, the cluster needs help.",
        ),
        ErrorCause::TimedOut => (
            Kind::TimedOut,
            "Check that the group's coordinator responds.",
        ),
        _ => (
            Kind::Unreachable,
            "Check that the group's coordinator runs, and that it can be reached from here.",
        ),
    };
    Error::new(kind, what, next)
}

/// A topic cannot be described.
pub fn of_topic(topic: &str, error: &BrokerError) -> Error {
    use ResponseError as Code;
    let kind = match error.cause {
        ErrorCause::Code(Code::UnknownTopicOrPartition) => return no_topic(topic),
        ErrorCause::Code(Code::TopicAuthorizationFailed) => return no_right(topic),
        ErrorCause::Code(Code::InvalidTopicException) => Kind::Invalid,
        ErrorCause::TimedOut => Kind::TimedOut,
        _ => Kind::Unreachable,
    };
    Error::new(kind, format!("topic {topic}: {}", error.text), "")
}

/// The list of all topics, which a regex needs, cannot be had.
pub fn of_topic_list(error: &BrokerError) -> Error {
    let kind = match error.cause {
        ErrorCause::TimedOut => Kind::TimedOut,
        _ => Kind::Unreachable,
    };
    Error::new(
        kind,
        format!("the list of all topics: {}", error.text),
        "Name the topics without a regex, or raise callTimeout: a large cluster takes longer.",
    )
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
    let what = format!("the user lacks permission to DESCRIBE topic {topic}");
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
pub fn of_partition(topic: &str, partition: i32, error: &BrokerError) -> Error {
    use ResponseError as Code;
    let kind = match error.cause {
        ErrorCause::Code(Code::UnknownTopicOrPartition) => {
            return Error::new(
                Kind::NotFound,
                format!("partition {partition} of topic {topic} does not exist"),
                "The topic was deleted, or recreated and is smaller.",
            );
        }
        ErrorCause::Code(Code::TopicAuthorizationFailed) => return no_right(topic),
        ErrorCause::Code(Code::LeaderNotAvailable) => return no_leader(topic, partition),
        ErrorCause::NotAllowed => Kind::NotAllowed,
        ErrorCause::TimedOut => Kind::TimedOut,
        _ => Kind::Unreachable,
    };
    let text = &error.text;
    let next = match kind {
        Kind::NotAllowed => network::ADVICE,
        _ => "Check that the broker that leads it runs, and that it can be reached from here.",
    };
    let what = format!("offsets of partition {partition} of topic {topic}: {text}");
    Error::new(kind, what, next)
}

/// The record of a partition cannot be read that says how long it has waited.
pub fn of_record(topic: &str, partition: i32, error: &BrokerError) -> Error {
    use ResponseError as Code;
    let what = format!(
        "record of partition {partition} of topic {topic}: {}",
        error.text
    );
    match error.cause {
        ErrorCause::Code(Code::TopicAuthorizationFailed) => Error::new(
            Kind::Unauthorized,
            format!("the user lacks permission to READ topic {topic}"),
            "Grant the user READ on it, which `ageFrom: record` needs, or use `ageFrom: observed`.",
        ),
        ErrorCause::Code(Code::OffsetOutOfRange) => Error::new(
            Kind::Unreachable,
            what,
            "It was deleted meanwhile; usually transient, as the next read begins behind it.",
        ),
        ErrorCause::Code(Code::CorruptMessage) => Error::new(Kind::Unreadable, what, OBSERVE),
        _ => of_partition(topic, partition, error),
    }
}

/// A record has come, and does not say when it was written.
pub fn no_record_time(topic: &str, partition: i32, reason: Unreadable) -> Error {
    let reason = match reason {
        Unreadable::OldFormat => "is of the format before Kafka 0.11",
        Unreadable::NoTime => "has no time",
        Unreadable::Malformed => "cannot be read",
    };
    let what = format!("the next record of partition {partition} of topic {topic} {reason}");
    Error::new(Kind::Unreadable, what, OBSERVE)
}

/// There is no record for consumers in a long part of the log.
pub fn no_record(topic: &str, partition: i32, until: i64) -> Error {
    let what = format!(
        "partition {partition} of topic {topic} has many batches without records; the next one \
         comes behind offset {until}"
    );
    Error::new(Kind::Unreadable, what, OBSERVE)
}
