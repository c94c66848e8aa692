//! Why a broker did not answer, or did not answer what was asked.

use std::{fmt, io};

use kafka_protocol::ResponseError;

/// A failure of a request, or of the connection that it needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub cause: Cause,
    /// Where, and in whose words. Never a secret.
    pub text: String,
}

/// What kind of failure, in the order of how much it explains when several brokers fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No answer in time.
    Late,
    /// The broker hung up.
    HungUp,
    /// No connection.
    Unreachable,
    /// The name of the broker has no address.
    Unresolved,
    /// What came is not Kafka's protocol, or of a version that we do not speak.
    Garbled,
    /// We speak plainly to a port that speaks TLS.
    IsTls,
    /// We speak TLS to a port that does not.
    IsPlain,
    /// TLS was spoken and came to nothing.
    Tls,
    /// The broker, or the token endpoint, does not let us in.
    Login,
    /// The broker's answer is an error.
    Answered(ResponseError),
}

impl Failure {
    pub fn new(cause: Cause, text: impl Into<String>) -> Self {
        Failure {
            cause,
            text: text.into(),
        }
    }

    /// The broker answered with an error. `None`: it did not.
    pub fn of_code(code: i16) -> Option<Self> {
        use kafka_protocol::error::ParseResponseErrorCode;
        code.err().map(Failure::answered)
    }

    /// An error that a broker answered.
    pub fn answered(error: ResponseError) -> Self {
        Failure::new(Cause::Answered(error), words(error))
    }

    /// Reading or writing failed.
    pub fn of_io(error: &io::Error) -> Self {
        // What rustls has to say comes as an error inside.
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
        match (tls, error.kind()) {
            (Some(tls), _) => Failure::new(Cause::Tls, format!("TLS: {}", tls_words(tls))),
            (None, io::ErrorKind::UnexpectedEof) => {
                Failure::new(Cause::HungUp, "the broker hung up")
            }
            (None, io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                Failure::new(Cause::HungUp, format!("the broker hung up: {error}"))
            }
            (None, _) => Failure::new(Cause::Unreachable, error.to_string()),
        }
    }

    /// No answer came in time.
    pub fn late() -> Self {
        Failure::new(Cause::Late, "no answer in time")
    }

    /// The same failure, said to have happened at `place`.
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.text = format!("{place}: {}", self.text);
        self
    }

    /// What the broker answered, if it did.
    pub fn error(&self) -> Option<ResponseError> {
        match self.cause {
            Cause::Answered(error) => Some(error),
            _ => None,
        }
    }

    /// How much this explains beside failures of other brokers.
    pub fn tells(&self) -> u8 {
        match self.cause {
            Cause::Late => 0,
            Cause::HungUp => 1,
            Cause::Unreachable => 2,
            Cause::Unresolved => 3,
            Cause::Garbled => 4,
            Cause::IsTls | Cause::IsPlain => 5,
            Cause::Tls => 6,
            Cause::Login => 7,
            Cause::Answered(_) => 8,
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
            "the broker's certificate is not signed by an authority that we trust".to_owned()
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
        let failure = Failure::of_code(16).unwrap();
        assert_eq!(failure.text, "NOT_COORDINATOR");
        assert_eq!(failure.error(), Some(ResponseError::NotCoordinator));
        assert_eq!(Failure::of_code(0), None);
        let unknown = Failure::of_code(4711).unwrap();
        assert_eq!(unknown.text, "error 4711, which is not known here");
    }
}
