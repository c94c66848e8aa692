//! ScaledObjects and ScaledJobs as they are written, for whoever evaluates them without KEDA.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::{
    Kubernetes,
    authentication::Dependencies,
    environment::Unresolved,
    errors::Request,
    object::{ObjectId, Resource},
    resolve::Owner,
    scalable::Scalable,
};
use crate::{
    error::{Error, Kind, Result},
    metadata::values::Secret,
};

/// Objects of a list, at most.
const MOST: usize = 10_000;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    items: Vec<Value>,
    #[serde(default)]
    metadata: PageMetadata,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    #[serde(default)]
    r#continue: String,
}

impl Kubernetes {
    /// All objects of a kind, in a namespace or in all.
    pub async fn list(&self, resource: &Resource, namespace: Option<&str>) -> Result<Vec<Value>> {
        let request = Request {
            verb: "list",
            resource,
            namespace,
            name: None,
        };
        let mut objects = Vec::new();
        let mut from: Option<String> = None;
        loop {
            let page = self.api.list(resource, namespace, from.as_deref()).await?;
            let page: Page = serde_json::from_slice(&page)
                .map_err(|_| request.unreadable("cannot be parsed"))?;
            objects.extend(page.items);
            let next = page.metadata.r#continue;
            if next.is_empty() {
                return Ok(objects);
            }
            if objects.len() >= MOST {
                let what = format!("there are more than {MOST} {}", resource.plural());
                return Err(Error::new(
                    Kind::Exhausted,
                    what,
                    "Choose a namespace with -n.",
                ));
            }
            if !is_token(&next) {
                return Err(request.unreadable("has a `continue` token that is none"));
            }
            from = Some(next);
        }
    }

    /// One object. `None`: it does not exist.
    pub async fn get(&self, id: &ObjectId) -> Result<Option<Value>> {
        let Some(body) = self.api.get(id).await? else {
            return Ok(None);
        };
        let object = serde_json::from_slice(&body);
        let unreadable = |_| Request::of("get", id).unreadable("cannot be parsed");
        object.map(Some).map_err(unreadable)
    }

    /// The environment variables of an object's scale target that its external triggers name, as KEDA
    /// resolves them. `None`: KEDA sends no key for it. An error: KEDA refuses the trigger, or this
    /// client may not read what the value comes from.
    pub async fn environment(
        &self,
        id: &ObjectId,
        object: &Value,
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Result<Option<Secret>>>> {
        let scalable = Scalable::parse(&id.resource, object);
        let unreadable = |reason| Error::new(Kind::Unreadable, format!("{id}: {reason}"), "");
        let owner = Owner {
            id: id.clone(),
            scalable: scalable.map_err(unreadable)?.into(),
            revision: 0,
        };
        let container = owner.scalable.container.as_deref();
        let wanted: Vec<_> = names
            .iter()
            .map(|name| (container, name.as_str()))
            .collect();
        let mut depends_on = Dependencies::default();
        let values = self.variables(&owner, &wanted, &mut depends_on).await?;
        let values = values.into_iter().map(|value| match value {
            Err(no_value) if no_value.reason == Unresolved::NotSet => Ok(None),
            Err(no_value) => Err(no_value.error),
            Ok(value) => Ok(value.filter(|value| !value.expose().is_empty())),
        });
        Ok(names.iter().cloned().zip(values).collect())
    }
}

/// Base64 for URLs, as the API server writes it (`EncodeContinue` in apiserver's storage). It becomes
/// part of a path.
fn is_token(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte))
}
