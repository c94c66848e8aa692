//! The permissions of the chart are enough, and each is necessary: without it something fails, with an
//! error that names it.

mod chart;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use backlog_scaler::{
    error::Kind,
    kubernetes::{Authentication, Event, Options},
};
use serde_json::{Value, json};

use super::{
    JOBS, Scene, authentication, config_map, deployment, needs_cluster, pairs, secret, secret_key,
    sent, trigger,
};
use crate::cluster::{
    SOON,
    control_plane::{ControlPlane, KEDA},
    objects::Namespace,
};
use chart::{ACCOUNT, Rights, USER};

/// What a trigger refers to, each in an object of its own.
const OBJECTS: [&str; 5] = [DEPLOYMENT, STATEFUL_SET, OF_KEDA, LATER, LATER_OF_KEDA];
/// Secret, ConfigMap and the environment of a Deployment.
const DEPLOYMENT: &str = "worker";
/// The environment of a StatefulSet.
const STATEFUL_SET: &str = "stateful";
/// A ClusterTriggerAuthentication, with Secret and ConfigMap in KEDA's namespace.
const OF_KEDA: &str = "of-keda";
/// An authentication that no watch has delivered: it is read by itself. In truth there is none.
const LATER: &str = "later";
const LATER_OF_KEDA: &str = "later-of-keda";
/// An object that no watch has delivered.
const UNKNOWN: &str = "unknown";

/// What a failure of a watch is kept under.
const WATCH: &str = "a watch";

/// One of the chart's cases, with objects that need all that it allows.
struct Case {
    cluster: Arc<ControlPlane>,
    rights: Rights,
    namespace: Arc<Namespace>,
    of_keda: Arc<Namespace>,
    options: Options,
    token: String,
}

impl Case {
    async fn new(cluster: Arc<ControlPlane>, case: &str, in_one_namespace: bool) -> Self {
        let name = format!("rights-{case}");
        let namespace = Arc::new(Namespace::new(cluster.clone(), &name));
        let of_keda = Arc::new(Namespace::new(cluster.clone(), &format!("{name}-keda")));
        let names = [
            ("shop", name.as_str()),
            ("autoscaling", of_keda.name.as_str()),
        ];
        let rights = Rights::of_case(case, &names);
        rights.apply(&cluster, None).await;
        let create = ["create", "token", ACCOUNT, "-n", KEDA];
        let case = Case {
            token: cluster.kubectl.run(&create, "").trim().to_owned(),
            options: Options {
                namespaces: Vec::from_iter(in_one_namespace.then(|| name.clone())),
                keda_namespace: of_keda.name.clone(),
                ..Options::default()
            },
            cluster,
            rights,
            namespace,
            of_keda,
        };
        case.create();
        case
    }

    fn create(&self) {
        let values = [
            secret("redis", json!({"p": "hunter2"})),
            config_map("kafka", json!({"address": "redis:6379"})),
        ];
        let maps = json!({
            "secretTargetRef": [secret_key("password", "redis", "p")],
            "configMapTargetRef": [secret_key("address", "kafka", "address")],
        });
        let env = json!({"env": [{"parameter": "username", "name": "USER_NAME"}]});
        let mut both = maps.clone();
        both["env"] = env["env"].clone();
        let other = json!({"secretTargetRef": [secret_key("password", "other", "p")]});
        let mut of_cluster = authentication(&self.of_keda.name, maps);
        of_cluster["kind"] = "ClusterTriggerAuthentication".into();
        let variables = json!([{"name": "USER_NAME", "value": "app"}]);
        let target = deployment(variables, json!([]));
        let mut stateful = target.clone();
        stateful["kind"] = "StatefulSet".into();
        stateful["metadata"]["name"] = STATEFUL_SET.into();
        stateful["spec"]["serviceName"] = STATEFUL_SET.into();
        let mut objects: Vec<Value> = [
            secret("other", json!({"p": "hunter2"})),
            authentication(DEPLOYMENT, both),
            authentication(STATEFUL_SET, env),
            authentication("other", other),
            target,
            stateful,
        ]
        .into();
        objects.extend(values.clone());
        objects.extend(OBJECTS.map(|name| self.scaled_object(name)));
        objects.push(self.scaled_object("other"));
        for object in &mut objects {
            object["metadata"]["namespace"] = self.namespace.name.as_str().into();
        }
        objects.extend(values.map(|mut object| {
            object["metadata"]["namespace"] = self.of_keda.name.as_str().into();
            object
        }));
        objects.push(of_cluster);
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        self.cluster.kubectl.apply(&list.to_string());
    }

    fn scaled_object(&self, name: &str) -> Value {
        let of_cluster = "ClusterTriggerAuthentication";
        let reference = match name {
            OF_KEDA => json!({"name": self.of_keda.name, "kind": of_cluster}),
            LATER_OF_KEDA => json!({"name": LATER_OF_KEDA, "kind": of_cluster}),
            other => json!({ "name": other }),
        };
        let mut object = super::scaled_object(vec![trigger(JOBS, Some(reference))]);
        object["metadata"]["name"] = name.into();
        if name == STATEFUL_SET {
            object["spec"]["scaleTargetRef"] =
                json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": STATEFUL_SET});
        }
        object
    }

    /// A client with the account's token, which has read nothing.
    async fn scene(&self) -> Scene {
        Scene::with(
            self.namespace.clone(),
            Some(&self.token),
            self.options.clone(),
        )
        .await
    }

    /// Waits until no permission is missing. The values are right, and events are written.
    async fn suffices(&self) {
        let scene = self.scene().await;
        let begun = Instant::now();
        let used = loop {
            let used = use_all(&scene).await;
            if scene.kubernetes.is_synced() && used.missing().is_empty() {
                break used;
            }
            assert!(begun.elapsed() < SOON, "{:#?}", used.errors);
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        assert_eq!(scene.kubernetes.problems(), []);
        assert!(used.is_written, "events may be written");
        let values = [("address", "redis:6379"), ("password", "hunter2")];
        let user = [("username", "app")];
        for (name, expected) in [
            (DEPLOYMENT, pairs(&[&values[..], &user].concat())),
            (STATEFUL_SET, pairs(&user)),
            (OF_KEDA, pairs(&values)),
        ] {
            assert_eq!(super::keys(&used.held[name]), expected, "{name}");
        }
        let namespace = &self.namespace.name;
        let later = format!(
            "authenticationRef of ScaledObject {namespace}/{LATER}: TriggerAuthentication \
             {namespace}/{LATER} does not exist"
        );
        assert!(used.errors[LATER].starts_with(&later), "{:#?}", used.errors);
        let sent = sent(JOBS);
        let missing = scene.kubernetes.resolve(namespace, UNKNOWN, &sent).await;
        assert_eq!(missing.expect_err("does not exist").kind(), Kind::NotFound);
        // Other Secrets, where the chart names those that may be read.
        let other = scene.kubernetes.resolve(namespace, "other", &sent).await;
        if self.options.namespaces.is_empty() {
            assert!(other.expect("may be read").is_some());
            return;
        }
        let expected = format!(
            "Secret {namespace}/other: the permission to get secrets in namespace {namespace} is \
             missing for {USER}"
        );
        let error = other.expect_err("may not be read").to_string();
        assert!(error.contains(&expected), "{error}");
    }

    /// Takes each permission away.
    async fn each_is_necessary(&self) {
        let all = self.rights.permissions();
        println!("permissions: {} of {}", all.len(), self.namespace.name);
        for permission in &all {
            self.rights.apply(&self.cluster, Some(permission)).await;
            let scene = self.scene().await;
            let begun = Instant::now();
            loop {
                let used = use_all(&scene).await;
                let missing = used.missing();
                let (named, others): (Vec<_>, Vec<_>) = missing
                    .iter()
                    .partition(|(_, error)| permission.is_named_by(error));
                assert!(others.is_empty(), "without {permission:?}: {others:#?}");
                // A watch may fail beside all that is known; without another verb something else does.
                let mut named = named
                    .iter()
                    .filter(|(what, _)| permission.is_to_watch() || !what.starts_with(WATCH));
                if let Some((what, error)) = named.next() {
                    println!("permissions: {what} fails: {error}");
                    break;
                }
                assert!(
                    begun.elapsed() < SOON,
                    "nothing fails without {permission:?}: {:#?}",
                    used.errors
                );
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    fn delete(self) {
        self.rights.delete(&self.cluster);
        let delete = ["delete", "clustertriggerauthentication", &self.of_keda.name];
        self.cluster.kubectl.run(&delete, "");
    }
}

/// What came of everything that the client can do.
struct Used {
    /// Held, so that the watches of what they depend on go on.
    held: BTreeMap<String, Authentication>,
    /// By what failed.
    errors: BTreeMap<String, String>,
    is_written: bool,
}

impl Used {
    /// The failures that are for want of a permission.
    fn missing(&self) -> Vec<(&String, &String)> {
        let errors = self.errors.iter();
        errors
            .filter(|(_, error)| error.contains("the permission to"))
            .collect()
    }
}

async fn use_all(scene: &Scene) -> Used {
    let (kubernetes, namespace) = (&scene.kubernetes, &scene.namespace.name);
    let mut used = Used {
        held: BTreeMap::new(),
        errors: BTreeMap::new(),
        is_written: false,
    };
    for name in OBJECTS.into_iter().chain([UNKNOWN]) {
        match kubernetes.resolve(namespace, name, &sent(JOBS)).await {
            Ok(found) => {
                let found = found.expect("has an authentication");
                used.held.insert(name.to_owned(), found);
            }
            Err(error) => {
                used.errors.insert(name.to_owned(), error.to_string());
            }
        }
    }
    match write_twice(scene).await {
        Ok(is_written) => used.is_written = is_written,
        Err(error) => {
            used.errors.insert("an event".to_owned(), error);
        }
    }
    for (i, error) in kubernetes.problems().iter().enumerate() {
        let what = format!("{WATCH} {i}");
        used.errors.insert(what, error.to_string());
    }
    used
}

/// Writes an event for an object twice, so that it is created and then counted. `false`: the object is
/// not known.
async fn write_twice(scene: &Scene) -> Result<bool, String> {
    let (kubernetes, namespace) = (&scene.kubernetes, &scene.namespace.name);
    let Some(standing) = kubernetes.standing(namespace, DEPLOYMENT, &sent(JOBS)) else {
        return Ok(false);
    };
    let event = Event {
        object: standing.object,
        uid: standing.uid,
        is_warning: true,
        reason: "TriggerRefused",
        note: "listLenght: unknown key".to_owned(),
        class: 1,
    };
    let writer = kubernetes.event_writer();
    for _ in 0..2 {
        let written = writer.write(&event).await;
        written.map_err(|error| error.to_string())?;
    }
    Ok(true)
}

async fn case(case: &str, in_one_namespace: bool) {
    // Both have roles of the same names.
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let cluster = needs_cluster!();
    let _turn = TURN.lock().await;
    let case = Case::new(cluster, case, in_one_namespace).await;
    case.suffices().await;
    case.each_is_necessary().await;
    case.delete();
}

#[tokio::test]
async fn each_permission_of_the_chart_for_all_namespaces_is_necessary() {
    case("kubernetes", false).await;
}

#[tokio::test]
async fn each_permission_of_the_chart_for_chosen_namespaces_is_necessary() {
    case("kubernetes-namespaces", true).await;
}
