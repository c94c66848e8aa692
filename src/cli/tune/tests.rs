//! What is searched, from manifests.

use std::sync::Arc;

use super::{
    edit::Site,
    present::{Present, target_key},
    space::Space,
    values::Try,
};
use crate::{
    cli::simulate::object, error::Result, manifests::File, sampling::Engine, server,
    settings::Settings, simulation::MetricTarget, telemetry::Telemetry,
};

const METADATA: &str =
    "backend: redis, address: \"r:1\", listName: jobs, listLength: \"50\", scaleDownBelow: \"10\"";

fn manifest(metadata: &str, metric_type: &str) -> File {
    let text = format!(
        "apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{name: worker}}
spec:
  scaleTargetRef: {{name: worker}}
  minReplicaCount: 2
  maxReplicaCount: 20
  triggers:
    - type: external
      metricType: {metric_type}
      metadata: {{scalerAddress: \"s:1\", {metadata}}}
"
    );
    File::new("f.yaml", text)
}

/// Of the one object in a file.
fn target(engine: &Engine, file: &File) -> Option<MetricTarget> {
    let read = object::read_some(file, engine, &[], |_| true).ok()?;
    let triggers = &read.objects.first()?.triggers;
    triggers.first().map(|(target, _)| *target)
}

fn present<'a>(file: &'a File, engine: &Engine, backend: &str) -> Present<'a> {
    let site = Site {
        file,
        object: "default/worker",
        trigger: 0,
    };
    let read = object::read_some(file, engine, &[], |_| true).unwrap();
    let object = read.objects.into_iter().next().unwrap();
    Present {
        site,
        target: object.triggers[0].0,
        object: object.object.scaled_object().unwrap(),
        target_key: target_key(&site, backend, |file| target(engine, file)),
    }
}

fn engine() -> Arc<Engine> {
    server::engine(&Settings::default(), &Telemetry::default()).unwrap()
}

fn space(tries: &[&str], keep: &[&str]) -> Result<Space> {
    let file = manifest(METADATA, "AverageValue");
    let tries: Vec<_> = tries.iter().map(|text| Try::parse(text).unwrap()).collect();
    let keep: Vec<_> = keep.iter().map(|key| key.to_string()).collect();
    present(&file, &engine(), "redis").space(&tries, &keep)
}

#[tokio::test]
async fn the_key_of_the_target_is_found_for_every_backend() {
    let engine = engine();
    for (backend, metadata, expected) in [
        ("redis", "listName: jobs", Some("listLength")),
        (
            "redis-streams",
            "stream: jobs, consumerGroup: g, pendingEntriesCount: \"7\"",
            Some("pendingEntriesCount"),
        ),
        (
            "redis-streams",
            "stream: jobs, consumerGroup: g, lagCount: \"7\"",
            Some("lagCount"),
        ),
        ("redis-streams", "stream: jobs", Some("streamLength")),
        ("kafka", "consumerGroup: g, topic: t", Some("lagThreshold")),
        (
            "temporal",
            "taskQueue: q, namespace: n",
            Some("targetQueueSize"),
        ),
    ] {
        let address = match backend {
            "kafka" => "bootstrapServers: \"k:1\"",
            "temporal" => "endpoint: \"t:1\"",
            _ => "address: \"r:1\"",
        };
        let file = manifest(
            &format!("backend: {backend}, {address}, {metadata}"),
            "AverageValue",
        );
        let found = present(&file, &engine, backend).target_key;
        assert_eq!(found.as_deref(), expected, "{backend}: {metadata}");
    }
    let age = "backend: temporal, endpoint: \"t:1\", taskQueue: q, namespace: n, signal: age, targetSeconds: \"60\"";
    let file = manifest(age, "Value");
    let present = present(&file, &engine, "temporal");
    assert_eq!(present.target_key.as_deref(), Some("targetSeconds"));
    let keys = present.space(&[], &[]).unwrap();
    assert!(!keys.searches("scaleDownBelow"), "needs a count");
}

#[tokio::test]
async fn a_search_has_values_around_those_that_there_are() {
    let space = space(&[], &[]).unwrap();
    let keys: Vec<&str> = space.axes.iter().map(|axis| axis.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "listLength",
            "scaleDownBelow",
            "maxReplicaCount",
            "minReplicaCount",
            "stabilizationWindowSeconds"
        ]
    );
    let present = space.present();
    assert_eq!(space.settings(&present), Some(Vec::new()));
    let at = |axis: usize, index: usize| {
        let mut point = present.clone();
        point[axis] = index;
        let settings = space.settings(&point).expect("go together");
        let texts: Vec<String> = settings.iter().map(|setting| setting.to_string()).collect();
        texts.join(" ")
    };
    let sizes = space.sizes();
    // The threshold stays the same part of the target.
    assert_eq!(at(0, 0), "listLength=6 scaleDownBelow=1");
    assert_eq!(at(0, sizes[0] - 1), "listLength=400 scaleDownBelow=80");
    assert_eq!(at(1, 0), "without scaleDownBelow");
    assert_eq!(at(1, sizes[1] - 1), "scaleDownBelow=35");
    assert_eq!(at(2, 0), "maxReplicaCount=5");
    assert_eq!(at(2, sizes[2] - 1), "maxReplicaCount=80");
    assert_eq!(at(3, 0), "minReplicaCount=1");
    assert_eq!(at(4, 0), "stabilizationWindowSeconds=0");
    assert_eq!(space.largest_max(&Default::default()), 80);
}

#[tokio::test]
async fn what_is_named_is_searched_and_nothing_else() {
    let named = space(&["listLength=20,100", "scaleDownBelow=none,4"], &[]).unwrap();
    assert_eq!(named.sizes(), [3, 3], "the present values are among them");
    let settings = named.settings(&vec![0, 0]).expect("go together");
    let texts: Vec<String> = settings.iter().map(|setting| setting.to_string()).collect();
    assert_eq!(texts, ["listLength=20", "without scaleDownBelow"]);
    let range = space(&["pollingInterval=5..10"], &[]).unwrap();
    assert_eq!(range.sizes(), [7], "30 s, which there are, as well");
    let without_window = space(&[], &["stabilizationWindowSeconds"]).unwrap();
    assert_eq!(without_window.axes.len(), 4);
}

#[tokio::test]
async fn arguments_that_search_nothing_are_refused() {
    for (tries, keep, error) in [
        (
            &[][..],
            &["listLenght"][..],
            "--keep listLenght: is not searched; what is searched: listLength, scaleDownBelow, maxReplicaCount, minReplicaCount, stabilizationWindowSeconds. Did you mean `listLength`?",
        ),
        (
            &["activityHold"],
            &[],
            "--try activityHold: has no number to start from. Name values: --try KEY=20,50 or --try KEY=20..100.",
        ),
        (
            &["listLength=1,2", "listLength=3"],
            &[],
            "--try listLength: is given twice. Give all its values at once.",
        ),
        (
            &["listLength=50"],
            &[],
            "there is no value to try. Name some: --try listLength=20,50.",
        ),
    ] {
        let found = space(tries, keep).map(|_| ()).unwrap_err();
        assert_eq!(found.to_string(), error);
    }
    let many: Vec<String> = (0..17).map(|n| format!("key{n}=1,2")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let error = space(&many, &[]).map(|_| ()).unwrap_err().to_string();
    assert!(
        error.starts_with("--try: 17 keys are more than 16"),
        "{error}"
    );
}
