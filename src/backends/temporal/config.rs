//! The declared keys that say where a Temporal namespace is, and the connection that they become.

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::{
    Temporal,
    cloud::{Identity, check_cloud},
};
use crate::metadata::{
    problem::{Problem, Problems},
    tls::{Tls, TlsKeys},
    values::{HostPort, Secret, Switch, TextValue, text_value},
};
use crate::sampling::ConnectionKeys;

/// A namespace of a Temporal service, and as whom to ask it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Connection {
    pub endpoint: HostPort,
    pub namespace: String,
    pub api_key: Option<Secret>,
    pub tls: Option<Tls>,
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
    /// The request budget of the namespace.
    pub requests_per_second: u32,
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "temporal {} at {}", self.namespace, self.endpoint)
    }
}

/// Where a Temporal namespace is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceKeys {
    /// The frontend as `host:port`.
    endpoint: String,
    /// The Temporal namespace. In Temporal Cloud with its account: `orders.a1b2c`.
    #[serde(default = "default_namespace")]
    namespace: String,
    /// The API key (a bearer token). Switches TLS on, unless `tls: disable`.
    api_key: Option<Secret>,
    /// How long one attempt to connect may take, in seconds.
    #[serde(default)]
    min_connect_timeout: Seconds,
    /// How many queue reads a second this namespace is asked at most, over all triggers of the
    /// connection. A server with default limits answers about 240 a second on one matching host,
    /// and shares that limit with its workers.
    #[serde(default)]
    requests_per_second: RequestsPerSecond,
}

fn default_namespace() -> String {
    "default".to_owned()
}

/// A time in seconds, as KEDA writes `minConnectTimeout`.
#[derive(Clone, Copy, Debug)]
struct Seconds(u32);

impl Default for Seconds {
    /// KEDA's default of `minConnectTimeout`.
    fn default() -> Self {
        Seconds(5)
    }
}

/// A connection attempt that takes longer would not be waited for by anybody.
const LONGEST_CONNECT: u32 = 60;

impl TextValue for Seconds {
    const ALLOWED: &'static str = "a whole number of seconds from 1 to 60";

    fn parse(text: &str) -> Result<Self, String> {
        whole(text, LONGEST_CONNECT)
            .map(Seconds)
            .ok_or_else(|| format!("must be {}", Self::ALLOWED))
    }
}
text_value!(Seconds);

/// A rate of requests.
#[derive(Clone, Copy, Debug)]
struct RequestsPerSecond(u32);

impl Default for RequestsPerSecond {
    /// What one matching host with default limits (`matching.rps` 1200, of which an uncached read
    /// costs 5, and 12 if it has to load the queue) answers while a cold scaler reads everything
    /// once, with the burst that it allows left to the workers. Measured: see the README.
    fn default() -> Self {
        RequestsPerSecond(170)
    }
}

const FASTEST: u32 = 10_000;

impl TextValue for RequestsPerSecond {
    const ALLOWED: &'static str = "a whole number from 1 to 10000";

    fn parse(text: &str) -> Result<Self, String> {
        whole(text, FASTEST)
            .map(RequestsPerSecond)
            .ok_or_else(|| format!("must be {}", Self::ALLOWED))
    }
}
text_value!(RequestsPerSecond);

fn whole(text: &str, most: u32) -> Option<u32> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.filter(|number| (1..=most).contains(number))
}

/// For the reference: the defaults as text.
macro_rules! as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self.0)
            }
        }
    };
}
as_text!(Seconds);
as_text!(RequestsPerSecond);

impl ConnectionKeys<Temporal> for NamespaceKeys {
    fn check(self, mut tls: TlsKeys) -> Result<Connection, Problems> {
        let mut problems = Problems::default();
        let mut note = |result: Result<(), Problem>| {
            if let Err(problem) = result {
                problems.push(problem);
            }
        };
        note(check_namespace(&self.namespace));
        note(check_api_key(self.api_key.as_ref()));
        let endpoint = endpoint(&self.endpoint);
        if let Ok(endpoint) = &endpoint {
            let identity = Identity {
                api_key: self.api_key.is_some(),
                cert: tls.cert.is_some(),
            };
            note(check_cloud(endpoint, &self.namespace, identity, tls.tls));
        }
        // As in KEDA: who shows an identity wants TLS, if nothing else is said.
        if tls.tls.is_none() && (self.api_key.is_some() || tls.cert.is_some() || tls.key.is_some())
        {
            tls.tls = Some(Switch::Enable);
        }
        let endpoint = endpoint.map_err(|problem| problems.push(problem)).ok();
        let tls = tls
            .check(false)
            .map_err(|found| problems.0.extend(found.0))
            .ok();
        match (problems.0.is_empty(), endpoint, tls) {
            (true, Some(endpoint), Some(tls)) => Ok(Connection {
                endpoint,
                namespace: self.namespace,
                api_key: self.api_key,
                tls,
                connect_timeout: Duration::from_secs(self.min_connect_timeout.0.into()),
                requests_per_second: self.requests_per_second.0,
            }),
            _ => Err(problems),
        }
    }
}

fn endpoint(text: &str) -> Result<HostPort, Problem> {
    const EXAMPLE: &str = "it must be host:port, such as temporal-frontend.temporal:7233";
    let bad = |what: &str| Problem::value("endpoint", text, format!("{what}{EXAMPLE}"));
    if text.contains("://") || text.starts_with("dns:") {
        return Err(bad("has a scheme; "));
    }
    if text.contains('/') {
        return Err(bad("has a path; "));
    }
    text.parse().map_err(|_: String| {
        let reason = EXAMPLE.trim_start_matches("it ");
        Problem::value("endpoint", text, reason)
    })
}

/// What the server takes for a name is checked by the server; this keeps the `temporal-namespace`
/// header well formed.
fn check_namespace(namespace: &str) -> Result<(), Problem> {
    let good = |c: char| c.is_ascii_graphic();
    match !namespace.is_empty() && namespace.chars().all(good) {
        true => Ok(()),
        false => {
            let reason = "must be the name of a Temporal namespace: ASCII, without spaces";
            Err(Problem::value("namespace", namespace, reason))
        }
    }
}

fn check_api_key(api_key: Option<&Secret>) -> Result<(), Problem> {
    let good = |key: &Secret| key.expose().bytes().all(|b| b.is_ascii_graphic());
    match api_key.is_none_or(good) {
        true => Ok(()),
        false => Err(Problem::key(
            "apiKey",
            "has a space, a line break or another character that no API key has; it is not shown",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERT: &str = "-----BEGIN CERTIFICATE-----";

    fn keys(endpoint: &str) -> NamespaceKeys {
        NamespaceKeys {
            endpoint: endpoint.to_owned(),
            namespace: default_namespace(),
            api_key: None,
            min_connect_timeout: Seconds::default(),
            requests_per_second: RequestsPerSecond::default(),
        }
    }

    fn check(keys: NamespaceKeys, tls: TlsKeys) -> Result<Connection, String> {
        keys.check(tls).map_err(|problems| problems.to_string())
    }

    fn mtls() -> TlsKeys {
        TlsKeys {
            cert: Some(CERT.into()),
            key: Some("-----BEGIN PRIVATE KEY-----".into()),
            ..TlsKeys::default()
        }
    }

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        let connection = check(keys("temporal:7233"), TlsKeys::default()).unwrap();
        assert_eq!(connection.to_string(), "temporal default at temporal:7233");
        assert!(connection.tls.is_none());
        for (bad, reason) in [
            (
                "https://temporal:7233",
                "has a scheme; it must be host:port",
            ),
            ("dns:///temporal:7233", "has a scheme"),
            ("temporal:7233/api", "has a path; it must be host:port"),
            ("temporal", "must be host:port"),
        ] {
            let error = check(keys(bad), TlsKeys::default()).err().unwrap();
            assert!(error.contains(reason), "{bad}: {error}");
        }
    }

    #[test]
    fn an_identity_switches_tls_on_and_a_ca_alone_does_not() {
        let mut with_key = keys("temporal:7233");
        with_key.api_key = Some("token".into());
        let ca = TlsKeys {
            ca: Some(CERT.into()),
            ..TlsKeys::default()
        };
        let connection = check(with_key, ca.clone()).unwrap();
        assert_eq!(connection.tls.unwrap().ca.as_deref(), Some(CERT));
        assert!(check(keys("temporal:7233"), mtls()).unwrap().tls.is_some());
        let error = check(keys("temporal:7233"), ca).err().unwrap();
        assert!(error.contains("`tls: enable` is required"), "{error}");
    }

    #[test]
    fn an_api_key_works_without_tls_and_is_never_shown() {
        let disable = TlsKeys {
            tls: Some(Switch::Disable),
            ..TlsKeys::default()
        };
        let mut with_key = keys("temporal:7233");
        with_key.api_key = Some("token".into());
        assert!(check(with_key, disable).unwrap().tls.is_none());
        let mut broken = keys("temporal:7233");
        broken.api_key = Some("tok en".into());
        let error = check(broken, TlsKeys::default()).err().unwrap();
        assert!(
            error.starts_with("apiKey: ") && !error.contains("tok en"),
            "{error}"
        );
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let tls = TlsKeys {
            cert: Some(CERT.into()),
            ..TlsKeys::default()
        };
        let error = check(keys("temporal:7233"), tls).err().unwrap();
        assert_eq!(error, "key: is required with `cert`");
    }

    #[test]
    fn numbers_have_their_bounds() {
        assert!(Seconds::parse("0").is_err() && Seconds::parse("61").is_err());
        assert!(RequestsPerSecond::parse("0").is_err());
        assert!(RequestsPerSecond::parse("+5").is_err());
        assert_eq!(RequestsPerSecond::parse("50").unwrap().0, 50);
    }
}
