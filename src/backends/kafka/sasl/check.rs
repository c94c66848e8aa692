//! The keys of all mechanisms, and KEDA's checks between them.

use super::{AwsKeys, KerberosKeys, OAuth, Sasl, SaslKind, TokenProvider};
use crate::metadata::{
    problem::{Problem, Problems},
    values::{NameList, Secret},
};

/// The keys of all mechanisms, as given.
pub struct SaslKeys {
    pub kind: SaslKind,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub token_provider: TokenProvider,
    pub scopes: Option<NameList>,
    pub token_endpoint: Option<String>,
    pub extensions: Option<NameList>,
    pub kerberos: KerberosKeys,
    pub aws: AwsKeys,
}

impl SaslKeys {
    /// Checks the keys against each other, as KEDA's `parseSASL` does; what the mechanism does not
    /// use is an error rather than ignored, as it most often means that `sasl` was forgotten.
    pub fn check(self) -> Result<Option<Sasl>, Problems> {
        self.only_of_the_mechanism().into_result()?;
        let msk = matches!(self.token_provider, TokenProvider::AwsMskIam);
        let password = |mechanism, keys: SaslKeys| {
            let (username, password) = keys.credentials()?;
            Ok(Some(Sasl::Password {
                mechanism,
                username,
                password,
            }))
        };
        match self.kind {
            SaslKind::None => Ok(None),
            SaslKind::Plaintext => password("PLAIN", self),
            SaslKind::ScramSha256 => password("SCRAM-SHA-256", self),
            SaslKind::ScramSha512 => password("SCRAM-SHA-512", self),
            SaslKind::OAuthBearer if !msk => self.oauth().map(Some),
            SaslKind::OAuthBearer => self.aws.check("saslTokenProvider").map(Some),
            SaslKind::AwsMskIam => self.aws.check("sasl").map(Some),
            SaslKind::Gssapi => self.kerberos.check(self.username, self.password).map(Some),
        }
    }

    fn credentials(self) -> Result<(String, Secret), Problems> {
        let required = |key: &str| {
            let reason = format!("is required with `sasl: {}`", self.kind);
            Problem::key(key, reason)
        };
        match (self.username.clone(), self.password.clone()) {
            (Some(username), Some(password)) => Ok((username, password)),
            (username, password) => {
                let missing = [
                    ("username", username.is_none()),
                    ("password", password.is_none()),
                ];
                let missing = missing.into_iter().filter(|(_, missing)| *missing);
                Err(Problems(missing.map(|(key, _)| required(key)).collect()))
            }
        }
    }

    fn oauth(mut self) -> Result<Sasl, Problems> {
        let Some(endpoint) = self.token_endpoint.take() else {
            let reason = "is required with `sasl: oauthbearer`";
            return Err(Problem::key("oauthTokenEndpointUri", reason).into());
        };
        let scopes = self.scopes.take().unwrap_or_default().0;
        let mut extensions = Vec::new();
        for extension in self.extensions.take().unwrap_or_default().0 {
            match extension.split_once('=') {
                Some((key, value)) if !key.is_empty() && !value.contains('=') => {
                    extensions.push((key.to_owned(), value.to_owned()));
                }
                _ => {
                    let reason = "must be key=value, comma-separated";
                    return Err(Problem::value("oauthExtensions", extension, reason).into());
                }
            }
        }
        let (client_id, client_secret) = self.credentials()?;
        let oauth = OAuth {
            endpoint,
            client_id,
            client_secret,
            scopes,
            extensions,
        };
        oauth.server()?;
        Ok(Sasl::OAuth(oauth))
    }

    /// Keys that are given and belong to another mechanism.
    fn only_of_the_mechanism(&self) -> Problems {
        use SaslKind::{AwsMskIam, Gssapi, None, OAuthBearer};
        let kind = self.kind;
        let mut foreign = vec![
            (
                "username",
                self.username.is_some(),
                matches!(kind, None | AwsMskIam),
            ),
            (
                "password",
                self.password.is_some(),
                matches!(kind, None | AwsMskIam),
            ),
        ];
        let oauth = [
            ("scopes", self.scopes.is_some()),
            ("oauthTokenEndpointUri", self.token_endpoint.is_some()),
            ("oauthExtensions", self.extensions.is_some()),
        ];
        foreign.extend(oauth.map(|(key, given)| (key, given, kind != OAuthBearer)));
        let kerberos = self.kerberos.given();
        foreign.extend(kerberos.map(|(key, given)| (key, given, kind != Gssapi)));
        let no_aws = !matches!(kind, OAuthBearer | AwsMskIam);
        foreign.extend(self.aws.given().map(|(key, given)| (key, given, no_aws)));
        let foreign = foreign
            .into_iter()
            .filter(|(_, given, other)| *given && *other);
        Problems(
            foreign
                .map(|(key, ..)| Problem::key(key, format!("is not used with `sasl: {kind}`")))
                .collect(),
        )
    }
}
