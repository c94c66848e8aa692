//! What is made of objects as KEDA 2.21 and Kubernetes 1.36 write them.

use serde_json::json;

use super::*;

const KEDA: &str = "keda";

fn scaled_object(status: Value) -> Value {
    json!({
        "metadata": {"name": "worker", "namespace": "shop"},
        "spec": {
            "scaleTargetRef": {"name": "worker"},
            "fallback": {"failureThreshold": 3, "replicas": 2},
            "triggers": [{"type": "external", "metadata": {
                "scalerAddress": "scaler:9090", "backend": "redis", "address": "r:6379",
                "listName": "jobs", "listLength": "5", "password": "hunter2",
            }}],
        },
        "status": status,
    })
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message})
}

fn ready() -> Value {
    let message = "ScaledObject is defined correctly and is ready for scaling";
    condition("Ready", "True", "ScaledObjectReady", message)
}

fn not_active() -> Value {
    let message = "Scaling is not performed because triggers are not active";
    condition("Active", "False", "ScalerNotActive", message)
}

fn no_fallback() -> Value {
    let message = "No fallbacks are active on this scaled object";
    condition("Fallback", "False", "NoFallbackFound", message)
}

fn id(resource: Resource) -> ObjectId {
    ObjectId::new(resource, Some("shop"), "worker").expect("is a name")
}

fn hpa_id() -> ObjectId {
    let hpa = Resource::HorizontalPodAutoscalers;
    ObjectId::new(hpa, Some("shop"), "keda-hpa-worker").expect("is a name")
}

/// The lines of an object's steps, without their heading.
fn lines(state: &State) -> Vec<String> {
    let keys: Vec<TypeKeys> = registry().keys().collect();
    let text = super::super::text(&judge(state, KEDA, &keys));
    let lines = text.lines().skip(3);
    let lines = lines.take_while(|line| !line.is_empty());
    lines.map(str::to_owned).collect()
}

fn found(object: Value, hpa: Option<Result<Option<Value>>>) -> State {
    State {
        id: id(Resource::ScaledObjects),
        written: None,
        object: Ok(Some(object)),
        hpa: hpa.map(|hpa| (hpa_id(), hpa)),
    }
}

fn hpa(conditions: Value, metrics: Value) -> Value {
    json!({
        "metadata": {"name": "keda-hpa-worker"},
        "spec": {
            "minReplicas": 1,
            "maxReplicas": 10,
            "metrics": [{"type": "External", "external": {
                "metric": {"name": "s0-redis-jobs"},
                "target": {"type": "AverageValue", "averageValue": "5"},
            }}],
        },
        "status": {
            "currentReplicas": 3, "desiredReplicas": 4, "conditions": conditions,
            "currentMetrics": metrics,
        },
    })
}

fn current() -> Value {
    json!([{"type": "External", "external": {
        "metric": {"name": "s0-redis-jobs"}, "current": {"averageValue": "6667m"},
    }}])
}

fn healthy_hpa() -> Value {
    let conditions = json!([
        condition(
            "AbleToScale",
            "True",
            "ReadyForNewScale",
            "recommended size matches current size"
        ),
        condition(
            "ScalingActive",
            "True",
            "ValidMetricFound",
            "the HPA was able to compute"
        ),
        condition(
            "ScalingLimited",
            "False",
            "DesiredWithinRange",
            "within the acceptable range"
        ),
    ]);
    hpa(conditions, current())
}

fn healthy() -> Value {
    let conditions = json!([ready(), not_active(), no_fallback()]);
    scaled_object(json!({"conditions": conditions, "hpaName": "keda-hpa-worker"}))
}

#[test]
fn a_healthy_object_passes_every_step() {
    let lines = lines(&found(healthy(), Some(Ok(Some(healthy_hpa())))));
    assert_eq!(
        lines,
        [
            "✓ Ready: ScaledObject is defined correctly and is ready for scaling",
            "✓ Active False: Scaling is not performed because triggers are not active",
            "✓ Fallback not in force",
            "✓ HPA keda-hpa-worker: 3 replicas, 4 wanted, 1 to 10 allowed",
            "✓ AbleToScale: recommended size matches current size",
            "✓ ScalingActive",
            "✓ ScalingLimited False: within the acceptable range",
            "✓ s0-redis-jobs: 6667m/5 (avg)",
        ]
    );
}

/// The line that begins with a text, and those that belong to it.
fn step(lines: &[String], start: &str) -> String {
    let at = lines.iter().position(|line| line.starts_with(start));
    let at = at.unwrap_or_else(|| panic!("{start}: {lines:#?}"));
    let own = lines[at + 1..]
        .iter()
        .take_while(|line| line.starts_with(' '));
    let all: Vec<&str> = std::iter::once(&lines[at])
        .chain(own)
        .map(String::as_str)
        .collect();
    all.join("\n")
}

#[test]
fn what_is_not_ready_says_why_and_what_shows_more() {
    for (reason, message, fix) in [
        (
            "ScaledObjectCheckFailed",
            "failed to ensure HPA is correctly created for ScaledObject: no metric specs returned from scalers",
            "kubectl -n keda logs deployment/keda-operator --since=15m | grep '\"name\": *\"worker\"'",
        ),
        (
            "ScaledObjectCheckFailed",
            "ScaledObject doesn't have correct scaleTargetRef specification: deployments.apps \"worker\" not found",
            "kubectl -n shop get deployment worker",
        ),
        (
            "TriggerError",
            "Triggers defined in ScaledObject are not working correctly",
            "kubectl -n shop describe scaledobject worker",
        ),
    ] {
        let conditions = json!([condition("Ready", "False", reason, message)]);
        let lines = lines(&found(
            scaled_object(json!({"conditions": conditions})),
            None,
        ));
        let expected = format!("✗ Ready False\n    {reason}: {message}\n    fix: {fix}");
        assert_eq!(step(&lines, "✗ Ready"), expected);
        step(&lines, "‼ no HPA yet");
    }
    let message = "Some triggers defined in ScaledObject are not working correctly";
    let partial = json!([condition(
        "Ready",
        "Unknown",
        "PartialTriggerError",
        message
    )]);
    let partial = scaled_object(json!({"conditions": partial}));
    step(&lines(&found(partial, None)), "‼ Ready Unknown");
    for status in [
        json!({}),
        json!({"conditions": [condition("Ready", "Unknown", "", "")]}),
    ] {
        step(
            &lines(&found(scaled_object(status), None)),
            "‼ Ready: not known",
        );
    }
}

#[test]
fn a_fallback_and_the_failures_before_it_are_named() {
    let health =
        |count: u64| json!({"s0-redis-jobs": {"numberOfFailures": count, "status": "Failing"}});
    let message = "At least one trigger is falling back on this scaled object";
    let falls = condition("Fallback", "True", "FallbackExists", message);
    let status = json!({"conditions": [ready(), falls], "health": health(7)});
    let fallback = lines(&found(scaled_object(status), None));
    let fallback = step(&fallback, "✗ Fallback in force");
    for part in [
        message,
        "values for 2 replicas",
        "s0-redis-jobs has failed 7 times in a row",
        "kubectl -n shop describe scaledobject worker",
    ] {
        assert!(fallback.contains(part), "{part}: {fallback}");
    }
    let status = json!({"conditions": [ready(), no_fallback()], "health": health(2)});
    let lines = lines(&found(scaled_object(status), None));
    let failing = step(&lines, "‼ s0-redis-jobs: 2 failures in a row");
    assert!(failing.contains("after more than 3"), "{failing}");
    assert!(
        !lines.iter().any(|line| line.contains("not in force")),
        "{lines:?}"
    );
}

#[test]
fn a_pause_is_a_warning_and_needs_no_hpa() {
    let paused = condition(
        "Paused",
        "True",
        "ScaledObjectPaused",
        "ScaledObject is paused",
    );
    let mut object = scaled_object(json!({"conditions": [ready(), paused]}));
    object["metadata"]["annotations"] =
        json!({"autoscaling.keda.sh/paused-replicas": "2", "a": "b"});
    let lines = lines(&found(object, None));
    let paused = step(&lines, "‼ Paused");
    let fix = "kubectl -n shop annotate scaledobject worker autoscaling.keda.sh/paused-replicas-";
    assert!(paused.contains(fix), "{paused}");
    assert!(!lines.iter().any(|line| line.contains("HPA")), "{lines:?}");
}

#[test]
fn a_missing_hpa_and_one_that_cannot_be_read_are_told_apart() {
    let gone = lines(&found(healthy(), Some(Ok(None))));
    step(&gone, "✗ HPA keda-hpa-worker");
    let what =
        "the permission to get horizontalpodautoscalers.autoscaling in namespace shop is missing";
    let error = Error::new(Kind::Unauthorized, what, "Bind a Role with the verb `get`.");
    let forbidden = lines(&found(healthy(), Some(Err(error))));
    let step = step(&forbidden, "‼ HorizontalPodAutoscaler shop/keda-hpa-worker");
    assert!(
        step.contains(what) && step.ends_with("fix: Bind a Role with the verb `get`"),
        "{step}"
    );
}

#[test]
fn the_conditions_of_an_hpa_are_judged() {
    let able = condition(
        "AbleToScale",
        "True",
        "SucceededGetScale",
        "got the current scale",
    );
    let of = |conditions: Value, metrics: Value| {
        lines(&found(healthy(), Some(Ok(Some(hpa(conditions, metrics))))))
    };
    // At 0 replicas it is KEDA's turn.
    let message = "scaling is disabled since the replica count of the target is zero";
    let disabled = condition("ScalingActive", "False", "ScalingDisabled", message);
    let lines = of(json!([able, disabled]), Value::Null);
    step(&lines, "✓ ScalingActive False: scaling is disabled");
    assert!(lines.iter().all(|line| line.starts_with('✓')), "{lines:?}");

    let message = "the HPA was unable to compute the replica count: unable to get external metric shop/s0-redis-jobs";
    let failed = condition("ScalingActive", "False", "FailedGetExternalMetric", message);
    let lines = of(json!([able, failed]), Value::Null);
    let failed = step(&lines, "✗ ScalingActive False");
    let raw = "/namespaces/shop/s0-redis-jobs?labelSelector=scaledobject.keda.sh%2Fname%3Dworker'";
    assert!(failed.contains(message) && failed.contains(raw), "{failed}");

    let valid = condition("ScalingActive", "True", "ValidMetricFound", "computed");
    let message = "the desired replica count is more than the maximum replica count";
    let limited = condition("ScalingLimited", "True", "TooManyReplicas", message);
    let lines = of(json!([able, valid, limited]), current());
    let limited = step(&lines, "‼ ScalingLimited: at its maximum of 10");
    assert!(limited.contains(message), "{limited}");
    for reason in ["TooFewReplicas", "ScaleUpLimit", "ScaleDownLimit"] {
        let limited = condition("ScalingLimited", "True", reason, "as it is meant");
        step(
            &of(json!([able, valid, limited]), current()),
            "✓ ScalingLimited: as it",
        );
    }
    // One of several metrics has no value.
    let lines = of(json!([able, valid]), json!([{"type": ""}]));
    step(&lines, "‼ s0-redis-jobs: <unknown>/5 (avg)");

    let message = "the HPA controller was unable to get the target's current scale";
    let lost = condition("AbleToScale", "False", "FailedGetScale", message);
    let lines = of(json!([lost]), Value::Null);
    let lost = step(&lines, "✗ AbleToScale False");
    assert!(
        lost.contains("kubectl -n shop describe hpa keda-hpa-worker"),
        "{lost}"
    );
    step(&of(json!([]), Value::Null), "‼ HPA: no conditions yet");
}

#[test]
fn a_scaled_job_has_no_hpa() {
    let message = "ScaledJob is defined correctly and is ready for scaling";
    let ready = condition("Ready", "True", "ScaledJobReady", message);
    let unknown = json!({"type": "Fallback", "status": "Unknown"});
    let mut state = found(
        scaled_object(json!({"conditions": [ready, not_active(), unknown]})),
        None,
    );
    state.id = id(Resource::ScaledJobs);
    let lines = lines(&state);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.iter().all(|line| line.starts_with('✓')), "{lines:?}");
}

fn with_file(spec: Value, object: Result<Option<Value>>) -> State {
    State {
        id: id(Resource::ScaledObjects),
        written: Some(Written {
            id: id(Resource::ScaledObjects),
            file: "worker.yaml".to_owned(),
            place: "worker.yaml, document 1 (line 1)".to_owned(),
            spec,
        }),
        object,
        hpa: Some((hpa_id(), Ok(Some(healthy_hpa())))),
    }
}

#[test]
fn what_is_not_there_or_cannot_be_read_is_one_step() {
    let spec = healthy()["spec"].clone();
    let missing = lines(&with_file(spec.clone(), Ok(None)));
    assert_eq!(missing.len(), 3, "{missing:?}");
    let apply = "fix: `kubectl -n shop apply -f worker.yaml`";
    assert!(
        step(&missing, "✗ in the cluster").ends_with(apply),
        "{missing:?}"
    );
    let error = Error::new(
        Kind::NotFound,
        "the API server does not know scaledobjects.keda.sh",
        "Install KEDA.",
    );
    let absent = lines(&with_file(spec, Err(error)));
    assert!(
        step(&absent, "✗ in the cluster").contains("fix: Install KEDA"),
        "{absent:?}"
    );
}

#[test]
fn the_first_difference_from_the_file_is_named_without_secrets() {
    let cluster = healthy();
    let differs = |change: &dyn Fn(&mut Value)| {
        let mut spec = cluster["spec"].clone();
        change(&mut spec);
        let lines = lines(&with_file(spec, Ok(Some(cluster.clone()))));
        match lines[0].starts_with('✓') {
            true => lines[0].clone(),
            false => lines[1].trim().to_owned(),
        }
    };
    let same = "✓ applied as in worker.yaml, document 1 (line 1)";
    assert_eq!(differs(&|_| {}), same);
    // What KEDA's operator leaves out when it writes the object again is no difference.
    assert_eq!(
        differs(&|spec| {
            spec["triggers"][0]["useCachedMetrics"] = false.into();
            spec["triggers"][0]["name"] = "".into();
            spec["minReplicaCount"] = 0.into();
            spec["advanced"] = json!({"horizontalPodAutoscalerConfig": {}});
        }),
        same
    );
    let metadata = |key: &str, value: Value| {
        let key = key.to_owned();
        differs(&move |spec| spec["triggers"][0]["metadata"][key.as_str()] = value.clone())
    };
    let path = "spec.triggers[0]";
    assert_eq!(
        metadata("listLength", "7".into()),
        format!("{path}.metadata.listLength: `7` in the file, `5` in the cluster")
    );
    assert_eq!(
        metadata("activationListLength", "1".into()),
        format!("{path}.metadata.activationListLength: `1` in the file, nothing in the cluster")
    );
    assert_eq!(
        metadata("listName", Value::Null),
        format!("{path}.metadata.listName: nothing in the file, `jobs` in the cluster")
    );
    for key in ["password", "unheardOf"] {
        let said = metadata(key, "s3cret".into());
        assert_eq!(said, format!("{path}.metadata.{key} differs"));
    }
    assert_eq!(
        differs(&|spec| spec["triggers"][0]["metricType"] = "Value".into()),
        format!("{path}.metricType: `Value` in the file, nothing in the cluster")
    );
    assert_eq!(
        differs(&|spec| spec["triggers"] = json!([])),
        "spec.triggers: 0 in the file, 1 in the cluster"
    );
    assert_eq!(
        differs(&|spec| spec["maxReplicaCount"] = 7.into()),
        "spec.maxReplicaCount: `7` in the file, nothing in the cluster"
    );
}

#[test]
fn an_argument_is_a_file_or_a_name() {
    let folder = tempfile::tempdir().expect("is writable");
    let split = |arguments: &[&str]| {
        let arguments: Vec<PathBuf> = arguments.iter().map(PathBuf::from).collect();
        split(&arguments).map(|(files, names)| (files.len(), names.len()))
    };
    let existing = folder.path().to_str().expect("is text");
    assert_eq!(
        split(&["-", "orders.yaml", "a/b.json", existing]),
        Ok((4, 0))
    );
    assert_eq!(
        split(&["orders", "so/orders.yaml", "scaledjob/x"]),
        Ok((0, 3))
    );
    let mixed = split(&["orders", "a.yaml"]).expect_err("is mixed");
    assert!(
        mixed.to_string().starts_with("`a.yaml` is a file"),
        "{mixed}"
    );
    assert!(split(&["Orders"]).is_err());
}
