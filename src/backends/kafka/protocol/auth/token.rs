//! Tokens for SASL OAUTHBEARER, as connections are opened: client credentials against a token
//! endpoint (RFC 6749, section 4.4), or signed for Amazon MSK.

#[cfg(feature = "aws-msk-iam")]
use std::time::SystemTime;
use std::{sync::Arc, time::Duration};

use reqwest::{
    Certificate,
    dns::{Addrs, Name, Resolve, Resolving},
};
use serde::Deserialize;
use tokio::{sync::Mutex, time::Instant};

#[cfg(feature = "aws-msk-iam")]
use crate::backends::kafka::sasl::{AwsIdentity, MskIam};
use crate::{
    backends::kafka::sasl::OAuth,
    error::{Error, Kind, Result},
    metadata::values::{HostPort, Secret},
    network::Network,
};

/// A response that is longer is cut, and so cannot be read: tokens have a few kilobytes.
const LARGEST_RESPONSE: usize = 64 << 10;

/// How long the endpoint may take.
const LIMIT: Duration = Duration::from_secs(5);
/// A token without a lifetime is requested again after some minutes.
const LIFETIME: Duration = Duration::from_secs(300);
/// The part of its lifetime for which a token is shown.
const RENEW_AFTER: f64 = 0.8;

/// The response of a token endpoint.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: Option<u64>,
}

/// Its error response (RFC 6749, section 5.2).
#[derive(Deserialize)]
struct Refused {
    error: String,
    error_description: Option<String>,
}

/// Tokens for all connections to a cluster.
pub struct Tokens {
    source: Source,
    granted: Mutex<Option<Token>>,
}

/// Where tokens come from.
enum Source {
    Endpoint(Endpoint),
    #[cfg(feature = "aws-msk-iam")]
    MskIam(MskIam),
}

/// A token while it is good.
struct Token {
    text: Secret,
    renew_at: Instant,
}

impl Tokens {
    fn of(source: Source) -> Self {
        Tokens {
            source,
            granted: Mutex::default(),
        }
    }

    /// Tokens of an endpoint. `ca`, the brokers' authority, may be the endpoint's as well.
    pub fn of_endpoint(oauth: OAuth, ca: Option<String>, network: &Network) -> Result<Self> {
        let endpoint = Endpoint::new(oauth, ca, network.clone())?;
        Ok(Tokens::of(Source::Endpoint(endpoint)))
    }

    /// Tokens signed with credentials of AWS.
    #[cfg(feature = "aws-msk-iam")]
    pub fn of_msk_iam(msk: MskIam) -> Self {
        Tokens::of(Source::MskIam(msk))
    }

    /// A token that is good for a while; or why there is none, and where.
    pub async fn token(&self) -> Result<Secret, String> {
        // Whoever comes meanwhile gets the same.
        let mut granted = self.granted.lock().await;
        match &*granted {
            Some(token) if Instant::now() < token.renew_at => Ok(token.text.clone()),
            _ => {
                let (text, lifetime) = match &self.source {
                    Source::Endpoint(endpoint) => endpoint.token().await?,
                    #[cfg(feature = "aws-msk-iam")]
                    Source::MskIam(msk) => sign_for_msk(msk).await?,
                };
                let text = Secret::from(text.as_str());
                *granted = Some(Token {
                    text: text.clone(),
                    renew_at: Instant::now() + lifetime.mul_f64(RENEW_AFTER),
                });
                Ok(text)
            }
        }
    }

    /// A broker refused the token: the next login requests another.
    pub async fn forget(&self) {
        *self.granted.lock().await = None;
    }

    /// What the broker wants to know besides.
    pub fn extensions(&self) -> &[(String, String)] {
        match &self.source {
            Source::Endpoint(endpoint) => &endpoint.oauth.extensions,
            #[cfg(feature = "aws-msk-iam")]
            Source::MskIam(_) => &[],
        }
    }
}

/// A token for Amazon MSK, and how long it is good for. Credentials of the process come from the
/// SDK's usual places: the environment, a web identity (IRSA), the pod's or the machine's role.
#[cfg(feature = "aws-msk-iam")]
async fn sign_for_msk(msk: &MskIam) -> Result<(String, Duration), String> {
    use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
    use aws_msk_iam_sasl_signer as signer;
    let region = aws_types::region::Region::new(msk.region.clone());
    let signed = match &msk.identity {
        AwsIdentity::Process => signer::generate_auth_token(region).await,
        AwsIdentity::Role(role) => {
            let session = "backlog-scaler".to_owned();
            signer::generate_auth_token_from_role(region, role.clone(), session).await
        }
        AwsIdentity::AccessKey {
            id,
            secret,
            session_token,
        } => {
            let session_token = session_token
                .as_ref()
                .map(|token| token.expose().to_owned());
            let key = Credentials::new(id, secret.expose(), session_token, None, "metadata");
            let key = SharedCredentialsProvider::new(key);
            signer::generate_auth_token_from_credentials_provider(region, key).await
        }
    };
    let (token, expires) =
        signed.map_err(|error| format!("signing with AWS credentials: {error}"))?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let expires = Duration::from_millis(u64::try_from(expires).unwrap_or_default());
    Ok((token, expires.saturating_sub(now.unwrap_or_default())))
}

fn http(ca: Option<String>, resolver: Resolver) -> Result<reqwest::Client> {
    let failed = |error: reqwest::Error| {
        let what = format!("the token endpoint's client: {error}");
        Error::new(Kind::Invalid, what, "Check ca: it must be PEM.")
    };
    let pem = ca.unwrap_or_default();
    let certificates = Certificate::from_pem_bundle(pem.as_bytes()).map_err(failed)?;
    let mut http = reqwest::Client::builder()
        .timeout(LIMIT)
        .redirect(reqwest::redirect::Policy::none())
        .tls_certs_merge(certificates);
    if resolver.network.is_restricted() {
        // A proxy of the environment would resolve the name by itself.
        http = http.no_proxy();
    }
    let http = http.dns_resolver(Arc::new(resolver));
    http.build().map_err(failed)
}

/// Resolves the endpoint's name to addresses that may be connected to.
#[derive(Clone)]
struct Resolver {
    network: Network,
    port: u16,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (network, host, port) = (self.network.clone(), name.as_str().to_owned(), self.port);
        Box::pin(async move {
            let addresses = network.resolve(&HostPort { host, port }).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

struct Endpoint {
    http: reqwest::Client,
    oauth: OAuth,
    server: HostPort,
    network: Network,
}

impl Endpoint {
    fn new(oauth: OAuth, ca: Option<String>, network: Network) -> Result<Self> {
        let server = oauth.server()?;
        let resolver = Resolver {
            network: network.clone(),
            port: server.port,
        };
        Ok(Endpoint {
            http: http(ca, resolver)?,
            oauth,
            server,
            network,
        })
    }

    /// A token, and how long it is good for.
    async fn token(&self) -> Result<(String, Duration), String> {
        let OAuth {
            endpoint,
            client_id,
            client_secret,
            scopes,
            ..
        } = &self.oauth;
        // The resolver is not used for an address in place of a name.
        let checked = self.network.resolve(&self.server).await;
        checked.map_err(|error| format!("token endpoint {endpoint}: {error}"))?;
        let scope = scopes.join(" ");
        let mut form = vec![("grant_type", "client_credentials")];
        if !scope.is_empty() {
            form.push(("scope", &scope));
        }
        let request = self.http.post(endpoint).form(&form);
        let request = request.basic_auth(client_id, Some(client_secret.expose()));
        let failed = |error: reqwest::Error| {
            // Without the URL, which is in the error already, and with the cause, which reqwest leaves out.
            let error = error.without_url();
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(inner) = cause {
                text = format!("{text}: {inner}");
                cause = inner.source();
            }
            format!("token endpoint {endpoint}: {text}")
        };
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let body = read_body(response).await.map_err(failed)?;
        if !status.is_success() {
            let refused = serde_json::from_slice::<Refused>(&body);
            let reason = refused.map(|refused| {
                let more = refused.error_description.unwrap_or_default();
                format!(" {} {more}", refused.error)
            });
            let reason = reason.unwrap_or_default();
            return Err(format!(
                "token endpoint {endpoint}: {status}{}",
                reason.trim_end()
            ));
        }
        // The parser's own error may quote the token.
        let granted = serde_json::from_slice::<Granted>(&body).map_err(|_| {
            format!(
                "token endpoint {endpoint}: the response is no JSON with `access_token` \
                 (RFC 6749, section 5.1), or longer than {LARGEST_RESPONSE} bytes"
            )
        })?;
        let lifetime = granted.expires_in.map_or(LIFETIME, Duration::from_secs);
        Ok((granted.access_token, lifetime))
    }
}

/// What came of the response, at most [`LARGEST_RESPONSE`] bytes.
async fn read_body(mut response: reqwest::Response) -> reqwest::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk[..chunk.len().min(LARGEST_RESPONSE - body.len())]);
        if body.len() == LARGEST_RESPONSE {
            break;
        }
    }
    Ok(body)
}
