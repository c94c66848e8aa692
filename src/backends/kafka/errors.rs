//! Kafka's errors in our words: what happened, and what to do next.

use kafka_protocol::ResponseError;

use super::{
    config::Connection,
    protocol::{Cause, Failure},
};
use crate::error::{Error, Kind};

const GRANT: &str = "Grant the user DESCRIBE on it; the Kafka page of the documentation lists all rights that are needed.";

/// The cluster cannot be reached, or refuses us.
pub fn of_connection(failure: &Failure, connection: &Connection) -> Error {
    let text = &failure.text;
    let (kind, next) = match failure.cause {
        Cause::Login => {
            let user = connection.sasl.as_ref().map_or("", |sasl| sasl.username());
            return Error::new(
                Kind::Unauthorized,
                format!("authentication of user {user} failed: {text}"),
                "Check sasl, username and password, or the named connection's.",
            );
        }
        Cause::IsPlain => (
            Kind::Unreachable,
            "The port does not speak TLS: leave out `tls`, or use the TLS port.",
        ),
        Cause::IsTls => (
            Kind::Unreachable,
            "Set `tls: enable`, or use the port without TLS.",
        ),
        Cause::Tls => (
            Kind::Unreachable,
            "Check that ca is the authority of the brokers' certificates, that each carries its broker's name (or tlsServerName), and cert and key if the brokers ask for them.",
        ),
        Cause::Unresolved => (
            Kind::Unreachable,
            "Check the names in bootstrapServers, and those that the brokers advertise.",
        ),
        Cause::HungUp => (
            Kind::Unreachable,
            "If that stays so, check `tls: enable` and `sasl` against what the port expects.",
        ),
        Cause::Late => (
            Kind::TimedOut,
            "Check that the brokers answer, and bootstrapServers, tls and sasl.",
        ),
        Cause::Garbled => (
            Kind::Unreachable,
            "Check that bootstrapServers are brokers of Kafka, 1.0 or newer.",
        ),
        Cause::Unreachable | Cause::Answered(_) => (
            Kind::Unreachable,
            "Check that the brokers run, and bootstrapServers, tls and sasl.",
        ),
    };
    Error::new(kind, text.clone(), next)
}

/// The committed offsets of a group cannot be read.
pub fn of_group(group: &str, failure: &Failure) -> Error {
    use ResponseError as Code;
    let what = format!("offsets of group {group}: {}", failure.text);
    let (kind, next) = match failure.cause {
        Cause::Answered(Code::GroupAuthorizationFailed) => {
            let what = format!("the user lacks the right to DESCRIBE group {group}");
            return Error::new(Kind::Unauthorized, what, GRANT);
        }
        Cause::Answered(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => {
            (Kind::Unauthorized, GRANT)
        }
        Cause::Answered(Code::InvalidGroupId) => (Kind::Invalid, "Check consumerGroup."),
        Cause::Answered(error) if error.is_retriable() => (
            Kind::Unreachable,
            "The group's coordinator moves or is down; this passes by itself, or the cluster needs help.",
        ),
        Cause::Late => (
            Kind::TimedOut,
            "Check that the group's coordinator answers.",
        ),
        _ => (
            Kind::Unreachable,
            "Check that the group's coordinator runs, and that it can be reached from here.",
        ),
    };
    Error::new(kind, what, next)
}

/// A topic cannot be described.
pub fn of_topic(topic: &str, failure: &Failure) -> Error {
    use ResponseError as Code;
    let kind = match failure.cause {
        Cause::Answered(Code::UnknownTopicOrPartition) => return no_topic(topic),
        Cause::Answered(Code::TopicAuthorizationFailed) => return no_right(topic),
        Cause::Answered(Code::InvalidTopicException) => Kind::Invalid,
        Cause::Late => Kind::TimedOut,
        _ => Kind::Unreachable,
    };
    Error::new(kind, format!("topic {topic}: {}", failure.text), "")
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
    use ResponseError as Code;
    let kind = match failure.cause {
        Cause::Answered(Code::UnknownTopicOrPartition) => {
            return Error::new(
                Kind::NotFound,
                format!("partition {partition} of topic {topic} does not exist"),
                "The topic was deleted, or made anew and smaller.",
            );
        }
        Cause::Answered(Code::TopicAuthorizationFailed) => return no_right(topic),
        Cause::Answered(Code::LeaderNotAvailable) => return no_leader(topic, partition),
        Cause::Late => Kind::TimedOut,
        _ => Kind::Unreachable,
    };
    let text = &failure.text;
    Error::new(
        kind,
        format!("offsets of partition {partition} of topic {topic}: {text}"),
        "Check that the broker that leads it runs, and that it can be reached from here.",
    )
}
