//! TLS with client certificates between KEDA and the scaler, and new ones meanwhile.

use std::{fs, path::Path, process::Command, time::Duration};

use serde_json::json;
use testkit::{
    certs::{Certs, Identity},
    process,
    redis::Redis,
};

use super::{
    SOON, needs_cluster,
    objects::{Namespace, ScaledObject, list},
    program::{self, Program},
    timeline::Timeline,
};

/// The server looks at its files every 10 s.
const RELOADED: Duration = Duration::from_secs(12);

#[tokio::test]
async fn certificates_of_both_sides_are_replaced_while_replicas_are_held() {
    let cluster = needs_cluster!();
    let namespace = Namespace::new(cluster, "tls");
    let (redis, dir) = (Redis::start().await, process::directory());
    let folders = ["old", "new", "tls"].map(|name| dir.path().join(name));
    for folder in &folders {
        fs::create_dir(folder).unwrap();
    }
    let (old, new) = (Certs::generate(&folders[0]), Certs::generate(&folders[1]));
    let both = format!("{}{}", old.ca.text, new.ca.text);
    let files = &folders[2];
    write_files(files, &old.ca.text, &old.server);
    let settings = format!(
        "listen: {{connectionMaxAge: 5s, tls: {{certFile: \"{0}/tls.crt\", keyFile: \"{0}/tls.key\", \
         clientCaFile: \"{0}/ca.crt\", clientNames: [client]}}}}",
        files.display()
    );
    let program = Program::start(&settings);
    write_secret(&namespace, &old.ca.text, &old.client);
    namespace.cluster.kubectl.apply(&authentication(&namespace));
    let mut trigger = list(&program.address(), &redis.address(), "jobs");
    trigger["authenticationRef"] = json!({"name": "scaler"});
    namespace.scale("worker", ScaledObject::new(trigger));
    let timeline = Timeline::start(&namespace, "worker");
    redis.rpush("jobs", 15).await;
    timeline.backlog(15);
    timeline.replicas(3, SOON).await;

    write_files(files, &both, &old.server);
    timeline.note("the scaler trusts both authorities");
    timeline.held(3, RELOADED).await;
    write_secret(&namespace, &both, &new.client);
    timeline.note("KEDA's Secret has both authorities and the new certificate");
    write_files(files, &both, &new.server);
    timeline.note("the scaler has its new certificate");
    timeline.held(3, RELOADED).await;
    write_files(files, &new.ca.text, &new.server);
    timeline.note("the scaler trusts the new authority alone");
    timeline.held(3, RELOADED).await;
    assert!(healthy(&program, &new), "it has its new certificate");
    assert!(!healthy(&program, &old), "it refuses the old one");

    redis.rpush("jobs", 15).await;
    timeline.backlog(30);
    timeline.replicas(6, SOON).await;
}

/// Writes what the scaler reads. Each file takes its place at once.
fn write_files(files: &Path, ca: &str, server: &Identity) {
    let texts = [
        ("ca.crt", ca),
        ("tls.crt", &server.cert.text),
        ("tls.key", &server.key.text),
    ];
    for (name, text) in texts {
        let aside = files.join("aside");
        fs::write(&aside, text).unwrap();
        fs::rename(aside, files.join(name)).unwrap();
    }
}

/// Writes the Secret that KEDA reads.
fn write_secret(namespace: &Namespace, ca: &str, client: &Identity) {
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "scaler-tls", "namespace": namespace.name},
        "stringData": {"ca.crt": ca, "tls.crt": client.cert.text, "tls.key": client.key.text},
    });
    namespace.cluster.kubectl.apply(&secret.to_string());
}

fn authentication(namespace: &Namespace) -> String {
    let parameter = |parameter: &str, key: &str| json!({"parameter": parameter, "name": "scaler-tls", "key": key});
    let object = json!({
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "TriggerAuthentication",
        "metadata": {"name": "scaler", "namespace": namespace.name},
        "spec": {"secretTargetRef": [
            parameter("caCert", "ca.crt"),
            parameter("tlsClientCert", "tls.crt"),
            parameter("tlsClientKey", "tls.key"),
        ]},
    });
    object.to_string()
}

/// Whether a client with these certificates gets through.
fn healthy(program: &Program, certs: &Certs) -> bool {
    let status = Command::new(program::executable())
        .args(["health", "--address", &program.address(), "--ca-cert"])
        .arg(&certs.ca.path)
        .arg("--cert")
        .arg(&certs.client.cert.path)
        .arg("--key")
        .arg(&certs.client.key.path)
        .output();
    status.expect("the program runs").status.success()
}
