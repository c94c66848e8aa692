//! Kerberos. The library reads its realm from the environment of the process, so each login is a
//! process of its own.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use base64::{Engine, prelude::BASE64_STANDARD};

use testkit::{
    kafka::Kafka,
    kerberos::{self, CLIENT, Kdc},
    require,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_password_a_keytab_and_a_cache_log_in() {
    let kdc = kerberos::available();
    if !require(testkit::kafka::available(), "Kafka") || !require(kdc, "a Kerberos server") {
        return;
    }
    let kdc = Kdc::start().await;
    let kafka = Kafka::with_kerberos(&kdc).await;
    let kafka: &'static Kafka = Box::leak(Box::new(kafka));
    kafka.create_topic("tickets", 1).await;
    kafka.produce("tickets", 0, 6);
    kafka.commit("tickets", "tickets", &[(0, 2)]);
    let rights = [
        "--operation",
        "Describe",
        "--topic",
        "tickets",
        "--group",
        "tickets",
    ];
    kafka.grant("reader", &rights).await;

    let keytab = std::fs::read(kdc.keytab(CLIENT.0)).unwrap();
    let keytab = BASE64_STANDARD.encode(keytab);
    let cache = Path::new("/tmp/kerberos/ccache");
    std::fs::create_dir_all(cache).unwrap();
    let name = format!("backlog-scaler-{}", std::process::id());
    kdc.kinit(&cache.join(&name));
    for (what, proof) in [
        ("a password", format!("password: {}", CLIENT.1)),
        ("a keytab", format!("keytab: {keytab}")),
    ] {
        let seen = probe(&kdc, &login(kafka, "reader", &proof), None);
        assert!(seen.contains("\"value\": 4"), "{what}: {seen}");
    }
    // Tickets that somebody else renews are for connections of the settings.
    let proof = format!("ccacheName: {name}");
    let seen = probe(&kdc, &login(kafka, "reader", &proof), None);
    let refused = "ccacheName: uses credentials of this server's own process";
    assert!(seen.contains(refused), "{seen}");
    let settings = format!(
        "connections: {{tickets: {{backend: kafka, {}}}}}",
        login(kafka, "reader", &proof)
    );
    let seen = probe(&kdc, "connection: tickets", Some(&settings));
    assert!(seen.contains("\"value\": 4"), "a cache: {seen}");
    std::fs::remove_file(cache.join(&name)).unwrap();

    for (what, user, proof) in [
        ("a wrong password", "reader", "password: wr0ng".to_owned()),
        ("another's keytab", "writer", format!("keytab: {keytab}")),
    ] {
        let seen = probe(&kdc, &login(kafka, user, &proof), None);
        let failed = format!("authentication of user {user}@TEST.EXAMPLE failed: Kerberos");
        assert!(seen.contains(&failed), "{what}: {seen}");
        assert!(
            !seen.contains("wr0ng") && !seen.contains(&keytab),
            "{what}: {seen}"
        );
    }
}

/// The keys of a connection.
fn login(kafka: &Kafka, user: &str, proof: &str) -> String {
    format!(
        "bootstrapServers: '{}', tls: enable, tlsSkipVerify: 'true', sasl: gssapi, \
         username: {user}, realm: TEST.EXAMPLE, {proof}",
        kafka.sasl_ssl()
    )
}

fn probe(kdc: &Kdc, connection: &str, settings: Option<&str>) -> String {
    let manifest = format!(
        "{{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {{name: tickets}}, \
         spec: {{triggers: [{{type: external, metadata: {{backend: kafka, \
         consumerGroup: tickets, topic: tickets, {connection}}}}}]}}}}",
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_backlog-scaler"));
    if let Some(settings) = settings {
        std::fs::write(file.path(), settings).unwrap();
        command.arg("probe").arg("--config").arg(file.path());
    } else {
        command.arg("probe");
    }
    let mut probe = command
        .args(["-", "--output", "json"])
        .env("KRB5_CONFIG", kdc.config())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    probe
        .stdin
        .take()
        .unwrap()
        .write_all(manifest.as_bytes())
        .unwrap();
    String::from_utf8(probe.wait_with_output().unwrap().stdout).unwrap()
}
