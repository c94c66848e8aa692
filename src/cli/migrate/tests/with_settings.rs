//! What becomes of triggers where the server's settings are known.

use super::*;
use crate::settings::{self, Settings};

pub fn settings(yaml: &str) -> Settings {
    let read = settings::load_text(Some(("settings.yaml", yaml)), []);
    read.unwrap_or_else(|wrong| panic!("{}: {}", wrong.path, wrong.reason))
}

/// The migration of texts for a server with these settings, and what is said of it.
async fn with(yaml: &str, kubernetes: bool, texts: &[&str]) -> (Migration, String) {
    let server = settings(yaml);
    let files: Vec<File> = texts.iter().map(|text| File::new("f", *text)).collect();
    let checker = Checker::of(&server).expect("starts");
    let options = Options {
        kubernetes,
        server: Some(server),
        ..options()
    };
    let migration = migrate(&files, &options, &checker);
    let said = report::text(&files, &migration);
    (migration, said)
}

const CONNECTIONS: &str = "connections:\n  \
    orders: {backend: redis, namespaces: [shop], address: \"r:6379\", databaseIndex: 2, username: app, \
    passwordFromFile: /secrets/orders/pw}\n  \
    other: {backend: redis, namespaces: [shop], address: \"other:6379\", passwordFromFile: /secrets/x}\n";

const REDIS: &str = "    - type: redis\n      metadata:\n        address: r:6379\n        \
    databaseIndex: \"2\"\n        listName: jobs\n      AUTH\n";

#[tokio::test]
async fn a_connection_that_there_is_takes_the_place_of_an_authentication() {
    let text = authenticated(REDIS);
    let (migration, said) = with(CONNECTIONS, false, &[&text, AUTHENTICATION]).await;
    let after = &migration.files[0].text;
    let expected = "        backend: redis\n        connection: orders\n        listName: jobs\n";
    assert!(after.contains(expected), "{after}");
    assert_eq!(migration.settings.yaml(), "");
    is_clean(CONNECTIONS, after);
    for line in [
        "    address: is now of the named connection\n",
        "    databaseIndex: is now of the named connection\n",
        "connection: `orders` of the settings has this address and login; that password, username is the \
         same cannot be seen here\n",
    ] {
        assert!(said.contains(line), "{line}{said}");
    }
}

#[tokio::test]
async fn another_address_database_or_login_is_another_connection() {
    for (from, to) in [
        ("r:6379", "s:6379"),
        ("databaseIndex: \"2\"", "databaseIndex: \"3\""),
        (
            "databaseIndex: \"2\"\n",
            "databaseIndex: \"2\"\n        sentinelMaster: m\n",
        ),
    ] {
        let text = authenticated(REDIS).replace(from, to);
        let text = match to.contains("sentinel") {
            true => text.replace("type: redis\n", "type: redis-sentinel\n"),
            false => text,
        };
        let (migration, said) = with(CONNECTIONS, false, &[&text, AUTHENTICATION]).await;
        let after = &migration.files[0].text;
        // It is new, and a server that gets it knows it.
        assert!(
            after.contains("        connection: shop-auth\n"),
            "{said}\n{after}"
        );
        let yaml = migration.settings.yaml();
        assert!(yaml.starts_with("connections:\n  shop-auth:"), "{yaml}");
        assert!(!yaml.contains("orders"), "{yaml}");
    }
    // A name that is taken is not given again.
    let taken = CONNECTIONS.replace("other:", "shop-auth:");
    let text = authenticated(REDIS).replace("r:6379", "s:6379");
    let (migration, _) = with(&taken, false, &[&text, AUTHENTICATION]).await;
    let after = &migration.files[0].text;
    assert!(
        after.contains("        connection: shop-auth-2\n"),
        "{after}"
    );
}

#[tokio::test]
async fn a_connection_of_another_namespace_is_named_and_refused() {
    let elsewhere = CONNECTIONS.replace("namespaces: [shop]", "namespaces: [mail]");
    let text = authenticated(REDIS);
    let (migration, said) = with(&elsewhere, false, &[&text, AUTHENTICATION]).await;
    assert_eq!(migration.files[0].text, text);
    assert!(
        said.contains("`orders` may not be used by namespace shop"),
        "{said}"
    );
    assert!(said.contains("connections.orders.namespaces"), "{said}");
}

#[tokio::test]
async fn where_inline_connections_are_off_one_that_there_is_serves() {
    let open = "connections:\n  open: {backend: redis, namespaces: [shop], address: \"r:6379\"}\n";
    let denied = format!("engine: {{inlineConnections: deny}}\n{open}");
    let trigger =
        "    - type: redis\n      metadata:\n        address: r:6379\n        listName: jobs\n";
    let text = object(trigger);
    let (migration, said) = with(&denied, true, &[&text]).await;
    let after = &migration.files[0].text;
    assert!(
        after.contains("        connection: open\n        listName: jobs\n"),
        "{after}"
    );
    assert!(said.contains("has this address and login\n"), "{said}");
    // Where they are on, the trigger keeps its address.
    let (migration, _) = with(open, true, &[&text]).await;
    assert!(
        migration.files[0]
            .text
            .contains("        address: r:6379\n")
    );
    // Without one, it cannot move.
    let other = text.replace("r:6379", "s:6379");
    let (migration, said) = with(&denied, true, &[&other]).await;
    assert_eq!(migration.files[0].text, other);
    assert!(said.contains("0 triggers moved, 1 cannot"), "{said}");
}

#[tokio::test]
async fn a_server_with_tls_is_called_with_tls() {
    let tls = "listen: {tls: {certFile: /tls/tls.crt, keyFile: /tls/tls.key}}\n";
    let text = object(
        "    - type: redis\n      metadata:\n        address: r:6379\n        enableTLS: \"true\"\n        \
         listName: jobs\n    - type: temporal\n      metadata: {endpoint: 't:7233', taskQueue: q, enableTLS: 'false'}\n",
    );
    let (migration, said) = with(tls, true, &[&text]).await;
    let after = &migration.files[0].text;
    let ours = "        scalerAddress: backlog-scaler.keda.svc:9090\n        backend: redis\n        \
                enableTLS: \"true\"\n        address: r:6379\n        tls: \"enable\"\n";
    assert!(after.contains(ours), "{said}\n{after}");
    assert!(
        after.contains("backend: temporal, enableTLS: \"true\", endpoint: 't:7233'"),
        "{after}"
    );
    let note = "enableTLS: added, as the settings have listen.tls; KEDA takes caCert from";
    assert_eq!(said.matches(note).count(), 2, "{said}");

    // KEDA's certificates come by the authentication, whoever reads the login.
    let (migration, said) = with(
        &format!("{tls}{CONNECTIONS}"),
        false,
        &[&authenticated(REDIS), AUTHENTICATION],
    )
    .await;
    assert!(
        migration.files[0]
            .text
            .contains("authenticationRef: {name: auth}"),
        "{said}"
    );
    assert!(
        said.contains("authenticationRef: backlog-scaler reads it no longer; KEDA does for caCert"),
        "{said}"
    );

    // What was in the way without TLS is what it needs.
    let mutual = tls.replace("keyFile", "clientCaFile: /tls/ca.crt, keyFile");
    let authentication = AUTHENTICATION.replace(
        "  env:",
        "  - {parameter: caCert, name: hop, key: ca}\n  env:",
    );
    let text = authenticated(REDIS);
    let on = format!("{mutual}kubernetes: {{enabled: true}}\n");
    let (migration, said) = with(&on, true, &[&text, &authentication]).await;
    assert!(said.contains("1 trigger moved, 0 cannot"), "{said}");
    assert!(
        said.contains("KEDA takes tlsClientCert, tlsClientKey from"),
        "{said}"
    );
    // It is on already.
    assert_eq!(migration.settings.yaml(), "");
    let (_, said) = with(
        "kubernetes: {enabled: true}\n",
        true,
        &[&text, &authentication],
    )
    .await;
    assert!(
        said.contains("has caCert, with which KEDA would speak TLS"),
        "{said}"
    );
}

#[tokio::test]
async fn settings_that_there_are_are_not_printed_again() {
    let text = object(REDIS).replace(
        "AUTH",
        "authenticationRef: {name: all, kind: ClusterTriggerAuthentication}",
    );
    let servers = |list: &str| {
        format!("kubernetes: {{enabled: true, clusterAuthenticationServers: {{all: [{list}]}}}}\n")
    };
    let (migration, said) = with(&servers("\"r:6379\""), true, &[&text]).await;
    assert_eq!(migration.settings.yaml(), "", "{said}");
    let (migration, _) = with(&servers("\"s:6379\""), true, &[&text]).await;
    let needed = "kubernetes:\n  clusterAuthenticationServers:\n    \"all\": [\"r:6379\"]\n";
    assert_eq!(migration.settings.yaml(), needed);
}
