//! A client of a server's `/api/v1`, which `docs/reference/api.md` describes.

use std::{fs, path::PathBuf, time::Duration};

use clap::Args;
use reqwest::{Certificate, StatusCode, Url};
use serde::de::DeserializeOwned;

use super::response::{Detail, Failure, Trigger, Triggers};
use crate::{
    cli::to_stderr,
    error::{Error, Kind, Result},
    metadata::values::Secret,
};

/// Where the server is, and how to be let in.
#[derive(Args)]
pub struct Server {
    /// Read what a running server knows, at its admin address: http://127.0.0.1:9091.
    // Options of other commands refer to it by this name.
    #[arg(id = "address", long = "server", value_name = "URL", value_parser = base, conflicts_with = "config")]
    url: Option<Url>,

    /// With --server: a file with the token of its listen.adminTokenFile; or the variable
    /// BACKLOG_SCALER_ADMIN_TOKEN.
    #[arg(long, value_name = "FILE", requires = "address")]
    token_file: Option<PathBuf>,

    /// With --server: trust only this CA (PEM).
    #[arg(long, value_name = "FILE", requires = "address")]
    ca_cert: Option<PathBuf>,
}

/// The variable of the token, for those who have no file.
const TOKEN: &str = "BACKLOG_SCALER_ADMIN_TOKEN";

/// How long a request may take.
const LIMIT: Duration = Duration::from_secs(10);

/// A longer response is refused. A page of a thousand triggers has about one megabyte.
const LARGEST: usize = 16 << 20;

/// An open client.
pub struct Api {
    http: reqwest::Client,
    base: Url,
    token: Option<Token>,
}

enum Token {
    /// Read at each request, as the server does, so that it can be changed.
    File(PathBuf),
    Given(Secret),
}

/// The address of an admin listener, perhaps with a path before `/api/v1`.
fn base(text: &str) -> Result<Url, String> {
    const EXPECTED: &str = "expected as http://127.0.0.1:9091 or https://scaler.example:9091";
    let url = Url::parse(text).map_err(|error| format!("{error}; {EXPECTED}"))?;
    let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
    let is_bare = url.query().is_none() && url.fragment().is_none();
    match (is_http, is_bare) {
        _ if url.password().is_some() || !url.username().is_empty() => Err(format!(
            "a login is not part of it: use --token-file, or the variable {TOKEN}"
        )),
        (true, true) => Ok(url),
        _ => Err(EXPECTED.to_owned()),
    }
}

impl Server {
    /// The client; `None`: no server is given.
    pub fn open(&self) -> Result<Option<Api>> {
        let Some(base) = self.url.clone() else {
            return Ok(None);
        };
        // A second one is an error, and means the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut http = reqwest::Client::builder()
            .timeout(LIMIT)
            // The token is for this server alone.
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(&base) {
            // No proxy of the environment leads here.
            http = http.no_proxy();
        }
        if let Some(path) = &self.ca_cert {
            let name = format!("--ca-cert {}", path.display());
            let pem = fs::read(path).map_err(|error| invalid(format!("{name}: {error}"), ""))?;
            let next = "It must be PEM.";
            let certificates = Certificate::from_pem_bundle(&pem);
            let certificates =
                certificates.map_err(|error| invalid(format!("{name}: {error}"), next))?;
            if certificates.is_empty() {
                return Err(invalid(format!("{name}: has no certificate"), next));
            }
            http = http.tls_certs_only(certificates);
        }
        let token = match &self.token_file {
            Some(path) => Some(Token::File(path.clone())),
            None => match std::env::var(TOKEN) {
                Ok(token) if !token.trim().is_empty() => Some(Token::Given(token.trim().into())),
                _ => None,
            },
        };
        if token.is_some() && base.scheme() == "http" && !is_loopback(&base) {
            let note = format!("the token goes to {base} without TLS, and can be read on the way");
            to_stderr("warning", note);
        }
        let http = http.build();
        let http = http.map_err(|error| invalid(format!("--server: {}", causes(&error)), ""))?;
        Ok(Some(Api { http, base, token }))
    }
}

impl Api {
    /// Triggers whose namespace is this, and that have this name in something.
    pub async fn triggers(&self, namespace: &str, name: &str) -> Result<Vec<Trigger>> {
        let query = [("namespace", namespace), ("q", name), ("perPage", "1000")];
        let found: Triggers = self.get(&["triggers"], &query).await?;
        Ok(found.triggers)
    }

    /// One trigger.
    pub async fn trigger(&self, id: &str) -> Result<Trigger> {
        let found: Detail = self.get(&["triggers", id], &[]).await?;
        Ok(found.trigger)
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> Result<T> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let token = self.token()?;
        let mut request = self.http.get(url);
        if let Some(token) = &token {
            request = request.bearer_auth(token.expose());
        }
        let response = request.send().await.map_err(|error| self.failed(error))?;
        let status = response.status();
        let body = self.body(response).await?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| {
                let next = "Is it the admin address of backlog-scaler, of this version or newer?";
                self.error(
                    Kind::Unreadable,
                    format!("no response of /api/v1: {error}"),
                    next,
                )
            });
        }
        let said = serde_json::from_slice::<Failure>(&body);
        Err(match (status, said) {
            (StatusCode::UNAUTHORIZED, _) => {
                let what = match token {
                    Some(_) => "the token is refused",
                    None => "a token is required",
                };
                let next = format!(
                    "It is that of the server's listen.adminTokenFile: --token-file, or the variable {TOKEN}."
                );
                self.error(Kind::Unauthorized, what, &next)
            }
            (_, Ok(Failure { error })) => Error::from(error).at(&self.base),
            (status, Err(_)) => {
                let next = "Is it the admin address of backlog-scaler?";
                self.error(Kind::Unreadable, format!("responds {status}"), next)
            }
        })
    }

    fn token(&self) -> Result<Option<Secret>> {
        Ok(match &self.token {
            None => None,
            Some(Token::Given(token)) => Some(token.clone()),
            Some(Token::File(path)) => {
                let text = fs::read_to_string(path).map_err(|error| {
                    invalid(format!("--token-file {}: {error}", path.display()), "")
                })?;
                Some(text.trim().into())
            }
        })
    }

    async fn body(&self, mut response: reqwest::Response) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(error))? {
            if body.len() + chunk.len() > LARGEST {
                let what = format!("the response is longer than {LARGEST} bytes");
                let next = "Is it the admin address of backlog-scaler?";
                return Err(self.error(Kind::Unreadable, what, next));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn failed(&self, error: reqwest::Error) -> Error {
        let (kind, next) = match error.is_timeout() {
            true => (Kind::TimedOut, ""),
            false => (
                Kind::Unreachable,
                "--server is the server's listen.admin, such as http://127.0.0.1:9091.",
            ),
        };
        self.error(kind, causes(&error.without_url()), next)
    }

    fn error(&self, kind: Kind, what: impl Into<String>, next: &str) -> Error {
        Error::new(kind, what, next).at(&self.base)
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// An error with its causes, which reqwest leaves out.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

fn invalid(what: String, next: &str) -> Error {
    Error::new(Kind::Invalid, what, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_http_and_has_no_login() {
        for text in [
            "http://127.0.0.1:9091",
            "https://scaler.keda.svc:9091/",
            "http://[::1]:9091/scaler",
        ] {
            assert!(base(text).is_ok(), "{text}");
        }
        for (text, error) in [
            ("127.0.0.1:9091", "expected as http://"),
            ("localhost:9091", "expected as http://"),
            ("unix:/run/admin", "expected as http://"),
            ("http://127.0.0.1:9091/?q=x", "expected as http://"),
            ("http://me:hunter2@127.0.0.1:9091", "use --token-file"),
        ] {
            let found = base(text).unwrap_err();
            assert!(found.contains(error), "{text}: {found}");
            assert!(!found.contains("hunter2"));
        }
        let is_loopback = |text| super::is_loopback(&base(text).unwrap());
        assert!(is_loopback("http://localhost:1") && is_loopback("http://[::1]:1"));
        assert!(!is_loopback("http://10.0.0.1:1"));
    }
}
