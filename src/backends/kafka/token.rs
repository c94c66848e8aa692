//! Tokens for SASL OAUTHBEARER: client credentials against a token endpoint (RFC 6749,
//! section 4.4), each time that librdkafka wants one.

use std::{
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use reqwest::Certificate;
use serde::Deserialize;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{health::Health, native::Handle, sasl::OAuth};
use crate::error::{Error, Kind, Result};

/// How long the endpoint may take.
const LIMIT: Duration = Duration::from_secs(5);
/// A token that does not say how long it is good for is asked anew after some minutes.
const LIFETIME: Duration = Duration::from_secs(300);

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

/// Starts a task that answers librdkafka's wishes for tokens until the guard is dropped. `ca`, the
/// brokers' authority, may be the endpoint's as well.
pub fn supply(
    oauth: OAuth,
    ca: Option<String>,
    handle: &Arc<Handle>,
    health: &Arc<Health>,
) -> Result<DropGuard> {
    let endpoint = Endpoint {
        http: http(ca)?,
        oauth,
    };
    let (handle, health) = (Arc::downgrade(handle), health.clone());
    let ended = CancellationToken::new();
    let task = async move {
        loop {
            health.token_wanted().await;
            let token = endpoint.token().await;
            let Some(handle) = Weak::upgrade(&handle) else {
                return;
            };
            let set = token.and_then(|(token, expires)| {
                let OAuth {
                    client_id,
                    extensions,
                    ..
                } = &endpoint.oauth;
                handle.set_token(&token, client_id, expires, extensions)
            });
            if let Err(reason) = set {
                handle.set_token_failure(&reason);
            }
        }
    };
    tokio::spawn(ended.clone().run_until_cancelled_owned(task));
    Ok(ended.drop_guard())
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
    /// A token, and when it expires, in milliseconds since the Unix epoch.
    async fn token(&self) -> Result<(String, i64), String> {
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
        let expires = SystemTime::now() + lifetime;
        let expires = expires
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Ok((granted.access_token, expires.as_millis() as i64))
    }
}
