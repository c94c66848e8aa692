//! What cannot be recorded is said at once.

use std::fs;

use super::{manifest, program, with_address};
use crate::redis::{list, needs_redis};
use testkit::{
    certs::{Certs, Pem},
    process,
    redis::Redis,
    scaler::{Scaler, trigger, with},
};

/// The exit code, and stderr.
async fn record(arguments: &[&str]) -> (i32, String) {
    let output = program()
        .args(["record", "--length", "1s"])
        .args(arguments)
        .output()
        .await
        .unwrap();
    let code = output.status.code().expect("ends by itself");
    let stdout = String::from_utf8(output.stdout).unwrap();
    let is_row = |line: &str| line.starts_with(|c: char| c.is_ascii_digit());
    assert!(!stdout.lines().any(is_row), "{stdout}");
    (code, String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn arguments_and_manifests_that_name_no_trigger_are_refused() {
    let folder = process::directory();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let redis = [
        ("backend", "redis"),
        ("address", "127.0.0.1:1"),
        ("listName", "jobs"),
    ];
    let dead = manifest(&with_address(trigger(redis)));
    let good = file("good.yaml", &dead);
    let second = dead.replace("name: worker", "name: other");
    let two = file("two.yaml", &format!("{dead}---\n{second}"));
    let none = file("none.yaml", &dead.replace("type: external", "type: redis"));
    let slip = file("slip.yaml", &dead.replace("listName", "listNmae"));
    let taken = file("taken.csv", "0,1\n");
    let free = format!("http://127.0.0.1:{}", process::free_port());
    for (arguments, code, error) in [
        (&["missing.yaml"][..], 2, "missing.yaml"),
        (
            &[&two],
            2,
            "2 objects: shop/worker, shop/other. Choose one with --object NAMESPACE/NAME",
        ),
        (
            &[&two, "--object", "shop/third"],
            2,
            "--object shop/third: is none of shop/worker, shop/other",
        ),
        // The one that is named is read, of which this server has nothing.
        (
            &[&two, "--object", "shop/other"],
            1,
            "shop/other, trigger 0",
        ),
        (&[&two, "--object", "other"], 1, "shop/other, trigger 0"),
        (
            &["shop/worker", "--server", &free, "--object", "shop/worker"],
            2,
            "cannot be used with",
        ),
        (&[&none], 2, "shop/worker: has no external trigger"),
        (&[&slip], 2, "did you mean `listName`?"),
        (
            &[&good, "--trigger", "1"],
            2,
            "has 1 triggers, and no external one of this index",
        ),
        (&[&good, "--replicas", "3"], 2, "--service-time"),
        (&[&good, "--every", "10ms"], 2, "must be from 1s to 1h"),
        (&[&good, "--to", "load.txt"], 2, "must end in .csv"),
        (&[&good, "--token-file", "x"], 2, "--server"),
        // An outage at the beginning is a mistake more often.
        (&[&good, "--to", &taken], 1, "127.0.0.1:1"),
        (
            &["worker", "--server", &free],
            2,
            "it is named as NAMESPACE/NAME",
        ),
        (
            &["shop/worker", "--server", &free],
            1,
            "--server is the server's listen.admin",
        ),
        (
            &["shop/worker", "--server", "127.0.0.1:9091"],
            2,
            "expected as http://",
        ),
    ] {
        let (found, stderr) = record(arguments).await;
        assert_eq!(found, code, "{arguments:?}: {stderr}");
        assert!(stderr.contains(error), "{arguments:?}: {stderr}");
    }
    assert_eq!(fs::read_to_string(taken).unwrap(), "0,1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_says_why_it_has_no_samples() {
    needs_redis!();
    let folder = process::directory();
    let token = folder.path().join("token");
    fs::write(&token, "hunter2").unwrap();
    let right = token.display().to_string();
    let wrong = folder.path().join("wrong");
    fs::write(&wrong, "hunter3").unwrap();
    let wrong = wrong.display().to_string();
    let settings = format!("listen: {{adminTokenFile: {right}}}");
    let (redis, scaler) = (Redis::start().await, Scaler::with(&settings).await);
    let server = format!("http://{}", scaler.admin);
    let of = async |name: &str, more: &[&str]| {
        let (code, stderr) = record(&[&[name, "--server", &server], more].concat()).await;
        assert!(!stderr.contains("hunter"), "{stderr}");
        (code, stderr)
    };
    let (code, stderr) = of("shop/worker", &[]).await;
    assert!(
        code == 1 && stderr.contains("a token is required"),
        "{stderr}"
    );
    let (code, stderr) = of("shop/worker", &["--token-file", &wrong]).await;
    assert!(
        code == 1 && stderr.contains("the token is refused"),
        "{stderr}"
    );

    let may = ["--token-file", &right];
    let (code, stderr) = of("shop/worker", &may).await;
    let unknown = "the server knows no trigger of shop/worker";
    assert!(code == 1 && stderr.contains(unknown), "{stderr}");
    for name in ["jobs", "mails"] {
        scaler.evaluate(&list(&redis, name)).await.unwrap();
    }
    let (code, stderr) = of("shop/worker", &may).await;
    assert!(
        code == 2 && stderr.contains("shop/worker has 2 triggers: "),
        "{stderr}"
    );
    let (_, after) = stderr.split_once("has 2 triggers: ").unwrap();
    let (id, _) = after.split_once(' ').unwrap();
    // One second is too short for two samples, as nobody requests the next.
    let (code, stderr) = of("shop/worker", &[&may[..], &["--trigger", id]].concat()).await;
    let nothing = "nothing is recorded: a rate needs two samples";
    assert!(code == 1 && stderr.contains(nothing), "{stderr}");

    let slip = with(list(&redis, "jobs"), "listLenght", "5");
    scaler.evaluate(&slip).await.unwrap_err();
    let age = with(
        with(list(&redis, "due"), "signal", "age"),
        "targetSeconds",
        "30",
    );
    let age = with(age, "scores", "time");
    scaler.evaluate(&age).await.unwrap();
    let (_, page) = scaler.page("/livez").await;
    assert_eq!(page, "ok\n");
    let folder = process::directory();
    let file = folder.path().join("age.yaml");
    fs::write(&file, manifest(&with_address(age))).unwrap();
    let (code, stderr) = record(&[&file.display().to_string()]).await;
    let time =
        "reports a time, and the backend no arrivals. Record a trigger with `signal: backlog`";
    assert!(code == 2 && stderr.contains(time), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_tls_is_trusted_by_its_authority() {
    let folder = process::directory();
    let certs = Certs::generate(folder.path());
    let path = |pem: &Pem| pem.path.display().to_string();
    let [cert, key] = [&certs.server.cert, &certs.server.key].map(path);
    let settings = format!("listen: {{adminTls: {{certFile: {cert}, keyFile: {key}}}}}");
    let scaler = Scaler::with(&settings).await;
    let server = format!("https://{}", scaler.admin);
    let of = async |more: &[&str]| {
        let (code, stderr) = record(&[&["shop/worker", "--server", &server], more].concat()).await;
        assert_eq!(code, 1, "{stderr}");
        stderr
    };
    let [right, wrong] = [&certs.ca, &certs.other_ca].map(path);
    let stderr = of(&["--ca-cert", &right]).await;
    assert!(stderr.contains("the server knows no trigger"), "{stderr}");
    for stderr in [of(&[]).await, of(&["--ca-cert", &wrong]).await] {
        assert!(stderr.contains("certificate"), "{stderr}");
    }
    let text = folder.path().join("token");
    fs::write(&text, "no PEM").unwrap();
    let text = text.display().to_string();
    let (code, stderr) = record(&["a/b", "--server", &server, "--ca-cert", &text]).await;
    assert!(
        code == 2 && stderr.contains("has no certificate"),
        "{stderr}"
    );
}
