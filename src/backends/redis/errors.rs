//! The client library's errors in our words: what happened, and what to do next.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::connection::Connection;
use crate::error::{Error, Kind};

/// An error of the connection, whatever was asked on it.
pub fn connection_error(error: &RedisError, connection: &Connection) -> Error {
    let text = text(error);
    if is_login(error) {
        let user = connection.username.as_deref().unwrap_or("default");
        return Error::new(
            Kind::Unauthorized,
            format!("login of user {user} failed: {text}"),
            "Check username and password, or the named connection's.",
        );
    }
    let (kind, next) = match error.kind() {
        ErrorKind::Server(ServerErrorKind::NoPerm) => return no_right(&text),
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown,
        ) => (
            Kind::Unreachable,
            "The server is there but not ready; this passes by itself, or it needs help.",
        ),
        ErrorKind::MasterNameNotFoundBySentinel => (Kind::NotFound, "Check sentinelMaster."),
        ErrorKind::InvalidClientConfig => {
            (Kind::Invalid, "Check ca, cert and key: each must be PEM.")
        }
        ErrorKind::Parse => (
            Kind::Unreachable,
            "Something other than Redis answers there; check the port and tls.",
        ),
        _ if text.contains("certificate") || text.contains("TLS") || text.contains("tls") => (
            Kind::Unreachable,
            "Check that ca is the authority of the server's certificate, that the certificate carries this host's name, and that tls fits the port.",
        ),
        _ if error.is_timeout() => (Kind::TimedOut, "Check that the server answers."),
        _ => (
            Kind::Unreachable,
            "Check that the server runs, and address and tls.",
        ),
    };
    Error::new(kind, text, next)
}

/// An error of one command: the connection is good.
pub fn command_error(error: &RedisError, command: &str, key: &str) -> Error {
    let text = text(error);
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::NoPerm) => no_right(&text),
        _ => Error::new(Kind::Unreadable, format!("{command} {key}: {text}"), ""),
    }
}

/// The server lacks a right for us. Its own text names the command or the key.
fn no_right(text: &str) -> Error {
    Error::new(
        Kind::Unauthorized,
        text.to_owned(),
        "Give the ACL user this right; the Redis page of the documentation lists all that are needed.",
    )
}

/// Whether an error concerns the connection rather than the command that met it.
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

/// NOAUTH comes when a password is needed and none was given.
fn is_login(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"))
}

/// The error's own text on one line.
fn text(error: &RedisError) -> String {
    let detail = match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    };
    // A full stop of the server's own would stand before ours.
    detail
        .replace(['\r', '\n'], " ")
        .trim_end_matches(['.', ' '])
        .to_owned()
}
