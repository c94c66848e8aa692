use serde_json::Value;

use super::*;

const ORDERS: &str = r#"
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: orders, namespace: shop}
spec:
  minReplicaCount: 2
  maxReplicaCount: 20
  idleReplicaCount: 0
  triggers:
    - type: external
      name: jobs
      metadata: {scalerAddress: "s:9090", backend: redis, listName: jobs}
    - type: cpu
      metricType: Utilization
      metadata: {value: "60"}
"#;

const NIGHTLY: &str = r#"
apiVersion: keda.sh/v1alpha1
kind: ScaledJob
metadata: {name: nightly}
spec:
  triggers: [{type: external, metadata: {scalerAddress: "s:9090"}}]
"#;

fn no_env(_: &str) -> Option<String> {
    None
}

fn valid(text: &str) -> Manifests {
    read("f", text, &no_env).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn problems(text: &str) -> Vec<String> {
    match read("f", text, &no_env) {
        Ok(_) => panic!("is valid: {text}"),
        Err(problems) => problems,
    }
}

/// A ScaledObject whose only trigger is external and has this metadata.
fn with_metadata(metadata: &str) -> String {
    NIGHTLY.replace("{scalerAddress: \"s:9090\"}", metadata)
}

#[test]
fn a_file_holds_many_objects_with_many_triggers() {
    let Manifests { objects, notes, .. } = valid(&format!("{ORDERS}---\n{NIGHTLY}"));
    let [orders, nightly] = &objects[..] else {
        panic!("{} objects", objects.len());
    };
    let bounds = |min, max, idle| Bounds { min, max, idle };
    assert_eq!((&*orders.namespace, &*orders.name), ("shop", "orders"));
    assert_eq!(orders.bounds, bounds(2, 20, Some(0)));
    assert_eq!(orders.triggers[0].name.as_deref(), Some("jobs"));
    assert_eq!(orders.triggers[0].metadata["listName"], "jobs");
    assert_eq!(orders.triggers[1].trigger_type, "cpu");
    assert_eq!(nightly.scaled, Scaled::Job);
    assert_eq!(
        (&*nightly.namespace, nightly.bounds),
        ("default", bounds(0, 100, None))
    );
    assert!(notes.is_empty(), "{notes:?}");
}

#[test]
fn a_list_as_kubectl_writes_it_is_read() {
    let item: Value = serde_saphyr::from_str(ORDERS).expect("is YAML");
    let list = serde_json::json!({"kind": "List", "apiVersion": "v1", "items": [item]});
    assert_eq!(valid(&list.to_string()).objects[0].name, "orders");
}

#[test]
fn other_kinds_are_skipped_with_a_note() {
    let deployment = "apiVersion: apps/v1\nkind: Deployment\n";
    let Manifests { objects, notes, .. } = valid(&format!("{deployment}---\n{NIGHTLY}"));
    assert_eq!(objects.len(), 1);
    assert!(
        notes[0].starts_with("f, document 1 (line 1): skipped a Deployment"),
        "{notes:?}"
    );
    let [skipped, none] = &problems(deployment)[..] else {
        panic!("is one document");
    };
    assert_eq!(*skipped, notes[0]);
    assert_eq!(none, "f: holds no ScaledObject or ScaledJob");
    assert_eq!(problems(""), ["f: holds no ScaledObject or ScaledJob"]);
}

#[test]
fn a_misspelt_kind_or_version_is_said_to_be_one() {
    for (from, to, expected) in [
        (
            "ScaledJob",
            "ScaledJobs",
            "kind: `ScaledJobs` is not one of KEDA's kinds; did you mean `ScaledJob`?",
        ),
        ("ScaledJob", "Scaledobject", "did you mean `ScaledObject`?"),
        (
            "keda.sh/v1alpha1",
            "keda.k8s.io/v1alpha1",
            "apiVersion: must be keda.sh/v1alpha1",
        ),
    ] {
        let problems = problems(&NIGHTLY.replace(from, to));
        assert!(
            problems.len() == 1 && problems[0].contains(expected),
            "{problems:?}"
        );
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place_and_what_is_expected() {
    for (from, to, expected) in [
        (
            "name: nightly",
            "nam: nightly",
            "metadata: missing field `name`",
        ),
        (
            "nightly",
            "Nightly Build",
            "metadata.name: \"Nightly Build\" must be a name in Kubernetes",
        ),
        (
            "type: external",
            "typ: external",
            "spec.triggers[0]: missing field `type`",
        ),
        (
            "triggers:",
            "minReplicaCount: \"1\"\n  triggers:",
            "spec.minReplicaCount: \"1\" must be a whole number",
        ),
        (
            "triggers:",
            "minReplicaCount: 101\n  triggers:",
            "spec.minReplicaCount: 101 must not be above maxReplicaCount, which is 100",
        ),
        (
            "triggers:",
            "idleReplicaCount: 0\n  triggers:",
            "spec.idleReplicaCount: 0 must be below minReplicaCount, which is 0",
        ),
        (
            "{type: external,",
            "{type: external, metricType: Average,",
            "spec.triggers[0].metricType: unknown variant, expected one of `AverageValue`",
        ),
        (
            "{scalerAddress: \"s:9090\"}",
            "{listName: [a]}",
            "spec.triggers[0].metadata.listName: must be a text",
        ),
        (
            "kind: ScaledJob",
            "",
            "has no `kind`; expected is a ScaledObject or ScaledJob",
        ),
    ] {
        let text = NIGHTLY.replace(from, to);
        let problems = problems(&format!("{ORDERS}---\n{text}"));
        assert!(
            problems[0].starts_with("f, document 2 (line 16): "),
            "{problems:?}"
        );
        assert!(problems[0].contains(expected), "{problems:?}");
    }
    assert_eq!(
        problems("a: [\n---\njust text\n").len(),
        2,
        "every document is looked at"
    );
    assert!(
        problems(&NIGHTLY.replace(
            "{type: external, metadata: {scalerAddress: \"s:9090\"}}",
            ""
        ))[0]
            .contains("at least one")
    );
}

#[test]
fn keys_from_the_environment_are_resolved_or_left_out() {
    let env = |name: &str| match name {
        "REDIS_PASSWORD" => Some("hunter2".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    let metadata = "{scalerAddress: s, passwordFromEnv: REDIS_PASSWORD, usernameFromEnv: EMPTY, listNameFromEnv: hunter3}";
    let Ok(Manifests { objects, notes, .. }) = read("f", &with_metadata(metadata), &env) else {
        panic!("is valid");
    };
    let resolved = &objects[0].triggers[0].metadata;
    let keys: Vec<_> = resolved.keys().collect();
    assert_eq!(keys, ["passwordFromEnv", "scalerAddress"]);
    assert_eq!(resolved["passwordFromEnv"], "hunter2");
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(
        notes[0].starts_with("default/nightly, trigger 0: usernameFromEnv: "),
        "{notes:?}"
    );
    assert!(!format!("{notes:?}").contains("hunter"), "{notes:?}");
}

#[test]
fn values_without_quotes_are_taken_with_a_note_that_does_not_show_them() {
    let Manifests { objects, notes, .. } = valid(&with_metadata(
        "{scalerAddress: s, listLength: 5, tlsSkipVerify: true, pin: 0042, none: null}",
    ));
    let metadata = &objects[0].triggers[0].metadata;
    assert_eq!(
        (&*metadata["listLength"], &*metadata["tlsSkipVerify"]),
        ("5", "true")
    );
    assert_eq!(metadata["pin"], "0042");
    assert!(!metadata.contains_key("none"));
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[0].contains("listLength: needs quotes"), "{notes:?}");
}

#[test]
fn what_keda_would_stumble_over_is_noted() {
    for (text, note) in [
        (
            with_metadata("{backend: redis}"),
            "scalerAddress: is missing",
        ),
        (
            NIGHTLY.replace(
                "{type: external,",
                "{type: external, authenticationRef: {name: a},",
            ),
            "its parameters are not in the manifest",
        ),
        (
            NIGHTLY.replace(
                "{name: nightly}",
                "{name: nightly, annotations: {autoscaling.keda.sh/paused: \"true\"}}",
            ),
            "pauses it",
        ),
    ] {
        let notes = valid(&text).notes;
        assert!(notes.len() == 1 && notes[0].contains(note), "{notes:?}");
    }
}

#[test]
fn metrics_that_are_combined_otherwise_are_known_as_such() {
    let combination = |section: &str| {
        let text = NIGHTLY.replace("triggers:", &format!("{section}\n  triggers:"));
        valid(&text).objects[0].combination
    };
    assert_eq!(
        combination("advanced: {scalingModifiers: {formula: a + b}}"),
        Combination::Formula
    );
    assert_eq!(
        combination("scalingStrategy: {multipleScalersCalculation: sum}"),
        Combination::Calculation
    );
    assert_eq!(
        combination("scalingStrategy: {multipleScalersCalculation: max}"),
        Combination::Largest
    );
}

#[test]
fn a_secret_at_a_wrong_place_is_not_shown() {
    let slipped = "minReplicaCount:\n    triggers:";
    let secret = with_metadata("{scalerAddress: s, password: hunter2}");
    for text in [
        secret.replace("triggers:", slipped),
        NIGHTLY.replace("[{type: external,", "[hunter2, {type: external,"),
        NIGHTLY.replace("{type: external,", "{type: external, metricType: hunter2,"),
        format!("{NIGHTLY}\nhunter2: 1\nhunter2: 2"),
    ] {
        let problems = problems(&text);
        assert!(!format!("{problems:?}").contains("hunter2"), "{problems:?}");
    }
}
