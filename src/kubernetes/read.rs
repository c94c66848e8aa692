//! Reads what an authentication refers to, with KEDA's precedence: `env`, over it `configMapTargetRef`,
//! over it `secretTargetRef` (`resolveAuthRef` in `pkg/scaling/resolver/scale_resolvers.go`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::future::try_join_all;

use super::{
    Kubernetes,
    authentication::{Authentication, Dependencies, Provenance},
    collection::{Collection, Kept},
    environment::{Found, Unresolved, container},
    object::{ObjectId, Resource},
    pod_template::{Container, MapId},
    reference::{KeyReference, References},
    resolve::Owner,
    scalable::EnvironmentSource,
    source::Content,
};
use crate::{
    error::{Error, Kind, Result},
    metadata::values::Secret,
};

/// Why an environment variable has no value.
pub(super) struct NoValue {
    pub reason: Unresolved,
    pub error: Error,
}

const CREATE: &str = "Create it, or correct the reference.";

impl Kubernetes {
    pub(super) async fn read(
        &self,
        owner: &Owner,
        origin: ObjectId,
        collection: Arc<Collection<References>>,
        kept: Kept<References>,
        namespace: &str,
        mut depends_on: Dependencies,
    ) -> Result<Authentication> {
        let place = |field: &str| format!("{field} of {origin}, which {} refers to", owner.id);
        let invalid = |reason| Error::new(Kind::Unreadable, format!("{origin}: {reason}"), "");
        let references = kept.value.map_err(invalid)?;
        if let Some(field) = references.unsupported.first() {
            let (what, next) = References::alternative(field);
            return Err(Error::new(Kind::Invalid, what, next).at(place(field)));
        }
        // KEDA reads a ClusterTriggerAuthentication's Secrets in its own namespace, and the environment
        // in the trigger's.
        let of_maps = origin
            .namespace
            .as_deref()
            .unwrap_or(&self.options.keda_namespace);
        let mut keys = BTreeMap::new();
        let variables = references.environment.iter();
        let wanted: Vec<_> = variables
            .map(|entry| {
                let container = entry.container_name.as_deref();
                (
                    container.filter(|name| !name.is_empty()),
                    entry.name.as_str(),
                )
            })
            .collect();
        let values = self.variables(owner, &wanted, &mut depends_on).await;
        let values = values.map_err(|error| error.at(place("env")))?;
        for (entry, value) in references.environment.iter().zip(values) {
            let value = value.map_err(|unresolved| unresolved.error.at(place("env")))?;
            let value = value.unwrap_or_else(|| Secret::from(""));
            keys.insert(entry.parameter.clone(), (value, Provenance::Environment));
        }
        for (field, resource, entries, from) in [
            (
                "configMapTargetRef",
                Resource::ConfigMaps,
                &references.config_maps,
                Provenance::ConfigMap,
            ),
            (
                "secretTargetRef",
                Resource::Secrets,
                &references.secrets,
                Provenance::Secret,
            ),
        ] {
            let values = self
                .values(&resource, of_maps, entries, &mut depends_on)
                .await;
            let values = values.map_err(|error| error.at(place(field)))?;
            let values = values.into_iter().map(|(key, value)| (key, (value, from)));
            keys.extend(values);
        }
        // KEDA takes a blank value for none (`typed_config.go`, configParamValue).
        keys.retain(|_, (value, _)| !value.expose().trim().is_empty());
        let version = depends_on.version(&origin, kept.revision);
        depends_on.add_object(collection, origin.clone(), kept.revision);
        let owners = match owner.id.resource {
            Resource::ScaledJobs => self.scaled_jobs.clone(),
            _ => self.scaled_objects.clone(),
        };
        depends_on.add_object(owners, owner.id.clone(), owner.revision);
        let from = keys
            .iter()
            .map(|(key, (_, from))| (key.clone(), *from))
            .collect();
        let keys = keys
            .into_iter()
            .map(|(key, (value, _))| (key, value))
            .collect();
        Ok(Authentication {
            keys,
            from,
            origin,
            namespace: namespace.to_owned(),
            version,
            depends_on,
        })
    }

    /// The values that entries refer to, by parameter.
    async fn values(
        &self,
        resource: &Resource,
        namespace: &str,
        entries: &[KeyReference],
        depends_on: &mut Dependencies,
    ) -> Result<Vec<(String, Secret)>> {
        let names: BTreeSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        let ids = names.into_iter();
        let ids = ids.map(|name| ObjectId::new(resource.clone(), Some(namespace), name));
        let found = self
            .contents(ids.collect::<Result<_>>()?, depends_on)
            .await?;
        let value = |entry: &KeyReference| {
            let id = ObjectId::new(resource.clone(), Some(namespace), &entry.name)?;
            let Some(Content::Keys(keys)) = found.get(&id).map(Arc::as_ref) else {
                return Err(Error::new(
                    Kind::NotFound,
                    format!("{id} does not exist"),
                    CREATE,
                ));
            };
            match keys.get(&entry.key) {
                Some(Some(value)) => Ok((entry.parameter.clone(), value.clone())),
                Some(None) => {
                    let what = format!("{id}: the value of key `{}` is not UTF-8", entry.key);
                    Err(Error::new(Kind::Unreadable, what, ""))
                }
                None => {
                    let what = format!("{id} has no key `{}`", entry.key);
                    Err(Error::new(
                        Kind::NotFound,
                        what,
                        "Add it, or correct the reference.",
                    ))
                }
            }
        };
        entries.iter().map(value).collect()
    }

    /// Reads objects, at the same time.
    async fn contents(
        &self,
        ids: Vec<ObjectId>,
        depends_on: &mut Dependencies,
    ) -> Result<BTreeMap<ObjectId, Arc<Content>>> {
        let sources = try_join_all(ids.into_iter().map(|id| self.sources.read(id))).await?;
        let mut contents = BTreeMap::new();
        for source in sources {
            let state = source.state();
            // Known since `read` has returned.
            contents.extend(state.content.map(|content| (source.id.clone(), content)));
            depends_on.add_source(source, state.revision);
        }
        Ok(contents)
    }

    /// The environment variables of a trigger's scale target, each with its container; without one, the
    /// first.
    pub(super) async fn variables(
        &self,
        owner: &Owner,
        wanted: &[(Option<&str>, &str)],
        depends_on: &mut Dependencies,
    ) -> Result<Vec<Result<Option<Secret>, NoValue>>> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let namespace = owner.id.namespace.as_deref();
        let (target, content) = self.target(owner, depends_on).await?;
        let containers: &[Container] = match (&owner.scalable.environment, content.as_deref()) {
            (EnvironmentSource::Inline(containers), _) => containers,
            (_, Some(Content::Containers(containers))) => containers,
            _ => {
                let what = format!("{target} does not exist");
                return Err(Error::new(Kind::NotFound, what, "Create the scale target."));
            }
        };
        let missing = |reason| Error::new(Kind::NotFound, format!("{target} {reason}"), "");
        let found = wanted
            .iter()
            .map(|(name, _)| container(containers, *name).map_err(missing));
        let found = found.collect::<Result<Vec<_>>>()?;
        let needs = found
            .iter()
            .zip(wanted)
            .flat_map(|(c, (_, variable))| c.needs(variable));
        let needs: BTreeSet<MapId> = needs.collect();
        let ids = needs.iter();
        let ids = ids.map(|id| ObjectId::new(id.resource.clone(), namespace, &id.name));
        let contents = self
            .contents(ids.collect::<Result<_>>()?, depends_on)
            .await?;
        let by_name: BTreeMap<MapId, Arc<Content>> = contents
            .into_iter()
            .map(|(ObjectId { resource, name, .. }, content)| (MapId { resource, name }, content))
            .collect();
        let lookup = |id: &MapId| match by_name.get(id).map(Arc::as_ref) {
            Some(Content::Keys(keys)) => Found::Keys(keys),
            Some(_) => Found::Missing,
            None => Found::NotRead,
        };
        let values = found
            .into_iter()
            .zip(wanted)
            .map(|(container, (_, variable))| {
                container.resolve(variable, &lookup).map_err(|reason| {
                    let what = format!("environment variable {variable} of {target} {reason}");
                    NoValue {
                        reason,
                        error: Error::new(Kind::NotFound, what, ""),
                    }
                })
            });
        Ok(values.collect())
    }

    /// The scale target's name for errors, and its content if it is an object of its own.
    async fn target(
        &self,
        owner: &Owner,
        depends_on: &mut Dependencies,
    ) -> Result<(String, Option<Arc<Content>>)> {
        let namespace = owner.id.namespace.as_deref();
        match &owner.scalable.environment {
            EnvironmentSource::Inline(_) => Ok((owner.id.to_string(), None)),
            EnvironmentSource::Workload { of, name } => {
                let id = ObjectId::new(Resource::Workloads(of.clone()), namespace, name)?;
                let mut contents = self.contents(vec![id.clone()], depends_on).await?;
                Ok((id.to_string(), contents.remove(&id)))
            }
            EnvironmentSource::Unknown => Err(Error::new(
                Kind::NotFound,
                format!("the type of the scale target of {} is not known", owner.id),
                "KEDA writes it into the status; its log says why it has not.",
            )),
        }
    }
}
