use super::*;

const MANIFEST: &str = "\
# The worker.
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: worker}
spec:
  scaleTargetRef: {name: worker}
  maxReplicaCount: 20   # what we pay for
  triggers:
    - type: cpu
      metadata: {value: \"70\"}
    - type: external
      metadata:
        backend: redis
        listLength: '5'   # each
        scaleDownBelow: \"2\"
---
kind: Secret
";

fn edited(manifest: &str, settings: &[(&str, Option<&str>)]) -> String {
    let file = File::new("f.yaml", manifest);
    let site = Site {
        file: &file,
        object: "default/worker",
        trigger: 1,
    };
    let settings: Vec<_> = settings
        .iter()
        .map(|(key, value)| Setting {
            key: key.to_string(),
            value: value.map(str::to_owned),
        })
        .collect();
    let text = site.edited(&settings).unwrap();
    let after = File::new("f.yaml", text.as_str());
    let site = Site {
        file: &after,
        ..site
    };
    for Setting { key, value } in settings {
        assert_eq!(site.value(&key), value, "{text}");
    }
    text
}

#[test]
fn values_change_and_nothing_else_does() {
    let text = edited(
        MANIFEST,
        &[("listLength", Some("20")), ("maxReplicaCount", Some("8"))],
    );
    let expected = MANIFEST.replace("'5'", "'20'").replace(": 20 ", ": 8 ");
    assert_eq!(text, expected);
    assert_eq!(edited(MANIFEST, &[]), MANIFEST);
}

#[test]
fn keys_come_and_go() {
    let text = edited(
        MANIFEST,
        &[
            ("scaleDownBelow", None),
            ("minReplicaCount", Some("2")),
            (WINDOW, Some("60")),
        ],
    );
    let window = "{horizontalPodAutoscalerConfig: {behavior: {scaleDown: {stabilizationWindowSeconds: 60}}}}";
    let expected = MANIFEST
        .replace("        scaleDownBelow: \"2\"\n", "")
        .replace(
            "  triggers:\n",
            &format!("  minReplicaCount: 2\n  advanced: {window}\n  triggers:\n"),
        );
    assert_eq!(text, expected);
}

#[test]
fn a_window_is_set_where_its_rules_are() {
    for (behavior, expected) in [
        (
            "{scaleDown: {stabilizationWindowSeconds: 300}}",
            "{scaleDown: {stabilizationWindowSeconds: 60}}",
        ),
        (
            "{scaleDown: {selectPolicy: Max}}",
            "{scaleDown: {selectPolicy: Max, stabilizationWindowSeconds: 60}}",
        ),
        ("{}", "{scaleDown: {stabilizationWindowSeconds: 60}}"),
    ] {
        let with = |behavior: &str| {
            let config = format!(
                "  advanced:\n    horizontalPodAutoscalerConfig:\n      behavior: {behavior}\n  triggers:\n"
            );
            MANIFEST.replace("  triggers:\n", &config)
        };
        assert_eq!(
            edited(&with(behavior), &[(WINDOW, Some("60"))]),
            with(expected)
        );
    }
}

#[test]
fn json_stays_json() {
    let json = serde_json::json!({
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "worker"},
        "spec": {"maxReplicaCount": 5, "triggers": [
            {"type": "cpu", "metadata": {"value": "70"}},
            {"type": "external", "metadata": {"backend": "redis"}},
        ]},
    });
    for text in [
        json.to_string(),
        serde_json::to_string_pretty(&json).unwrap(),
    ] {
        let settings = [
            ("listLength", Some("20")),
            (WINDOW, Some("60")),
            ("minReplicaCount", Some("2")),
        ];
        let after: serde_json::Value = serde_json::from_str(&edited(&text, &settings)).unwrap();
        assert_eq!(after["spec"]["minReplicaCount"], 2);
        assert_eq!(after["spec"]["triggers"][1]["metadata"]["listLength"], "20");
    }
}

#[test]
fn what_is_shared_is_refused_with_its_line() {
    let manifest = MANIFEST.replace("'5'", "&length '5'");
    let file = File::new("f.yaml", manifest);
    let site = Site {
        file: &file,
        object: "default/worker",
        trigger: 1,
    };
    let setting = Setting {
        key: "listLength".to_owned(),
        value: Some("7".to_owned()),
    };
    let error = site.edited(&[setting]).unwrap_err().to_string();
    assert!(
        error.starts_with("f.yaml:14: listLength is an alias"),
        "{error}"
    );
}
