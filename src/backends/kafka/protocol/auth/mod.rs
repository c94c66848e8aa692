//! SASL: showing the broker who we are (<https://kafka.apache.org/protocol#sasl_handshake>).

#[cfg(feature = "gssapi")]
mod kerberos;
#[cfg(feature = "gssapi")]
mod ticket;
mod token;

use std::{io::Cursor, sync::Arc, time::Duration};

use bytes::Bytes;
use kafka_protocol::{
    ResponseError,
    error::ParseResponseErrorCode,
    messages::{SaslAuthenticateRequest, SaslHandshakeRequest},
    protocol::StrBytes,
};
use rsasl::prelude::{Mechname, SASLClient, SASLConfig};

use token::Tokens;

use super::{BrokerConnection, BrokerError, ErrorCause};
#[cfg(feature = "gssapi")]
use crate::backends::kafka::sasl::Kerberos;
use crate::{
    backends::kafka::sasl::Sasl,
    error::{Error, Kind, Result},
    metadata::values::Secret,
    network::Network,
};

/// Kafka's own limit (`ScramMechanism`). A server that is named as a broker could demand hours of work.
const MOST_ITERATIONS: u64 = 16_384;

/// How to show who we are.
pub enum Login {
    Plain {
        username: String,
        password: Secret,
    },
    Scram {
        mechanism: &'static str,
        credentials: Arc<SASLConfig>,
    },
    Token(Tokens),
    #[cfg(feature = "gssapi")]
    Kerberos(Kerberos),
}

impl Login {
    /// `ca`: the brokers' authority, which may be the token endpoint's as well.
    pub fn new(sasl: &Sasl, ca: Option<String>, network: &Network) -> Result<Self> {
        Ok(match sasl {
            Sasl::Password {
                mechanism: "PLAIN",
                username,
                password,
            } => Login::Plain {
                username: username.clone(),
                password: password.clone(),
            },
            Sasl::Password {
                mechanism,
                username,
                password,
            } => Login::Scram {
                mechanism,
                credentials: scram(username, password)?,
            },
            Sasl::OAuth(oauth) => Login::Token(Tokens::of_endpoint(oauth.clone(), ca, network)?),
            #[cfg(feature = "aws-msk-iam")]
            Sasl::MskIam(msk) => Login::Token(Tokens::of_msk_iam(msk.clone())),
            #[cfg(feature = "gssapi")]
            Sasl::Kerberos(kerberos) => Login::Kerberos(kerberos.clone()),
        })
    }

    fn mechanism(&self) -> &'static str {
        match self {
            Login::Plain { .. } => "PLAIN",
            Login::Scram { mechanism, .. } => mechanism,
            Login::Token(_) => "OAUTHBEARER",
            #[cfg(feature = "gssapi")]
            Login::Kerberos(_) => "GSSAPI",
        }
    }
}

fn scram(username: &str, password: &Secret) -> Result<Arc<SASLConfig>> {
    let password = password.expose().to_owned();
    let credentials = SASLConfig::with_credentials(None, username.to_owned(), password);
    credentials.map_err(|error| {
        let what = format!("the credentials cannot be used: {error}");
        Error::new(Kind::Invalid, what, "Check username and password.")
    })
}

/// Shows who we are. On success the broker, which is on `host`, takes requests.
pub async fn log_in(
    connection: &mut BrokerConnection,
    #[cfg_attr(
        not(feature = "gssapi"),
        expect(unused_variables, reason = "only a ticket is for a host")
    )]
    host: &str,
    login: &Login,
) -> Result<(), BrokerError> {
    let mechanism = login.mechanism();
    let wanted =
        SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
    // Version 0 is another framing, which we do not speak.
    let response = connection.call(&wanted, 1).await?;
    match response.error.err() {
        None => {}
        Some(ResponseError::UnsupportedSaslMechanism) => {
            let offered = response.mechanisms.join(", ");
            return Err(refused(format!(
                "the broker does not offer {mechanism}, but {offered}"
            )));
        }
        Some(ResponseError::IllegalSaslState) => {
            return Err(refused(
                "the port takes no login: it is for clients without sasl",
            ));
        }
        Some(error) => return Err(refused(BrokerError::from_code(error).text)),
    }
    let lifetime = match login {
        Login::Plain { username, password } => {
            let message = format!("\0{username}\0{}", password.expose());
            let shown = show(connection, message.into()).await;
            shown.map_err(|error| without(password, error))?.1
        }
        Login::Token(tokens) => with_token(connection, tokens).await?,
        #[cfg(feature = "gssapi")]
        Login::Kerberos(kerberos) => kerberos::log_in(connection, host, kerberos).await?,
        Login::Scram { credentials, .. } => {
            with_scram(connection, mechanism, credentials.clone()).await?
        }
    };
    connection.retire_after(lifetime);
    Ok(())
}

/// RFC 7628, section 3.1.
async fn with_token(
    connection: &BrokerConnection,
    tokens: &Tokens,
) -> Result<Duration, BrokerError> {
    let token = tokens.token().await.map_err(refused)?;
    let mut message = format!("n,,\x01auth=Bearer {}", token.expose());
    for (key, value) in tokens.extensions() {
        message.push_str(&format!("\x01{key}={value}"));
    }
    message.push_str("\x01\x01");
    let reason = match show(connection, message.into()).await {
        Ok((reason, lifetime)) if reason.is_empty() => return Ok(lifetime),
        // Section 3.2.3: the reason has come, and failure is to follow.
        Ok((reason, _)) => {
            let _ = show(connection, Bytes::from_static(b"\x01")).await;
            refused(String::from_utf8_lossy(&reason))
        }
        Err(error) => error,
    };
    tokens.forget().await;
    Err(without(&token, reason))
}

/// RFC 5802 and RFC 7677.
async fn with_scram(
    connection: &BrokerConnection,
    mechanism: &str,
    credentials: Arc<SASLConfig>,
) -> Result<Duration, BrokerError> {
    let unusable = |error: &dyn std::fmt::Display| refused(format!("{mechanism}: {error}"));
    let name = Mechname::parse(mechanism.as_bytes()).map_err(|error| unusable(&error))?;
    let mut session = SASLClient::new(credentials)
        .start_suggested(&[name])
        .map_err(|error| unusable(&error))?;
    let (mut challenge, mut lifetime) = (None, Duration::ZERO);
    loop {
        let mut message = Cursor::new(Vec::new());
        let state = session
            .step(challenge.as_deref(), &mut message)
            .map_err(|error| unusable(&error))?;
        if !state.has_sent_message() {
            // The broker has proved that it knows the password, too.
            return Ok(lifetime);
        }
        let (response, lasts) = show(connection, message.into_inner().into()).await?;
        if iterations(&response).is_some_and(|wanted| wanted > MOST_ITERATIONS) {
            let text = format!("the broker wants more than {MOST_ITERATIONS} iterations");
            return Err(unusable(&text));
        }
        (challenge, lifetime) = (Some(response), lasts);
    }
}

/// How much work a challenge demands: its attribute `i` (RFC 5802, section 5.1).
fn iterations(challenge: &[u8]) -> Option<u64> {
    let attributes = challenge.split(|byte| *byte == b',');
    let mut counts = attributes.filter_map(|attribute| attribute.strip_prefix(b"i="));
    let count = str::from_utf8(counts.next()?).ok()?;
    // What is not a number is refused by the mechanism; what is too long for one is too much.
    let is_number = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| count.parse().unwrap_or(u64::MAX))
}

/// Sends a message of the mechanism. Returns the broker's, and how long the login is good for; 0:
/// for ever.
pub async fn show(
    connection: &BrokerConnection,
    message: Bytes,
) -> Result<(Bytes, Duration), BrokerError> {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(message);
    let version = connection.version::<SaslAuthenticateRequest>()?;
    let response = connection.call(&request, version).await?;
    match response.error.err() {
        None => {
            let lifetime = u64::try_from(response.lifetime).unwrap_or_default();
            Ok((response.bytes, Duration::from_millis(lifetime)))
        }
        Some(error) => {
            let message = response.message.filter(|message| !message.is_empty());
            let text = message.unwrap_or_else(|| BrokerError::from_code(error).text);
            Err(refused(text))
        }
    }
}

/// The same error, should the broker repeat what it was sent.
fn without(secret: &Secret, mut error: BrokerError) -> BrokerError {
    error.text = secret.hidden_in(&error.text);
    error
}

pub fn refused(text: impl Into<String>) -> BrokerError {
    BrokerError::new(ErrorCause::Login, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_that_a_challenge_asks_for_is_known() {
        assert_eq!(iterations(b"r=abc,s=QSXCR+Q6sek8bf92,i=4096"), Some(4096));
        assert_eq!(iterations(b"r=i=1,s=x,i=4294967295"), Some(4_294_967_295));
        assert_eq!(iterations(b"i=99999999999999999999999"), Some(u64::MAX));
        for none in [
            &b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ="[..],
            b"i=",
            b"i=-1",
            b"\xff",
        ] {
            assert_eq!(iterations(none), None);
        }
    }
}
