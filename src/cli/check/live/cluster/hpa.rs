//! What the HPA says: its conditions (`pkg/controller/podautoscaler/horizontal.go` in Kubernetes 1.36),
//! its metrics and its replicas.

use serde_json::Value;

use super::{
    super::stage::{Mark, Stage},
    condition::Condition,
    keda::Of,
};
use crate::kubernetes::ObjectId;

/// The steps of one HPA.
pub fn judge(of: &Of<'_>, id: &ObjectId, hpa: &Value) -> Vec<Stage> {
    let describe = format!("kubectl -n {} describe hpa {}", of.namespace(), id.name);
    let mut stages = vec![replicas(of, id, hpa)];
    let Some(able) = Condition::of(hpa, "AbleToScale") else {
        let stage = of.stage(Mark::Warning, "HPA: no conditions yet");
        let because = "the HPA controller evaluates it every 15 s";
        stages.push(stage.because(because).mended_by(describe));
        return stages;
    };
    stages.push(match able.is_false() {
        false => of.stage(Mark::Passed, able.line("AbleToScale")),
        true => {
            let stage = of.stage(Mark::Failed, "AbleToScale False");
            stage.because(able.said()).mended_by(describe.clone())
        }
    });
    let active = Condition::of(hpa, "ScalingActive");
    stages.extend(active.map(|active| scaling_active(of, hpa, active)));
    // Then it has looked at no metric, or at none that it could read.
    let evaluates = active.is_some_and(|active| active.is_true());
    if evaluates {
        let limited = Condition::of(hpa, "ScalingLimited");
        stages.extend(limited.map(|limited| scaling_limited(of, hpa, limited)));
        stages.extend(metrics(of, hpa));
    }
    stages
}

fn replicas(of: &Of<'_>, id: &ObjectId, hpa: &Value) -> Stage {
    let number = |value: &Value, default: u64| value.as_u64().unwrap_or(default);
    let (spec, status) = (&hpa["spec"], &hpa["status"]);
    let current = number(&status["currentReplicas"], 0);
    let wanted = number(&status["desiredReplicas"], 0);
    // Kubernetes' own default of minReplicas is 1.
    let (min, max) = (
        number(&spec["minReplicas"], 1),
        number(&spec["maxReplicas"], 0),
    );
    let noun = if current == 1 { "replica" } else { "replicas" };
    let what = format!(
        "HPA {}: {current} {noun}, {wanted} wanted, {min} to {max} allowed",
        id.name
    );
    of.stage(Mark::Passed, what)
}

fn scaling_active(of: &Of<'_>, hpa: &Value, active: Condition<'_>) -> Stage {
    if active.is_true() {
        // Its message repeats the metric's name and its whole selector.
        return of.stage(Mark::Passed, "ScalingActive");
    }
    // KEDA starts the first replica itself.
    if active.reason == "ScalingDisabled" {
        return of.stage(Mark::Passed, active.line("ScalingActive"));
    }
    let mut metrics = externals(hpa);
    let metric = metrics.find(|metric| active.message.contains(metric.name));
    let metric = metric.or_else(|| externals(hpa).next());
    let fix = match (active.reason, metric) {
        ("FailedGetExternalMetric", Some(metric)) => format!(
            "{}; kubectl get apiservice v1beta1.external.metrics.k8s.io; what the HPA gets: kubectl get --raw \
             '/apis/external.metrics.k8s.io/v1beta1/namespaces/{}/{}?labelSelector=scaledobject.keda.sh%2Fname%3D{}'",
            of.log(),
            of.namespace(),
            metric.name,
            of.id.name
        ),
        _ => format!(
            "kubectl -n {} describe hpa {}",
            of.namespace(),
            hpa["metadata"]["name"].as_str().unwrap_or_default()
        ),
    };
    let stage = of.stage(Mark::Failed, format!("ScalingActive {}", active.status));
    stage.because(active.said()).mended_by(fix)
}

fn scaling_limited(of: &Of<'_>, hpa: &Value, limited: Condition<'_>) -> Stage {
    // The minimum, and the rate of its policies, limit it as they are meant to.
    if limited.reason != "TooManyReplicas" || !limited.is_true() {
        return of.stage(Mark::Passed, limited.line("ScalingLimited"));
    }
    let max = hpa["spec"]["maxReplicas"].as_u64().unwrap_or_default();
    of.stage(Mark::Warning, format!("ScalingLimited: at its maximum of {max}"))
        .because(limited.said())
        .mended_by(
            "raise maxReplicaCount, if more replicas would help; docs/how-to/on-call.md, \"Stuck at the maximum\"",
        )
}

/// An external metric of the HPA.
struct External<'a> {
    name: &'a str,
    /// As kubectl shows it: `5 (avg)`.
    target: String,
    /// The key of the value: `averageValue` or `value`.
    key: &'static str,
}

fn externals(hpa: &Value) -> impl Iterator<Item = External<'_>> {
    let metrics = hpa["spec"]["metrics"].as_array().into_iter().flatten();
    metrics.filter_map(|metric| {
        let external = metric.get("external")?;
        let target = &external["target"];
        let (key, unit) = match target["type"].as_str()? {
            "AverageValue" => ("averageValue", " (avg)"),
            _ => ("value", ""),
        };
        Some(External {
            name: external["metric"]["name"].as_str()?,
            target: format!("{}{unit}", target[key].as_str().unwrap_or("?")),
            key,
        })
    })
}

/// Each external metric beside its target, as `kubectl get hpa` has it. Others are no triggers of ours.
fn metrics(of: &Of<'_>, hpa: &Value) -> Vec<Stage> {
    let current = |metric: &External<'_>| {
        let mut all = hpa["status"]["currentMetrics"]
            .as_array()
            .into_iter()
            .flatten();
        let found =
            all.find(|found| found["external"]["metric"]["name"].as_str() == Some(metric.name))?;
        found["external"]["current"][metric.key].as_str()
    };
    let stages = externals(hpa).map(|metric| match current(&metric) {
        Some(value) => {
            let what = format!("{}: {value}/{}", metric.name, metric.target);
            of.stage(Mark::Passed, what)
        }
        None => {
            let what = format!("{}: <unknown>/{}", metric.name, metric.target);
            let stage = of.stage(Mark::Warning, what);
            let because = "the HPA got no value of it, and scales by the other metrics";
            stage.because(because).mended_by(of.log())
        }
    });
    stages.collect()
}
