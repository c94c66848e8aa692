//! `probe`: what a person sees of a ScaledObject before the cluster does.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::Value;

use testkit::{
    process,
    redis::{Redis, available},
    require,
    scaler::Scaler,
};

/// Runs `probe` with a manifest on its standard input.
async fn probe(args: &[&str], env: &[(&str, &str)], manifest: &str) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backlog-scaler"));
    command
        .args(["probe", "-"])
        .args(args)
        .envs(env.iter().copied());
    let manifest = manifest.to_owned();
    let run = move || {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(manifest.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// A ScaledObject with one Redis trigger, a cpu trigger, and a second document that is none.
fn manifest(redis: &Redis, list: &str, more: &str) -> String {
    format!(
        "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\n\
         metadata: {{name: worker, namespace: shop}}\n\
         spec:\n  scaleTargetRef: {{name: worker}}\n  minReplicaCount: 1\n  maxReplicaCount: 4\n  \
         triggers:\n  - type: external\n    metadata:\n      scalerAddress: scaler:9090\n      \
         backend: redis\n      address: {}\n      listName: {list}\n      listLength: '5'\n{more}  \
         - type: cpu\n    metricType: Utilization\n    metadata: {{value: '60'}}\n\
         ---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: other}}\n",
        redis.address()
    )
}

#[tokio::test]
async fn probe_shows_what_keda_would_see() {
    if !require(available(), "redis-server") {
        return;
    }
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    redis.rpush("jobs", 12).await;
    let yaml = manifest(&redis, "jobs", "");

    for args in [&[][..], &["--address", &scaler.address]] {
        let (code, table, stderr) = probe(args, &[], &yaml).await;
        assert_eq!(code, 0, "{table}{stderr}");
        let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(
            row[..8],
            [
                "shop/worker",
                "0",
                "external/redis",
                "ok",
                "12",
                "5",
                "yes",
                "3"
            ],
            "{table}"
        );
        assert!(table.contains("not ours"), "{table}");
        assert!(stderr.contains("ConfigMap"), "{stderr}");
    }

    let (_, json, _) = probe(&["--output", "json"], &[], &yaml).await;
    let json: Value = serde_json::from_str(&json).unwrap();
    let triggers = &json["objects"][0]["triggers"];
    assert_eq!(triggers[0]["value"], 12.0);
    assert_eq!(triggers[0]["replicas"], 3);
    assert_eq!(triggers[1]["status"], "notOurs");
}

#[tokio::test]
async fn probe_says_which_metric_type_a_trigger_needs() {
    if !require(available(), "redis-server") {
        return;
    }
    let redis = Redis::start().await;
    redis.command(&["XADD", "orders", "*", "a", "b"]).await;
    let yaml = |metric_type: &str, keys: &str| {
        let yaml = manifest(&redis, "jobs", "");
        let yaml = yaml.replace("backend: redis", "backend: redis-streams");
        let yaml = yaml.replace("listName: jobs\n      listLength: '5'", keys);
        let of_ours = "  - type: external\n";
        yaml.replace(
            of_ours,
            &format!("{of_ours}    metricType: {metric_type}\n"),
        )
    };
    let age = "stream: orders\n      signal: age\n      targetSeconds: '30'";
    let (code, table, stderr) = probe(&[], &[], &yaml("AverageValue", age)).await;
    assert_eq!(code, 0, "{table}{stderr}");
    let hint =
        "hint: shop/worker, trigger 0: `signal: age` reports seconds: set `metricType: Value`";
    assert!(table.contains(hint), "{table}");

    let (code, table, stderr) = probe(&[], &[], &yaml("Value", age)).await;
    assert_eq!(code, 0, "{table}{stderr}");
    assert!(!table.contains("reports seconds"), "{table}");
    let note = "the HPA multiplies the current number of replicas, which probe does not know, by \
                value / target, here 0.";
    assert!(table.contains(note), "{table}");

    let band = "stream: orders\n      scaleDownBelow: '2'";
    let (_, table, _) = probe(&[], &[], &yaml("Value", band)).await;
    let hint = "`scaleDownBelow` reckons with replicas of the target each, so it needs \
                `metricType: AverageValue`";
    assert!(table.contains(hint), "{table}");
}

#[tokio::test]
async fn probe_shows_what_was_measured_beside_what_is_reported() {
    if !require(available(), "redis-server") {
        return;
    }
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    let keys = "      scaleDownBelow: '2'\n      freshFor: '0'\n";
    let yaml = manifest(&redis, "jobs", keys);
    let address = ["--address", &scaler.address];
    for (backlog, line) in [
        (50, "50 measured, and reported as it is"),
        (22, "22 measured, 50 reported by scaleDownBelow"),
    ] {
        redis.command(&["DEL", "jobs"]).await;
        redis.rpush("jobs", backlog).await;
        let (code, table, stderr) = probe(&address, &[], &yaml).await;
        assert_eq!(code, 0, "{table}{stderr}");
        let line = format!("shaped: shop/worker, trigger 0: {line}");
        assert!(table.contains(&line), "{table}");
    }
    let args = [&address[..], &["--output", "json"]].concat();
    let (_, json, _) = probe(&args, &[], &yaml).await;
    let json: Value = serde_json::from_str(&json).unwrap();
    let trigger = &json["objects"][0]["triggers"][0];
    assert_eq!(
        (&trigger["value"], &trigger["rawValue"]),
        (&50.0.into(), &22.0.into())
    );
    assert_eq!(trigger["shapedBy"][0], "scaleDownBelow");

    // Without such keys there is no such line.
    let (_, table, _) = probe(&address, &[], &manifest(&redis, "jobs", "")).await;
    assert!(!table.contains("shaped"), "{table}");
}

#[tokio::test]
async fn probe_says_what_to_do_about_a_name_that_does_not_resolve() {
    // RFC 6761: nobody has such a name.
    let triggers = [
        r#"backend: redis, address: "redis.invalid:6379", listName: jobs"#,
        r#"backend: kafka, bootstrapServers: "kafka.invalid:9092", topic: a, consumerGroup: b"#,
        r#"backend: temporal, endpoint: "temporal.invalid:7233", taskQueue: a"#,
    ];
    let triggers = triggers
        .map(|keys| format!("    - {{type: external, metadata: {{scalerAddress: s, {keys}}}}}\n"));
    let yaml = format!(
        "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {{name: worker}}\n\
         spec:\n  scaleTargetRef: {{name: worker}}\n  triggers:\n{}",
        triggers.join("")
    );
    let (code, out, err) = probe(&[], &[], &yaml).await;
    assert_eq!(code, 1, "{out}{err}");
    let hint =
        "Names of Services resolve only within their cluster: have a server there evaluate it";
    assert_eq!(out.matches(hint).count(), 3, "{out}{err}");
}

#[tokio::test]
async fn probe_fails_when_a_trigger_does() {
    if !require(available(), "redis-server") {
        return;
    }
    let redis = Redis::builder().password("s3cret").start().await;
    redis.rpush("jobs", 40).await;

    let (code, out, err) = probe(&[], &[], &manifest(&redis, "jobs", "")).await;
    assert_eq!(code, 1);
    assert!(out.contains("login of user default failed"), "{out}{err}");

    let login = "      passwordFromEnv: TEST_REDIS_PASSWORD\n";
    let yaml = manifest(&redis, "jobs", login);
    let (code, out, err) = probe(&[], &[("TEST_REDIS_PASSWORD", "s3cret")], &yaml).await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(!out.contains("s3cret") && !err.contains("s3cret"));
}

/// Runs the program without a manifest on its standard input.
async fn run(args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backlog-scaler"));
    command.arg("probe").args(args).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test]
async fn probe_reads_many_files_and_folders() {
    if !require(available(), "redis-server") {
        return;
    }
    let redis = Redis::start().await;
    redis.rpush("jobs", 3).await;
    redis.rpush("mails", 8).await;
    let folder = process::directory();
    let manifests = folder.path().join("manifests/below");
    std::fs::create_dir_all(&manifests).unwrap();
    let one = folder.path().join("one.yaml");
    std::fs::write(&one, manifest(&redis, "jobs", "")).unwrap();
    let two =
        manifest(&redis, "mails", "").replace("name: worker, namespace", "name: mailer, namespace");
    std::fs::write(manifests.join("two.yml"), two).unwrap();
    std::fs::write(manifests.join("values.yaml"), "image: {tag: x}").unwrap();
    std::fs::write(manifests.join("settings.yaml"), "log: {level: info}").unwrap();

    let paths = [
        one.to_str().unwrap(),
        folder.path().join("manifests").to_str().unwrap(),
    ]
    .map(str::to_owned);
    let (code, table, err) = run(&[&paths[0], &paths[1]]).await;
    assert_eq!(code, 0, "{table}{err}");
    for (object, value) in [("shop/worker", "3"), ("shop/mailer", "8")] {
        let row = table.lines().find(|line| line.starts_with(object)).unwrap();
        assert_eq!(row.split_whitespace().nth(4), Some(value), "{table}");
    }

    // One that cannot be read costs the others nothing but the exit code.
    let slip = manifest(&redis, "jobs", "").replace("kind: ScaledObject", "kind: ScaledObejct");
    std::fs::write(manifests.join("slip.yaml"), slip).unwrap();
    let (code, table, err) = run(&[&paths[0], &paths[1]]).await;
    assert_eq!(code, 2, "{table}{err}");
    assert!(
        table.contains("shop/worker") && table.contains("shop/mailer"),
        "{table}"
    );
    assert!(
        err.contains("slip.yaml") && err.contains("ScaledObejct"),
        "{err}"
    );
}

#[tokio::test]
async fn probe_reaches_names_of_a_cluster_through_a_map() {
    if !require(available(), "redis-server") {
        return;
    }
    let redis = Redis::start().await;
    redis.rpush("jobs", 12).await;
    let yaml = manifest(&redis, "jobs", "").replace(&redis.address(), "redis.shop.svc:6379");
    let (code, table, _) = probe(&[], &[], &yaml).await;
    assert_eq!(code, 1, "{table}");
    let hint = "`kubectl -n shop port-forward service/redis 16379:6379`, and `--map \
                redis.shop.svc:6379=127.0.0.1:16379`";
    assert!(table.contains(hint), "{table}");

    let map = format!("redis.shop.svc:6379={}", redis.address());
    let (code, table, err) = probe(&["--map", &map], &[], &yaml).await;
    assert_eq!(code, 0, "{table}{err}");
    assert_eq!(
        table.lines().nth(1).unwrap().split_whitespace().nth(4),
        Some("12"),
        "{table}"
    );
    let (code, _, err) = probe(&["--map", "redis"], &[], &yaml).await;
    assert!(code == 2 && err.contains("HOST=ADDRESS"), "{err}");
}

#[tokio::test]
async fn probe_watches_values_with_their_history() {
    if !require(available(), "redis-server") {
        return;
    }
    let redis = Redis::start().await;
    redis.rpush("jobs", 12).await;
    let yaml = manifest(&redis, "jobs", "");
    let (code, tables, err) =
        probe(&["--watch", "--interval", "1s", "--count", "2"], &[], &yaml).await;
    assert_eq!(code, 0, "{tables}{err}");
    assert_eq!(tables.matches("HISTORY").count(), 2, "{tables}");
    let last = tables
        .lines()
        .rfind(|line| line.starts_with("shop/worker  0"))
        .unwrap();
    assert!(last.trim_end().ends_with("██"), "{tables}");
    // Into a pipe, nothing is cleared.
    assert!(!tables.contains('\u{1b}'), "{tables:?}");
}

#[tokio::test]
async fn probe_shows_what_check_finds_and_its_exit_code_tells() {
    if !require(available(), "redis-server") {
        return;
    }
    let redis = Redis::start().await;
    redis.rpush("jobs", 12).await;
    let yaml = manifest(&redis, "jobs", "      enableTLS: 'true'\n");
    let (code, table, err) = probe(&[], &[], &yaml).await;
    assert_eq!(code, 0, "{table}{err}");
    for expected in [
        "warning: stdin:",
        "enableTLS: is of KEDA's connection",
        "[enable-tls]",
        "[no-fallback]",
    ] {
        assert!(err.contains(expected), "{expected}: {err}");
    }
    let (code, ..) = probe(&["--strict"], &[], &yaml).await;
    assert_eq!(code, 1);
    // The trigger has a value, and in a cluster it never would.
    let url = yaml.replace(
        "scalerAddress: scaler:9090",
        "scalerAddress: http://scaler:9090",
    );
    let (code, table, err) = probe(&[], &[], &url).await;
    assert!(code == 1 && table.contains(" 12 "), "{table}{err}");
    assert!(err.contains("[scaler-address-scheme]"), "{err}");
    let number = yaml.replace("'5'", "5");
    let (code, _, err) = probe(&[], &[], &number).await;
    assert!(
        code == 1 && err.contains("listLength: needs quotes"),
        "{err}"
    );
}

#[tokio::test]
async fn probe_uses_named_connections_and_says_what_is_no_scaled_object() {
    if !require(available(), "redis-server") {
        return;
    }
    let redis = Redis::start().await;
    redis.rpush("jobs", 3).await;
    let dir = process::directory();
    let config = dir.path().join("settings.yaml");
    let settings = format!(
        "connections: {{orders: {{backend: redis, address: '{}'}}}}",
        redis.address()
    );
    std::fs::write(&config, settings).unwrap();
    let yaml = manifest(&redis, "jobs", "").replace(
        &format!("address: {}", redis.address()),
        "connection: orders",
    );

    let (code, out, err) = probe(&["--config", config.to_str().unwrap()], &[], &yaml).await;
    assert_eq!(code, 0, "{out}{err}");

    let (code, out, err) = probe(&[], &[], "kind: Deployment\nmetadata: {name: x}\n").await;
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(err.contains("ScaledObject"), "{err}");
    let (code, _, err) = probe(&[], &[], "a: [").await;
    assert_eq!(code, 2, "{err}");
}
