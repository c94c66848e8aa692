//! The TLS keys that every backend shares. They describe the hop from here to the backend.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    problem::{Problem, Problems},
    values::{Secret, Switch},
};

/// The keys whose values are PEM: of many lines, and long.
pub const PEM_KEYS: [&str; 3] = ["ca", "cert", "key"];

/// TLS to the backend. PEM texts are given as they are, with their line breaks.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TlsKeys {
    /// Whether the connection to the backend uses TLS. By default, each backend decides by the other
    /// keys.
    pub tls: Option<Switch>,
    /// Do not check the backend's certificate. For testing only.
    #[serde(default)]
    pub tls_skip_verify: bool,
    /// The CA that signed the backend's certificate (PEM), instead of the system's CAs.
    pub ca: Option<String>,
    /// The client certificate (PEM). Needs `key`.
    pub cert: Option<String>,
    /// The private key of the client certificate (PEM). Needs `cert`.
    pub key: Option<Secret>,
    /// The password of an encrypted `key`.
    pub key_password: Option<Secret>,
    /// The name that the backend's certificate must contain, if it differs from the host.
    pub tls_server_name: Option<String>,
}

/// How to speak TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tls {
    /// Check no certificate.
    pub skip_verify: bool,
    /// PEM of the authority to trust; `None`: the system's.
    pub ca: Option<String>,
    /// Who we are.
    pub identity: Option<Identity>,
    /// The name to expect and to send as SNI.
    pub server_name: Option<String>,
}

/// A client certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// PEM, the leaf first.
    pub cert: String,
    /// PEM, perhaps encrypted.
    pub key: Secret,
    /// Of an encrypted key.
    pub key_password: Option<Secret>,
}

impl TlsKeys {
    /// Checks the keys against each other. `given_means_on`: a client certificate or another TLS
    /// key switches TLS on by itself, as the backend's KEDA scaler does.
    pub fn check(self, given_means_on: bool) -> Result<Option<Tls>, Problems> {
        let mut problems = Problems::default();
        must_be_pem(&mut problems, "ca", self.ca.as_deref(), "CERTIFICATE");
        must_be_pem(&mut problems, "cert", self.cert.as_deref(), "CERTIFICATE");
        let key = self.key.as_ref().map(Secret::expose);
        must_be_pem(&mut problems, "key", key, "PRIVATE KEY");
        let identity = match (self.cert, self.key) {
            (Some(cert), Some(key)) => Some(Identity {
                cert,
                key,
                key_password: self.key_password,
            }),
            (Some(_), None) => {
                problems.push(Problem::key("key", "is required with `cert`"));
                None
            }
            (None, Some(_)) => {
                problems.push(Problem::key("cert", "is required with `key`"));
                None
            }
            (None, None) => {
                if self.key_password.is_some() {
                    problems.push(Problem::key("keyPassword", "needs `cert` and `key`"));
                }
                None
            }
        };
        let tls = Tls {
            skip_verify: self.tls_skip_verify,
            ca: self.ca,
            identity,
            server_name: self.tls_server_name,
        };
        let given = tls != Tls::default();
        let on = match self.tls {
            Some(Switch::Enable) => true,
            Some(Switch::Disable) => false,
            None => given && given_means_on,
        };
        if given && !on {
            let set =
                "`tls: enable` is required with ca, cert, key, tlsServerName or tlsSkipVerify";
            problems.push(Problem::key("tls", set));
        }
        problems.into_result().map(|()| on.then_some(tls))
    }
}

/// Client libraries read a text without PEM as no certificates at all, and blame the server's.
fn must_be_pem(problems: &mut Problems, key: &str, text: Option<&str>, label: &str) {
    let ends = format!("{label}-----");
    let is_pem = |text: &str| text.contains("-----BEGIN ") && text.contains(&ends);
    if text.is_some_and(|text| !is_pem(text)) {
        let reason = format!("must be PEM, with its lines: -----BEGIN {label}----- and so on");
        problems.push(Problem::key(key, reason));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERT: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";

    #[test]
    fn what_is_no_pem_is_said_without_showing_it() {
        let keys = TlsKeys {
            tls: Some(Switch::Enable),
            ca: Some("/etc/ca.crt".into()),
            key: Some(Secret::from("hunter2")),
            ..TlsKeys::default()
        };
        let text = keys.check(false).unwrap_err().to_string();
        assert!(text.starts_with("ca: must be PEM"), "{text}");
        assert!(
            text.contains("key: must be PEM") && !text.contains("hunter2"),
            "{text}"
        );
    }

    #[test]
    fn a_certificate_and_its_key_need_each_other() {
        let keys = TlsKeys {
            tls: Some(Switch::Enable),
            cert: Some(CERT.into()),
            ..TlsKeys::default()
        };
        assert_eq!(
            keys.check(false).unwrap_err().to_string(),
            "key: is required with `cert`"
        );
    }

    #[test]
    fn tls_keys_without_tls_are_refused_rather_than_ignored() {
        let keys = TlsKeys {
            ca: Some(CERT.into()),
            ..TlsKeys::default()
        };
        assert!(keys.clone().check(false).is_err());
        assert!(keys.check(true).unwrap().is_some());
    }

    #[test]
    fn nothing_given_means_no_tls() {
        assert_eq!(TlsKeys::default().check(true), Ok(None));
    }
}
