//! What the tests of this module share.

use std::io::Write;

use super::*;
use crate::{network::Rules, telemetry::Telemetry};

/// A client whose API server never responds: nothing listens on the port.
pub(crate) async fn without_api_server(authentication: &str, servers: &[&str]) -> Kubernetes {
    // A second one is an error, and means the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let config = "apiVersion: v1\nkind: Config\n\
                  clusters: [{name: t, cluster: {server: \"http://127.0.0.1:1\"}}]\n\
                  users: [{name: t, user: {}}]\n\
                  contexts: [{name: t, context: {cluster: t, user: t}}]\n\
                  current-context: t\n";
    file.write_all(config.as_bytes()).unwrap();
    let servers: Vec<String> = servers.iter().map(|server| server.to_string()).collect();
    let rules = Rules::listed(&servers).unwrap();
    let options = Options {
        kubeconfig: Some(file.path().to_owned()),
        cluster_authentication_servers: [(authentication.to_owned(), rules)].into(),
        ..Options::default()
    };
    let started = Kubernetes::start(options, Telemetry::default().kubernetes()).await;
    started.unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn with_nothing_known_an_api_server_that_is_away_is_an_error() {
    let kubernetes = without_api_server("redis", &[]).await;
    let error = kubernetes
        .resolve("shop", "orders", &Default::default())
        .await;
    let error = error.expect_err("nothing is known");
    assert_eq!(error.kind(), crate::error::Kind::Unreachable);
    let text = error.to_string();
    assert!(text.contains("the API server cannot be reached"), "{text}");
}

#[tokio::test]
async fn a_namespace_that_is_not_watched_is_refused() {
    let mut kubernetes = without_api_server("redis", &[]).await;
    kubernetes.options.namespaces = vec!["mail".to_owned()];
    let error = kubernetes
        .resolve("shop", "orders", &Default::default())
        .await;
    let expected = "namespace shop is not among kubernetes.namespaces";
    assert!(
        error
            .expect_err("is refused")
            .to_string()
            .starts_with(expected)
    );
}

#[tokio::test]
async fn a_call_cannot_name_another_path() {
    let kubernetes = without_api_server("redis", &[]).await;
    let error = kubernetes
        .resolve("shop", "../x", &Default::default())
        .await;
    let error = error.expect_err("is refused").to_string();
    assert!(
        error.contains("`../x` is not a valid name of a ScaledObject"),
        "{error}"
    );
}

#[tokio::test]
async fn a_missing_kubeconfig_is_an_error_of_the_settings() {
    let options = Options {
        kubeconfig: Some("/nowhere/config".into()),
        ..Options::default()
    };
    let error = Kubernetes::start(options, Telemetry::default().kubernetes()).await;
    let error = error.err().unwrap().to_string();
    assert!(
        error.starts_with("kubernetes.kubeconfig: /nowhere/config:"),
        "{error}"
    );
}
