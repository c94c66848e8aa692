//! Whether a call's metadata are those of a trigger that is known now, for what is written about it.

use std::{collections::BTreeMap, hash::Hasher, sync::Arc};

use super::{
    Kubernetes,
    authentication::Dependencies,
    collection::Kept,
    matching,
    object::{ObjectId, Resource},
    resolve::owner,
    scalable::{Scalable, Trigger},
};

type Metadata = BTreeMap<String, String>;

/// A trigger of a ScaledObject or ScaledJob.
#[derive(Clone, Debug)]
pub struct Standing {
    pub object: ObjectId,
    pub uid: Arc<str>,
    /// Its place among all triggers of the object.
    pub index: usize,
    /// Identifies it by its metadata as they are written.
    pub trigger: u64,
    /// The same of all external triggers of the object.
    pub triggers: Vec<u64>,
    /// Whether values come from the environment: then what was sent is to be checked by
    /// [`Kubernetes::sent_by_keda`].
    pub has_environment: bool,
}

impl Kubernetes {
    /// The trigger with the metadata of a call, as far as that can be said without I/O.
    pub fn standing(&self, namespace: &str, name: &str, sent: &Metadata) -> Option<Standing> {
        let known = self.known_now(namespace, name);
        known.into_iter().find_map(|(resource, kept)| {
            let scalable = kept.value.ok()?;
            let mut triggers = scalable.triggers.iter();
            let trigger = triggers.find(|trigger| matching::may_be(trigger, sent))?;
            Some(Standing {
                object: ObjectId::new(resource, Some(namespace), name).ok()?,
                uid: kept.uid,
                index: trigger.index,
                trigger: identity(trigger),
                triggers: scalable.triggers.iter().map(identity).collect(),
                has_environment: matching::has_environment(trigger),
            })
        })
    }

    /// Whether a trigger has the metadata of a call and, in its environment, the values. What cannot be
    /// read counts as different: a caller must not choose words that are written to an object.
    pub async fn sent_by_keda(&self, namespace: &str, name: &str, sent: &Metadata) -> bool {
        for (resource, kept) in self.known_now(namespace, name) {
            let id = ObjectId::new(resource, Some(namespace), name);
            let Ok(owner) = id.and_then(|id| owner(&id, kept)) else {
                continue;
            };
            for trigger in &owner.scalable.triggers {
                let mut used = Dependencies::default();
                if !matching::may_be(trigger, sent) {
                    continue;
                }
                let has_values = self.has_values(&owner, trigger, sent, &mut used).await;
                if has_values.is_ok_and(|same| same) {
                    return true;
                }
            }
        }
        false
    }

    /// The objects of this name, the ScaledObject first.
    fn known_now(&self, namespace: &str, name: &str) -> Vec<(Resource, Kept<Scalable>)> {
        let all = [
            (Resource::ScaledObjects, &self.scaled_objects),
            (Resource::ScaledJobs, &self.scaled_jobs),
        ];
        let known = all.into_iter().filter_map(|(resource, collection)| {
            let kept = collection.peek(namespace, name)?;
            Some((resource, kept))
        });
        known.collect()
    }
}

fn identity(trigger: &Trigger) -> u64 {
    let mut hasher = fnv::FnvHasher::default();
    for text in trigger
        .metadata
        .iter()
        .flat_map(|(key, value)| [key, value])
    {
        hasher.write_usize(text.len());
        hasher.write(text.as_bytes());
    }
    hasher.finish()
}
