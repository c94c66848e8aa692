//! Tokens for SASL OAUTHBEARER: client credentials against a token endpoint (RFC 6749,
//! section 4.4), as connections are opened.

use std::time::Duration;

use reqwest::Certificate;
use serde::Deserialize;
use tokio::{sync::Mutex, time::Instant};

use super::sasl::OAuth;
use crate::{
    error::{Error, Kind, Result},
    trigger::values::Secret,
};

/// How long the endpoint may take.
const LIMIT: Duration = Duration::from_secs(5);
/// A token that does not say how long it is good for is asked anew after some minutes.
const LIFETIME: Duration = Duration::from_secs(300);
/// The part of its lifetime for which a token is shown.
const RENEW_AFTER: f64 = 0.8;

/// What a token endpoint answers.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: Option<u64>,
}

/// What it answers otherwise (RFC 6749, section 5.2).
#[derive(Deserialize)]
struct Refused {
    error: String,
    error_description: Option<String>,
}

/// Tokens for all connections to a cluster.
pub struct Tokens {
    endpoint: Endpoint,
    granted: Mutex<Option<Token>>,
}

/// A token while it is good.
struct Token {
    text: Secret,
    renew_at: Instant,
}

impl Tokens {
    /// `ca`, the brokers' authority, may be the endpoint's as well.
    pub fn new(oauth: OAuth, ca: Option<String>) -> Result<Self> {
        let endpoint = Endpoint {
            http: http(ca)?,
            oauth,
        };
        Ok(Tokens {
            endpoint,
            granted: Mutex::default(),
        })
    }

    /// A token that is good for a while; why there is none, with the endpoint's name.
    pub async fn token(&self) -> Result<Secret, String> {
        // Whoever comes meanwhile gets the same.
        let mut granted = self.granted.lock().await;
        match &*granted {
            Some(token) if Instant::now() < token.renew_at => Ok(token.text.clone()),
            _ => {
                let (text, lifetime) = self.endpoint.token().await?;
                let renew_at = Instant::now() + lifetime.mul_f64(RENEW_AFTER);
                let text = Secret::from(text.as_str());
                *granted = Some(Token {
                    text: text.clone(),
                    renew_at,
                });
                Ok(text)
            }
        }
    }

    /// What the broker wants to know besides.
    pub fn extensions(&self) -> &[(String, String)] {
        &self.endpoint.oauth.extensions
    }
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
        let scope = scopes.join(" ");
        let mut form = vec![("grant_type", "client_credentials")];
        if !scope.is_empty() {
            form.push(("scope", &scope));
        }
        let request = self.http.post(endpoint).form(&form);
        let request = request.basic_auth(client_id, Some(client_secret.expose()));
        let failed = |error: reqwest::Error| {
            // Without the URL, which is told once, and with the cause, which reqwest leaves out.
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
        if !status.is_success() {
            let refused = response.json::<Refused>().await;
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
        let granted = response.json::<Granted>().await.map_err(failed)?;
        let lifetime = granted.expires_in.map_or(LIFETIME, Duration::from_secs);
        Ok((granted.access_token, lifetime))
    }
}
