//! Triggers with the keys of their authentication, where these are looked up.

use std::sync::Arc;

use super::Engine;
use crate::{
    error::{Error, Kind, Result},
    metadata::{TriggerRef, schema::KeySet},
    sampling::{
        authentication::{Authentication, with_keys},
        evaluation::Evaluation,
        registry::RegisteredType,
        trigger::Trigger,
        trigger_key::TriggerKey,
    },
};

const SWITCHED_OFF: &str = "An authenticationRef is read only with kubernetes.enabled.";

impl Engine {
    pub(super) async fn authenticated_of(&self, request: &TriggerRef) -> Result<Arc<Trigger>> {
        let Some(source) = self.authentications.get() else {
            return self.trigger_of(request);
        };
        let found = match source.find(request).await {
            // It is not known whether such a trigger has an authentication. Without one it gets no
            // credentials, and may need none. What is wrong with a known one is an error.
            Err(error)
                if error.kind() != Kind::Invalid
                    && source.has_authentication(request).is_none() =>
            {
                return self.unauthenticated(request, error);
            }
            found => found?,
        };
        self.unresolved.remove(request);
        match found {
            Some(authentication) => self.with_authentication(request, authentication),
            None => self.trigger_of(request),
        }
    }

    /// The trigger by its own metadata; where they are not enough, the reason why there are no others.
    fn unauthenticated(&self, request: &TriggerRef, reason: Error) -> Result<Arc<Trigger>> {
        match self.trigger_of(request) {
            Ok(trigger) => {
                self.unresolved.put(request, reason);
                Ok(trigger)
            }
            Err(own) if own.kind() == Kind::Invalid => Err(reason),
            Err(own) => Err(own),
        }
    }

    fn with_authentication(
        &self,
        request: &TriggerRef,
        authentication: Arc<dyn Authentication>,
    ) -> Result<Arc<Trigger>> {
        let trigger_type = self.registry.of(&request.metadata)?.as_ref();
        let known = self.keys_of_connection(trigger_type);
        let merged = with_keys(request, authentication.as_ref(), &known);
        if merged == *request {
            // Of another use, such as KEDA's own TLS to this server.
            return self.trigger_of(request);
        }
        let version = self.authenticated.version(&merged);
        let key = TriggerKey::with_version(request, version);
        let trigger = match self.triggers.get(&key) {
            Some(kept) => kept?,
            None => {
                self.check_use(trigger_type, request, &merged, authentication.as_ref())?;
                let spec = self.spec_without_credentials(request)?;
                let mut trigger = self.parse(&merged)?;
                self.follow_replicas(&trigger, request);
                trigger.metric_name = spec.metric_name;
                trigger.authentication = Some(authentication);
                let trigger = Arc::new(trigger);
                self.triggers.put(key, request, trigger.clone())?;
                trigger
            }
        };
        let key = TriggerKey::of(request);
        let (used, outdated) = self.authenticated.choose(key, version, trigger);
        for version in outdated {
            self.triggers
                .remove(&TriggerKey::with_version(request, version));
        }
        Ok(used)
    }

    /// The keys that an authentication may give.
    pub(in crate::sampling) fn keys_of_connection<'a>(
        &'a self,
        trigger_type: &'a dyn RegisteredType,
    ) -> [&'a KeySet; 2] {
        [trigger_type.connection_keys(), &self.registry.tls_keys]
    }

    /// Evicts what the authentication of a trigger has made of it: it has none any more.
    pub fn forget_authenticated(&self, request: &TriggerRef) {
        for version in self.authenticated.remove(&TriggerKey::of(request)) {
            self.triggers
                .remove(&TriggerKey::with_version(request, version));
        }
    }

    /// The refusal of a login, with the reason why there are no credentials from an authentication.
    pub(super) fn explained(
        &self,
        request: &TriggerRef,
        outcome: Result<Evaluation>,
    ) -> Result<Evaluation> {
        outcome.map_err(|error| match self.authentications.get() {
            _ if error.kind() != Kind::Unauthorized => error,
            Some(_) => match self.unresolved.get(request) {
                Some(reason) => {
                    error.and(format_args!("no authenticationRef was followed: {reason}"))
                }
                None => error,
            },
            None if self.has_credentials(request) => error,
            None => error.advise(SWITCHED_OFF),
        })
    }

    /// Whether the metadata have a secret, or name a connection of the settings.
    fn has_credentials(&self, request: &TriggerRef) -> bool {
        let Ok(trigger_type) = self.registry.of(&request.metadata) else {
            return true;
        };
        let (metadata, _) = self.known_keys(trigger_type.as_ref(), request);
        let keys = self.keys_of_connection(trigger_type.as_ref());
        let mut keys = keys.into_iter().flat_map(|set| &set.0);
        metadata.get("connection").is_some()
            || keys.any(|key| key.secret && metadata.get(&key.name).is_some())
    }
}
