//! Errors of the server and the transport: what happened, and what to do next.

use std::{
    error::Error as StdError,
    io,
    time::{Duration, SystemTime},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use prost::{Message, Name};
use rustls::AlertDescription;
use serde::Deserialize;
use temporalio_protos::{
    google::rpc,
    temporal::api::{
        enums::v1::ResourceExhaustedCause,
        errordetails::v1::{NamespaceNotFoundFailure, ResourceExhaustedFailure},
    },
};
use tonic::{Code, Status};

use super::config::Connection;
use crate::{
    backends::tls::{HANDSHAKE_ADVICE, NEEDS_TLS_ADVICE, NOT_TLS_ADVICE},
    error::{Error, Kind},
    metadata::values::Secret,
    network::refusal,
};

/// How a request failed, as far as the next attempt depends on it.
pub enum RequestFailure {
    /// A limit of the server is reached: it may succeed later, at a lower rate.
    RateLimited(Error),
    /// It may concern the whole connection.
    Connection(Error),
    /// It concerns this request alone.
    Rejected(Error),
}

impl RequestFailure {
    pub fn into_error(self) -> Error {
        match self {
            RequestFailure::RateLimited(error)
            | RequestFailure::Connection(error)
            | RequestFailure::Rejected(error) => error,
        }
    }
}

/// Why no connection could be opened, by the step that failed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The name was not found, or the host did not accept the connection.
    #[error("{0}")]
    Tcp(#[source] io::Error),
    /// The TLS handshake failed.
    #[error("{0}")]
    Tls(#[source] io::Error),
}

/// A request on an open connection failed with this status.
pub fn request_failure(status: Status, connection: &Connection) -> RequestFailure {
    let status = without_api_key(status, connection);
    if status.source().is_some() {
        return RequestFailure::Connection(transport_error(status, connection, LOST_ADVICE));
    }
    let (kind, next) = match status.code() {
        Code::ResourceExhausted => {
            let next = limit_advice(&status);
            return RequestFailure::RateLimited(error(status, Kind::Exhausted, next));
        }
        Code::Unavailable => {
            return RequestFailure::Connection(error(
                status,
                Kind::Unreachable,
                "The server runs but is not ready, which is usually transient; otherwise check its log.",
            ));
        }
        Code::DeadlineExceeded | Code::Cancelled => {
            let next = "Check that the server responds.";
            return RequestFailure::Connection(error(status, Kind::TimedOut, next));
        }
        Code::PermissionDenied | Code::Unauthenticated => {
            return RequestFailure::Rejected(refused(status, connection));
        }
        Code::NotFound if has_detail::<NamespaceNotFoundFailure>(&status) => (
            Kind::NotFound,
            "Check namespace: the server has none with this name.",
        ),
        Code::NotFound => (
            Kind::NotFound,
            "Check the name: the server has none like it.",
        ),
        Code::InvalidArgument => (Kind::Unreadable, ""),
        // Also of a response that is larger than this client accepts.
        Code::OutOfRange => (
            Kind::Unreadable,
            "Check how many task queues the worker deployment's version has.",
        ),
        Code::Unimplemented => (
            Kind::Unreadable,
            "Check that a Temporal frontend listens at endpoint. Versions of worker deployments \
             need server 1.29, the rest 1.28.",
        ),
        _ => (Kind::Unreadable, "The server's log may say more."),
    };
    RequestFailure::Rejected(error(status, kind, next))
}

/// The same status, should a server repeat the key in its text.
fn without_api_key(status: Status, connection: &Connection) -> Status {
    match &connection.api_key {
        Some(api_key) if status.message().contains(api_key.expose()) => {
            let text = api_key.hidden_in(status.message());
            let details = status.details().to_vec();
            Status::with_details(status.code(), text, details.into())
        }
        _ => status,
    }
}

/// A request that proves a new connection failed with this status.
pub fn first_request_error(status: Status, connection: &Connection) -> Error {
    match status.source().is_some() {
        true => opening_error(status, connection),
        false => request_failure(status, connection).into_error(),
    }
}

/// A new connection failed in the transport.
pub fn opening_error(
    error: impl StdError + Send + Sync + 'static,
    connection: &Connection,
) -> Error {
    let identity = connection.tls.as_ref().map(|tls| tls.identity.is_some());
    let next = match identity {
        None => format!("{FRONTEND_ADVICE} If its port requires TLS: {NEEDS_TLS_ADVICE}"),
        // With TLS 1.3 a server refuses a client's certificate after the handshake, and HTTP/2 then
        // only sees the end of the connection.
        Some(has_cert) => format!("{} {FRONTEND_ADVICE}", certificate_advice(has_cert)),
    };
    transport_error(error, connection, &next)
}

const FRONTEND_ADVICE: &str = "Check that a Temporal frontend listens at endpoint.";
const LOST_ADVICE: &str =
    "A lost connection is usually transient; otherwise check the server's log.";

/// An error of the transport. `next` is for the case that the connection was open.
fn transport_error(
    error: impl StdError + Send + Sync + 'static,
    connection: &Connection,
    next: &str,
) -> Error {
    if let Some(OpenError::Tcp(io)) = find::<OpenError>(&error)
        && let Some(refused) = refusal(io)
    {
        return refused.into();
    }
    let next = match find::<OpenError>(&error) {
        None => next,
        Some(OpenError::Tcp(_)) => "Check that the server runs, and endpoint.",
        Some(OpenError::Tls(error)) => tls_advice(error, connection),
    };
    Error::new(Kind::Unreachable, innermost(&error), next).caused_by(error)
}

fn tls_advice(error: &io::Error, connection: &Connection) -> &'static str {
    let tls = connection.tls.as_ref();
    let has_cert = tls.is_some_and(|tls| tls.identity.is_some());
    // Not its `source`, which is that of the rustls error inside.
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::InvalidMessage(_)) => NOT_TLS_ADVICE,
        Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
            FRONTEND_ADVICE
        }
        Some(rustls::Error::AlertReceived(_)) => certificate_advice(has_cert),
        Some(_) => HANDSHAKE_ADVICE,
        None => "Check that a Temporal frontend listens at endpoint, with TLS.",
    }
}

/// The server may have refused the client's certificate, or the lack of one.
fn certificate_advice(has_cert: bool) -> &'static str {
    match has_cert {
        false => "The server may require a client certificate (cert and key).",
        true => {
            "The server may refuse the client certificate: check that an authority that it trusts \
             signed cert."
        }
    }
}

fn error(status: Status, kind: Kind, next: &str) -> Error {
    Error::new(kind, server_text(&status), next).caused_by(status)
}

/// The server's text on one line, with its code.
fn server_text(status: &Status) -> String {
    let message = one_line(status.message());
    let code = status.code();
    match message.is_empty() {
        true => format!("the server reports {code:?}"),
        false => format!("the server reports {code:?}: {message}"),
    }
}

/// Without control characters, which could split a log line, and without a full stop at the end.
fn one_line(text: &str) -> String {
    let text = text.replace(char::is_control, " ");
    text.trim_end_matches(['.', ' ']).to_owned()
}

/// Why the server's limits are reached, if it says so.
fn limit_advice(status: &Status) -> &'static str {
    let failure = detail::<ResourceExhaustedFailure>(status).unwrap_or_default();
    use ResourceExhaustedCause as Cause;
    match failure.cause() {
        Cause::Unspecified | Cause::RpsLimit | Cause::ApsLimit | Cause::OpsLimit => {
            "The server's own rate limits are reached: lower requestsPerSecond here, or raise \
             frontend.namespaceRPS or matching.rps there."
        }
        _ => {
            "The server is overloaded, which is usually transient; otherwise lower \
             requestsPerSecond, and check the server's log."
        }
    }
}

/// The server responds with PERMISSION_DENIED to every token that it does not accept.
fn refused(status: Status, connection: &Connection) -> Error {
    let Some(api_key) = &connection.api_key else {
        let next = "The server requires credentials: set apiKey, or cert and key, in a named \
                    connection (or as …FromEnv).";
        return error(status, Kind::Unauthorized, next);
    };
    match expiry(api_key).filter(|expiry| *expiry < SystemTime::now()) {
        Some(expired) => {
            let expired = humantime::format_rfc3339_seconds(expired);
            let next = "Create a new API key and replace the old one with it.";
            error(status, Kind::Unauthorized, next)
                .and(format_args!("the API key expired at {expired}"))
        }
        None => error(
            status,
            Kind::Unauthorized,
            "Check that the API key is valid, signed by an issuer that the server trusts, and may \
             read this namespace.",
        ),
    }
}

/// When a token that is a JWT expires (RFC 7519, claim `exp`).
fn expiry(api_key: &Secret) -> Option<SystemTime> {
    #[derive(Deserialize)]
    struct ExpiryClaim {
        exp: u32,
    }
    let payload = api_key.expose().split('.').nth(1)?;
    let payload = BASE64_URL_SAFE_NO_PAD
        .decode(payload.trim_end_matches('='))
        .ok()?;
    let claim: ExpiryClaim = serde_json::from_slice(&payload).ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(claim.exp.into()))
}

/// The detail of this type that the server added to a status.
fn detail<T: Message + Name + Default>(status: &Status) -> Option<T> {
    let details = rpc::Status::decode(status.details()).ok()?.details;
    let full_name = T::full_name();
    let detail = details
        .into_iter()
        .find(|detail| detail.type_url.rsplit('/').next() == Some(&full_name))?;
    T::decode(detail.value.as_slice()).ok()
}

fn has_detail<T: Message + Name + Default>(status: &Status) -> bool {
    detail::<T>(status).is_some()
}

/// The first error of this type among an error and its causes.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// The text of the error that caused the others, on one line.
fn innermost(error: &(dyn StdError + 'static)) -> String {
    one_line(&chain(error).last().unwrap_or(error).to_string())
}

/// An error, then its cause, and so on.
fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let cause = |error: &&'a (dyn StdError + 'static)| {
        let error: &'a (dyn StdError + 'static) = *error;
        error.source()
    };
    std::iter::successors(Some(error), cause)
}

#[cfg(test)]
mod tests;
