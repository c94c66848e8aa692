//! Tokens for SASL OAUTHBEARER, as connections are opened: client credentials against a token
//! endpoint (RFC 6749, section 4.4), or signed for Amazon MSK.

use std::time::Duration;
#[cfg(feature = "aws-msk-iam")]
use std::time::SystemTime;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::Certificate;
use serde::Deserialize;
use tokio::{sync::Mutex, time::Instant};

use crate::{
    backends::kafka::sasl::OAuth,
    error::{Error, Kind, Result},
    metadata::values::{Secret, without_login},
};

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
    MskIam {
        region: String,
    },
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
    pub fn of_endpoint(oauth: OAuth, ca: Option<String>) -> Result<Self> {
        let http = http(ca)?;
        Ok(Tokens::of(Source::Endpoint(Endpoint { http, oauth })))
    }

    /// Tokens signed with the AWS credentials of this process.
    #[cfg(feature = "aws-msk-iam")]
    pub fn of_msk_iam(region: String) -> Self {
        Tokens::of(Source::MskIam { region })
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
                    Source::MskIam { region } => sign_for_msk(region).await?,
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
            Source::MskIam { .. } => &[],
        }
    }
}

/// A token for Amazon MSK, and how long it is good for. Credentials come from the SDK's usual
/// places: the environment, a web identity (IRSA), the pod's or the machine's role.
#[cfg(feature = "aws-msk-iam")]
async fn sign_for_msk(region: &str) -> Result<(String, Duration), String> {
    let region = aws_types::region::Region::new(region.to_owned());
    let signed = aws_msk_iam_sasl_signer::generate_auth_token(region).await;
    let (token, expires) =
        signed.map_err(|error| format!("signing with AWS credentials: {error}"))?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let expires = Duration::from_millis(u64::try_from(expires).unwrap_or_default());
    Ok((token, expires.saturating_sub(now.unwrap_or_default())))
}

fn http(ca: Option<String>) -> Result<reqwest::Client> {
    let failed = |error: reqwest::Error| {
        let what = format!("the token endpoint's client: {error}");
        Error::new(Kind::Invalid, what, "Check ca: it must be PEM.")
    };
    let pem = ca.unwrap_or_default();
    let certificates = Certificate::from_pem_bundle(pem.as_bytes()).map_err(failed)?;
    let http = reqwest::Client::builder()
        .timeout(LIMIT)
        .redirect(reqwest::redirect::Policy::none())
        .tls_certs_merge(certificates);
    http.build().map_err(failed)
}

struct Endpoint {
    http: reqwest::Client,
    oauth: OAuth,
}

impl Endpoint {
    /// A token, and how long it is good for.
    async fn token(&self) -> Result<(String, Duration), String> {
        let OAuth {
            endpoint,
            client_id,
            client_secret,
            scopes,
            ..
        } = &self.oauth;
        let shown = without_login(endpoint);
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
            format!("token endpoint {shown}: {text}")
        };
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        if !status.is_success() {
            let refused = response.json::<Refused>().await;
            let reason = refused.map(|refused| {
                let more = refused.error_description.unwrap_or_default();
                format!(" {} {more}", refused.error)
            });
            // Some endpoints repeat the request, with the credentials as HTTP carries them.
            let basic = BASE64_STANDARD.encode(format!("{client_id}:{}", client_secret.expose()));
            let reason = client_secret.hidden_in(&reason.unwrap_or_default());
            let reason = Secret::from(basic.as_str()).hidden_in(&reason);
            return Err(format!(
                "token endpoint {shown}: {status}{}",
                reason.trim_end()
            ));
        }
        let granted = response.json::<Granted>().await.map_err(failed)?;
        let lifetime = granted.expires_in.map_or(LIFETIME, Duration::from_secs);
        Ok((granted.access_token, lifetime))
    }
}
