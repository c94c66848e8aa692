//! KEDA's own client against our server, beside KEDA's built-in scaler on the same backend.
//!
//! The tables are here, one for each backend; `tests/keda` is the Go program that calls through
//! KEDA's code.

mod kafka;
mod migrate;
mod redis;
mod temporal;

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use testkit::{program, scaler::Scaler};

/// What both sides must see of a trigger.
struct Case {
    name: &'static str,
    backend: &'static str,
    metadata: Vec<(&'static str, String)>,
    /// What only ours gets instead.
    external: Option<Vec<(&'static str, String)>>,
    /// What only KEDA's own gets from a TriggerAuthentication.
    auth: Vec<(&'static str, String)>,
    /// The environment of the scale target's container.
    env: Vec<(&'static str, String)>,
    sees: Sees,
    push: bool,
}

enum Sees {
    /// The same metric, value and activity.
    Same { value: f64, active: bool },
    /// Something else, on purpose: ours, then KEDA's.
    Different { ours: f64, kedas: f64 },
    /// An error on both sides; ours contains this.
    Error(&'static str),
    /// An error here, which contains this; KEDA's own returns a number.
    OnlyOurError(&'static str),
}

fn case(
    name: &'static str,
    backend: &'static str,
    metadata: Vec<(&'static str, String)>,
    sees: Sees,
) -> Case {
    Case {
        name,
        backend,
        metadata,
        external: None,
        auth: Vec::new(),
        env: Vec::new(),
        sees,
        push: false,
    }
}

fn same(value: f64) -> Sees {
    Sees::Same {
        value,
        active: value > 0.0,
    }
}

/// KEDA's client, if it is built.
fn judge() -> Option<PathBuf> {
    program("KEDA_JUDGE", "keda-judge")
}

/// Evaluates every case on both sides and compares what they see.
async fn judge_all(judge: PathBuf, scaler: &Scaler, cases: &[Case]) {
    let document = document(scaler, cases);
    let responses = tokio::task::spawn_blocking(move || evaluate(&judge, &document));
    let responses = responses.await.expect("no panic");
    let responses = responses.as_array().expect("an array");
    assert_eq!(responses.len(), cases.len());
    for (case, response) in cases.iter().zip(responses) {
        compare(case, response);
    }
}

fn document(scaler: &Scaler, cases: &[Case]) -> String {
    let object = |pairs: &[(&str, String)]| {
        let pairs = pairs
            .iter()
            .map(|(key, value)| (key.to_string(), json!(value)));
        Value::Object(pairs.collect())
    };
    let cases = cases.iter().map(|case| {
        let mut json = json!({
            "name": case.name,
            "backend": case.backend,
            "metadata": object(&case.metadata),
            "authParams": object(&case.auth),
            "resolvedEnv": object(&case.env),
            "push": case.push,
        });
        if let Some(external) = &case.external {
            json["external"] = object(external);
        }
        json
    });
    let cases: Vec<Value> = cases.collect();
    json!({ "scalerAddress": scaler.address, "cases": cases }).to_string()
}

fn evaluate(judge: &std::path::Path, document: &str) -> Value {
    let mut child = Command::new(judge)
        .arg("evaluate")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("KEDA's client starts");
    let mut stdin = child.stdin.take().expect("is piped");
    stdin.write_all(document.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

fn compare(case: &Case, response: &Value) {
    let (ours, kedas) = (&response["external"], &response["builtin"]);
    let what = format!("{}: {response:#}", case.name);
    if let Sees::Error(text) | Sees::OnlyOurError(text) = case.sees {
        let ours = ours["error"].as_str().expect("text");
        assert!(ours.contains(text), "{what}");
        let both = matches!(case.sees, Sees::Error(_));
        assert_eq!(kedas["error"] != "", both, "{what}");
        return;
    }
    assert_eq!(
        (&ours["error"], &kedas["error"]),
        (&json!(""), &json!("")),
        "{what}"
    );
    assert_eq!(ours["target"], kedas["target"], "{what}");
    // Ours is KEDA's name and a hash that keeps names of different queries apart.
    let name = ours["metricName"].as_str().expect("text");
    let (readable, hash) = name.rsplit_once('-').expect("a hash");
    assert_eq!(
        readable,
        kedas["metricName"].as_str().expect("text"),
        "{what}"
    );
    assert!(
        hash.len() == 8 && hash.bytes().all(|b| b.is_ascii_hexdigit()),
        "{what}"
    );
    let value = |side: &Value| side["value"].as_f64().expect("a number");
    match case.sees {
        Sees::Same {
            value: expected,
            active,
        } => {
            assert_eq!((value(ours), value(kedas)), (expected, expected), "{what}");
            assert_eq!(
                (&ours["active"], &kedas["active"]),
                (&json!(active), &json!(active)),
                "{what}"
            );
        }
        Sees::Different {
            ours: our,
            kedas: keda,
        } => {
            assert_eq!((value(ours), value(kedas)), (our, keda), "{what}");
        }
        Sees::Error(_) | Sees::OnlyOurError(_) => unreachable!("handled above"),
    }
    if case.push {
        assert_eq!(response["pushed"], json!(true), "{what}");
    }
}
