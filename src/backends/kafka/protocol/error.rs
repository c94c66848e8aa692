//! Why a request to a broker failed.

use std::{fmt, io, sync::Arc};

use kafka_protocol::ResponseError;

use crate::network::refusal;

/// The error of a request, or of the connection that it needed.
#[derive(Clone, Debug)]
pub struct BrokerError {
    pub cause: ErrorCause,
    /// Where, and in whose words. Never a secret.
    pub text: String,
    /// What I/O or TLS reported, where that was the reason.
    pub source: Option<Arc<io::Error>>,
}

impl PartialEq for BrokerError {
    fn eq(&self, other: &Self) -> bool {
        (self.cause, &self.text) == (other.cause, &other.text)
    }
}

impl Eq for BrokerError {}

/// The kind of error, in the order of how specific it is when several brokers fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCause {
    /// No response in time.
    TimedOut,
    /// The broker hung up.
    Closed,
    /// No connection.
    Unreachable,
    /// The name of the broker has no address.
    Unresolved,
    /// What came is not Kafka's protocol, or of a version that we do not speak.
    Malformed,
    /// We speak plainly to a port that speaks TLS.
    SpeaksTls,
    /// We speak TLS to a port that does not.
    SpeaksPlain,
    /// TLS was spoken and came to nothing.
    Tls,
    /// The settings do not allow the address.
    NotAllowed,
    /// The broker, or the token endpoint, does not let us in.
    Login,
    /// The broker's response is an error.
    Code(ResponseError),
}

impl BrokerError {
    pub fn new(cause: ErrorCause, text: impl Into<String>) -> Self {
        BrokerError {
            cause,
            text: text.into(),
            source: None,
        }
    }

    /// From the error number of a response; `None`: it is none.
    pub fn from_number(code: i16) -> Option<Self> {
        use kafka_protocol::error::ParseResponseErrorCode;
        code.err().map(BrokerError::from_code)
    }

    /// An error that a broker returned.
    pub fn from_code(error: ResponseError) -> Self {
        BrokerError::new(ErrorCause::Code(error), words(error))
    }

    /// Reading or writing failed.
    pub fn from_io(error: io::Error) -> Self {
        // What rustls has to say comes as an error inside.
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
        let described = match (tls, error.kind()) {
            (Some(tls), _) => BrokerError::new(ErrorCause::Tls, format!("TLS: {}", tls_words(tls))),
            (None, io::ErrorKind::UnexpectedEof) => {
                BrokerError::new(ErrorCause::Closed, "the broker closed the connection")
            }
            (None, io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => BrokerError::new(
                ErrorCause::Closed,
                format!("the broker closed the connection: {error}"),
            ),
            (None, _) => BrokerError::new(ErrorCause::Unreachable, error.to_string()),
        };
        BrokerError {
            source: Some(Arc::new(error)),
            ..described
        }
    }

    /// Connecting failed, before anything was read or written.
    pub fn from_connecting(error: io::Error) -> Self {
        let cause = match refusal(&error) {
            Some(_) => ErrorCause::NotAllowed,
            // What a name's lookup reports has no code of the system.
            None if error.raw_os_error().is_none() => ErrorCause::Unresolved,
            None => ErrorCause::Unreachable,
        };
        let connecting = BrokerError::new(cause, error.to_string());
        BrokerError {
            source: Some(Arc::new(error)),
            ..connecting
        }
    }

    /// No response came in time.
    pub fn timed_out() -> Self {
        BrokerError::new(ErrorCause::TimedOut, "no response in time")
    }

    /// The same error, with the place where it happened: `place`.
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.text = format!("{place}: {}", self.text);
        self
    }

    /// The error that the broker returned, if it did.
    pub fn code(&self) -> Option<ResponseError> {
        match self.cause {
            ErrorCause::Code(error) => Some(error),
            _ => None,
        }
    }

    /// How specific this is beside the errors of other brokers.
    pub fn specificity(&self) -> u8 {
        match self.cause {
            ErrorCause::TimedOut => 0,
            ErrorCause::Closed => 1,
            ErrorCause::Unreachable => 2,
            ErrorCause::Unresolved => 3,
            ErrorCause::Malformed => 4,
            ErrorCause::SpeaksTls | ErrorCause::SpeaksPlain => 5,
            ErrorCause::Tls => 6,
            ErrorCause::NotAllowed => 7,
            ErrorCause::Login => 8,
            ErrorCause::Code(_) => 9,
        }
    }
}

/// Kafka's name of an error, as its documentation has it: `NOT_COORDINATOR`.
fn words(error: ResponseError) -> String {
    let name = match error {
        ResponseError::Unknown(code) => return format!("error {code}, which is not known here"),
        known => known.to_string(),
    };
    let mut words = String::with_capacity(name.len() + 6);
    for (i, letter) in name.char_indices() {
        if letter.is_ascii_uppercase() && i > 0 {
            words.push('_');
        }
        words.push(letter.to_ascii_uppercase());
    }
    words
}

fn tls_words(error: &rustls::Error) -> String {
    use rustls::{AlertDescription, CertificateError, Error};
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the broker's certificate is not signed by a CA that we trust".to_owned()
        }
        Error::AlertReceived(
            alert @ (AlertDescription::BadCertificate
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA),
        ) => format!("the broker does not take our client certificate, or lacks one ({alert:?})"),
        Error::AlertReceived(alert) => format!("the broker ends the handshake with {alert:?}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_by_the_names_that_kafkas_documentation_has() {
        let error = BrokerError::from_number(16).unwrap();
        assert_eq!(error.text, "NOT_COORDINATOR");
        assert_eq!(error.code(), Some(ResponseError::NotCoordinator));
        assert_eq!(BrokerError::from_number(0), None);
        let unknown = BrokerError::from_number(4711).unwrap();
        assert_eq!(unknown.text, "error 4711, which is not known here");
    }
}
