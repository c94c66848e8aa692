//! Secrets in everything that can hold one, and everything that the program says about them: errors,
//! log, metrics, `probe`, the status page. No secret is in any of it.

use std::{collections::HashMap, io::Write, process::Stdio, sync::LazyLock};

use backlog_scaler::{
    keda::proto::ScaledObjectRef,
    sampling::TypeKeys,
    settings::{self, Settings},
    telemetry::Telemetry,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::StreamExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    Fake, HANGS, Program, SHORT,
    lying_kafka::{self, API_VERSIONS, Fields},
};
use testkit::{
    certs::Certs,
    process,
    redis::{self, Redis},
    require,
    scaler::{page, trigger, with},
};

/// In every secret, and in no output.
const SENTINEL: &str = "s3cr3t-s3nt1n3l";

fn assert_no_secret(what: &str, text: &str) {
    let encoded = [
        BASE64_STANDARD.encode(SENTINEL),
        BASE64_STANDARD.encode(format!("worker:{SENTINEL}")),
        BASE64_STANDARD.encode(format!("\0worker\0{SENTINEL}")),
    ];
    let secrets = encoded.iter().map(String::as_str).chain([SENTINEL]);
    for secret in secrets {
        if let Some(at) = text.find(secret) {
            let from = text.floor_char_boundary(at.saturating_sub(200));
            let to = text.ceil_char_boundary((at + 100).min(text.len()));
            panic!("{what}: {}", &text[from..to]);
        }
    }
}

/// The declared keys of every trigger type.
static TYPES: LazyLock<Vec<TypeKeys>> = LazyLock::new(|| {
    let types = || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _entered = runtime.enter();
        let engine = backlog_scaler::server::engine(&Settings::default(), &Telemetry::default());
        engine.unwrap().registry().keys().collect()
    };
    // A runtime cannot end within another.
    std::thread::spawn(types).join().unwrap()
});

/// A trigger of this type at this address, with what its backend requires.
fn at(trigger_type: &str, address: &str) -> ScaledObjectRef {
    let keys: &[(&str, &str)] = match trigger_type {
        "kafka" | "apache-kafka" => &[
            ("bootstrapServers", address),
            ("consumerGroup", "workers"),
            ("topic", "jobs"),
            ("sasl", "plaintext"),
            ("username", "worker"),
        ],
        "temporal" => &[("endpoint", address), ("taskQueue", "jobs")],
        _ if trigger_type.ends_with("streams") => &[
            ("address", address),
            ("stream", "jobs"),
            ("username", "worker"),
        ],
        _ => &[
            ("address", address),
            ("listName", "jobs"),
            ("username", "worker"),
        ],
    };
    let sentinel = match trigger_type.contains("sentinel") {
        true => &[("sentinelMaster", "master")][..],
        false => &[],
    };
    let base = trigger([
        ("backend", trigger_type),
        ("freshFor", "0"),
        ("maxStaleness", "0"),
    ]);
    let keys = keys.iter().chain(sentinel);
    keys.fold(base, |trigger, (key, value)| with(trigger, key, value))
}

/// The secrets of a connection. Those of TLS are tried apart, as they switch it on.
fn login(keys: &TypeKeys) -> impl Iterator<Item = &str> {
    let secret = keys.connection.iter().filter(|key| key.secret);
    // Kerberos has its own keys, which other mechanisms refuse.
    let secret = secret.filter(|key| key.name != "keytab");
    secret.map(|key| key.name.as_str())
}

/// Triggers of every type with a secret in every secret key, right and wrong in many ways.
fn triggers(addresses: &[String], certs: &Certs) -> Vec<ScaledObjectRef> {
    let mut triggers = Vec::new();
    let pem = |label: &str| format!("-----BEGIN {label}-----\n{SENTINEL}\n-----END {label}-----\n");
    for keys in TYPES.iter() {
        let kind = keys.trigger_type;
        let with_login = |address: &str, suffix: &str| {
            login(keys).fold(at(kind, address), |trigger, key| {
                with(trigger, &format!("{key}{suffix}"), SENTINEL)
            })
        };
        for address in addresses {
            triggers.push(with_login(address, ""));
            triggers.push(with(with_login(address, ""), "tls", "disable"));
            let tls = with(with_login(address, ""), "tls", "enable");
            let trusting = with(tls.clone(), "tlsSkipVerify", "true");
            triggers.extend([
                with(tls.clone(), "ca", &certs.ca.text),
                with(tls, "ca", &certs.other_ca.text),
                trusting,
            ]);
            if kind.contains("kafka") {
                for sasl in ["scram_sha512", "oauthbearer", "gssapi", "none"] {
                    let trigger = with(with_login(address, ""), "sasl", sasl);
                    let endpoint = format!("http://{address}/token");
                    triggers.push(trigger.clone());
                    triggers.push(with(trigger, "oauthTokenEndpointUri", &endpoint));
                }
                let endpoint = format!("http://{}/token", addresses[addresses.len() - 1]);
                let trigger = with(with_login(address, ""), "sasl", "oauthbearer");
                triggers.push(with(trigger, "oauthTokenEndpointUri", &endpoint));
            }
        }
        let address = &addresses[0];
        // A key of TLS that cannot be read, one that is encrypted, and one that is no PEM.
        let tls = with(with_login(address, ""), "tls", "enable");
        let tls = with(tls, "cert", &certs.client.cert.text);
        for key in [
            pem("PRIVATE KEY"),
            pem("ENCRYPTED PRIVATE KEY"),
            SENTINEL.to_owned(),
        ] {
            let tls = with(tls.clone(), "key", &key);
            triggers.extend([with(tls.clone(), "keyPassword", SENTINEL), tls]);
        }
        // Unknown keys, values that are wrong, and secrets by their other name.
        let typo = login(keys).fold(at(kind, address), |trigger, key| {
            with(trigger, &format!("{key}x"), SENTINEL)
        });
        triggers.extend([
            typo,
            with_login(address, "FromEnv"),
            with(with_login(address, ""), "nonsense", SENTINEL),
            with(with_login(address, ""), "listLength", "ten"),
            with(with_login(address, ""), "activationTargetQueueSize", "ten"),
            with(with_login(address, ""), "connection", "named"),
            with(with_login(address, ""), "connection", "unknown"),
            with(with_login(address, ""), "username", "wor\nker"),
        ]);
        let broken = login(keys).fold(at(kind, address), |trigger, key| {
            with(trigger, key, &format!("{SENTINEL}\n\u{0}{SENTINEL}"))
        });
        triggers.push(broken);
        // A URL with credentials in whatever key holds an address.
        for url in [
            format!("scheme://worker:{SENTINEL}@127.0.0.1:1"),
            format!("scheme://worker:{SENTINEL}@127.0.0.1"),
            format!("https://worker:{SENTINEL}@127.0.0.1:1/path"),
            format!("dns:///worker:{SENTINEL}@127.0.0.1:1"),
            format!("worker:{SENTINEL}@127.0.0.1:1"),
            format!("{SENTINEL}@127.0.0.1:1"),
            format!("worker:{SENTINEL}@127.0.0.1"),
            format!("worker:{SENTINEL}@:1"),
            format!("worker:{SENTINEL}@[::1]:1"),
            format!("127.0.0.1:1,worker:{SENTINEL}@127.0.0.1:1"),
        ] {
            let known = |key: &str| keys.connection.iter().any(|known| known.name == key);
            let addresses = ["address", "addresses", "bootstrapServers", "endpoint"];
            for key in addresses.into_iter().filter(|key| known(key)) {
                let mut trigger = at(kind, &url);
                trigger.scaler_metadata.remove("address");
                triggers.push(with(trigger, key, &url));
            }
            for (host, port) in [("host", "port"), ("hosts", "ports")] {
                if known(host) {
                    let mut trigger = at(kind, "");
                    trigger.scaler_metadata.remove("address");
                    triggers.push(with(with(trigger, host, &url), port, "1"));
                }
            }
            if known("oauthTokenEndpointUri") {
                let url = url.replace("scheme", "http");
                let trigger = with(with_login(address, ""), "sasl", "oauthbearer");
                triggers.push(with(trigger, "oauthTokenEndpointUri", &url));
            }
        }
    }
    triggers
}

/// A Redis that takes any login, and then sends back all that it got.
async fn echo_redis(mut stream: TcpStream) -> std::io::Result<()> {
    let (mut words, mut request) = (String::new(), vec![0; 64 * 1024]);
    while let length @ 1.. = stream.read(&mut request).await? {
        let reply = match words.as_str() {
            "" => "+OK\r\n".to_owned(),
            _ => format!("-ERR {words}\r\n"),
        };
        stream.write_all(reply.as_bytes()).await?;
        words += &String::from_utf8_lossy(&request[..length]).replace(['\r', '\n'], " ");
    }
    Ok(())
}

const SASL_HANDSHAKE: i16 = 17;
const SASL_AUTHENTICATE: i16 = 36;
/// The error SASL_AUTHENTICATION_FAILED.
const LOGIN_FAILED: i16 = 58;

/// A Kafka that refuses every login, and sends it back.
async fn echo_kafka(mut stream: TcpStream) -> std::io::Result<()> {
    loop {
        let (request, correlation) = lying_kafka::request(&mut stream).await?;
        let fields = Fields::default();
        let Fields(body) = match lying_kafka::kind(&request) {
            API_VERSIONS => {
                let fields = fields.i16(0).i32(3).i16(3).i16(4).i16(4);
                let fields = fields.i16(SASL_HANDSHAKE).i16(1).i16(1);
                fields.i16(SASL_AUTHENTICATE).i16(0).i16(0)
            }
            SASL_HANDSHAKE => fields.i16(0).i32(1).text("PLAIN"),
            _ => {
                let words = String::from_utf8_lossy(&request).into_owned();
                fields.i16(LOGIN_FAILED).text(&words).i32(0)
            }
        };
        let response = lying_kafka::frame(correlation, &body);
        stream.write_all(&response).await?;
    }
}

/// A token endpoint that refuses and shows what it got.
async fn echo_http(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = vec![0; 64 * 1024];
    let length = stream.read(&mut request).await?;
    let words = String::from_utf8_lossy(&request[..length]);
    let body = serde_json::json!({"error": "invalid_client", "error_description": words});
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await
}

/// Settings with a named connection whose secrets come from everywhere.
fn named(secret_file: &str, level: &str) -> String {
    format!(
        "{SHORT}\nlog: {{level: '{level}'}}\nconnections:\n  \
         named: {{backend: redis, address: '127.0.0.1:1', passwordFromEnv: TEST_SENTINEL}}\n  \
         file: {{backend: redis, address: '127.0.0.1:1', passwordFromFile: '{secret_file}'}}\n  \
         inline: {{backend: temporal, endpoint: '127.0.0.1:1', apiKey: '{SENTINEL}'}}\n"
    )
}

struct Secrets {
    certs: Certs,
    file: String,
    _dir: tempfile::TempDir,
}

fn secrets() -> Secrets {
    let dir = process::directory();
    let file = dir.path().join("secret");
    std::fs::write(&file, format!("{SENTINEL}\n")).unwrap();
    Secrets {
        certs: Certs::generate(&dir),
        file: file.to_str().unwrap().to_owned(),
        _dir: dir,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_errors_log_or_metrics() {
    if !require(redis::available(), "redis-server") {
        return;
    }
    // Of several servers each refuses a login in its own way.
    let wrong = Redis::builder().password("another").start().await;
    let plain = Redis::start().await;
    let secrets = secrets();
    let tls = Redis::builder().tls(&secrets.certs).start().await;
    let (echo_redis, echo_kafka) = (Fake::start(echo_redis).await, Fake::start(echo_kafka).await);
    let echo_http = Fake::start(echo_http).await;
    let addresses = [
        "127.0.0.1:1".to_owned(),
        wrong.address(),
        plain.address(),
        tls.address(),
        echo_redis.address.clone(),
        echo_kafka.address.clone(),
        echo_http.address.clone(),
    ];
    let triggers = triggers(&addresses, &secrets.certs);
    let named_ones = [
        ("redis", "named"),
        ("redis", "file"),
        ("temporal", "inline"),
    ];
    let named_ones = named_ones.map(|(kind, name)| {
        let query = if kind == "redis" {
            "listName"
        } else {
            "taskQueue"
        };
        trigger([("backend", kind), ("connection", name), (query, "jobs")])
    });
    // The program's own log, and that of every library.
    for level in ["trace", "trace,hyper=trace"] {
        let env = HashMap::from([("TEST_SENTINEL", SENTINEL)]);
        let program = Program::with_env(&named(&secrets.file, level), env).await;
        let client = program.client().await;
        let evaluations = triggers.iter().chain(&named_ones).map(async |trigger| {
            let mut client = client.clone();
            let evaluation = testkit::scaler::evaluate(&mut client, trigger);
            (trigger, timeout(HANGS, evaluation).await.expect("in time"))
        });
        let mut evaluations = futures_util::stream::iter(evaluations).buffer_unordered(16);
        let (mut values, mut errors) = (0, 0);
        while let Some((trigger, evaluation)) = evaluations.next().await {
            match evaluation {
                Ok(_) => values += 1,
                Err(_) => errors += 1,
            }
            let keys = trigger.scaler_metadata.keys();
            assert_no_secret(&format!("{keys:?}"), &format!("{evaluation:?}"));
        }
        // A server without a password lets some in.
        assert!(values < errors / 10, "{values} values, {errors} errors");
        let (metrics, log) = (page(&program.admin, "/metrics").await.1, program.log());
        assert!(
            metrics.contains("backlog_scaler_read_errors_total{"),
            "{metrics}"
        );
        assert!(log.contains("connection lost"), "{log}");
        assert_eq!(log.contains(" TRACE "), level.contains("hyper"), "{log}");
        assert_no_secret("metrics", &metrics);
        assert_no_secret("log", &log);
        if level == "trace" {
            no_secret_is_on_the_pages(&program).await;
        }
    }
}

/// Looks at every page of the status page, and at the JSON of each.
async fn no_secret_is_on_the_pages(program: &Program) {
    let look = async |path: String| {
        let (status, text) = page(&program.admin, &path).await;
        assert_eq!(status, 200, "{path}: {text}");
        assert_no_secret(&path, &text);
        text
    };
    let ids = |json: &str, kind: &str| {
        let json: serde_json::Value = serde_json::from_str(json).unwrap();
        let all = json[kind].as_array().unwrap().iter();
        let ids = all.map(|found| found["id"].as_str().unwrap().to_owned());
        ids.collect::<std::collections::BTreeSet<_>>()
    };
    for path in [
        "/",
        "/?perPage=1000",
        "/connections",
        "/help",
        "/api/v1/overview",
    ] {
        look(path.to_owned()).await;
    }
    let mut triggers = std::collections::BTreeSet::new();
    for page in 1.. {
        let json = look(format!("/api/v1/triggers?perPage=1000&page={page}")).await;
        let found = ids(&json, "triggers");
        if found.is_empty() {
            break;
        }
        triggers.extend(found);
    }
    let connections = ids(&look("/api/v1/connections".to_owned()).await, "connections");
    assert!(
        triggers.len() > 300 && connections.len() > 10,
        "{}",
        triggers.len()
    );
    for id in triggers {
        for path in [format!("/triggers/{id}"), format!("/api/v1/triggers/{id}")] {
            look(path).await;
        }
    }
    for id in connections {
        look(format!("/connections/{id}")).await;
        look(format!("/api/v1/connections/{id}")).await;
    }
}

/// What `probe` prints of a trigger, in both formats.
fn probe(trigger: &ScaledObjectRef, config: &std::path::Path) -> String {
    let manifest = serde_json::json!({
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
        "metadata": {"name": "worker", "namespace": "shop"},
        "spec": {
            "scaleTargetRef": {"name": "worker"},
            "triggers": [{"type": "external", "metadata": trigger.scaler_metadata}],
        },
    });
    let mut printed = String::new();
    for output in ["table", "json"] {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_backlog-scaler"))
            .args(["probe", "-", "--output", output, "--config"])
            .arg(config)
            .env("TEST_SENTINEL", SENTINEL)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(manifest.to_string().as_bytes()).unwrap();
        drop(stdin);
        let ended = child.wait_with_output().unwrap();
        printed += &String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat());
    }
    printed
}

#[test]
fn no_secret_is_in_what_probe_prints() {
    let secrets = secrets();
    let config = process::directory();
    let config = config.path().join("settings.yaml");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    std::fs::write(&config, named(&secrets.file, "trace")).unwrap();
    let all = triggers(&["127.0.0.1:1".to_owned()], &secrets.certs);
    // One of every kind of problem: processes are slow to start.
    for trigger in all.iter().step_by(7) {
        let printed = probe(trigger, &config);
        assert!(printed.contains("worker"), "{printed}");
        assert_no_secret("probe", &printed);
    }
}

#[test]
fn no_secret_is_in_errors_of_the_settings_or_their_debug_output() {
    let secrets = secrets();
    let with_login = |more: &str| {
        format!("connections: {{a: {{backend: redis, password: '{SENTINEL}', {more}}}}}")
    };
    let cases = [
        with_login("address: 'a:1'"),
        with_login("adress: 'a:1'"),
        with_login("address: {a: b}"),
        with_login("address: 'a:1', address: 'b:1'"),
        with_login("databaseIndex: first, address: 'a:1'"),
        with_login("namespaces: '[a', address: 'a:1'"),
        with_login("passwordFromEnv: PATH, address: 'a:1'"),
        with_login(&format!("address: 'redis://u:{SENTINEL}@a:1'")),
        with_login(&format!("host: 'u:{SENTINEL}@a', port: 1")),
        with_login(&format!("keyPassword: '{SENTINEL}', address: 'a:1'")),
        with_login(&format!("address: 'a:1', key: '{SENTINEL}', tls: enable")),
        with_login("address: 'a:1'").replace("password:", "password: {a: b}, pasword:"),
        with_login("address: 'a:1'").replace("password: ", "password: ["),
        format!(
            "connections: {{a: {{backend: redis, passwordFromFile: '{}', x: 1}}}}",
            secrets.file
        ),
        format!(
            "connections: {{a: {{backend: temporal, endpoint: 'u:{SENTINEL}@a:1', apiKey: '{SENTINEL}'}}}}"
        ),
        format!(
            "connections: {{a: {{backend: kafka, bootstrapServers: 'u:{SENTINEL}@a:1', sasl: plaintext}}}}"
        ),
    ];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let (mut good, mut bad) = (0, 0);
    for yaml in &cases {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(yaml.as_bytes()).unwrap();
        let loaded = settings::load(Some(file.path()), []);
        assert_no_secret(yaml, &format!("{loaded:?}"));
        let engine = loaded.and_then(|loaded| {
            assert_no_secret(yaml, &format!("{:#?}", loaded.connections));
            backlog_scaler::server::engine(&loaded, &Telemetry::default())
        });
        match engine {
            Ok(_) => good += 1,
            Err(error) => {
                bad += 1;
                assert_no_secret(yaml, &format!("{error} {error:?}"));
            }
        }
    }
    assert_eq!((good, bad), (1, cases.len() - 1));
}
