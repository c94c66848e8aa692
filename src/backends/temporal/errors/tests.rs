//! What statuses and transport errors mean.

use rustls::{CertificateError, InvalidMessage};
use temporalio_protos::utilities::pack_any;

use super::*;
use crate::{backends::temporal::testing::connection, metadata::tls::Tls};

fn with_api_key(api_key: Option<&str>) -> Connection {
    Connection {
        api_key: api_key.map(Secret::from),
        ..connection("temporal:7233")
    }
}

fn token(claims: &str) -> String {
    format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims))
}

fn denied(api_key: Option<&str>) -> Error {
    let status = Status::permission_denied("Request unauthorized.");
    request_failure(status, &with_api_key(api_key)).into_error()
}

/// A status with one detail, as the server sends it.
fn with_detail<T: Message + Name>(code: Code, detail: &T) -> Status {
    let type_url = format!("type.googleapis.com/{}", T::full_name());
    let status = rpc::Status {
        details: vec![pack_any(type_url, detail).unwrap()],
        ..rpc::Status::default()
    };
    Status::with_details(code, "reason", status.encode_to_vec().into())
}

#[test]
fn an_expired_api_key_is_reported_with_its_time_and_not_shown() {
    let token = token(r#"{"sub":"a","exp":1700000000}"#);
    let error = denied(Some(&token));
    assert_eq!(error.kind(), Kind::Unauthorized);
    let text = error.to_string();
    assert!(text.contains("expired at 2023-11-14T22:13:20Z"), "{text}");
    assert!(!text.contains(&token), "{text}");
}

#[test]
fn a_key_that_the_server_repeats_is_not_shown() {
    let connection = with_api_key(Some("s3cr3t-key"));
    for code in [Code::PermissionDenied, Code::Internal, Code::Unavailable] {
        let status = Status::new(code, "bad token `Bearer s3cr3t-key`");
        let text = request_failure(status, &connection)
            .into_error()
            .to_string();
        assert!(text.contains("***") && !text.contains("s3cr3t"), "{text}");
    }
}

#[test]
fn a_refusal_names_the_missing_credentials() {
    let anonymous = denied(None).to_string();
    assert!(
        anonymous.contains("set apiKey, or cert and key"),
        "{anonymous}"
    );
    for key in [token(r#"{"exp":4000000000}"#), "opaque".to_owned()] {
        let text = denied(Some(&key)).to_string();
        assert!(text.contains("may read this namespace"), "{text}");
    }
}

#[test]
fn a_connection_that_cannot_be_opened_says_which_step_failed() {
    let tls = |error| OpenError::Tls(io::Error::other(error));
    let tcp = OpenError::Tcp(io::Error::from(io::ErrorKind::ConnectionRefused));
    for (error, advice) in [
        (tcp, "Check that the server runs"),
        (
            tls(CertificateError::UnknownIssuer.into()),
            "Check that ca is the authority",
        ),
        (
            tls(rustls::Error::AlertReceived(
                AlertDescription::CertificateRequired,
            )),
            "may require a client certificate (cert and key)",
        ),
        (
            tls(InvalidMessage::InvalidContentType.into()),
            "does not speak TLS",
        ),
        (
            OpenError::Tls(io::ErrorKind::UnexpectedEof.into()),
            "listens at endpoint, with TLS",
        ),
    ] {
        let text = opening_error(error, &connection("temporal:7233")).to_string();
        assert!(text.contains(advice), "{text}");
    }
}

#[test]
fn a_connection_that_breaks_while_it_is_opened_may_lack_tls_or_a_certificate() {
    let broken = || io::Error::other("frame with\ninvalid size");
    let plain = opening_error(broken(), &connection("temporal:7233"));
    assert_eq!(plain.kind(), Kind::Unreachable);
    let text = plain.to_string();
    assert!(text.starts_with("frame with invalid size. "), "{text}");
    assert!(
        text.contains("If its port requires TLS: Set `tls: enable`"),
        "{text}"
    );
    let with_tls = Connection {
        tls: Some(Tls::default()),
        ..connection("temporal:7233")
    };
    let text = opening_error(broken(), &with_tls).to_string();
    assert!(text.contains("may require a client certificate"), "{text}");
}

#[test]
fn only_what_may_succeed_later_is_sent_again() {
    let of = |status: Status| request_failure(status, &connection("temporal:7233"));
    assert!(matches!(
        of(Status::resource_exhausted("rps")),
        RequestFailure::RateLimited(_)
    ));
    assert!(matches!(
        of(Status::unavailable("not ready")),
        RequestFailure::Connection(_)
    ));
    assert!(matches!(
        of(Status::not_found("namespace")),
        RequestFailure::Rejected(_)
    ));
}

#[test]
fn details_of_a_status_decide_the_advice() {
    let text = |status| {
        let failure = request_failure(status, &connection("temporal:7233"));
        failure.into_error().to_string()
    };
    let namespace = NamespaceNotFoundFailure {
        namespace: "nowhere".to_owned(),
    };
    let not_found = text(with_detail(Code::NotFound, &namespace));
    assert!(not_found.contains("Check namespace"), "{not_found}");
    let limited = |cause| {
        let mut failure = ResourceExhaustedFailure::default();
        failure.set_cause(cause);
        text(with_detail(Code::ResourceExhausted, &failure))
    };
    let rate = limited(ResourceExhaustedCause::RpsLimit);
    assert!(rate.contains("lower requestsPerSecond here"), "{rate}");
    let load = limited(ResourceExhaustedCause::SystemOverloaded);
    assert!(load.contains("The server is overloaded"), "{load}");
}

#[test]
fn control_characters_of_the_server_do_not_reach_the_log() {
    let status = Status::not_found("queue \u{1b}[31m\r\nis gone.");
    let error = request_failure(status, &connection("temporal:7233")).into_error();
    let text = error.to_string();
    assert!(!text.contains(char::is_control), "{text}");
    assert!(StdError::source(&error).is_some());
}
