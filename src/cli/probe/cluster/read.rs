//! ScaledObjects and ScaledJobs from the Kubernetes API.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{super::manifest::is_external, names::Wanted};
use crate::{
    error::{Error, Kind, Result},
    kubernetes::{Kubernetes, ObjectId, Resource},
    manifests::File,
    metadata::schema::nearest,
};

/// Where to look.
pub enum Scope {
    Namespace(String),
    All,
}

impl Scope {
    /// `None`: all.
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Scope::Namespace(namespace) => Some(namespace),
            Scope::All => None,
        }
    }

    fn place(&self) -> String {
        match self {
            Scope::Namespace(namespace) => format!("in namespace {namespace}"),
            Scope::All => "in any namespace".to_owned(),
        }
    }

    /// What to do where nothing is found.
    fn advice(&self) -> &'static str {
        match self {
            Scope::Namespace(_) => "-A looks in all namespaces.",
            Scope::All => "",
        }
    }
}

/// An object, as it is written.
pub struct Found {
    pub id: ObjectId,
    pub object: Value,
}

impl Found {
    /// Whether one of its triggers is of an external scaler.
    pub fn has_external_trigger(&self) -> bool {
        let mut triggers = self.object["spec"]["triggers"]
            .as_array()
            .into_iter()
            .flatten();
        triggers.any(|trigger| trigger["type"].as_str().is_some_and(is_external))
    }

    /// Its text, as a file of its name would have it.
    pub fn file(&self) -> File {
        // Alternate: one line for each value, which is what positions are for.
        File::new(self.id.to_string(), format!("{:#}", self.object))
    }
}

/// The objects to evaluate.
pub struct Objects {
    pub objects: Vec<Found>,
    pub notes: Vec<String>,
}

const KINDS: [Resource; 2] = [Resource::ScaledObjects, Resource::ScaledJobs];

/// All objects, or those that are wanted. An error: they cannot be read, or one does not exist.
pub async fn objects(kubernetes: &Kubernetes, scope: &Scope, wanted: &[Wanted]) -> Result<Objects> {
    if let (Scope::Namespace(namespace), false) = (scope, wanted.is_empty()) {
        return named(kubernetes, scope, namespace, wanted).await;
    }
    let all = all(kubernetes, scope).await?;
    match wanted {
        [] if all.objects.is_empty() => Err(Error::new(
            Kind::NotFound,
            format!("there are no ScaledObjects or ScaledJobs {}", scope.place()),
            scope.advice(),
        )),
        [] => Ok(all),
        wanted => choose(all, wanted, scope),
    }
}

/// Those that are named, wherever they are.
fn choose(all: Objects, wanted: &[Wanted], scope: &Scope) -> Result<Objects> {
    let is = |found: &Found, wanted: &Wanted| {
        found.id.name == wanted.name && wanted.kinds.contains(&found.id.resource)
    };
    let missing = |wanted: &&Wanted| !all.objects.iter().any(|found| is(found, wanted));
    if let Some(missing) = wanted.iter().find(missing) {
        return Err(not_found(missing, scope, &all.objects));
    }
    let objects = all.objects.into_iter();
    let objects = objects.filter(|found| wanted.iter().any(|wanted| is(found, wanted)));
    Ok(Objects {
        objects: objects.collect(),
        notes: all.notes,
    })
}

async fn all(kubernetes: &Kubernetes, scope: &Scope) -> Result<Objects> {
    let (mut objects, mut failed) = (Vec::new(), Vec::new());
    for kind in KINDS {
        match kubernetes.list(&kind, scope.namespace()).await {
            Ok(listed) => {
                for object in listed {
                    objects.push(found(&kind, object)?);
                }
            }
            // Whoever may read one kind alone still sees its objects.
            Err(error) if error.kind() == Kind::Unauthorized => failed.push(error),
            Err(error) => return Err(error),
        }
    }
    match failed.is_empty() || !objects.is_empty() {
        true => Ok(Objects {
            objects,
            notes: failed
                .iter()
                .map(|error| format!("left out: {error}"))
                .collect(),
        }),
        false => Err(failed.swap_remove(0)),
    }
}

async fn named(
    kubernetes: &Kubernetes,
    scope: &Scope,
    namespace: &str,
    wanted: &[Wanted],
) -> Result<Objects> {
    let mut objects = Vec::new();
    for wanted in wanted {
        let (before, mut failed) = (objects.len(), None);
        for kind in &wanted.kinds {
            let id = ObjectId::new(kind.clone(), Some(namespace), &wanted.name)?;
            match kubernetes.get(&id).await {
                Ok(object) => objects.extend(object.map(|object| Found { id, object })),
                Err(error) if error.kind() == Kind::Unauthorized => failed = Some(error),
                Err(error) => return Err(error),
            }
        }
        match (objects.len() > before, failed) {
            (true, _) => {}
            (false, Some(error)) => return Err(error),
            (false, None) => {
                // Without the right to list them, there is no suggestion.
                let others = all(kubernetes, scope).await;
                let others = others.map_or_else(|_| Vec::new(), |others| others.objects);
                return Err(not_found(wanted, scope, &others));
            }
        }
    }
    Ok(Objects {
        objects,
        notes: Vec::new(),
    })
}

fn found(kind: &Resource, mut object: Value) -> Result<Found> {
    // The items of a list may do without.
    object["apiVersion"] = "keda.sh/v1alpha1".into();
    object["kind"] = kind.kind().into();
    let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
    let id = ObjectId::new(kind.clone(), Some(text("namespace")), text("name"))?;
    Ok(Found { id, object })
}

fn not_found(wanted: &Wanted, scope: &Scope, others: &[Found]) -> Error {
    let kinds: Vec<_> = wanted.kinds.iter().map(Resource::kind).collect();
    let what = format!(
        "there is no {} `{}` {}",
        kinds.join(" or "),
        wanted.name,
        scope.place()
    );
    let names = others
        .iter()
        .filter(|found| wanted.kinds.contains(&found.id.resource));
    let near = nearest(&wanted.name, names.map(|found| found.id.name.as_str()));
    let next = match near {
        Some(near) => format!("Did you mean `{near}`? {}", scope.advice()),
        None => scope.advice().to_owned(),
    };
    Error::new(Kind::NotFound, what, next.trim_end())
}

/// The environment variables that `…FromEnv` keys of external triggers name.
pub fn variables(object: &Value) -> BTreeSet<String> {
    let triggers = object["spec"]["triggers"].as_array().into_iter().flatten();
    let external = |trigger: &&Value| trigger["type"].as_str().is_some_and(is_external);
    let metadata = triggers.filter(external);
    let metadata = metadata.filter_map(|trigger| trigger["metadata"].as_object());
    let keys = metadata
        .flatten()
        .filter(|(key, _)| key.ends_with("FromEnv"));
    keys.filter_map(|(_, name)| name.as_str().map(str::to_owned))
        .collect()
}
