//! Everything that is wrong with a trigger or with named connections, for whoever writes them: nothing
//! is opened, and nothing kept.

use std::collections::BTreeMap;

use super::{
    engine::{Engine, Spec, check_names},
    limits::Limits,
    named_connections::{NamedConnection, NamedConnections},
    registry::Registry,
};
use crate::{
    error::Error,
    metadata::{
        CommonKeys, TriggerRef,
        problem::{Problem, Problems},
        tls::TlsKeys,
    },
};

/// Where the keys of a trigger's connection come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// From its metadata, or a named connection.
    Own,
    /// Some of them from a TriggerAuthentication, so that they may be missing here.
    Elsewhere,
}

impl Engine {
    /// All problems of a trigger, as it would be refused with; without any, what KEDA is told of it.
    pub fn check(&self, request: &TriggerRef, credentials: Credentials) -> Result<Spec, Problems> {
        self.check_size(&request.metadata)?;
        let trigger_type = self.registry().of(&request.metadata)?.as_ref();
        let (metadata, mut problems) = self.known_keys(trigger_type, request);
        let registry = self.registry();
        let common = metadata.parse::<CommonKeys>(&registry.common_keys);
        let common = problems.keep(common);
        let tls = problems.keep(metadata.parse::<TlsKeys>(&registry.tls_keys));
        let (Some(common), Some(tls)) = (common, tls) else {
            // The other keys need them; what is wrong with their values is found all the same.
            problems.keep(trigger_type.check_values(&metadata));
            return Err(problems);
        };
        problems.keep(self.push_interval(trigger_type, &common));
        let spec = problems.keep(trigger_type.spec(&metadata, &common, tls.clone()));
        let connection = match &common.connection {
            Some(name) => {
                self.refuse_connection_keys(trigger_type, &metadata, name, &mut problems);
                self.check_named(name, request, |source| {
                    trigger_type.check_use(&metadata, &common, source)
                })
            }
            // What is missing may be there; what is written is judged.
            None if credentials == Credentials::Elsewhere => self
                .inline_source(trigger_type, &metadata, &request.namespace, tls)
                .map_err(at_connection)
                .and_then(|source| trigger_type.check_use(&metadata, &common, source))
                .map_err(|mut found| {
                    found.0.retain(|problem| problem.value.is_some());
                    found
                })
                .or_else(|found| found.into_result()),
            None => self
                .inline_source(trigger_type, &metadata, &request.namespace, tls)
                .map_err(at_connection)
                .and_then(|source| trigger_type.check_use(&metadata, &common, source)),
        };
        problems.keep(connection);
        // The same values are looked at for more than one reason.
        let mut unique = Problems::default();
        for problem in problems.0 {
            if !unique.0.contains(&problem) {
                unique.push(problem);
            }
        }
        unique.into_result()?;
        Ok(spec.expect("what is missing is a problem"))
    }

    /// The connection of a trigger, for people: the name of one of the settings, or address and user
    /// as they are written. `None`: the backend is not known.
    pub fn connection_of(&self, request: &TriggerRef) -> Option<String> {
        let trigger_type = self.registry().of(&request.metadata).ok()?.as_ref();
        let (metadata, _) = self.known_keys(trigger_type, request);
        let backend = trigger_type.backend();
        Some(match metadata.get("connection") {
            Some(name) => format!("{backend} connection {name}"),
            None => format!(
                "{backend} {}",
                metadata.shown(trigger_type.connection_keys())
            ),
        })
    }

    fn check_named(
        &self,
        name: &str,
        request: &TriggerRef,
        check: impl FnOnce(super::registry::ConnectionSource<'_>) -> Result<(), Problems>,
    ) -> Result<(), Problems> {
        let connections = self.connections();
        let named = connections.get(name, &request.namespace);
        let named = named.map_err(at_connection)?;
        self.with_keys(name, named, &request.namespace, |source| Ok(check(source)))
            .map_err(at_connection)?
    }
}

impl Registry {
    /// Checks that limits by backend name backends. Each key is a path in the settings.
    pub fn check_limits(&self, limits: &Limits) -> Result<(), Problems> {
        check_names(self, limits)
    }

    /// Everything that is wrong with named connections. Each key is a path in the settings.
    pub fn check_connections(
        &self,
        named: &BTreeMap<String, NamedConnection>,
    ) -> Result<(), Problems> {
        NamedConnections::check(self, named).map(|_| ())
    }
}

fn at_connection(error: Error) -> Problems {
    Problem::said_of("connection", &error).into()
}
