//! The connection to a Kafka cluster, and its declared keys.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    history::Histories,
    sasl::{AwsKeys, KerberosKeys, Sasl, SaslKeys, SaslKind, TokenProvider},
};
use crate::metadata::{
    problem::{Problem, Problems},
    tls::{Tls, TlsKeys},
    values::{HostPort, NameList, Secret, without_login},
};
use crate::sampling::ConnectionKeys;

/// The backend.
#[derive(Default)]
pub struct Kafka {
    /// What outlives a connection.
    pub(super) histories: Histories,
}

/// A Kafka cluster, with credentials.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Connection {
    /// Some of the brokers, sorted; the others are found through them.
    pub servers: Vec<HostPort>,
    pub sasl: Option<Sasl>,
    pub tls: Option<Tls>,
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("kafka ")?;
        if let Some(sasl) = &self.sasl {
            write!(f, "{}@", sasl.username())?;
        }
        f.write_str(&self.addresses())
    }
}

impl Connection {
    /// The servers that are named.
    pub fn addresses(&self) -> String {
        let servers: Vec<String> = self.servers.iter().map(HostPort::to_string).collect();
        servers.join(",")
    }
}

/// Where a Kafka cluster is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterKeys {
    /// Some of the brokers as `host:port`, comma-separated; the others are discovered through them.
    #[schemars(extend("x-environment-first" = true))]
    bootstrap_servers: NameList,
    /// How to authenticate. `scram_sha256` and `scram_sha512` are the most common; `plaintext` is
    /// SASL PLAIN.
    #[serde(default)]
    sasl: SaslKind,
    /// The user; with `oauthbearer` the client id; with `gssapi` the principal without its realm.
    username: Option<String>,
    /// The password; with `oauthbearer` the client secret.
    password: Option<Secret>,
    /// With `oauthbearer`: where tokens come from.
    #[serde(default)]
    sasl_token_provider: TokenProvider,
    /// With `oauthbearer`: the scopes to request, comma-separated.
    scopes: Option<NameList>,
    /// With `oauthbearer`: the URL that issues tokens for client credentials (OAuth 2.0).
    oauth_token_endpoint_uri: Option<String>,
    /// With `oauthbearer`: extensions to send with the token, as `key=value`, comma-separated.
    oauth_extensions: Option<NameList>,
    /// With `gssapi`: the principal's keytab, in base64.
    keytab: Option<Secret>,
    /// With `gssapi`: the name of a credential cache, a file in /tmp/kerberos/ccache.
    ccache_name: Option<String>,
    /// With `gssapi`: the realm of the principal.
    realm: Option<String>,
    /// Not accepted: with `gssapi` the server reads /etc/krb5.conf, or the file that KRB5_CONFIG names.
    kerberos_config: Option<String>,
    /// With `gssapi`: the first part of the brokers' principals; `kafka` by default.
    kerberos_service_name: Option<String>,
    /// With `gssapi`: accepted, but not needed.
    #[serde(default, rename = "kerberosDisableFAST")]
    kerberos_disable_fast: bool,
    /// With AWS MSK IAM: the region.
    aws_region: Option<String>,
    /// With AWS MSK IAM, for named connections: the role that this server's own credentials assume.
    aws_role_arn: Option<String>,
    /// With AWS MSK IAM: the access key to sign with, instead of this server's own credentials.
    #[serde(rename = "awsAccessKeyID")]
    aws_access_key_id: Option<String>,
    /// With AWS MSK IAM: the secret of `awsAccessKeyID`.
    aws_secret_access_key: Option<Secret>,
    /// With AWS MSK IAM: the session token of temporary credentials.
    aws_session_token: Option<Secret>,
}

impl ConnectionKeys<Kafka> for ClusterKeys {
    fn check(self, tls: TlsKeys) -> Result<Connection, Problems> {
        let mut problems = Problems::default();
        let mut servers = Vec::new();
        for server in &self.bootstrap_servers.0 {
            servers.extend(problems.keep(server_address(server)));
        }
        // Equal sets of servers are one connection, however they are written.
        servers.sort_by_key(HostPort::to_string);
        servers.dedup();
        let tls = problems.keep(tls.check(false));
        let sasl = SaslKeys {
            kind: self.sasl,
            username: self.username,
            password: self.password,
            token_provider: self.sasl_token_provider,
            scopes: self.scopes,
            token_endpoint: self.oauth_token_endpoint_uri,
            extensions: self.oauth_extensions,
            kerberos: KerberosKeys {
                keytab: self.keytab,
                ccache_name: self.ccache_name,
                realm: self.realm,
                config: self.kerberos_config,
                service_name: self.kerberos_service_name,
                disable_fast: self.kerberos_disable_fast,
            },
            aws: AwsKeys {
                region: self.aws_region,
                role_arn: self.aws_role_arn,
                access_key_id: self.aws_access_key_id,
                secret_access_key: self.aws_secret_access_key,
                session_token: self.aws_session_token,
            },
        };
        let sasl = problems.keep(sasl.check());
        #[cfg(feature = "aws-msk-iam")]
        if let (Some(Some(Sasl::MskIam(_))), Some(None)) = (&sasl, &tls) {
            problems.push(Problem::key("tls", "must be `enable` with AWS MSK IAM"));
        }
        problems.into_result()?;
        Ok(Connection {
            servers,
            sasl: sasl.flatten(),
            tls: tls.flatten(),
        })
    }
}

const EXAMPLE: &str = "broker-0.kafka:9092";

fn server_address(server: &str) -> Result<HostPort, Problem> {
    let key = "bootstrapServers";
    if server.contains("://") {
        // A URL may carry credentials: what comes before the host is not shown.
        let host = server.rsplit(['@', '/']).next().unwrap_or_default();
        return Err(Problem::value(
            key,
            host,
            format!("has a scheme; it must be host:port, such as {EXAMPLE}"),
        ));
    }
    HostPort::parse(server, EXAMPLE)
        .map_err(|reason| Problem::value(key, without_login(server), reason))
}

#[cfg(test)]
mod tests {
    use crate::backends::kafka::testing::{connection, connection_error};

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----";

    #[test]
    fn equal_sets_of_servers_are_one_connection() {
        let one = connection(&[("bootstrapServers", "b:9092, a:9092")]);
        let two = connection(&[("bootstrapServers", "a:9092,b:9092,a:9092")]);
        assert!(one == two);
        assert_eq!(one.to_string(), "kafka a:9092,b:9092");
    }

    #[test]
    fn bad_servers_are_named_with_what_is_allowed() {
        for (bad, reason) in [
            (
                "kafka",
                "`kafka` must be host:port, such as broker-0.kafka:9092",
            ),
            ("a:1,b:x", "`b:x` must be host:port"),
            ("a:0", "must be host:port"),
            ("SASL_SSL://u:p@a:9092", "`a:9092` has a scheme"),
            ("a:1,,b:2", "has an empty entry"),
        ] {
            let error = connection_error(&[("bootstrapServers", bad)]);
            assert!(error.contains(reason), "{bad}: {error}");
            assert!(!error.contains("u:p"), "{error}");
        }
        assert_eq!(connection_error(&[]), "bootstrapServers: is required");
    }

    #[test]
    fn tls_is_enable_or_disable_and_its_keys_need_it() {
        let with = |keys: &[(&str, &str)]| {
            let mut all = vec![("bootstrapServers", "a:9092")];
            all.extend(keys);
            connection_error(&all)
        };
        assert_eq!(
            with(&[("tls", "yes")]),
            "tls: `yes` must be enable or disable"
        );
        assert_eq!(
            with(&[("tls", "enable"), ("cert", PEM)]),
            "key: is required with `cert`"
        );
        assert!(with(&[("ca", PEM)]).contains("`tls: enable` is required"));
    }
}
