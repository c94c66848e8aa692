//! `probe --cluster`: objects and authentications from a real API server.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{process, redis::Redis, scaler::Scaler};

use super::{
    authentication::{
        authentication, deployment, scaled_job, scaled_object, secret, secret_key, trigger,
    },
    control_plane::{ControlPlane, KEDA},
    needs_cluster,
    objects::Namespace,
    program::executable,
};

/// A namespace with an object, and a Redis with a password.
struct Scene {
    cluster: Arc<ControlPlane>,
    shop: String,
    redis: Redis,
    folder: TempDir,
    _namespace: Namespace,
}

/// What a run of the program says.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Value {
        let json = serde_json::from_str(&self.out);
        json.unwrap_or_else(|error| panic!("{error}\n{}\n{}", self.out, self.err))
    }

    /// The names of the objects, with status and value of their first triggers.
    fn values(&self) -> Vec<(String, String, Option<f64>)> {
        let json = self.json();
        let objects = json["objects"].as_array().expect("objects").iter();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let mut values: Vec<_> = objects
            .map(|object| {
                let first = &object["triggers"][0];
                let name = format!("{}/{}", text(&object["namespace"]), text(&object["name"]));
                (name, text(&first["status"]), first["value"].as_f64())
            })
            .collect();
        values.sort_by(|a, b| a.0.cmp(&b.0));
        values
    }

    fn error(&self, index: usize) -> String {
        let message = &self.json()["objects"][index]["triggers"][0]["error"]["message"];
        message.as_str().expect("an error").to_owned()
    }
}

impl Scene {
    async fn new(cluster: Arc<ControlPlane>, shop: &str) -> Self {
        let redis = Redis::builder().password("hunter2").start().await;
        redis.rpush("jobs", 7).await;
        redis.rpush("mail", 3).await;
        let scene = Scene {
            shop: shop.to_owned(),
            redis,
            folder: process::directory(),
            _namespace: Namespace::new(cluster.clone(), shop),
            cluster,
        };
        scene.with_orders(shop);
        scene
    }

    /// A ScaledObject with a TriggerAuthentication.
    fn with_orders(&self, namespace: &str) {
        let data = json!({"p": "hunter2", "list": "mail"});
        self.apply(namespace, secret("redis", data));
        let spec = json!({"secretTargetRef": [secret_key("password", "redis", "p")]});
        self.apply(namespace, authentication("redis", spec));
        let of_list = [("listName", "jobs"), ("listLength", "5")];
        self.scaled_object(namespace, "orders", &of_list, Some("redis"));
    }

    fn apply(&self, namespace: &str, mut object: Value) {
        object["metadata"]["namespace"] = namespace.into();
        self.cluster.kubectl.apply(&object.to_string());
    }

    fn trigger(&self, keys: &[(&str, &str)], reference: Option<Value>) -> Value {
        let address = self.redis.address();
        let always = [
            ("backend", "redis"),
            ("scalerAddress", "127.0.0.1:1"),
            ("address", address.as_str()),
        ];
        trigger(&[&always[..], keys].concat(), reference)
    }

    fn scaled_object(
        &self,
        namespace: &str,
        name: &str,
        keys: &[(&str, &str)],
        reference: Option<&str>,
    ) {
        let reference = reference.map(|name| json!({ "name": name }));
        let mut object = scaled_object(vec![self.trigger(keys, reference)]);
        object["metadata"]["name"] = name.into();
        self.apply(namespace, object);
    }

    /// Runs it with the administrator's kubeconfig.
    async fn run(&self, arguments: &[&str]) -> Said {
        self.run_as(self.cluster.kubectl.config(), arguments).await
    }

    async fn run_as(&self, kubeconfig: &Path, arguments: &[&str]) -> Said {
        let mut command = Command::new(executable());
        command
            .args(["probe", "--cluster"])
            .args(arguments)
            .env("KUBECONFIG", kubeconfig);
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let output = output.expect("joins").expect("it starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = Said {
            code: output.status.code(),
            out: text(&output.stdout),
            err: text(&output.stderr),
        };
        assert!(!said.out.contains("hunter2"), "{}", said.out);
        assert!(!said.err.contains("hunter2"), "{}", said.err);
        said
    }

    /// A kubeconfig like the administrator's, with something replaced.
    fn kubeconfig(&self, name: &str, replace: &[(&str, &str)]) -> PathBuf {
        let text = std::fs::read_to_string(self.cluster.kubectl.config());
        let mut text = text.expect("a kubeconfig");
        for (from, to) in replace {
            assert!(text.contains(from), "{text}");
            text = text.replace(from, to);
        }
        let file = self.folder.path().join(name);
        std::fs::write(&file, text).expect("a kubeconfig");
        file
    }

    /// The kubeconfig of a ServiceAccount with these rights in the shop.
    fn account(&self, name: &str, rules: Value) -> PathBuf {
        let metadata = json!({"name": name, "namespace": self.shop});
        let api = "rbac.authorization.k8s.io";
        let items = json!([
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
            {"apiVersion": format!("{api}/v1"), "kind": "Role", "metadata": metadata, "rules": rules},
            {
                "apiVersion": format!("{api}/v1"), "kind": "RoleBinding", "metadata": metadata,
                "roleRef": {"apiGroup": api, "kind": "Role", "name": name},
                "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": self.shop}],
            },
        ]);
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        self.cluster.kubectl.apply(&list.to_string());
        let create = ["create", "token", name, "-n", &self.shop];
        let token = self.cluster.kubectl.run(&create, "");
        let token = format!("token: {}", token.trim());
        self.kubeconfig(name, &[("token: administrator", &token)])
    }
}

fn value(name: &str, value: f64) -> (String, String, Option<f64>) {
    (name.to_owned(), "ok".to_owned(), Some(value))
}

#[tokio::test]
async fn probe_evaluates_the_objects_of_a_cluster_with_their_authentications() {
    let cluster = needs_cluster!();
    let scene = Scene::new(cluster, "probe-shop").await;
    let shop = scene.shop.as_str();
    let _mail = Namespace::new(scene.cluster.clone(), "probe-mail");
    scene.with_orders("probe-mail");
    let of_secret = |key: &str| json!({"secretKeyRef": {"name": "redis", "key": key}});
    let env = json!([
        {"name": "PASSWORD", "valueFrom": of_secret("p")},
        {"name": "LIST", "valueFrom": of_secret("list")},
    ]);
    scene.apply(shop, deployment(env.clone(), json!([])));
    let from_env = [
        ("passwordFromEnv", "PASSWORD"),
        ("listNameFromEnv", "LIST"),
        ("databaseIndexFromEnv", "NOT_THERE"),
    ];
    scene.scaled_object(shop, "mail", &from_env, None);
    let mut job = scaled_job(env, vec![scene.trigger(&from_env[..2], None)]);
    job["metadata"]["name"] = "nightly".into();
    scene.apply(shop, job);
    let of_shop = [
        value("probe-shop/mail", 3.0),
        value("probe-shop/nightly", 3.0),
        value("probe-shop/orders", 7.0),
    ];

    // One namespace, all, and names.
    let said = scene.run(&["-n", shop, "-o", "json"]).await;
    assert_eq!(
        (said.code, said.values().as_slice()),
        (Some(0), &of_shop[..]),
        "{}",
        said.err
    );
    let unset =
        "note: probe-shop/mail, trigger 0: databaseIndexFromEnv: the scaled container has no";
    assert!(said.err.contains(unset), "{}", said.err);
    let said = scene.run(&["-A", "-o", "json"]).await;
    let has = |value: &(String, String, Option<f64>)| said.values().contains(value);
    assert!(of_shop.iter().all(has), "{}", said.out);
    assert!(has(&value("probe-mail/orders", 7.0)), "{}", said.out);
    let said = scene.run(&["-A", "-o", "json", "so/orders"]).await;
    let both = [
        value("probe-mail/orders", 7.0),
        value("probe-shop/orders", 7.0),
    ];
    let mut found = said.values();
    found.retain(|(name, ..)| name.starts_with("probe-"));
    assert_eq!(found, both);
    let arguments = ["-n", shop, "-o", "json", "scaledjob/nightly", "orders"];
    let said = scene.run(&arguments).await;
    assert_eq!(said.values(), of_shop[1..]);

    // The context's namespace, and the table.
    let context = scene.kubeconfig("shop", &[("namespace: default", "namespace: probe-shop")]);
    let said = scene.run_as(&context, &["orders"]).await;
    assert!(said.out.contains("probe-shop/orders"), "{}", said.out);
    assert_eq!(said.code, Some(0), "{}", said.err);

    // A running server evaluates, with the keys of the environment as KEDA sends them.
    let scaler = Scaler::with("{}").await;
    let arguments = ["-n", shop, "-o", "json", "--address", &scaler.address];
    let said = scene.run(&arguments).await;
    assert_eq!(said.values()[..2], of_shop[..2]);
    // It reads no authentications.
    assert_eq!(said.values()[2].1, "error");
    assert_eq!(said.code, Some(1));
}

#[tokio::test]
async fn probe_refuses_what_the_server_refuses() {
    let cluster = needs_cluster!();
    let scene = Scene::new(cluster, "probe-deputy").await;
    let shop = scene.shop.as_str();
    scene.apply(KEDA, secret("probe-redis", json!({"p": "hunter2"})));
    let object = json!({
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ClusterTriggerAuthentication",
        "metadata": {"name": "probe-redis"},
        "spec": {"secretTargetRef": [secret_key("password", "probe-redis", "p")]},
    });
    scene.cluster.kubectl.apply(&object.to_string());
    let reference = json!({"name": "probe-redis", "kind": "ClusterTriggerAuthentication"});
    let keys = [("listName", "jobs"), ("listLength", "5")];
    let mut object = scaled_object(vec![scene.trigger(&keys, Some(reference))]);
    object["metadata"]["name"] = "cluster-wide".into();
    scene.apply(shop, object);

    let arguments = ["-n", shop, "-o", "json", "cluster-wide"];
    let said = scene.run(&arguments).await;
    let refused = format!("may not be sent to {}, an address", scene.redis.address());
    assert!(said.error(0).contains(&refused), "{}", said.out);
    assert_eq!(said.code, Some(1));

    let config = scene.folder.path().join("settings.yaml");
    let listed = format!(
        "kubernetes: {{enabled: true, clusterAuthenticationServers: {{probe-redis: [\"{}\"]}}}}\n",
        scene.redis.address()
    );
    std::fs::write(&config, &listed).expect("the settings");
    let config_file = config.display().to_string();
    let arguments = [&arguments[..], &["--config", &config_file]].concat();
    let said = scene.run(&arguments).await;
    assert_eq!(
        said.values(),
        [value("probe-deputy/cluster-wide", 7.0)],
        "{}",
        said.err
    );

    let elsewhere = listed.replace("enabled: true", "enabled: true, namespaces: [probe-mail]");
    std::fs::write(&config, elsewhere).expect("the settings");
    let said = scene.run(&arguments).await;
    let note = "authenticationRef: is not read, as kubernetes.namespaces of --config does not have";
    assert!(said.err.contains(note), "{}", said.err);
    assert!(said.error(0).contains("NOAUTH"), "{}", said.out);
    let off = listed.replace("enabled: true", "enabled: false");
    std::fs::write(&config, off).expect("the settings");
    let said = scene.run(&arguments).await;
    let note = "authenticationRef: is not read, as --config has kubernetes.enabled: false";
    assert!(said.err.contains(note), "{}", said.err);
    assert!(said.error(0).contains("NOAUTH"), "{}", said.out);

    let delete = ["delete", "clustertriggerauthentication", "probe-redis"];
    scene.cluster.kubectl.run(&delete, "");
}

#[tokio::test]
async fn probe_says_what_is_missing() {
    let cluster = needs_cluster!();
    let scene = Scene::new(cluster, "probe-errors").await;
    let shop = scene.shop.as_str();
    let empty = Namespace::new(scene.cluster.clone(), "probe-empty");
    let port = process::free_port();
    let away = {
        let text = std::fs::read_to_string(scene.cluster.kubectl.config()).unwrap();
        let (_, rest) = text.split_once("https://").expect("a server");
        let server = rest.split('"').next().expect("an address");
        scene.kubeconfig("away", &[(server, &format!("127.0.0.1:{port}"))])
    };
    let stranger = scene.account("stranger", json!([]));
    let keda = |resources: &[&str], verbs: &[&str]| json!({"apiGroups": ["keda.sh"], "resources": resources, "verbs": verbs});
    let objects = keda(&["scaledobjects"], &["get", "list", "watch"]);
    let authentications = keda(&["triggerauthentications"], &["get", "list", "watch"]);
    let reader = scene.account("reader", json!([objects, authentications]));
    let getter = scene.account(
        "getter",
        json!([keda(&["scaledobjects", "scaledjobs"], &["get"])]),
    );
    let admin = scene.cluster.kubectl.config().to_owned();
    let forbidden = |verb: &str, resource: &str, user: &str| {
        format!(
            "the permission to {verb} {resource} in namespace probe-errors is missing for \
             system:serviceaccount:probe-errors:{user}"
        )
    };
    let of_shop = ["-n", shop];
    let table: [(&Path, &[&str], i32, String); 8] = [
        (
            &admin,
            &["-n", &empty.name],
            1,
            "error: there are no ScaledObjects or ScaledJobs in namespace probe-empty. -A looks in \
             all namespaces."
                .to_owned(),
        ),
        (
            &admin,
            &["-n", shop, "ordrs"],
            1,
            "error: there is no ScaledObject or ScaledJob `ordrs` in namespace probe-errors. Did you \
             mean `orders`?"
                .to_owned(),
        ),
        (
            &admin,
            &["-n", shop, "--context", "tset"],
            2,
            "has no context `tset`. Did you mean `test`?".to_owned(),
        ),
        (
            &away,
            &of_shop,
            1,
            "Kubernetes API, list scaledobjects in namespace probe-errors: the API server cannot be \
             reached (Connection refused"
                .to_owned(),
        ),
        (
            Path::new("/nowhere/config"),
            &of_shop,
            2,
            "error: KUBECONFIG: /nowhere/config: cannot be read: No such file".to_owned(),
        ),
        (&stranger, &of_shop, 1, forbidden("list", "scaledobjects.keda.sh", "stranger")),
        (
            &stranger,
            &["-n", shop, "orders"],
            1,
            forbidden("get", "scaledjobs.keda.sh", "stranger"),
        ),
        (
            &reader,
            &["-n", shop],
            1,
            format!("note: left out: Kubernetes API, list scaledjobs in namespace probe-errors: {}",
                forbidden("list", "scaledjobs.keda.sh", "reader")),
        ),
    ];
    for (kubeconfig, arguments, code, expected) in table {
        let said = scene.run_as(kubeconfig, arguments).await;
        assert!(
            said.err.contains(&expected),
            "{}\nexpected {expected}",
            said.err
        );
        assert_eq!(said.code, Some(code), "{}", said.err);
    }
    // Whoever may not read the Secret, or the authentication, sees that of the trigger.
    let said = scene.run_as(&reader, &["-n", shop, "-o", "json"]).await;
    let expected = forbidden("get", "secrets", "reader");
    assert!(said.error(0).contains(&expected), "{}", said.out);
    let said = scene
        .run_as(&getter, &["-n", shop, "-o", "json", "orders"])
        .await;
    let expected = forbidden("list", "triggerauthentications.keda.sh", "getter");
    assert!(said.error(0).contains(&expected), "{}", said.out);
}
