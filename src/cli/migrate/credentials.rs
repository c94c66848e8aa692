//! What takes the place of a trigger's authentication, and what the moved trigger connects to.

use std::collections::BTreeMap;

use super::{
    connections::NeededSettings,
    plan::{Auth, FROM_ENV, Fate, Plan, Trigger},
    rewrite::Migrator,
    site::Site,
};
use crate::{metadata::TriggerRef, sampling::InlineConnections};

impl Migrator<'_> {
    /// What the settings need for the authentication; returns the name of the connection that takes its
    /// place.
    pub(super) fn authentication(
        &self,
        site: &Site<'_>,
        trigger: &Trigger<'_>,
        plan: &mut Plan,
        settings: &mut NeededSettings,
    ) -> Option<String> {
        let kept = |plan: &Plan| -> Vec<(String, String)> {
            let goes = |key: &str| {
                let mut fates = plan.fates.iter();
                fates.any(|(name, fate)| name == key && matches!(fate, Fate::Goes(_)))
            };
            let metadata = trigger.metadata.iter();
            metadata.filter(|(key, _)| !goes(key)).cloned().collect()
        };
        let keys = self.keys.iter();
        let mut keys = keys.filter(|keys| keys.trigger_type == site.scaler.name);
        let keys = keys.next()?;
        let namespace = &site.object.namespace;
        match trigger.authentication {
            Auth::None => {
                let limits = &self.options.server.as_ref()?.engine.inline_connections;
                match limits {
                    // As before.
                    InlineConnections::Allow => None,
                    _ => self.existing(keys, namespace, trigger, plan),
                }
            }
            Auth::Known(reference, _) | Auth::Unknown(reference) if self.options.kubernetes => {
                settings.read(reference, &kept(plan), plan);
                None
            }
            Auth::Known(reference, authentication) => {
                let why = "the named connection takes its place";
                match (self.options.tls(), site.can_remove_reference()) {
                    (None, true) => plan.reference_goes = Some(why),
                    (None, false) => plan.notes.push(format!(
                        "authenticationRef: stays, as what is written there is used elsewhere as well, or \
                         is written in a way that cannot be changed; {why}, so remove it"
                    )),
                    (Some(_), _) => plan.notes.push(
                        "authenticationRef: backlog-scaler reads it no longer; KEDA does for caCert, \
                         tlsClientCert and tlsClientKey"
                            .to_owned(),
                    ),
                }
                let existing = self.existing(keys, namespace, trigger, plan);
                existing.or_else(|| {
                    let of = (reference, authentication);
                    Some(settings.name(keys, namespace, &trigger.metadata, of, plan))
                })
            }
            Auth::Unknown(_) => None,
        }
    }

    /// What the moved trigger connects to.
    pub(super) fn connection(
        &self,
        site: &Site<'_>,
        trigger: &Trigger<'_>,
        plan: &Plan,
        named: Option<&str>,
    ) -> String {
        let mut metadata: BTreeMap<String, String> = trigger
            .metadata
            .iter()
            .filter(|(key, _)| {
                let mut fates = plan.fates.iter();
                fates.any(|(name, fate)| {
                    name == key && matches!(fate, Fate::Stays | Fate::Differs(_))
                })
            })
            .cloned()
            .collect();
        metadata.insert("backend".to_owned(), site.scaler.name.to_owned());
        metadata.extend(named.map(|name| ("connection".to_owned(), name.to_owned())));
        let by_variable = metadata.keys().any(|key| key.ends_with(FROM_ENV));
        let request = TriggerRef {
            namespace: site.object.namespace.clone(),
            name: site.object.name.clone(),
            metadata,
        };
        let mut connection = self.checker.connection(&request).unwrap_or_default();
        if let (None, Auth::Known(reference, _) | Auth::Unknown(reference)) =
            (named, trigger.authentication)
        {
            connection += &format!(", {reference}");
        }
        // A variable has another value in another container.
        if by_variable {
            connection += &format!(", variables of {}", site.id());
        }
        connection
    }
}
