//! `check --live`: the way of KEDA's calls.

use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::{
    certs::{Certs, Identity, Pem},
    kafka, process,
    redis::{Redis, available},
    require,
    scaler::{self, Scaler},
};

use super::{check, manifest, sound};

/// The mark of the line that begins with `what`.
fn mark(out: &str, what: &str) -> char {
    let line = out
        .lines()
        .find(|line| line.chars().skip(2).collect::<String>().starts_with(what));
    line.unwrap_or_else(|| panic!("{what}: {out}"))
        .chars()
        .next()
        .unwrap()
}

#[tokio::test]
async fn live_goes_the_way_of_a_call() {
    if !require(available(), "redis-server") {
        return;
    }
    let redis = Redis::builder().password("s3cret").start().await;
    redis.rpush("jobs", 12).await;
    let scaler = Scaler::start().await;
    let password = "        password: s3cret\n";
    let text = manifest(&redis.address(), &scaler.address, password);
    for args in [
        &["-", "--live"][..],
        &["-", "--live", "--address", &scaler.address],
    ] {
        let run = check(args, &text).await;
        assert_eq!(run.code, 0, "{}{}", run.out, run.err);
        for what in [
            "DNS: 127.0.0.1",
            "TCP: connected",
            "TLS: plain text",
            "gRPC health: SERVING",
            "redis ",
            "shop/worker, trigger 0: value 12, target 5, active",
        ] {
            assert_eq!(mark(&run.out, what), '✓', "{what}: {}", run.out);
        }
        assert!(!run.out.contains("s3cret"), "{}", run.out);
    }

    // A wrong login is of the connection, and the trigger has no value.
    let wrong = text.replace("password: s3cret", "password: wr0ng");
    let run = check(&["-", "--live"], &wrong).await;
    assert_eq!(run.code, 1, "{}", run.out);
    assert_eq!(mark(&run.out, "redis address="), '✗');
    assert!(
        run.out.contains("login of user default failed"),
        "{}",
        run.out
    );
    assert!(
        run.out.contains("fix: ") && !run.out.contains("wr0ng"),
        "{}",
        run.out
    );

    let json = check(&["-", "--live", "--output", "json"], &text).await;
    let json: Value = serde_json::from_str(&json.out).unwrap();
    let stages = json["stages"].as_array().unwrap();
    assert!(
        stages
            .iter()
            .any(|stage| stage["section"] == "triggers" && stage["status"] == "passed")
    );
}

#[tokio::test]
async fn live_names_the_step_that_fails_and_evaluates_without_a_server() {
    if !require(available(), "redis-server") {
        return;
    }
    let redis = Redis::start().await;
    redis.rpush("jobs", 3).await;
    let refusing = format!("127.0.0.1:{}", process::free_port());
    for (server, what, fix) in [
        (
            "backlog-scaler.keda.svc:9090",
            "DNS: backlog-scaler.keda.svc",
            "port-forward service/backlog-scaler 9090",
        ),
        (
            &refusing,
            "TCP: port",
            "port-forward service/backlog-scaler",
        ),
    ] {
        let run = check(&["-", "--live"], &manifest(&redis.address(), server, "")).await;
        assert_eq!(run.code, 1, "{}", run.out);
        assert_eq!(mark(&run.out, what), '✗', "{}", run.out);
        assert!(run.out.contains(fix), "{fix}: {}", run.out);
        assert_eq!(mark(&run.out, "evaluated by this process"), '‼');
        assert_eq!(mark(&run.out, "shop/worker, trigger 0: value 3"), '✓');
    }
    // Something that is no gRPC.
    let run = check(
        &["-", "--live"],
        &manifest(&redis.address(), &redis.address(), ""),
    )
    .await;
    assert_eq!(mark(&run.out, "gRPC in plain text"), '✗', "{}", run.out);
}

/// The step that begins with `what`, with its reason and what mends it.
#[tokio::test]
async fn live_evaluates_what_can_be_read_beside_what_cannot() {
    if !require(available(), "redis-server") {
        return;
    }
    let redis = Redis::start().await;
    redis.rpush("jobs", 3).await;
    let scaler = Scaler::start().await;
    let good = manifest(&redis.address(), &scaler.address, "");
    let slip = good.replace("kind: ScaledObject", "kind: ScaledObejct");
    let run = check(&["-", "--live"], &format!("{good}---\n{slip}")).await;
    assert_eq!(run.code, 1, "{}", run.out);
    assert_eq!(mark(&run.out, "shop/worker, trigger 0: value 3"), '✓');
    assert_eq!(
        mark(&run.out, "1 problem keeps triggers"),
        '✗',
        "{}",
        run.out
    );
    let run = check(&["-", "--live"], &slip).await;
    assert_eq!(
        mark(&run.out, "no trigger of type external"),
        '‼',
        "{}",
        run.out
    );
    assert_eq!(run.code, 1, "{}", run.out);
}

#[tokio::test]
async fn live_says_how_to_reach_names_of_a_cluster_and_where_rights_are_listed() {
    if !require(available(), "redis-server") {
        return;
    }
    // Where no server can be called, this process evaluates, outside the cluster.
    let nobody = format!("127.0.0.1:{}", process::free_port());
    let run = check(
        &["-", "--live"],
        &manifest("redis.shop.svc:6379", &nobody, ""),
    )
    .await;
    assert!(
        step(&run.out, "TCP: port").contains("port-forward service/backlog-scaler"),
        "{}",
        run.out
    );
    assert!(
        step(&run.out, "shop/worker, trigger 0")
            .contains("--map redis.shop.svc:6379=127.0.0.1:16379"),
        "{}",
        run.out
    );

    let redis = Redis::start().await;
    redis
        .command(&["ACL", "SETUSER", "reader", "on", ">pass", "+ping", "+hello"])
        .await;
    let login = "        username: reader\n        password: pass\n";
    let run = check(
        &["-", "--live"],
        &manifest(&redis.address(), &nobody, login),
    )
    .await;
    assert!(
        step(&run.out, "shop/worker, trigger 0").contains("docs/how-to/redis.md#least-rights"),
        "{}",
        run.out
    );

    let unknown =
        manifest(&redis.address(), &nobody, "").replace("backend: redis", "backend: redis-list");
    let run = check(&["-", "--live"], &unknown).await;
    let step = step(&run.out, "shop/worker, trigger 0");
    assert!(step.ends_with("fix: backlog-scaler keys redis"), "{step}");
}

fn step(out: &str, what: &str) -> String {
    let is_it = |line: &&str| line.chars().skip(2).collect::<String>().starts_with(what);
    let mut lines = out.lines().skip_while(|line| !is_it(line));
    let first = lines.next().unwrap_or_else(|| panic!("{what}: {out}"));
    let own = lines.take_while(|line| line.starts_with("    "));
    let all: Vec<&str> = std::iter::once(first).chain(own).collect();
    all.join("\n")
}

#[tokio::test]
async fn live_warns_of_more_replicas_than_partitions() {
    if !require(kafka::available(), "Kafka") {
        return;
    }
    let kafka = kafka::one().await;
    kafka.create_topic("check-live", 3).await;
    kafka.produce("check-live", 0, 4);
    let scaler = Scaler::start().await;
    let servers = kafka.servers();
    // A broker that is busy and new takes its time for the first group; what is read now stays in use.
    let lag = scaler::trigger([
        ("backend", "kafka"),
        ("bootstrapServers", &*servers),
        ("consumerGroup", "check-live"),
        ("topic", "check-live"),
        ("offsetResetPolicy", "earliest"),
    ]);
    let started = Instant::now();
    while let Err(error) = scaler.evaluate(&lag).await {
        assert!(started.elapsed() < Duration::from_secs(60), "{error}");
    }
    let of = |max: u32, topic: &str| {
        format!(
            "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {{name: worker, namespace: shop}}\nspec:\n  \
             scaleTargetRef: {{name: worker}}\n  maxReplicaCount: {max}\n  fallback: {{failureThreshold: 3, replicas: 2}}\n  \
             triggers:\n    - type: external\n      metadata: {{scalerAddress: \"{}\", backend: kafka, \
             bootstrapServers: \"{servers}\", consumerGroup: check-live, topic: {topic}, \
             offsetResetPolicy: earliest}}\n",
            scaler.address
        )
    };
    let run = check(&["-", "--live"], &of(10, "check-live")).await;
    let warning = step(
        &run.out,
        "shop/worker, trigger 0: maxReplicaCount 10, and 3 partitions",
    );
    assert!(
        warning.starts_with('‼') && warning.contains("fix: "),
        "{warning}"
    );
    assert_eq!(run.code, 0, "{}", run.out);
    let run = check(&["-", "--live", "--strict"], &of(10, "check-live")).await;
    assert_eq!(run.code, 1, "{}", run.out);
    let run = check(&["-", "--live"], &of(3, "check-live")).await;
    assert_eq!(
        mark(&run.out, "shop/worker, trigger 0: value 4"),
        '✓',
        "{}",
        run.out
    );
    assert!(!run.out.contains("partitions ["), "{}", run.out);

    // `probe` shows it as well, and its exit code tells where it is asked to.
    let file = process::directory();
    let file = file.path().join("worker.yaml");
    std::fs::write(&file, of(10, "check-live")).unwrap();
    for (strict, code) in [(&[][..], 0), (&["--strict"], 1)] {
        let mut probe = tokio::process::Command::new(env!("CARGO_BIN_EXE_backlog-scaler"));
        probe.args(["probe", "--address", &scaler.address]);
        let run = probe.arg(&file).args(strict).output().await.unwrap();
        let out = String::from_utf8_lossy(&run.stdout);
        assert!(
            out.contains("maxReplicaCount 10, and 3 partitions"),
            "{out}"
        );
        assert_eq!(run.status.code(), Some(code), "{out}");
    }
}

#[tokio::test]
async fn live_says_what_is_wrong_with_the_certificate_of_the_server() {
    if !require(available(), "redis-server") {
        return;
    }
    let redis = Redis::start().await;
    redis.rpush("jobs", 2).await;
    let folder = process::directory();
    let certs = Certs::generate(folder.path());
    let serve = async |identity: &Identity, more: &str| {
        let (cert, key) = (identity.cert.path.display(), identity.key.path.display());
        let tls = format!("listen: {{tls: {{certFile: \"{cert}\", keyFile: \"{key}\"{more}}}}}");
        Scaler::with(&tls).await
    };
    let run = async |scaler: &Scaler, args: &[&str]| {
        let text = manifest(
            &redis.address(),
            &scaler.address,
            "        enableTLS: \"true\"\n",
        );
        check(&[&["-", "--live"], args].concat(), &text).await
    };
    let path = |pem: &Pem| pem.path.to_str().unwrap().to_owned();
    let (ca, other) = (&*path(&certs.ca), &*path(&certs.other_ca));
    let (own_cert, own_key) = (&*path(&certs.client.cert), &*path(&certs.client.key));
    let stranger = &certs.stranger;
    let (other_cert, other_key) = (&*path(&stranger.cert), &*path(&stranger.key));

    let sound = serve(&certs.server, "").await;
    let good = run(&sound, &["--ca-cert", ca]).await;
    for what in [
        "TLS: with TLS",
        "gRPC health: SERVING",
        "shop/worker, trigger 0: value 2",
    ] {
        assert_eq!(mark(&good.out, what), '✓', "{what}: {}", good.out);
    }
    assert_eq!(good.code, 0, "{}", good.out);

    let named = serve(&certs.client, "").await;
    let expired = serve(&certs.expired, "").await;
    let client_ca = format!(", clientCaFile: \"{ca}\"");
    let mutual = serve(&certs.server, &client_ca).await;
    let plain = Scaler::start().await;
    for (scaler, args, reason, fix) in [
        (
            &sound,
            &["--ca-cert", other][..],
            "UnknownIssuer",
            "caCert of a TriggerAuthentication",
        ),
        (&sound, &[], "UnknownIssuer", "by --ca-cert"),
        (
            &named,
            &["--ca-cert", ca],
            "not valid for name",
            "--server-name",
        ),
        (
            &expired,
            &["--ca-cert", ca],
            "expired",
            "renew the certificate",
        ),
        (
            &mutual,
            &["--ca-cert", ca],
            "CertificateRequired",
            "--cert and --key",
        ),
        (
            &mutual,
            &["--ca-cert", ca, "--cert", other_cert, "--key", other_key],
            "fatal alert",
            "refuses the certificate",
        ),
        (&plain, &["--ca-cert", ca], "corrupt message", "listen.tls"),
    ] {
        let bad = run(scaler, args).await;
        assert_eq!(bad.code, 1, "{}", bad.out);
        let step = step(&bad.out, "TLS");
        assert!(
            step.starts_with('✗') && step.contains(reason) && step.contains(fix),
            "{step}"
        );
        assert_eq!(mark(&bad.out, "evaluated by this process"), '‼');
    }
    // By another name, as behind a port-forward, and with a client's certificate.
    let good = run(&named, &["--ca-cert", ca, "--server-name", "client"]).await;
    assert_eq!(mark(&good.out, "gRPC health: SERVING"), '✓', "{}", good.out);
    let args = ["--ca-cert", ca, "--cert", own_cert, "--key", own_key];
    let good = run(&mutual, &args).await;
    assert_eq!(mark(&good.out, "gRPC health: SERVING"), '✓', "{}", good.out);
}

#[tokio::test]
async fn a_cluster_is_for_live_alone_and_no_surprise() {
    let nowhere = "/nowhere/config";
    for (args, expected) in [
        (&["-", "--cluster"][..], "--live"),
        (&["-", "--live", "-n", "shop"], "--cluster"),
        (
            &["-", "--live", "--cluster", "-A"],
            "-A: files name the namespaces",
        ),
        (
            &["-", "orders", "--live", "--cluster"],
            "`-` is a file, and `orders` is none",
        ),
        (
            &["-", "--live", "--cluster", "--kubeconfig", nowhere],
            "--kubeconfig: /nowhere/config: cannot be read",
        ),
    ] {
        let run = check(args, &sound()).await;
        assert!(run.err.contains(expected), "{expected}: {}", run.err);
        assert_eq!((run.code, run.out.as_str()), (2, ""), "{args:?}");
    }
}
