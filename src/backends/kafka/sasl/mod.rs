//! How to authenticate: the SASL mechanisms and what each needs.

mod check;
mod kerberos;
mod msk;

use std::fmt;

use serde::{Serialize, Serializer};

pub use check::SaslKeys;
pub use kerberos::KerberosKeys;
#[cfg(feature = "gssapi")]
pub use kerberos::{Kerberos, Proof};
pub use msk::AwsKeys;
#[cfg(feature = "aws-msk-iam")]
pub use msk::{AwsIdentity, MskIam};

use crate::metadata::{
    problem::Problem,
    values::{HostPort, Secret, TextValue, text_value, without_login},
};

/// The user, and how it proves itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Sasl {
    /// PLAIN and SCRAM.
    Password {
        /// In Kafka's words: `SCRAM-SHA-512`.
        mechanism: &'static str,
        username: String,
        password: Secret,
    },
    OAuth(OAuth),
    /// A token signed with credentials of AWS.
    #[cfg(feature = "aws-msk-iam")]
    MskIam(MskIam),
    #[cfg(feature = "gssapi")]
    Kerberos(Kerberos),
}

/// Client credentials for a token endpoint (RFC 6749, section 4.4).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OAuth {
    pub endpoint: String,
    pub client_id: String,
    pub client_secret: Secret,
    pub scopes: Vec<String>,
    /// SASL extensions (RFC 7628, section 3.1).
    pub extensions: Vec<(String, String)>,
}

impl OAuth {
    /// The endpoint's server.
    pub fn server(&self) -> Result<HostPort, Problem> {
        const KEY: &str = "oauthTokenEndpointUri";
        // What stands before an `@` may be a password.
        let shown = without_login(&self.endpoint);
        let bad = |reason: &str| Problem::value(KEY, shown, reason);
        let no_url = || bad("must be a URL that starts with https:// (or http://)");
        let url = reqwest::Url::parse(&self.endpoint).map_err(|_| no_url())?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad(
                "has credentials before it, which belong into username and password",
            ));
        }
        match (url.scheme(), url.host_str(), url.port_or_known_default()) {
            ("http" | "https", Some(host), Some(port)) => {
                HostPort::new(host, &port.to_string()).map_err(|reason| bad(&reason))
            }
            _ => Err(no_url()),
        }
    }
}

impl Sasl {
    /// The key by which this uses credentials of the process.
    pub fn process_credentials(&self) -> Option<&'static str> {
        match self {
            Sasl::Password { .. } | Sasl::OAuth(_) => None,
            #[cfg(feature = "aws-msk-iam")]
            Sasl::MskIam(msk) => msk.process_credentials(),
            #[cfg(feature = "gssapi")]
            Sasl::Kerberos(kerberos) => {
                matches!(kerberos.proof, Proof::Cache(_)).then_some("ccacheName")
            }
        }
    }

    /// The server that gets client credentials in exchange for a token.
    pub fn token_endpoint(&self) -> Option<HostPort> {
        match self {
            Sasl::OAuth(oauth) => oauth.server().ok(),
            _ => None,
        }
    }

    /// The user that the brokers know, or the token endpoint's.
    pub fn username(&self) -> &str {
        match self {
            Sasl::Password { username, .. } => username,
            Sasl::OAuth(oauth) => &oauth.client_id,
            #[cfg(feature = "aws-msk-iam")]
            Sasl::MskIam(msk) => msk.username(),
            #[cfg(feature = "gssapi")]
            Sasl::Kerberos(kerberos) => &kerberos.principal,
        }
    }
}

/// KEDA's words for the mechanisms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SaslKind {
    #[default]
    None,
    Plaintext,
    ScramSha256,
    ScramSha512,
    OAuthBearer,
    Gssapi,
    AwsMskIam,
}

impl TextValue for SaslKind {
    const ALLOWED: &'static str =
        "none, plaintext, scram_sha256, scram_sha512, oauthbearer, gssapi or aws_msk_iam";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "none" => SaslKind::None,
            "plaintext" => SaslKind::Plaintext,
            "scram_sha256" => SaslKind::ScramSha256,
            "scram_sha512" => SaslKind::ScramSha512,
            "oauthbearer" => SaslKind::OAuthBearer,
            "gssapi" => SaslKind::Gssapi,
            "aws_msk_iam" => SaslKind::AwsMskIam,
            _ => return Err(format!("must be {}", Self::ALLOWED)),
        })
    }
}
text_value!(SaslKind);

impl fmt::Display for SaslKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SaslKind::None => "none",
            SaslKind::Plaintext => "plaintext",
            SaslKind::ScramSha256 => "scram_sha256",
            SaslKind::ScramSha512 => "scram_sha512",
            SaslKind::OAuthBearer => "oauthbearer",
            SaslKind::Gssapi => "gssapi",
            SaslKind::AwsMskIam => "aws_msk_iam",
        })
    }
}

impl Serialize for SaslKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// KEDA's words for where tokens come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenProvider {
    #[default]
    Bearer,
    AwsMskIam,
}

impl TextValue for TokenProvider {
    const ALLOWED: &'static str = "bearer or aws_msk_iam";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "bearer" => Ok(TokenProvider::Bearer),
            "aws_msk_iam" => Ok(TokenProvider::AwsMskIam),
            _ => Err(format!("must be {}", Self::ALLOWED)),
        }
    }
}
text_value!(TokenProvider);

impl Serialize for TokenProvider {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            TokenProvider::Bearer => "bearer",
            TokenProvider::AwsMskIam => "aws_msk_iam",
        })
    }
}

#[cfg(test)]
mod tests;
