//! What is kept apart from a trigger's metadata: its TriggerAuthentication, where that can be looked up.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::BoxFuture;

use crate::{
    error::Result,
    metadata::{
        TriggerRef,
        parse::FROM_ENV,
        schema::{Key, KeySet},
        values::{HostPort, Secret},
    },
};

/// Looks up the authentication of triggers.
pub trait AuthenticationSource: Send + Sync + 'static {
    /// Whether the trigger has one, without I/O; `None`: the trigger is not known, or not yet.
    fn has_authentication(&self, trigger: &TriggerRef) -> Option<bool>;

    /// The authentication of a trigger; `None`: it has none. An error: it cannot be read, or it is not
    /// known whether the trigger has one, and [`AuthenticationSource::has_authentication`] is `None`.
    fn find<'a>(
        &'a self,
        trigger: &'a TriggerRef,
    ) -> BoxFuture<'a, Result<Option<Arc<dyn Authentication>>>>;
}

/// The authentication of one trigger. What it depends on is kept up to date while it is held.
pub trait Authentication: Send + Sync {
    /// Its keys, as the trigger's metadata would have them.
    fn keys(&self) -> &BTreeMap<String, Secret>;

    /// Whether its keys may be sent to a server; the error says why not.
    fn may_send_to(&self, server: &HostPort) -> Result<()>;

    /// Whether a key of the trigger's own may be used beside its keys: not if it decides how, or by whose
    /// word, they are sent, and they are not the trigger's own. The error says why not.
    fn may_join(&self, key: &str, value: &str) -> Result<()>;
}

/// The trigger with the keys of its authentication that are `known` to its backend. As in KEDA, what
/// the metadata has comes first, and each key says whether its `…FromEnv` is second or third
/// (`configParamValue` in `typed_config.go`, by the `order` of the scaler's configuration). Keys that
/// nobody knows belong to other scalers of the same authentication.
pub(super) fn with_keys(
    trigger: &TriggerRef,
    authentication: &dyn Authentication,
    known: &[&KeySet],
) -> TriggerRef {
    let mut merged = trigger.clone();
    let given = authentication.keys();
    for (name, value) in given {
        let Some((keys, key)) = known.iter().find_map(|keys| Some((keys, keys.get(name)?))) else {
            continue;
        };
        let is_written = |written: &str| {
            let value = trigger.metadata.get(written);
            value.is_some_and(|value| !value.trim().is_empty())
        };
        let from_env = |key: &Key| format!("{}{FROM_ENV}", key.name);
        let mut spellings = keys.spellings(name);
        let mut others = keys.spellings(name);
        let has_first = key
            .same_as
            .as_ref()
            .is_some_and(|first| given.contains_key(first));
        if has_first
            || spellings.any(|key| is_written(&key.name))
            || key.environment_first && others.any(|key| is_written(&from_env(key)))
        {
            continue;
        }
        for key in keys.spellings(name) {
            merged.metadata.remove(&from_env(key));
        }
        let value = value.expose().to_owned();
        merged.metadata.insert(name.clone(), value);
    }
    merged
}
