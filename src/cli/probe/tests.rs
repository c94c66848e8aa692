//! Probing within this process, with a backend that does not run.

use serde_json::{Value, json};

use super::*;

const MANIFEST: &str = r#"
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: orders, namespace: shop}
spec:
  triggers:
    - type: external
      metadata: {scalerAddress: "s:9090", backend: redis, address: "127.0.0.1:PORT", listName: jobs, listLength: "5", password: hunter2}
    - type: external
      metadata: {scalerAddress: "s:9090", backend: redis, adress: "hunter2:1", listName: jobs}
    - type: redis
      metadata: {address: "hunter2:1"}
    - type: cpu
      metadata: {value: "60"}
"#;

/// A port that refuses: it was free a moment ago.
fn refusing_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("is bound").port()
}

fn report() -> Report {
    let text = MANIFEST.replace("PORT", &refusing_port().to_string());
    let Ok(Manifests { objects, notes, .. }) = manifest::read("f", &text, &|_| None) else {
        panic!("the manifest is valid");
    };
    assert!(notes.is_empty(), "{notes:?}");
    runtime().expect("starts").block_on(async {
        let scaler = in_process(&Settings::default(), &Map::default()).expect("starts");
        probe(&scaler, objects).await
    })
}

#[test]
fn what_fails_is_told_by_trigger_and_no_secret_is() {
    let report = report();
    assert!(report.has_failures());

    let json: Value = serde_json::to_value(&report).expect("is JSON");
    let object = &json["objects"][0];
    assert_eq!(object["replicas"], Value::Null);
    assert_eq!(object["maxReplicas"], 100);
    let [refused, misspelt, redis, cpu] = &object["triggers"].as_array().expect("is a list")[..]
    else {
        panic!("{json:#}");
    };
    assert_eq!(refused["status"], "error");
    assert_eq!(refused["error"]["code"], "Unavailable");
    assert_eq!(
        (&refused["target"], &refused["value"]),
        (&json!(5.0), &Value::Null)
    );
    assert_eq!(misspelt["error"]["code"], "InvalidArgument");
    let message = misspelt["error"]["message"].as_str().expect("is text");
    assert!(message.contains("did you mean `address`?"), "{message}");
    assert_eq!(
        (&redis["status"], &cpu["status"]),
        (&json!("notOurs"), &json!("notOurs"))
    );
    let hint = redis["hint"].as_str().expect("redis moves over");
    assert!(hint.contains("`backend: redis`"), "{hint}");
    assert_eq!(cpu["hint"], Value::Null);

    let text = print::text(&report);
    assert_eq!(
        text.lines().next().map(|line| line.starts_with("OBJECT ")),
        Some(true),
        "{text}"
    );
    assert!(text.contains("error: shop/orders, trigger 0: "), "{text}");
    for output in [json.to_string(), text] {
        assert!(!output.contains("hunter2"), "{output}");
    }
}

#[test]
fn every_trigger_has_the_same_fields() {
    let json = serde_json::to_value(report()).expect("is JSON");
    let triggers = json["objects"][0]["triggers"]
        .as_array()
        .expect("is a list");
    let fields =
        |trigger: &Value| Vec::from_iter(trigger.as_object().expect("is a map").keys().cloned());
    for trigger in triggers {
        assert_eq!(fields(trigger), fields(&triggers[0]));
    }
}
