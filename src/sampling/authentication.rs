//! What is kept apart from a trigger's metadata: its TriggerAuthentication, where that can be looked up.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::BoxFuture;

use crate::{
    error::Result,
    metadata::{TriggerRef, values::HostPort, values::Secret},
};

/// Looks up the authentication of triggers.
pub trait AuthenticationSource: Send + Sync + 'static {
    /// Whether the trigger has one, without I/O; `None`: the trigger is not known, or not yet.
    fn has_authentication(&self, trigger: &TriggerRef) -> Option<bool>;

    /// The authentication of a trigger; `None`: it has none. An error: it cannot be read, or no object
    /// of that name has such a trigger, which is then `NotFound` and not known.
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
/// the metadata has comes first (`typed_config.go`, order of sources), and keys that nobody knows
/// belong to other scalers of the same authentication.
pub(super) fn with_keys(
    trigger: &TriggerRef,
    authentication: &dyn Authentication,
    known: impl Fn(&str) -> bool,
) -> TriggerRef {
    let mut merged = trigger.clone();
    for (key, value) in authentication.keys() {
        let written = [key.clone(), format!("{key}FromEnv")];
        let is_given = written.iter().any(|written| {
            let value = trigger.metadata.get(written);
            value.is_some_and(|value| !value.trim().is_empty())
        });
        if known(key) && !is_given {
            merged
                .metadata
                .insert(key.clone(), value.expose().to_owned());
        }
    }
    merged
}
