//! The connections of triggers, and their values.

use std::collections::BTreeMap;

use tonic::Code;

use super::stage::{Mark, Stage};
use crate::{
    check::{Checker, codes},
    cli::{
        probe::{self, Object, is_external},
        registry,
    },
    keda::client::{CallError, Scaler, TriggerResult},
    metadata::{TriggerRef, schema::nearest_of_words},
    network::HostMap,
};

/// A trigger that was evaluated.
struct Evaluated {
    /// `shop/worker, trigger 0`.
    of: String,
    namespace: String,
    /// maxReplicaCount.
    max: u32,
    backend: String,
    /// Its connection without secrets; `None`: the trigger is refused.
    connection: Option<String>,
    result: TriggerResult,
    /// How to reach its server from here.
    from_here: Option<String>,
}

/// Adds a step for each connection, and one for each trigger. `hosts` is given where this process
/// evaluates, and says which servers it reaches elsewhere.
pub async fn check(
    scaler: &Scaler,
    objects: Vec<Object>,
    hosts: Option<&HostMap>,
    stages: &mut Vec<Stage>,
) {
    let checker = Checker::new().ok();
    let mut all = Vec::new();
    for object in objects {
        for (index, trigger) in object.triggers.into_iter().enumerate() {
            if !is_external(&trigger.trigger_type) {
                continue;
            }
            let failed = trigger.failed;
            let request = TriggerRef {
                namespace: object.namespace.clone(),
                name: object.name.clone(),
                metadata: trigger.metadata,
            };
            let connection = checker
                .as_ref()
                .and_then(|checker| checker.connection(&request));
            let backend = request.metadata.get("backend").cloned().unwrap_or_default();
            let metadata = request.metadata.clone();
            let result = match failed {
                // Its metadata are not known.
                Some(error) => TriggerResult::refused(error),
                None => scaler.call(request).await,
            };
            let from_here = match hosts {
                Some(hosts) if result.value.is_err() => probe::from_here(&metadata, hosts).await,
                _ => None,
            };
            all.push(Evaluated {
                of: format!("{}/{}, trigger {index}", object.namespace, object.name),
                namespace: object.namespace.clone(),
                max: object.bounds.max,
                backend,
                connection,
                result,
                from_here,
            });
        }
    }
    if all.is_empty() {
        let what = "no trigger of type external or external-push to evaluate";
        stages.push(Stage::new("triggers", Mark::Warning, what));
    }
    stages.extend(connections(&all));
    stages.extend(all.iter().map(trigger));
    stages.extend(all.iter().filter_map(consumers));
}

/// More replicas than partitions.
fn consumers(one: &Evaluated) -> Option<Stage> {
    let most = one.result.value.as_ref().ok()?.most_consumers?;
    let (of, max, code) = (&one.of, one.max, &codes::PARTITIONS);
    let above = u64::from(max) > most;
    above.then(|| {
        let what = format!(
            "{of}: maxReplicaCount {max}, and {most} partitions [{}]",
            code.name
        );
        let warning = Stage::new("triggers", Mark::Warning, what);
        warning.because(code.why).mended_by(code.fix)
    })
}

fn connections(all: &[Evaluated]) -> Vec<Stage> {
    let mut by_name: BTreeMap<&str, Vec<&Evaluated>> = BTreeMap::new();
    for one in all {
        if let Some(name) = &one.connection {
            by_name.entry(name).or_default().push(one);
        }
    }
    by_name
        .iter()
        .map(|(name, users)| connection(name, users))
        .collect()
}

/// A connection is as good as the best of its triggers.
fn connection(name: &str, users: &[&Evaluated]) -> Stage {
    let fresh =
        |user: &&&Evaluated| matches!(&user.result.value, Ok(value) if value.stale.is_none());
    if users.iter().any(|user| fresh(&user)) {
        let what = format!("{name}: reached, logged in, read");
        return Stage::new("connections", Mark::Passed, what);
    }
    let errors = users
        .iter()
        .filter_map(|user| Some((user, user.result.value.as_ref().err()?)));
    let of_connection = |code: Code| {
        matches!(
            code,
            Code::Unavailable | Code::FailedPrecondition | Code::DeadlineExceeded
        )
    };
    match errors
        .into_iter()
        .find(|(_, error)| of_connection(error.code))
    {
        Some((user, error)) => Stage::new("connections", Mark::Failed, name)
            .because(&error.message)
            .mended_by(fix(user, error)),
        None => Stage::new("connections", Mark::Warning, format!("{name}: not known"))
            .because("none of its triggers has a fresh value"),
    }
}

fn trigger(one: &Evaluated) -> Stage {
    let of = &one.of;
    match &one.result.value {
        Ok(value) => {
            let target = one.result.metric.as_ref().map(|metric| metric.target);
            let target = target
                .map(|target| format!(", target {target}"))
                .unwrap_or_default();
            let active = if value.active { "active" } else { "not active" };
            let what = format!("{of}: value {}{target}, {active}", value.value);
            match &value.stale {
                None => Stage::new("triggers", Mark::Passed, what),
                Some(kind) => Stage::new("triggers", Mark::Warning, what).because(format!(
                    "of an older sample, as the backend cannot be read now ({kind})"
                )),
            }
        }
        Err(error) => Stage::new("triggers", Mark::Failed, of)
            .because(&error.message)
            .mended_by(fix(one, error)),
    }
}

/// The command that leads on.
fn fix(one: &Evaluated, error: &CallError) -> String {
    let Evaluated {
        namespace, backend, ..
    } = one;
    if let Some(hint) = &one.from_here {
        return hint.clone();
    }
    match error.code {
        Code::InvalidArgument => {
            let registry = registry();
            let names: Vec<&str> = registry.names().collect();
            let known = names.iter().find(|name| *name == backend).copied();
            let meant = known.or_else(|| nearest_of_words(backend, &names));
            format!("backlog-scaler keys {}", meant.unwrap_or_default())
                .trim_end()
                .to_owned()
        }
        Code::Unavailable | Code::DeadlineExceeded => {
            format!("kubectl -n {namespace} get services,endpointslices")
        }
        Code::PermissionDenied => {
            "whoever runs backlog-scaler allows it in its settings (docs/reference/settings.md)"
                .to_owned()
        }
        Code::FailedPrecondition => {
            let page = match backend.split('-').next_back() {
                Some("kafka") => "kafka.md#least-rights",
                Some("temporal") => "temporal.md#credentials",
                _ => "redis.md#least-rights",
            };
            format!(
                "if it is the login or a right: kubectl -n {namespace} get secrets,triggerauthentications; \
                 least rights: docs/how-to/{page}"
            )
        }
        Code::NotFound => "check the name of what is measured".to_owned(),
        _ => "kubectl -n keda logs deployment/backlog-scaler".to_owned(),
    }
}
