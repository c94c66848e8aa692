//! How the API server is connected to: the kubeconfig or the ServiceAccount, and the HTTP client.

use std::{path::Path, time::Duration};

use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use kube::{
    Client, Config,
    client::{AuthError, ConfigExt as _},
    config::{KubeConfigOptions, Kubeconfig},
};
use rustls::pki_types::ServerName;
use tower::{BoxError, ServiceBuilder};

use super::{kubeconfig, options::Options, requests::CountRequests};
use crate::{
    error::{Error, Kind, Result},
    telemetry::KubernetesMetrics,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that is dead is noticed by its pings.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a pod's access is from.
pub(super) const POD: &str = "the ServiceAccount of this pod";

/// How to reach an API server, and with whose rights.
#[derive(Clone)]
pub struct Access {
    config: Config,
    /// Where that is written.
    place: String,
}

impl Access {
    /// As the settings say.
    pub async fn of(options: &Options) -> Result<Self> {
        let place = match &options.kubeconfig {
            Some(path) => path.display().to_string(),
            None => POD.to_owned(),
        };
        let config = config(options).await?;
        Ok(Access { config, place })
    }

    /// As kubectl: a file, or what `KUBECONFIG` names, or `~/.kube/config`; in a pod without any of
    /// them, its ServiceAccount.
    pub async fn of_kubectl(file: Option<&Path>, context: Option<&str>) -> Result<Self> {
        let (config, place) = kubeconfig::config(file, context).await?;
        Ok(Access { config, place })
    }

    /// The namespace of the context, or of the pod.
    pub fn namespace(&self) -> &str {
        &self.config.default_namespace
    }

    /// Which API server it is, and where that is written, for people.
    pub fn name(&self) -> String {
        let server = self.config.cluster_url.to_string();
        format!("{}, {}", self.place, server.trim_end_matches('/'))
    }

    pub(super) fn into_config(self) -> Config {
        self.config
    }
}

/// What the settings, the kubeconfig or the pod say.
async fn config(options: &Options) -> Result<Config> {
    let selected = KubeConfigOptions {
        context: options.context.clone(),
        ..Default::default()
    };
    let config = match &options.kubeconfig {
        Some(path) => {
            let invalid = |reason: String| {
                let what = format!("kubernetes.kubeconfig: {}: {reason}", path.display());
                Error::new(Kind::Invalid, what, "")
            };
            // The text of its error may have what is in the file.
            let read = Kubeconfig::read_from(path)
                .map_err(|_| invalid("cannot be read, or is not a kubeconfig".to_owned()))?;
            Config::from_custom_kubeconfig(read, &selected)
                .await
                .map_err(|error| invalid(error.to_string()))?
        }
        None => Config::incluster().map_err(|error| {
            Error::new(
                Kind::Invalid,
                format!("kubernetes: this is not a pod with a ServiceAccount ({error})"),
                "Outside of a cluster, give kubernetes.kubeconfig.",
            )
        })?,
    };
    without_proxy(config, "kubernetes.kubeconfig")
}

/// The configuration, if it needs no proxy. `place` is where it was written.
pub(super) fn without_proxy(config: Config, place: &str) -> Result<Config> {
    match config.proxy_url {
        None => Ok(config),
        Some(_) => Err(Error::new(
            Kind::Invalid,
            format!("{place}: `proxy-url` is not supported"),
            "Give the API server's own address.",
        )),
    }
}

/// A client with its own connection: HTTP/2 where the API server speaks it, as it does by default.
pub fn client(config: &Config, metrics: &KubernetesMetrics) -> Result<Client> {
    let invalid = |error: kube::Error| {
        let reason = match &error {
            // Its own text has the plug-in's output, which may be a token.
            kube::Error::Auth(AuthError::AuthExecRun { out, .. }) => {
                format!("the credential plug-in has failed ({})", out.status)
            }
            error => error.to_string(),
        };
        let what = format!("kubernetes: the API server's TLS or credentials: {reason}");
        Error::new(Kind::Invalid, what, "")
    };
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let mut tls = HttpsConnectorBuilder::new()
        .with_tls_config(config.rustls_client_config().map_err(invalid)?)
        .https_or_http();
    if let Some(name) = &config.tls_server_name {
        let name = ServerName::try_from(name.clone()).map_err(|_| {
            let what =
                format!("kubernetes.kubeconfig: tls-server-name `{name}` is not a server name");
            Error::new(Kind::Invalid, what, "")
        })?;
        tls = tls.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    let connector = tls.enable_http1().enable_http2().wrap_connector(http);
    let http = HttpClient::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http2_keep_alive_interval(PING_EVERY)
        .http2_keep_alive_timeout(PING_TIMEOUT)
        .build(connector);
    let stack = ServiceBuilder::new()
        .layer(CountRequests(metrics.clone()))
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer().map_err(invalid)?)
        .layer(config.extra_headers_layer().map_err(invalid)?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(stack, config.default_namespace.clone()))
}
