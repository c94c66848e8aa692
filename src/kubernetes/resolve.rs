//! From a call's namespace, name and metadata to the keys of its trigger's authentication.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{
    Kubernetes,
    authentication::{Authentication, Dependencies},
    collection::{Collection, Kept, Parse},
    environment::Unresolved,
    matching,
    object::{ObjectId, Resource},
    parse_references, parse_scalable,
    reference::References,
    scalable::{Reference, Scalable, Trigger},
};
use crate::{
    error::{Error, Kind, Result},
    metadata::values::Secret,
};

type Metadata = BTreeMap<String, String>;

/// A ScaledObject or ScaledJob with the name of a call.
pub(super) struct Owner {
    pub id: ObjectId,
    pub scalable: Arc<Scalable>,
    pub revision: u64,
}

/// What is known of the trigger that a call is for.
enum Choice<'a> {
    One(&'a Owner, Option<Reference>, Dependencies),
    NotFound,
    /// Triggers with the same metadata refer to different authentications.
    Ambiguous(Vec<Option<Reference>>),
    /// It may be for a trigger with an authentication, whose environment cannot be compared.
    Unreadable(Error),
}

impl Kubernetes {
    /// The authentication of the trigger that a call is for; `None`: the trigger has none. An error says
    /// what is missing, and never shows a value. Dropping the future is safe: the caller's deadline is
    /// the only one.
    pub async fn resolve(
        &self,
        namespace: &str,
        name: &str,
        metadata: &Metadata,
    ) -> Result<Option<Authentication>> {
        let resolved = self.resolve_trigger(namespace, name, metadata).await;
        self.metrics.count_resolution(match &resolved {
            Ok(Some(_)) => Ok("ok"),
            Ok(None) => Ok("none"),
            Err(error) => Err(error.kind()),
        });
        resolved
    }

    /// Whether the trigger that a call is for has an `authenticationRef`, by what is known now: no I/O.
    /// `None`: the trigger is not known. Of triggers that differ in their environment alone, one with
    /// a reference counts.
    pub fn has_authentication(
        &self,
        namespace: &str,
        name: &str,
        metadata: &Metadata,
    ) -> Option<bool> {
        let known = [&self.scaled_objects, &self.scaled_jobs];
        let known = known.map(|collection| collection.peek(namespace, name));
        let scalables = known
            .iter()
            .flatten()
            .filter_map(|kept| kept.value.as_ref().ok());
        let triggers = scalables.flat_map(|scalable| &scalable.triggers);
        let same = triggers.filter(|trigger| matching::may_be(trigger, metadata));
        same.map(|trigger| trigger.reference.is_some()).max()
    }

    async fn resolve_trigger(
        &self,
        namespace: &str,
        name: &str,
        metadata: &Metadata,
    ) -> Result<Option<Authentication>> {
        let of_settings = &self.options.namespaces;
        if !of_settings.is_empty() && !of_settings.iter().any(|n| n == namespace) {
            return Err(Error::new(
                Kind::NotFound,
                format!("namespace {namespace} is not among kubernetes.namespaces"),
                "Whoever runs backlog-scaler can add it.",
            ));
        }
        let ids = [Resource::ScaledObjects, Resource::ScaledJobs]
            .map(|resource| ObjectId::new(resource, Some(namespace), name));
        let [object, job] = ids;
        let ids = [object?, job?];
        let (known, failed) = self.known(&ids).await?;
        let choice = self.choose(&known, metadata).await;
        match choice {
            Choice::One(owner, reference, depends_on) => {
                return self.follow(owner, reference, namespace, depends_on).await;
            }
            Choice::Unreadable(error) => return Err(error),
            Choice::NotFound | Choice::Ambiguous(_) => {}
        }
        // An API server that does not respond would only take the caller's time once more.
        if let Some(error) = failed.as_ref().filter(|e| e.kind() == Kind::TimedOut) {
            return Err(error.clone());
        }
        // The object may be newer than what its watch has delivered.
        let fresh = self.read_fresh(&ids, metadata).await?;
        let choice = match fresh.is_empty() {
            true => choice,
            false => self.choose(&fresh, metadata).await,
        };
        match choice {
            Choice::One(owner, reference, depends_on) => {
                self.follow(owner, reference, namespace, depends_on).await
            }
            Choice::Unreadable(error) => Err(error),
            Choice::Ambiguous(references) => Err(ambiguous(&ids[0], &references)),
            Choice::NotFound => match failed {
                Some(error) => Err(error),
                None => Err(not_found(&ids[0], &known, &fresh, metadata)),
            },
        }
    }

    /// The objects that are known, and a failure that may be why one is not.
    async fn known(&self, ids: &[ObjectId; 2]) -> Result<(Vec<Owner>, Option<Error>)> {
        let [object, job] = ids;
        let namespace = object.namespace.as_deref().unwrap_or_default();
        let mut owners = Vec::new();
        let found = self.scaled_objects.get(namespace, &object.name).await;
        let found_job = match &found {
            Ok(Some(_)) => Ok(self.scaled_jobs.peek(namespace, &job.name)),
            _ => self.scaled_jobs.get(namespace, &job.name).await,
        };
        let mut failed = None;
        for (id, found) in [(job, found_job), (object, found)] {
            match found {
                Ok(found) => owners.extend(found.map(|kept| owner(id, kept)).transpose()?),
                Err(error) => failed = Some(error),
            }
        }
        Ok((owners, failed))
    }

    /// The objects as they are now, one after the other until one has the trigger.
    async fn read_fresh(&self, ids: &[ObjectId; 2], metadata: &Metadata) -> Result<Vec<Owner>> {
        let mut owners = Vec::new();
        for id in ids {
            let kept = self.fresh(id, parse_scalable).await;
            match kept {
                Ok(kept) => owners.extend(kept.map(|kept| owner(id, kept)).transpose()?),
                // Without ScaledJobs there may be no permission to read them.
                Err(_) if !owners.is_empty() => {}
                Err(error) => return Err(error),
            }
            let mut triggers = owners.iter().flat_map(|owner| &owner.scalable.triggers);
            if triggers.any(|trigger| matching::may_be(trigger, metadata)) {
                break;
            }
        }
        Ok(owners)
    }

    async fn fresh<T>(&self, id: &ObjectId, parse: Parse<T>) -> Result<Option<Kept<T>>> {
        let object: Option<Value> = self.fresh.read(&self.api, id).await?;
        let parsed = object.and_then(|object| {
            let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
            Some((parse(&id.resource, &object)?, Arc::from(uid)))
        });
        Ok(parsed.map(|(value, uid)| Kept {
            value: value.map(Arc::new),
            uid,
            revision: self.revisions.next(),
        }))
    }

    async fn choose<'a>(&self, owners: &'a [Owner], sent: &Metadata) -> Choice<'a> {
        let all = owners.iter().flat_map(|owner| {
            let triggers = owner.scalable.triggers.iter();
            triggers.map(move |trigger| (owner, trigger))
        });
        let mut depends_on = Dependencies::default();
        let mut candidates: Vec<_> = all.filter(|(_, t)| matching::may_be(t, sent)).collect();
        // Not for a trigger without keys: nothing depends on it.
        if candidates
            .iter()
            .any(|(_, trigger)| trigger.reference.is_some())
        {
            // Those whose values are the ones that were sent, and those of which it is not known.
            let (mut same, mut unread) = (Vec::new(), Vec::new());
            for (owner, trigger) in candidates {
                let values = self.has_values(owner, trigger, sent, &mut depends_on);
                match values.await {
                    Ok(true) => same.push((owner, trigger)),
                    Ok(false) => {}
                    Err(error) => unread.push((owner, trigger, error)),
                }
            }
            if same.is_empty() {
                let with_keys = unread.iter().find(|(_, t, _)| t.reference.is_some());
                if let Some((.., error)) = with_keys {
                    return Choice::Unreadable(error.clone());
                }
                same.extend(
                    unread
                        .into_iter()
                        .map(|(owner, trigger, _)| (owner, trigger)),
                );
            }
            candidates = same;
        }
        let mut references: Vec<Option<Reference>> = Vec::new();
        for (_, trigger) in &candidates {
            if !references.contains(&trigger.reference) {
                references.push(trigger.reference.clone());
            }
        }
        match (candidates.first(), references.len()) {
            (Some((owner, _)), 1) => Choice::One(owner, references.swap_remove(0), depends_on),
            (Some(_), _) => Choice::Ambiguous(references),
            (None, _) => Choice::NotFound,
        }
    }

    /// Whether the values that were sent are those of the trigger's environment. An error: that cannot be
    /// said, and the trigger's keys are for nobody. Otherwise a caller could send another address under
    /// the name of a trigger that has keys.
    pub(super) async fn has_values(
        &self,
        owner: &Owner,
        trigger: &Trigger,
        sent: &Metadata,
        depends_on: &mut Dependencies,
    ) -> Result<bool> {
        let keys: Vec<_> = matching::from_environment(trigger, sent).collect();
        let container = owner.scalable.container.as_deref();
        let wanted: Vec<_> = keys.iter().map(|(_, name, _)| (container, *name)).collect();
        let place = |key: &str| format!("{key} of {}", owner.id);
        let values = self.variables(owner, &wanted, depends_on).await;
        let values = values.map_err(|error| {
            let names: Vec<&str> = keys.iter().map(|(key, ..)| *key).collect();
            error.at(place(&names.join(", ")))
        })?;
        let mut unread = None;
        for ((key, _, sent), value) in keys.iter().zip(values) {
            // KEDA sends no key without a value, nor with an empty one.
            let value = match value {
                Ok(value) => value.filter(|value| !value.expose().is_empty()),
                Err(no_value) => match no_value.reason {
                    Unresolved::NotSet => None,
                    Unresolved::Skipped if sent.is_none() => None,
                    Unresolved::Skipped | Unresolved::Failed(_) => {
                        unread.get_or_insert_with(|| no_value.error.at(place(key)));
                        continue;
                    }
                },
            };
            if *sent != value.as_ref().map(Secret::expose) {
                return Ok(false);
            }
        }
        unread.map_or(Ok(true), Err)
    }

    async fn follow(
        &self,
        owner: &Owner,
        reference: Option<Reference>,
        namespace: &str,
        depends_on: Dependencies,
    ) -> Result<Option<Authentication>> {
        let Some(reference) = reference else {
            return Ok(None);
        };
        let place = format!("authenticationRef of {}", owner.id);
        let (resource, collection, of) = match reference.kind.as_str() {
            "" | "TriggerAuthentication" => {
                let resource = Resource::TriggerAuthentications;
                (resource, &self.authentications, Some(namespace))
            }
            "ClusterTriggerAuthentication" => {
                let resource = Resource::ClusterTriggerAuthentications;
                (resource, &self.cluster_authentications, None)
            }
            other => {
                let what = format!("`{other}` is not a kind of authentication");
                let next = "Write TriggerAuthentication or ClusterTriggerAuthentication.";
                return Err(Error::new(Kind::Invalid, what, next).at(place));
            }
        };
        let origin = ObjectId::new(resource, of, &reference.name).map_err(|e| e.at(&place))?;
        let kept = self
            .references(collection, &origin)
            .await
            .map_err(|error| error.at(&place))?;
        let authentication = self
            .read(
                owner,
                origin,
                collection.clone(),
                kept,
                namespace,
                depends_on,
            )
            .await?;
        Ok(Some(authentication))
    }

    async fn references(
        &self,
        collection: &Collection<References>,
        origin: &ObjectId,
    ) -> Result<Kept<References>> {
        let namespace = origin.namespace.as_deref().unwrap_or_default();
        let mut kept = collection.get(namespace, &origin.name).await?;
        if kept.is_none() {
            kept = self.fresh(origin, parse_references).await?;
        }
        kept.ok_or_else(|| {
            let next = "Create it, or correct the reference.";
            Error::new(Kind::NotFound, format!("{origin} does not exist"), next)
        })
    }
}

pub(super) fn owner(id: &ObjectId, kept: Kept<Scalable>) -> Result<Owner> {
    let unreadable = |reason| Error::new(Kind::Unreadable, format!("{id}: {reason}"), "");
    Ok(Owner {
        id: id.clone(),
        scalable: kept.value.map_err(unreadable)?,
        revision: kept.revision,
    })
}

fn ambiguous(id: &ObjectId, references: &[Option<Reference>]) -> Error {
    let names = references.iter().map(|reference| match reference {
        Some(reference) => format!("`{}`", reference.name),
        None => "none".to_owned(),
    });
    let names: Vec<String> = names.collect();
    Error::new(
        Kind::Invalid,
        format!(
            "{id} has triggers with the same metadata and different authenticationRefs: {}",
            names.join(", ")
        ),
        "Give the triggers different metadata, such as a metricName each, or one authenticationRef.",
    )
}

fn not_found(id: &ObjectId, known: &[Owner], fresh: &[Owner], sent: &Metadata) -> Error {
    let namespace = id.namespace.as_deref().unwrap_or_default();
    let name = &id.name;
    if known.is_empty() && fresh.is_empty() {
        return Error::new(
            Kind::NotFound,
            format!(
                "there is no ScaledObject or ScaledJob {namespace}/{name} with a trigger of type \
                 external or external-push"
            ),
            "Check which cluster this server reads from.",
        );
    }
    let owners = if fresh.is_empty() { known } else { fresh };
    let owners: Vec<String> = owners.iter().map(|owner| owner.id.to_string()).collect();
    let keys: Vec<&str> = sent.keys().map(String::as_str).collect();
    Error::new(
        Kind::NotFound,
        format!(
            "no external trigger of {} has the metadata of this call (keys {})",
            owners.join(" and "),
            keys.join(", ")
        ),
        "It may have changed a moment ago; otherwise check that nothing between KEDA and this server \
         changes the metadata.",
    )
}
