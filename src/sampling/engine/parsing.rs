//! From the metadata of a request to a trigger: its keys are parsed, its connection found, and its
//! query bound to a slot. Depends on metadata and settings alone.

use std::{collections::BTreeMap, time::Duration};

use super::Engine;
use crate::{
    error::{Error, Kind, Result},
    metadata::{
        CommonKeys, TriggerRef,
        parse::Metadata,
        problem::{Problem, Problems},
        schema::KeySet,
        tls::TlsKeys,
        values::PushInterval,
    },
    sampling::{
        authentication::Authentication,
        limits::InlineConnections,
        named_connections::Checked,
        outcomes::Outcomes,
        query_slot::Freshness,
        registry::{Bound, ConnectionSource, RegisteredType},
        trigger::Trigger,
    },
};

impl Engine {
    pub(super) fn parse(&self, request: &TriggerRef) -> Result<Trigger> {
        self.check_size(&request.metadata)?;
        let trigger_type = self.registry.of(&request.metadata)?.as_ref();
        let known = [
            &self.registry.common_keys,
            trigger_type.query_keys(),
            trigger_type.connection_keys(),
            &self.registry.tls_keys,
        ];
        let (metadata, mut problems) = Metadata::new(&request.metadata, &known);
        let common = metadata.parse::<CommonKeys>(&self.registry.common_keys);
        let Some(common) = problems.keep(common) else {
            return Err(problems.into());
        };
        // One that is missing is a problem, with which nothing is bound.
        let push_interval = problems.keep(self.push_interval(trigger_type, &common));
        let bound = match &common.connection {
            Some(name) => {
                let connections = self.connections.read().clone();
                let named = connections.get(name, &request.namespace)?;
                self.refuse_connection_keys(trigger_type, &metadata, name, &mut problems);
                self.with_keys(name, named, &request.namespace, |source| {
                    trigger_type.bind(&metadata, &common, source, problems)
                })?
            }
            None => self.bind_inline(
                trigger_type,
                &metadata,
                &common,
                &request.namespace,
                problems,
            )?,
        };
        Ok(Trigger {
            trigger_type: trigger_type.name(),
            signal: common.signal,
            freshness: self.freshness(trigger_type, &common),
            push_interval: push_interval.unwrap_or_default(),
            metric_name: common.metric_name.map_or(bound.metric_name, |name| name.0),
            target: bound.target,
            query: bound.query,
            shaper: bound.shaper,
            bytes: bound.bytes,
            fingerprint: metadata.fingerprint(&known),
            outcomes: Outcomes::new(self.limits.history, self.started, self.error_room.clone()),
            authentication: None,
        })
    }

    /// Checks that the keys of the authentication may be sent where and how the trigger, whose own keys
    /// are in the request, would send them.
    pub(super) fn check_use(
        &self,
        trigger_type: &dyn RegisteredType,
        request: &TriggerRef,
        merged: &TriggerRef,
        authentication: &dyn Authentication,
    ) -> Result<()> {
        let (own, _) = self.known_keys(trigger_type, request);
        let (metadata, _) = self.known_keys(trigger_type, merged);
        let keys = self.keys_of_connection(trigger_type);
        for key in keys.into_iter().flat_map(KeySet::names) {
            // The authentication may come before a `…FromEnv` of the trigger's.
            if let Some(value) = own.get(key)
                && metadata.get(key) == Some(value)
            {
                authentication.may_join(key, value)?;
            }
        }
        let tls = metadata.parse::<TlsKeys>(&self.registry.tls_keys)?;
        for server in trigger_type.recipients(&metadata, tls)? {
            authentication.may_send_to(&server)?;
        }
        Ok(())
    }

    pub(in crate::sampling) fn known_keys<'a>(
        &self,
        trigger_type: &dyn RegisteredType,
        request: &'a TriggerRef,
    ) -> (Metadata<'a>, Problems) {
        let known = [
            &self.registry.common_keys,
            trigger_type.query_keys(),
            trigger_type.connection_keys(),
            &self.registry.tls_keys,
        ];
        Metadata::new(&request.metadata, &known)
    }

    pub(in crate::sampling) fn check_size(
        &self,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), Problems> {
        let (entries, most) = (metadata.len(), self.limits.metadata_entries);
        if entries > most {
            let reason = format!("has {entries} entries; at most {most} are allowed");
            return Err(Problem::key("metadata", reason).into());
        }
        Ok(())
    }

    /// With a named connection, the keys of a connection are errors.
    pub(in crate::sampling) fn refuse_connection_keys(
        &self,
        trigger_type: &dyn RegisteredType,
        metadata: &Metadata<'_>,
        name: &str,
        problems: &mut Problems,
    ) {
        let keys = [trigger_type.connection_keys(), &self.registry.tls_keys];
        for key in keys.into_iter().flat_map(|keys| metadata.given(keys)) {
            let reason =
                format!("belongs to the connection `{name}`, which has it in the settings");
            problems.push(Problem::key(key, reason));
        }
    }

    /// Does something with the keys of a named connection, for a trigger of this namespace.
    pub(in crate::sampling) fn with_keys<T>(
        &self,
        name: &str,
        named: &Checked,
        namespace: &str,
        work: impl FnOnce(ConnectionSource<'_>) -> Result<T>,
    ) -> Result<T> {
        let declared = self.registry.find(&named.trigger_type)?;
        let known = [declared.connection_keys(), &self.registry.tls_keys];
        let (keys, _) = Metadata::new(&named.keys, &known);
        work(ConnectionSource {
            trigger_type: &named.trigger_type,
            tls: keys.parse(&self.registry.tls_keys)?,
            metadata: &keys,
            name: Some(name),
            names: named.names.as_ref(),
            namespace,
        })
    }

    fn bind_inline(
        &self,
        trigger_type: &dyn RegisteredType,
        metadata: &Metadata<'_>,
        common: &CommonKeys,
        namespace: &str,
        mut problems: Problems,
    ) -> Result<Bound> {
        let tls = problems.keep(metadata.parse(&self.registry.tls_keys));
        let tls = tls.unwrap_or_default();
        let source = self.inline_source(trigger_type, metadata, namespace, tls)?;
        trigger_type.bind(metadata, common, source, problems)
    }

    /// The trigger's own connection, if it may have one.
    pub(in crate::sampling) fn inline_source<'a>(
        &self,
        trigger_type: &dyn RegisteredType,
        metadata: &'a Metadata<'a>,
        namespace: &'a str,
        tls: TlsKeys,
    ) -> Result<ConnectionSource<'a>> {
        if self.limits.inline_connections == InlineConnections::Deny {
            return Err(Error::new(
                Kind::NotAllowed,
                "connection: is required, as this server allows no connections in the trigger's own metadata",
                "Name one of the server's connections instead of an address.",
            ));
        }
        Ok(ConnectionSource {
            trigger_type: trigger_type.name(),
            metadata,
            tls,
            name: None,
            names: None,
            namespace,
        })
    }

    fn freshness(&self, trigger_type: &dyn RegisteredType, common: &CommonKeys) -> Freshness {
        let pace = trigger_type.pace();
        let setting = |by_backend: &BTreeMap<String, Duration>, otherwise: Duration| {
            let set = by_backend.get(trigger_type.backend());
            set.copied().unwrap_or(otherwise)
        };
        let fresh_for = || setting(&self.limits.fresh_for, pace.fresh_for);
        let revalidate = || {
            let set = &self.limits.stale_while_revalidate;
            setting(set, pace.stale_while_revalidate)
        };
        Freshness {
            fresh_for: common.fresh_for.map_or_else(fresh_for, |span| span.0),
            stale_while_revalidate: common
                .stale_while_revalidate
                .map_or_else(revalidate, |span| span.0),
            max_staleness: common
                .max_staleness
                .map_or(self.limits.max_staleness, |span| span.0),
            call_timeout: self.limits.call_timeout,
            first_call_timeout: self
                .limits
                .first_call_timeout
                .unwrap_or(pace.first_call_timeout),
        }
    }

    pub(in crate::sampling) fn push_interval(
        &self,
        trigger_type: &dyn RegisteredType,
        common: &CommonKeys,
    ) -> Result<Duration, Problems> {
        let pace = trigger_type.pace();
        let of_settings = self.limits.push_interval.get(trigger_type.backend());
        let of_server = of_settings.copied().unwrap_or(pace.push_interval);
        let Some(PushInterval(own)) = common.push_interval else {
            return Ok(of_server);
        };
        let shortest = pace.shortest_push_interval.min(of_server);
        if own < shortest {
            let (backend, value) = (trigger_type.backend(), format!("{own:?}"));
            let reason = format!(
                "is shorter than this server allows for {backend}; at least {shortest:?} is allowed"
            );
            return Err(Problem::value("pushInterval", &value, reason).into());
        }
        Ok(own)
    }
}
