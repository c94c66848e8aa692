//! The client library's errors in our words: what happened, and what to do next.

use std::{error::Error as _, io, sync::Arc, time::Duration};

use redis::{ErrorKind, RedisError, ServerErrorKind, Value};

use super::config::Connection;
use crate::{
    backends::tls::{HANDSHAKE_ADVICE, NEEDS_TLS_ADVICE, NOT_TLS_ADVICE},
    error::{Error, Kind},
    network::refusal,
};

/// Why something could not be read.
#[derive(Clone, Debug)]
pub enum ReadError {
    /// An error of the query alone: the connection is good.
    OfQuery(Error),
    /// The connection is lost.
    OfConnection(Error),
}

/// An error of the connection, whatever was requested on it.
pub fn connection_error(error: &RedisError, connection: &Connection) -> Error {
    let text = text(error);
    if let Some(refused) = io_error(error).and_then(refusal) {
        return refused.into();
    }
    if is_login(error) {
        let user = connection.username.as_deref().unwrap_or("default");
        return Error::new(
            Kind::Unauthorized,
            format!("login of user {user} failed: {text}"),
            "Check username and password, or the named connection's.",
        )
        .caused_by(error.clone());
    }
    let (kind, next) = match error.kind() {
        ErrorKind::Server(ServerErrorKind::NoPerm) => return no_right(error),
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown,
        ) => (
            Kind::Unreachable,
            "The server runs but is not ready, which is usually transient; otherwise check its log.",
        ),
        ErrorKind::Server(_) | ErrorKind::Extension => (
            Kind::Unreachable,
            "Check databaseIndex, and that the server is of the kind that `backend` names.",
        ),
        ErrorKind::MasterNameNotFoundBySentinel => (Kind::NotFound, "Check sentinelMaster."),
        ErrorKind::InvalidClientConfig => (Kind::Invalid, "Check address and tlsServerName."),
        ErrorKind::Parse if connection.tls.is_none() => return not_redis(error, NEEDS_TLS_ADVICE),
        ErrorKind::Parse => return not_redis(error, ""),
        _ => match tls_error(error) {
            Some(rustls::Error::InvalidMessage(_)) => (Kind::Unreachable, NOT_TLS_ADVICE),
            Some(_) => (Kind::Unreachable, HANDSHAKE_ADVICE),
            None if error.is_timeout() => (
                Kind::TimedOut,
                "Check that the server responds, and that `tls` fits the port.",
            ),
            None => (
                Kind::Unreachable,
                "Check that the server runs, and address and tls.",
            ),
        },
    };
    Error::new(kind, text, next).caused_by(error.clone())
}

fn not_redis(error: &RedisError, next: &str) -> Error {
    Error::new(
        Kind::Unreachable,
        format!(
            "the server does not speak the Redis protocol: {}",
            text(error)
        ),
        format!("Check the port. {next}").trim_end(),
    )
    .caused_by(error.clone())
}

/// An error of one command: the connection is good.
pub fn command_error(error: &RedisError, command: &str, key: &str) -> Error {
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::NoPerm) => no_right(error),
        _ => {
            let what = format!("{command} {key}: {}", text(error));
            Error::new(Kind::Unreadable, what, "").caused_by(error.clone())
        }
    }
}

/// A reply that is not what the command returns. Its content is not shown: it may be of any length.
pub fn unexpected_reply(command: &str, key: &str, expected: &str, reply: &Value) -> Error {
    let found = match reply {
        Value::Nil => "nothing".to_owned(),
        Value::Int(number) => format!("the number {number}"),
        Value::BulkString(_) | Value::SimpleString(_) | Value::Okay => "a text".to_owned(),
        Value::Array(_) | Value::Set(_) => "an array".to_owned(),
        Value::Map(_) => "a map".to_owned(),
        _ => "something else".to_owned(),
    };
    Error::new(
        Kind::Unreadable,
        format!("{command} {key}: the server replied {found} instead of {expected}"),
        "Check that the server is Redis, or compatible with it in this command.",
    )
}

/// The user lacks a right. The server's own text names the command or the key.
fn no_right(error: &RedisError) -> Error {
    Error::new(
        Kind::Unauthorized,
        text(error),
        "Give the ACL user this right; the Redis page of the documentation lists all that are needed.",
    )
    .caused_by(error.clone())
}

/// A request that had no response by its deadline.
pub fn no_response(limit: Duration) -> RedisError {
    let what = format!("no response within {:?}", rounded(limit));
    io::Error::new(io::ErrorKind::TimedOut, what).into()
}

/// A limit as people write it: what is left of a second is 799.998 ms.
pub fn rounded(limit: Duration) -> Duration {
    let tens = (limit.as_secs_f64() * 100.0).round();
    Duration::from_millis(tens as u64 * 10)
}

/// Whether an error concerns the connection rather than its command.
pub fn is_of_connection(error: &RedisError) -> bool {
    is_login(error)
        || match error.kind() {
            ErrorKind::Server(kind) => matches!(
                kind,
                ServerErrorKind::BusyLoading
                    | ServerErrorKind::ClusterDown
                    | ServerErrorKind::MasterDown
            ),
            ErrorKind::UnexpectedReturnType | ErrorKind::Extension => false,
            _ => true,
        }
}

/// Whether a key does not have the type that its command is for.
pub fn is_wrong_type(error: &RedisError) -> bool {
    error.code() == Some("WRONGTYPE")
}

/// NOAUTH comes when a password is needed and none was given.
fn is_login(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"))
}

/// What rustls reported, if this is a failure of TLS.
fn tls_error(error: &RedisError) -> Option<&rustls::Error> {
    let source = source(error)?;
    if let Some(error) = source.downcast_ref::<rustls::Error>() {
        return Some(error);
    }
    io_error(error)?.get_ref()?.downcast_ref::<rustls::Error>()
}

/// What I/O reported, if that is where this comes from.
fn io_error(error: &RedisError) -> Option<&io::Error> {
    source(error)?.downcast_ref()
}

fn source(error: &RedisError) -> Option<&(dyn std::error::Error + 'static)> {
    let source = error.source()?;
    // The library hands out its shared pointer as the source rather than what it points to.
    match source.downcast_ref::<Arc<dyn std::error::Error + Send + Sync>>() {
        Some(pointer) => Some(pointer.as_ref()),
        None => Some(source),
    }
}

/// The error's own text on one line.
fn text(error: &RedisError) -> String {
    let detail = match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (None, Some(detail)) if error.kind() == ErrorKind::Parse => detail.to_owned(),
        _ => error.to_string(),
    };
    // A full stop of the server's own would stand before ours.
    detail
        .replace(['\r', '\n'], " ")
        .trim_end_matches(['.', ' '])
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{backends::redis::config::Redis, sampling::tests::keys};

    fn connection(tls: bool) -> Connection {
        let address = ("address", "redis:6379");
        let keys: &[_] = match tls {
            true => &[address, ("tls", "enable")],
            false => &[address],
        };
        keys::connection::<Redis>("redis", keys).expect("the keys are valid")
    }

    fn tls_failure(error: rustls::Error) -> RedisError {
        io::Error::new(io::ErrorKind::InvalidData, error).into()
    }

    #[test]
    fn a_failure_of_tls_is_told_apart_by_its_type() {
        let handshake = tls_failure(rustls::CertificateError::UnknownIssuer.into());
        let error = connection_error(&handshake, &connection(true));
        assert_eq!(error.kind(), Kind::Unreachable);
        assert!(error.to_string().ends_with(HANDSHAKE_ADVICE), "{error}");
        assert!(error.source().is_some(), "the library's error is kept");

        let plain = tls_failure(rustls::InvalidMessage::InvalidContentType.into());
        let error = connection_error(&plain, &connection(true));
        assert!(error.to_string().ends_with(NOT_TLS_ADVICE), "{error}");
    }

    #[test]
    fn another_protocol_is_named_as_such() {
        let parse = RedisError::from(redis::ParsingError::from("unexpected token `H`"));
        let error = connection_error(&parse, &connection(false));
        let text = error.to_string();
        assert!(text.starts_with("the server does not speak the Redis protocol"));
        assert!(text.ends_with(NEEDS_TLS_ADVICE), "{text}");
        assert!(is_of_connection(&parse));
    }

    #[test]
    fn a_late_response_is_a_timeout_with_a_readable_limit() {
        let error = no_response(Duration::from_micros(799_998));
        assert!(is_of_connection(&error));
        let error = connection_error(&error, &connection(false));
        assert_eq!(error.kind(), Kind::TimedOut);
        assert!(error.to_string().starts_with("no response within 800ms."));
    }

    #[test]
    fn a_nonsense_reply_is_an_error_without_its_content() {
        let long = Value::BulkString(vec![b'x'; 10_000]);
        let error = unexpected_reply("LLEN", "jobs", "a count", &long);
        assert_eq!(error.kind(), Kind::Unreadable);
        assert!(
            error
                .to_string()
                .starts_with("LLEN jobs: the server replied a text instead of a count."),
            "{error}"
        );
    }
}
