//! What the server and the transport say, in our words: what happened, and what to do next.

use std::{error::Error as _, time::SystemTime};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;
use tonic::{Code, Status};

use super::config::Connection;
use crate::{
    error::{Error, Kind},
    metadata::values::Secret,
};

/// How a request failed.
pub enum Failure {
    /// The server is asked too much: slower, and once more.
    Exhausted(Error),
    /// Perhaps the whole connection's.
    Connection(Error),
    /// This request's own.
    Request(Error),
}

impl Failure {
    pub fn into_error(self) -> Error {
        match self {
            Failure::Exhausted(error) | Failure::Connection(error) | Failure::Request(error) => {
                error
            }
        }
    }
}

/// What a status means.
pub fn failure(status: &Status, connection: &Connection) -> Failure {
    if let Some(source) = status.source() {
        return Failure::Connection(transport_error(source, connection));
    }
    let error = |kind, next: &str| Error::new(kind, said(status), next);
    let connection_or = |kind, next| Failure::Connection(error(kind, next));
    let own = |kind, next| Failure::Request(error(kind, next));
    match status.code() {
        Code::ResourceExhausted => Failure::Exhausted(error(
            Kind::Exhausted,
            "The server's own rate limits are reached: lower requestsPerSecond here, or raise \
             frontend.namespaceRPS or matching.rps there.",
        )),
        Code::Unavailable => connection_or(
            Kind::Unreachable,
            "The server is there but not ready; this passes by itself, or it needs help.",
        ),
        Code::DeadlineExceeded | Code::Cancelled => {
            connection_or(Kind::TimedOut, "Check that the server answers.")
        }
        Code::PermissionDenied | Code::Unauthenticated => {
            Failure::Request(refused(status, connection))
        }
        Code::NotFound => own(
            Kind::NotFound,
            "Check the name; the server knows none like it.",
        ),
        Code::InvalidArgument => own(Kind::Unreadable, ""),
        Code::Unimplemented => own(
            Kind::Unreadable,
            "Check that a Temporal frontend listens at endpoint. Versions of worker deployments need \
             server 1.29, the rest 1.28.",
        ),
        _ => own(Kind::Unreadable, "The server's log may say more."),
    }
}

/// The server's text on one line, with its code.
fn said(status: &Status) -> String {
    let message = status.message().replace(['\r', '\n'], " ");
    match message.is_empty() {
        true => format!("the server says {:?}", status.code()),
        false => format!("the server says {:?}: {message}", status.code()),
    }
}

/// The server answers PERMISSION_DENIED to every token that it does not like.
fn refused(status: &Status, connection: &Connection) -> Error {
    let next = match &connection.api_key {
        None => {
            "The server wants an identity: set apiKey, or cert and key, in a named connection \
             (or as …FromEnv)."
        }
        Some(api_key) => {
            if let Some(expired) = expiry(api_key).filter(|expiry| *expiry < SystemTime::now()) {
                let expired = humantime::format_rfc3339_seconds(expired);
                return Error::new(
                    Kind::Unauthorized,
                    format!("{} (the API key expired at {expired})", said(status)),
                    "Make a new API key and put it in the place of the old one.",
                );
            }
            "Check that the API key is valid, signed by whom the server trusts, and may read this \
             namespace."
        }
    };
    Error::new(Kind::Unauthorized, said(status), next)
}

/// When a token that is a JWT expires (RFC 7519, claim `exp`).
fn expiry(api_key: &Secret) -> Option<SystemTime> {
    #[derive(Deserialize)]
    struct Claims {
        exp: u32,
    }
    let payload = api_key.expose().split('.').nth(1)?;
    let payload = BASE64_URL_SAFE_NO_PAD
        .decode(payload.trim_end_matches('='))
        .ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    Some(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(claims.exp.into()))
}

/// What the transport's error means.
pub fn transport_error(
    error: &(dyn std::error::Error + 'static),
    connection: &Connection,
) -> Error {
    let text = innermost(error);
    let has = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    let tls = connection.tls.as_ref();
    // TLS 1.3 refuses a client after its handshake, and HTTP/2 then only sees the end.
    let ended = ["connection closed", "broken pipe", "reset by peer"];
    let next = if has(&["fatal alert"]) || (tls.is_some() && has(&ended)) {
        match connection
            .tls
            .as_ref()
            .and_then(|tls| tls.identity.as_ref())
        {
            None => {
                "The server refused us during the TLS handshake: it may want a client certificate (cert and key)."
            }
            Some(_) => {
                "The server refused us during the TLS handshake: check that an authority that it trusts signed cert."
            }
        }
    } else if has(&["InvalidContentType", "corrupt message"]) {
        "The server does not speak TLS at this port: set tls: disable, or use the port that does."
    } else if has(&["certificate", "UnknownIssuer"]) {
        "Check that ca is the authority of the server's certificate, and that the certificate carries this host's name (or set tlsServerName)."
    } else if has(&["refused", "lookup", "resolve", "unreachable", "not known"]) {
        "Check that the server runs, and endpoint."
    } else if connection.tls.is_none() {
        "Check that a Temporal frontend listens at endpoint; if it wants TLS, set tls: enable."
    } else {
        "Check that a Temporal frontend listens at endpoint."
    };
    Error::new(Kind::Unreachable, text, next)
}

/// The text of the error that caused the others, on one line.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string().replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn connection(api_key: Option<&str>) -> Connection {
        Connection {
            endpoint: "temporal:7233".parse().unwrap(),
            namespace: "default".to_owned(),
            api_key: api_key.map(Secret::from),
            tls: None,
            connect_timeout: Duration::from_secs(5),
            requests_per_second: 170,
        }
    }

    fn token(claims: &str) -> String {
        format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn an_expired_api_key_is_told_with_its_time_and_not_shown() {
        let token = token(r#"{"sub":"a","exp":1700000000}"#);
        let denied = Status::permission_denied("Request unauthorized.");
        let error = failure(&denied, &connection(Some(&token))).into_error();
        assert_eq!(error.kind(), Kind::Unauthorized);
        let text = error.to_string();
        assert!(text.contains("expired at 2023-11-14T22:13:20Z"), "{text}");
        assert!(!text.contains(&token), "{text}");
    }

    #[test]
    fn a_refusal_says_what_identity_is_missing() {
        let denied = Status::permission_denied("Request unauthorized.");
        let anonymous = failure(&denied, &connection(None)).into_error().to_string();
        assert!(
            anonymous.contains("set apiKey, or cert and key"),
            "{anonymous}"
        );
        for key in [token(r#"{"exp":4000000000}"#), "opaque".to_owned()] {
            let text = failure(&denied, &connection(Some(&key)))
                .into_error()
                .to_string();
            assert!(text.contains("may read this namespace"), "{text}");
        }
    }

    #[test]
    fn the_transports_own_reason_is_told() {
        let reason = |text: &str| {
            let error = std::io::Error::other(text.to_owned());
            transport_error(&error, &connection(None)).to_string()
        };
        assert!(reason("invalid peer certificate: UnknownIssuer").contains("Check that ca is"));
        assert!(reason("received fatal alert: CertificateRequired").contains("cert and key"));
        assert!(
            reason("received corrupt message of type InvalidContentType").contains("tls: disable")
        );
        assert!(reason("Connection refused (os error 111)").contains("Check that the server runs"));
        assert!(reason("frame with invalid size").contains("if it wants TLS"));
    }

    #[test]
    fn only_what_may_pass_is_asked_again() {
        let of = |status: Status| failure(&status, &connection(None));
        assert!(matches!(
            of(Status::resource_exhausted("rps")),
            Failure::Exhausted(_)
        ));
        assert!(matches!(
            of(Status::unavailable("not ready")),
            Failure::Connection(_)
        ));
        assert!(matches!(
            of(Status::not_found("namespace")),
            Failure::Request(_)
        ));
    }
}
