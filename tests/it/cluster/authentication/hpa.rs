//! What the HPA is given of a trigger, by KEDA's own scaler and by ours.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::sleep;

use crate::cluster::{SOON, objects::Namespace};

/// One metric of the HPA of the ScaledObject `worker`.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    name: String,
    /// As the HPA has it: type and quantity.
    target: Value,
    /// A quantity, from the API of external metrics.
    value: String,
}

/// The metrics of the HPA with the values that the HPA controller gets.
pub async fn metrics(namespace: &Namespace) -> Vec<Metric> {
    read(namespace, |_| true).await
}

/// Checks that the HPA has the same metrics again, once it has others: equal targets and values, and the
/// names that they had with eight hexadecimal digits after each.
pub async fn same_but_for_a_hash(namespace: &Namespace, before: &[Metric]) {
    let is_new = |name: &str| before.iter().all(|metric| metric.name != name);
    let after = read(namespace, is_new).await;
    println!("{}: {before:?} became {after:?}", namespace.name);
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(after) {
        let rest = after.name.strip_prefix(&before.name);
        let hash = rest.and_then(|rest| rest.strip_prefix('-'));
        let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        assert!(
            hash.is_some_and(|hash| hash.len() == 8 && hash.chars().all(is_hex)),
            "{} became {}",
            before.name,
            after.name
        );
        assert_eq!(before.target, after.target, "{}", after.name);
        assert_eq!(before.value, after.value, "{}", after.name);
    }
}

/// Waits until the HPA exists, all names of its metrics are right, and each has a value.
async fn read(namespace: &Namespace, is_right: impl Fn(&str) -> bool) -> Vec<Metric> {
    let begun = Instant::now();
    loop {
        let found = attempt(namespace);
        match found {
            Ok(metrics) if metrics.iter().all(|metric| is_right(&metric.name)) => return metrics,
            found => assert!(begun.elapsed() < SOON, "{found:?}"),
        }
        sleep(Duration::from_millis(200)).await;
    }
}

fn attempt(namespace: &Namespace) -> Result<Vec<Metric>, String> {
    let (kubectl, namespace) = (&namespace.cluster.kubectl, &namespace.name);
    let get = [
        "get",
        "hpa",
        "keda-hpa-worker",
        "-n",
        namespace,
        "-o",
        "json",
    ];
    let hpa: Value = serde_json::from_str(&kubectl.attempt(&get, "")?).expect("JSON");
    let metrics = hpa["spec"]["metrics"].as_array().ok_or("no metrics")?;
    let read = metrics.iter().map(|metric| {
        let external = &metric["external"];
        let name = external["metric"]["name"].as_str().ok_or("no name")?;
        // As the HPA controller requests it, by the selector that KEDA has written.
        let path = format!(
            "/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{name}\
             ?labelSelector=scaledobject.keda.sh%2Fname%3Dworker"
        );
        let list = kubectl.attempt(&["get", "--raw", &path], "")?;
        let list: Value = serde_json::from_str(&list).expect("JSON");
        let items = list["items"].as_array().ok_or("no items")?;
        let [item] = items.as_slice() else {
            return Err(format!("{name} has {} values", items.len()));
        };
        Ok(Metric {
            name: name.to_owned(),
            target: external["target"].clone(),
            value: item["value"].as_str().ok_or("no value")?.to_owned(),
        })
    });
    read.collect()
}
