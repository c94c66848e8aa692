//! The rights that the chart gives, as it renders them, each to be taken away.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::cluster::{
    SOON,
    control_plane::{ControlPlane, KEDA},
};

/// The account of the chart, in the namespace of its release.
pub const ACCOUNT: &str = "backlog-scaler";
pub const USER: &str = "system:serviceaccount:keda:backlog-scaler";

/// The roles and bindings of one of the chart's cases, and its ServiceAccount.
pub struct Rights {
    objects: Vec<Value>,
}

/// One verb on one resource, in one namespace or the whole cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Permission {
    verb: String,
    group: String,
    resource: String,
    /// The names that the role is limited to.
    names: Vec<String>,
    /// Of the Role; `None`: a ClusterRole has it.
    namespace: Option<String>,
}

impl Rights {
    /// What the chart renders for a case, with other namespaces; objects of namespaces that are not
    /// among `from` are left out.
    pub fn of_case(case: &str, from: &[(&str, &str)]) -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let file = root.join(format!("deploy/helm/tests/golden/{case}.yaml"));
        let text = std::fs::read_to_string(file).expect("what the chart renders");
        let mut objects: Vec<Value> = serde_saphyr::from_multiple(&text).expect("YAML");
        let kinds = [
            "ServiceAccount",
            "Role",
            "RoleBinding",
            "ClusterRole",
            "ClusterRoleBinding",
        ];
        objects.retain(|object| kinds.iter().any(|kind| object["kind"] == *kind));
        objects.retain_mut(|object| {
            let namespace = &mut object["metadata"]["namespace"];
            if namespace.is_null() || namespace == KEDA {
                return true;
            }
            let named = from.iter().find(|(name, _)| namespace == name);
            if let Some((_, other)) = named {
                *namespace = (*other).into();
            }
            named.is_some()
        });
        let rights = Rights { objects };
        assert!(!rights.permissions().is_empty(), "{:?}", rights.objects);
        rights
    }

    /// Every verb of every resource of every role.
    pub fn permissions(&self) -> Vec<Permission> {
        let roles = self.objects.iter().filter(|object| is_role(object));
        let all = roles.flat_map(|role| {
            let rules = role["rules"].as_array().expect("rules");
            rules.iter().flat_map(|rule| permissions(role, rule))
        });
        all.collect()
    }

    /// Applies all, or all but one permission, and waits until that is in force: the API server applies
    /// a role a moment after it was written.
    pub async fn apply(&self, cluster: &ControlPlane, missing: Option<&Permission>) {
        let objects = self.objects.iter().map(|object| match is_role(object) {
            true => without(object, missing),
            false => object.clone(),
        });
        let list = json!({"apiVersion": "v1", "kind": "List", "items": Vec::from_iter(objects)});
        cluster.kubectl.apply(&list.to_string());
        let all = self.permissions();
        let expected: Vec<bool> = all.iter().map(|one| Some(one) != missing).collect();
        let begun = Instant::now();
        while given(cluster, &all) != expected {
            assert!(begun.elapsed() < SOON, "without {missing:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn delete(&self, cluster: &ControlPlane) {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": self.objects});
        cluster
            .kubectl
            .run(&["delete", "-f", "-"], &list.to_string());
    }
}

fn is_role(object: &Value) -> bool {
    matches!(object["kind"].as_str(), Some("Role" | "ClusterRole"))
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let texts = list.iter().map(|text| text.as_str().expect("a text"));
    texts.map(str::to_owned).collect()
}

/// A rule by its parts.
fn permissions(role: &Value, rule: &Value) -> Vec<Permission> {
    let mut all = Vec::new();
    for group in texts(&rule["apiGroups"]) {
        for resource in texts(&rule["resources"]) {
            for verb in texts(&rule["verbs"]) {
                all.push(Permission {
                    verb,
                    group: group.clone(),
                    resource: resource.clone(),
                    names: texts(&rule["resourceNames"]),
                    namespace: role["metadata"]["namespace"].as_str().map(str::to_owned),
                });
            }
        }
    }
    all
}

/// The role with a rule for each of its permissions, but this one.
fn without(role: &Value, missing: Option<&Permission>) -> Value {
    let rules = role["rules"].as_array().expect("rules");
    let parts = rules.iter().flat_map(|rule| permissions(role, rule));
    let parts = parts.filter(|permission| Some(permission) != missing);
    let rules: Vec<Value> = parts.map(|permission| permission.rule()).collect();
    let mut role = role.clone();
    role["rules"] = rules.into();
    role
}

impl Permission {
    fn rule(&self) -> Value {
        let mut rule = json!({
            "apiGroups": [self.group], "resources": [self.resource], "verbs": [self.verb],
        });
        if !self.names.is_empty() {
            rule["resourceNames"] = json!(self.names);
        }
        rule
    }

    /// The plural with its group, as errors have it.
    fn qualified(&self) -> String {
        match self.group.as_str() {
            "" => self.resource.clone(),
            group => format!("{}.{group}", self.resource),
        }
    }

    pub fn is_to_watch(&self) -> bool {
        self.verb == "watch"
    }

    /// Whether an error says that this permission is missing. A ClusterRole also gives rights on what is
    /// requested in one namespace.
    pub fn is_named_by(&self, error: &str) -> bool {
        let scope = match &self.namespace {
            Some(namespace) => format!("in namespace {namespace} is"),
            None => "in ".to_owned(),
        };
        let (verb, resource) = (&self.verb, self.qualified());
        error.contains(&format!("the permission to {verb} {resource} {scope}"))
            && error.contains(&format!(" is missing for {USER}. Bind a "))
    }

    /// The request to the API server's authorizer.
    fn review(&self) -> Value {
        let mut attributes = json!({
            "verb": self.verb, "group": self.group, "resource": self.resource,
        });
        if let Some(namespace) = &self.namespace {
            attributes["namespace"] = namespace.as_str().into();
        }
        if let Some(name) = self.names.first() {
            attributes["name"] = name.as_str().into();
        }
        json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": USER, "resourceAttributes": attributes},
        })
    }
}

/// Whether each is given, by the API server's authorizer.
fn given(cluster: &ControlPlane, permissions: &[Permission]) -> Vec<bool> {
    let reviews = permissions.iter().map(Permission::review);
    let list = json!({"apiVersion": "v1", "kind": "List", "items": Vec::from_iter(reviews)});
    let format = "jsonpath={.status.allowed}{\"\\n\"}";
    let create = ["create", "-f", "-", "-o", format];
    let lines = cluster.kubectl.run(&create, &list.to_string());
    let results: Vec<bool> = lines
        .lines()
        .map(|line| line.parse().expect("true or false"))
        .collect();
    assert_eq!(results.len(), permissions.len(), "{lines}");
    results
}
