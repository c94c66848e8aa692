//! What KEDA says of a ScaledObject or ScaledJob: its conditions (`apis/keda/v1alpha1/condition_types.go`
//! in KEDA 2.21) and the failures that it counts for a fallback.

use serde_json::Value;

use super::{
    super::stage::{Mark, Stage},
    condition::Condition,
};
use crate::kubernetes::ObjectId;

/// Whose conditions they are.
pub struct Of<'a> {
    pub section: &'a str,
    pub id: &'a ObjectId,
    pub object: &'a Value,
    pub keda_namespace: &'a str,
}

/// The annotations that pause it all begin so.
const PAUSED: &str = "autoscaling.keda.sh/paused";

impl Of<'_> {
    pub fn stage(&self, mark: Mark, what: impl Into<String>) -> Stage {
        Stage::new(self.section, mark, what)
    }

    pub fn namespace(&self) -> &str {
        self.id.namespace.as_deref().unwrap_or_default()
    }

    /// `scaledobject worker`, as kubectl takes it.
    fn argument(&self) -> String {
        let kind = self.id.resource.kind().to_lowercase();
        format!("{kind} {}", self.id.name)
    }

    /// Its events have the reason of a value that cannot be read.
    fn describe(&self) -> String {
        format!(
            "kubectl -n {} describe {}",
            self.namespace(),
            self.argument()
        )
    }

    /// The log of KEDA's operator has what no condition and no event has: why a trigger has no metric.
    pub fn log(&self) -> String {
        format!(
            "kubectl -n {} logs deployment/keda-operator --since=15m | grep '\"name\": *\"{}\"'",
            self.keda_namespace, self.id.name
        )
    }

    fn condition(&self, kind: &str) -> Option<Condition<'_>> {
        Condition::of(self.object, kind)
    }

    fn is_ready(&self) -> bool {
        self.condition("Ready").is_some_and(|ready| ready.is_true())
    }

    fn is_paused(&self) -> bool {
        let paused = self.condition("Paused");
        paused.is_some_and(|paused| paused.is_true())
    }
}

/// The steps of its status.
pub fn judge(of: &Of<'_>) -> Vec<Stage> {
    let mut stages = Vec::new();
    if let Some(since) = of.object["metadata"]["deletionTimestamp"].as_str() {
        let what = format!("is being deleted since {since}");
        let finalizer = "KEDA's operator removes its finalizer, and then it is gone";
        let stage = of.stage(Mark::Failed, what).because(finalizer);
        stages.push(stage.mended_by(of.log()));
    }
    stages.push(ready(of));
    stages.extend(active(of));
    stages.extend(fallback(of));
    stages.extend(paused(of));
    stages
}

fn ready(of: &Of<'_>) -> Stage {
    let unseen = || {
        let namespace = of.keda_namespace;
        of.stage(Mark::Warning, "Ready: not known")
            .because("KEDA writes it once it has come to this object")
            .mended_by(format!(
                "kubectl -n {namespace} get deployments; kubectl -n {namespace} logs deployment/keda-operator"
            ))
    };
    let Some(ready) = of.condition("Ready") else {
        return unseen();
    };
    let line = ready.line("Ready");
    match ready.status {
        "True" => of.stage(Mark::Passed, line),
        // Some triggers work, and it is scaled by them (PartialTriggerError).
        "Unknown" if !ready.reason.is_empty() => {
            let stage = of.stage(Mark::Warning, "Ready Unknown");
            stage.because(ready.said()).mended_by(of.describe())
        }
        "Unknown" => unseen(),
        _ => {
            let stage = of.stage(Mark::Failed, format!("Ready {}", ready.status));
            stage.because(ready.said()).mended_by(mend(of, ready))
        }
    }
}

/// What leads on from a ScaledObject that is not ready, by the texts of KEDA 2.21
/// (`controllers/keda/scaledobject_controller.go`, `pkg/scaling/executor`).
fn mend(of: &Of<'_>, ready: Condition<'_>) -> String {
    let target = &of.object["spec"]["scaleTargetRef"];
    let name = target["name"].as_str().unwrap_or_default();
    let kind = target["kind"].as_str().filter(|kind| !kind.is_empty());
    let kind = kind.unwrap_or("Deployment").to_lowercase();
    let is_target = ready.message.contains("scaleTargetRef")
        || matches!(
            ready.reason,
            "ErrorGettingCurrentReplicas" | "ErrorScalingTarget"
        );
    match ready.message {
        // Neither the condition nor an event says why a trigger has no metric.
        message if message.contains("metric spec") => of.log(),
        _ if is_target && !name.is_empty() => {
            format!("kubectl -n {} get {kind} {name}", of.namespace())
        }
        _ => of.describe(),
    }
}

fn active(of: &Of<'_>) -> Option<Stage> {
    let active = of.condition("Active")?;
    match active.status {
        "True" | "False" => Some(of.stage(Mark::Passed, active.line("Active"))),
        // Before its first poll. With a reason, it is that of Ready.
        _ => None,
    }
}

fn fallback(of: &Of<'_>) -> Vec<Stage> {
    let failing = failures(of.object);
    let spec = &of.object["spec"]["fallback"];
    let condition = of.condition("Fallback");
    if let Some(fallback) = condition.filter(Condition::is_true) {
        let replicas = spec["replicas"].as_u64().unwrap_or_default();
        let failing: Vec<String> = failing
            .iter()
            .map(|(metric, count)| format!("{metric} has failed {count} times in a row"))
            .collect();
        let because = format!(
            "{}; KEDA reports values for {replicas} replicas (spec.fallback): {}",
            fallback.said(),
            failing.join(", ")
        );
        let stage = of.stage(Mark::Failed, "Fallback in force").because(because);
        return vec![stage.mended_by(of.describe())];
    }
    let threshold = spec["failureThreshold"].as_u64().unwrap_or_default();
    let stages = failing.iter().map(|(metric, count)| {
        let what = format!("{metric}: {count} failures in a row");
        let because = format!("the fallback takes its place after more than {threshold}");
        let stage = of.stage(Mark::Warning, what).because(because);
        stage.mended_by(of.describe())
    });
    let mut stages: Vec<Stage> = stages.collect();
    if stages.is_empty() && condition.is_some_and(|fallback| fallback.is_false()) {
        stages.push(of.stage(Mark::Passed, "Fallback not in force"));
    }
    stages
}

/// The metrics that fail, with how often in a row. KEDA counts where there is a fallback.
fn failures(object: &Value) -> Vec<(&str, u64)> {
    let health = object["status"]["health"].as_object();
    let metrics = health.into_iter().flatten();
    let failing = metrics.filter_map(|(metric, health)| {
        let count = health["numberOfFailures"].as_u64()?;
        (count > 0).then_some((metric.as_str(), count))
    });
    failing.collect()
}

fn paused(of: &Of<'_>) -> Option<Stage> {
    let paused = of.condition("Paused").filter(Condition::is_true)?;
    let annotations = of.object["metadata"]["annotations"].as_object();
    let names = annotations.into_iter().flatten().map(|(name, _)| name);
    let names: Vec<String> = names
        .filter(|name| name.starts_with(PAUSED))
        .map(|name| format!("{name}-"))
        .collect();
    let fix = format!(
        "kubectl -n {} annotate {} {}",
        of.namespace(),
        of.argument(),
        match names.is_empty() {
            true => format!("{PAUSED}-"),
            false => names.join(" "),
        }
    );
    let stage = of.stage(Mark::Warning, "Paused").because(paused.said());
    Some(stage.mended_by(fix))
}

/// A ScaledObject without an HPA.
pub fn without_hpa(of: &Of<'_>) -> Option<Stage> {
    // KEDA deletes it with the annotations `paused` and `paused-replicas`, and says that it is paused.
    if of.is_paused() {
        return None;
    }
    let name = of.object["status"]["hpaName"].as_str().unwrap_or_default();
    let stage = match (of.is_ready(), name) {
        (false, "") => of
            .stage(Mark::Warning, "no HPA yet")
            .because("KEDA creates one once it has the metrics of all triggers"),
        (_, name) => {
            let what = match name {
                "" => "no HPA".to_owned(),
                name => format!("HPA {name}"),
            };
            of.stage(Mark::Failed, what)
                .because("it does not exist, and KEDA has said that it is ready")
        }
    };
    Some(stage.mended_by(of.log()))
}
