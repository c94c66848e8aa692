//! `check --live --cluster`: conditions that a real KEDA and a real HPA controller have written.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{process, redis::Redis};

use super::{
    SOON,
    authentication::{authentication, secret, secret_key},
    needs_cluster,
    objects::{Namespace, ScaledObject, list},
    program::{Program, executable},
};

/// A namespace, and a server with a Redis.
struct Scene {
    namespace: Namespace,
    redis: Redis,
    program: Program,
    folder: TempDir,
}

/// What a run of the program says.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    /// The step that begins with a text, with its reason and what mends it.
    fn step(&self, start: &str) -> String {
        let mut lines = self.out.lines().skip_while(|line| !line.starts_with(start));
        let first = lines.next();
        let first = first.unwrap_or_else(|| panic!("{start}\n{}{}", self.out, self.err));
        let own = lines.take_while(|line| line.starts_with("    "));
        std::iter::once(first)
            .chain(own)
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn has(&self, start: &str) -> bool {
        self.out.lines().any(|line| line.starts_with(start))
    }
}

impl Scene {
    async fn new(cluster: std::sync::Arc<super::control_plane::ControlPlane>, name: &str) -> Self {
        Scene {
            namespace: Namespace::new(cluster, name),
            redis: Redis::start().await,
            program: Program::start("engine: {maxStaleness: 0s}"),
            folder: process::directory(),
        }
    }

    fn scaled_object(&self) -> ScaledObject {
        ScaledObject::new(self.trigger())
    }

    fn trigger(&self) -> Value {
        list(&self.program.address(), &self.redis.address(), "jobs")
    }

    /// The object as a person would have it in a file.
    fn file(&self, change: impl FnOnce(&mut Value)) -> String {
        let get = ["scaledobject", "worker"];
        let found = self
            .namespace
            .cluster
            .kubectl
            .get(&self.namespace.name, &get);
        let mut object = json!({
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": {"name": "worker"},
            "spec": found["spec"],
        });
        change(&mut object);
        let file = self.folder.path().join("worker.json");
        std::fs::write(&file, object.to_string()).expect("the file");
        file.display().to_string()
    }

    async fn run(&self, arguments: &[&str]) -> Said {
        let config = self.namespace.cluster.kubectl.config().to_owned();
        self.run_as(&config, arguments).await
    }

    async fn run_as(&self, kubeconfig: &Path, arguments: &[&str]) -> Said {
        let mut command = Command::new(executable());
        command
            .args(["check", "--live", "--cluster", "-n", &self.namespace.name])
            .args(arguments)
            .env("KUBECONFIG", kubeconfig);
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let output = output.expect("joins").expect("it starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said {
            code: output.status.code(),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    /// Runs it until it has such a step: KEDA and the HPA write their conditions when they come to it.
    async fn until(&self, start: &str, arguments: &[&str]) -> Said {
        let begun = Instant::now();
        loop {
            let said = self.run(arguments).await;
            if said.has(start) {
                return said;
            }
            let log = || self.namespace.cluster.keda_log_tail(&self.namespace.name);
            assert!(
                begun.elapsed() < SOON,
                "no step `{start}`\n{}{}\n{}",
                said.out,
                said.err,
                log()
            );
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
    }

    /// A kubeconfig of an account with these rights.
    fn account(&self, name: &str, rules: Value) -> PathBuf {
        let kubectl = &self.namespace.cluster.kubectl;
        let metadata = json!({"name": name, "namespace": self.namespace.name});
        let api = "rbac.authorization.k8s.io";
        let items = json!([
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
            {"apiVersion": format!("{api}/v1"), "kind": "Role", "metadata": metadata, "rules": rules},
            {
                "apiVersion": format!("{api}/v1"), "kind": "RoleBinding", "metadata": metadata,
                "roleRef": {"apiGroup": api, "kind": "Role", "name": name},
                "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": self.namespace.name}],
            },
        ]);
        let objects = json!({"apiVersion": "v1", "kind": "List", "items": items});
        kubectl.apply(&objects.to_string());
        let create = ["create", "token", name, "-n", &self.namespace.name];
        let token = kubectl.run(&create, "");
        let admin = std::fs::read_to_string(kubectl.config()).expect("a kubeconfig");
        let text = admin.replace("token: administrator", &format!("token: {}", token.trim()));
        assert_ne!(text, admin);
        let file = self.folder.path().join(name);
        std::fs::write(&file, text).expect("a kubeconfig");
        file
    }
}

#[tokio::test]
async fn a_healthy_object_passes_from_the_value_to_the_hpa_and_one_at_its_maximum_is_a_warning() {
    let cluster = needs_cluster!();
    let scene = Scene::new(cluster, "check-healthy").await;
    let fallback = json!({"failureThreshold": 3, "replicas": 2});
    let object = scene.scaled_object().with("fallback", fallback);
    scene
        .namespace
        .scale("worker", object.with("maxReplicaCount", 3.into()));
    scene.redis.rpush("jobs", 12).await;
    let file = scene.file(|_| {});
    scene.until("✓ s0-redis-jobs", &[&file]).await;
    let said = scene.until("✓ Active: ", &[&file]).await;
    for start in [
        "✓ gRPC health: SERVING",
        "✓ check-healthy/worker, trigger 0: value 12, target 5, active",
        "✓ context test of KUBECONFIG: ",
        "✓ applied as in ",
        "✓ Ready: ScaledObject is defined correctly",
        "✓ Active: Scaling is performed because triggers are active",
        "✓ Fallback not in force",
        "✓ HPA keda-hpa-worker: ",
        "✓ AbleToScale: ",
        "✓ ScalingActive",
        "✓ ScalingLimited",
    ] {
        said.step(start);
    }
    assert_eq!(said.code, Some(0), "{}", said.out);

    // By its name, with the objects of the namespace, and as JSON.
    let named = scene.run(&["worker"]).await;
    assert!(
        named.out.starts_with("1 object: 0 errors"),
        "{}{}",
        named.out,
        named.err
    );
    named.step("✓ ScalingActive");
    assert!(!named.has("✓ applied"), "{}", named.out);
    let json = scene.run(&["-o", "json"]).await;
    let json: Value = serde_json::from_str(&json.out).expect("JSON");
    let stages = json["stages"].as_array().expect("stages");
    let section = "ScaledObject check-healthy/worker";
    let ready = |stage: &Value| {
        stage["section"] == section && stage["what"].as_str().unwrap().starts_with("Ready")
    };
    assert!(stages.iter().any(ready), "{json:#}");

    scene.redis.rpush("jobs", 38).await;
    let said = scene.until("‼ ScalingLimited", &[&file]).await;
    let limited = said.step("‼ ScalingLimited: at its maximum of 3");
    assert!(limited.contains("TooManyReplicas: "), "{limited}");
    assert_eq!(said.code, Some(0), "{}", said.out);
    assert_eq!(scene.run(&[&file, "--strict"]).await.code, Some(1));
}

#[tokio::test]
async fn what_is_not_applied_or_in_another_version_is_said() {
    let cluster = needs_cluster!();
    let scene = Scene::new(cluster, "check-applied").await;
    scene.namespace.scale("worker", scene.scaled_object());
    let other = scene.file(|object| {
        object["spec"]["triggers"][0]["metadata"]["listLength"] = "7".into();
        object["spec"]["minReplicaCount"] = 2.into();
    });
    let said = scene.run(&[&other]).await;
    let step = said.step("‼ applied is another version than ");
    let difference = "spec.triggers[0].metadata.listLength: `7` in the file, `5` in the cluster";
    assert!(step.contains(difference), "{step}");
    let diff = format!("`kubectl -n check-applied diff -f {other}`");
    assert!(step.contains(&diff), "{step}");

    let missing = scene.file(|object| object["metadata"]["name"] = "mailer".into());
    let said = scene.run(&[&missing]).await;
    let step = said.step("✗ in the cluster");
    let apply = format!("fix: `kubectl -n check-applied apply -f {missing}`");
    assert!(step.contains(&apply), "{step}");
    assert_eq!(said.code, Some(1), "{}", said.out);

    let said = scene.run(&["mailer"]).await;
    let error = "there is no ScaledObject or ScaledJob `mailer` in namespace check-applied";
    assert!(said.err.contains(error), "{}", said.err);
    assert_eq!(said.code, Some(1));
}

#[tokio::test]
async fn what_keda_writes_again_is_no_difference() {
    let cluster = needs_cluster!();
    let scene = Scene::new(cluster, "check-rewritten").await;
    scene.namespace.deploy("worker");
    let (scaler, redis) = (scene.program.address(), scene.redis.address());
    let trigger = format!(
        "  - type: external\n    metricType: AverageValue\n    useCachedMetrics: false\n    name: \"\"\n    metadata:\n      \
         scalerAddress: {scaler}\n      backend: redis\n      address: {redis}\n      listName: jobs\n      \
         listLength: \"5\"\n"
    );
    let text = format!(
        "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {{name: worker}}\nspec:\n  \
         scaleTargetRef: {{name: worker, kind: Deployment, apiVersion: apps/v1}}\n  pollingInterval: 5\n  \
         minReplicaCount: 0\n  fallback: {{failureThreshold: 0, replicas: 0}}\n  advanced:\n    \
         restoreToOriginalReplicaCount: false\n    horizontalPodAutoscalerConfig:\n      behavior:\n        \
         scaleDown: {{stabilizationWindowSeconds: 0, tolerance: 0.05, policies: [{{type: Pods, value: 4, periodSeconds: 15}}]}}\n  \
         triggers:\n{trigger}---\n\
         apiVersion: keda.sh/v1alpha1\nkind: ScaledJob\nmetadata: {{name: nightly}}\nspec:\n  pollingInterval: 5\n  \
         jobTargetRef: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: c, image: registry.example/c, \
         resources: {{requests: {{cpu: 1000m}}}}}}]}}}}}}\n  triggers:\n{trigger}"
    );
    let file = scene.folder.path().join("objects.yaml");
    std::fs::write(&file, &text).expect("the file");
    let apply = ["apply", "-n", &scene.namespace.name, "-f", "-"];
    scene.namespace.cluster.kubectl.run(&apply, &text);
    let file = file.display().to_string();
    scene.until("✓ HPA keda-hpa-worker", &[&file]).await;
    let said = scene.until("✓ Ready: ScaledJob is defined", &[&file]).await;
    for document in ["document 1 (line 1)", "document 2 (line "] {
        said.step(&format!("✓ applied as in {file}, {document}"));
    }
    said.step("ScaledJob check-rewritten/nightly");
}

#[tokio::test]
async fn a_backend_that_is_gone_shows_in_the_value_the_conditions_and_the_hpa() {
    let cluster = needs_cluster!();
    let scene = Scene::new(cluster, "check-gone").await;
    let fallback = json!({"failureThreshold": 1, "replicas": 2});
    scene.namespace.scale_all([
        (
            "worker".to_owned(),
            scene.scaled_object().with("fallback", fallback),
        ),
        ("mailer".to_owned(), scene.scaled_object()),
    ]);
    scene.redis.rpush("jobs", 12).await;
    scene.until("✓ s0-redis-jobs", &["worker"]).await;
    scene.until("✓ s0-redis-jobs", &["mailer"]).await;

    scene.redis.kill();
    let said = scene.until("✗ Fallback in force", &["worker"]).await;
    let step = said.step("✗ Fallback in force");
    for part in [
        "FallbackExists: At least one trigger is falling back on this scaled object",
        "values for 2 replicas",
        "times in a row",
        "fix: kubectl -n check-gone describe scaledobject worker",
    ] {
        assert!(step.contains(part), "{part}\n{step}");
    }
    said.step("✗ check-gone/worker, trigger 0");
    assert_eq!(said.code, Some(1), "{}", said.out);

    // Without a fallback, KEDA says that it is not ready, and the HPA has no value.
    let said = scene.until("✗ ScalingActive False", &["mailer"]).await;
    let step = said.step("✗ ScalingActive False");
    for part in [
        "FailedGetExternalMetric: ",
        "labelSelector=scaledobject.keda.sh%2Fname%3Dmailer",
    ] {
        assert!(step.contains(part), "{part}\n{step}");
    }
    let said = scene.until("✗ Ready False", &["mailer"]).await;
    let step = said.step("✗ Ready False");
    assert!(step.contains("TriggerError: "), "{step}");
    assert!(step.contains("describe scaledobject mailer"), "{step}");
}

#[tokio::test]
async fn a_trigger_that_is_refused_leads_to_the_log_of_keda() {
    let cluster = needs_cluster!();
    let scene = Scene::new(cluster, "check-refused").await;
    let mut trigger = scene.trigger();
    trigger["metadata"]["listLenght"] = "5".into();
    scene.namespace.scale("worker", ScaledObject::new(trigger));
    let said = scene.until("✗ Ready False", &["worker"]).await;
    let step = said.step("✗ Ready False");
    assert!(step.contains("ScaledObjectCheckFailed: "), "{step}");
    assert!(
        step.contains("kubectl -n keda logs deployment/keda-operator"),
        "{step}"
    );
    said.step("‼ no HPA yet");
    // It is a finding as well, of the object in the cluster.
    let finding = "ScaledObject check-refused/worker:";
    assert!(said.out.starts_with(finding), "{}", said.out);
    assert!(
        said.out.contains("error[unknown-key]: listLenght"),
        "{}",
        said.out
    );
    // What the message promises is in that log.
    let log = scene.namespace.cluster.keda_log(&scene.namespace.name);
    let names = |line: &&String| {
        line.contains("\"name\":\"worker\"") || line.contains("\"name\": \"worker\"")
    };
    let lines: Vec<_> = log.iter().filter(names).collect();
    assert!(
        lines.iter().any(|line| line.contains("listLenght")),
        "{log:#?}"
    );
}

#[tokio::test]
async fn without_a_server_the_values_come_from_this_process_with_the_authentications() {
    let cluster = needs_cluster!();
    let mut scene = Scene::new(cluster, "check-serverless").await;
    scene.redis = Redis::builder().password("hunter2").start().await;
    scene.redis.rpush("jobs", 7).await;
    for mut object in [
        secret("redis", json!({"p": "hunter2"})),
        authentication(
            "redis",
            json!({"secretTargetRef": [secret_key("password", "redis", "p")]}),
        ),
    ] {
        object["metadata"]["namespace"] = scene.namespace.name.as_str().into();
        scene.namespace.cluster.kubectl.apply(&object.to_string());
    }
    let mut trigger = scene.trigger();
    trigger["metadata"]["scalerAddress"] = format!("127.0.0.1:{}", process::free_port()).into();
    trigger["authenticationRef"] = json!({"name": "redis"});
    scene.namespace.scale("worker", ScaledObject::new(trigger));
    let said = scene.run(&["worker"]).await;
    said.step("✗ TCP: port");
    said.step("‼ evaluated by this process");
    said.step("✓ check-serverless/worker, trigger 0: value 7");
    assert!(!said.out.contains("hunter2"), "{}", said.out);
    let file = scene.file(|_| {});
    let said = scene.run(&[&file]).await;
    said.step("✓ check-serverless/worker, trigger 0: value 7");
}

#[tokio::test]
async fn what_cannot_be_read_of_a_cluster_is_said_with_what_is_needed() {
    let cluster = needs_cluster!();
    let scene = Scene::new(cluster, "check-rights").await;
    scene.namespace.scale("worker", scene.scaled_object());
    scene.redis.rpush("jobs", 12).await;
    let file = scene.file(|_| {});
    scene.until("✓ s0-redis-jobs", &[&file]).await;
    let rule = |group: &str, resource: &str| json!({"apiGroups": [group], "resources": [resource], "verbs": ["get"]});

    let stranger = scene.account("stranger", json!([]));
    let said = scene.run_as(&stranger, &[&file]).await;
    let step = said.step("✗ in the cluster");
    let missing = |resource: &str, user: &str| {
        format!(
            "the permission to get {resource} in namespace check-rights is missing for \
             system:serviceaccount:check-rights:{user}"
        )
    };
    assert!(
        step.contains(&missing("scaledobjects.keda.sh", "stranger")),
        "{step}"
    );
    assert!(
        step.contains("fix: Bind a Role or ClusterRole with the verb `get`"),
        "{step}"
    );
    assert_eq!(said.code, Some(1), "{}", said.out);
    // The steps before are not in the way of it.
    said.step("✓ check-rights/worker, trigger 0: value 12");

    let reader = scene.account("reader", json!([rule("keda.sh", "scaledobjects")]));
    let said = scene.run_as(&reader, &[&file]).await;
    said.step("✓ Ready: ");
    let step = said.step("‼ HorizontalPodAutoscaler check-rights/keda-hpa-worker");
    let hpa = missing("horizontalpodautoscalers.autoscaling", "reader");
    assert!(step.contains(&hpa), "{step}");
    assert_eq!(said.code, Some(0), "{}", said.out);

    // The least rights that the page names.
    let both = json!([
        rule("keda.sh", "scaledobjects"),
        rule("autoscaling", "horizontalpodautoscalers"),
    ]);
    let said = scene.run_as(&scene.account("both", both), &[&file]).await;
    said.step("✓ ScalingActive");

    let admin = std::fs::read_to_string(scene.namespace.cluster.kubectl.config()).unwrap();
    let (_, rest) = admin.split_once("https://").expect("a server");
    let server = rest.split('"').next().expect("an address");
    let away = scene.folder.path().join("away");
    let elsewhere = format!("127.0.0.1:{}", process::free_port());
    std::fs::write(&away, admin.replace(server, &elsewhere)).expect("a kubeconfig");
    let said = scene.run_as(&away, &[&file]).await;
    let step = said.step("✗ context test of KUBECONFIG: ");
    assert!(step.contains("the API server cannot be reached"), "{step}");
    assert_eq!(said.code, Some(1), "{}", said.out);
    let said = scene.run(&[&file, "--context", "tset"]).await;
    assert!(said.err.contains("Did you mean `test`?"), "{}", said.err);
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
}
