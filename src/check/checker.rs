//! Checks files, as a server with given settings would judge them.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    codes, fields,
    finding::Finding,
    object,
    schema::Schemas,
    settings::{self, is_settings},
};
use crate::{
    backends,
    error::{Error, Result},
    manifests::{Cause, File, Found, Problem},
    metadata::TriggerRef,
    sampling::{Engine, Limits, NamedConnection, Registry},
    settings::Settings,
    telemetry::Telemetry,
};

/// What is known of the server that the triggers are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    /// It expects TLS of KEDA.
    pub tls: bool,
    /// It reads TriggerAuthentications.
    pub authentications: bool,
}

/// Checks files.
pub struct Checker {
    pub(super) engine: Arc<Engine>,
    schemas: Schemas,
    /// Whether its named connections are known.
    pub(super) knows_connections: bool,
    /// `None`: its settings are not known.
    pub(super) server: Option<Server>,
}

impl Checker {
    /// A checker for a server whose settings are not known. Must be called within a tokio runtime.
    pub fn new() -> Result<Self> {
        Ok(Checker {
            engine: engine(&BTreeMap::new(), Limits::default())?,
            schemas: Schemas::read()?,
            knows_connections: false,
            server: None,
        })
    }

    /// A checker for a server with these settings. What they keep in files and variables is not read.
    pub fn of(wanted: &Settings) -> Result<Self> {
        let connections = settings::sketch(wanted).0;
        Ok(Checker {
            engine: engine(&connections, wanted.engine.limits(wanted.admin.history()?)?)?,
            schemas: Schemas::read()?,
            knows_connections: true,
            server: Some(Server {
                tls: wanted.listen.tls.is_some(),
                authentications: wanted.kubernetes.enabled,
            }),
        })
    }

    /// Everything that is found in a file, in the order of its lines. One that was found in a folder may
    /// be something else than a manifest.
    pub fn check(&self, file: &File, in_folder: bool) -> Vec<Finding> {
        let mut findings = match is_settings(file) {
            true => settings::check(file, self.engine.registry()),
            false => self.manifests(file, in_folder),
        };
        findings.sort_by_key(|finding| (finding.start, finding.code.name));
        findings
    }

    /// The connection of a trigger, for people.
    pub fn connection(&self, request: &TriggerRef) -> Option<String> {
        self.engine.connection_of(request)
    }

    /// The same of a file of settings, whatever it looks like.
    pub fn check_settings(&self, file: &File) -> Vec<Finding> {
        settings::check(file, self.engine.registry())
    }

    fn manifests(&self, file: &File, in_folder: bool) -> Vec<Finding> {
        let found = Found::of(file);
        let problems = found.problems.iter();
        let problems = problems.filter(|problem| !in_folder || problem.cause != Cause::NoKind);
        let problems = problems.map(|problem| of_structure(file, problem));
        let problems: Vec<Finding> = problems.collect();
        let mut findings = Vec::new();
        let read = found
            .objects
            .iter()
            .map(|object| (object.scaled, object.node));
        let unread = found
            .unread
            .iter()
            .map(|object| (object.scaled, object.node));
        for (scaled, node) in read.chain(unread) {
            let schema = self.schemas.of(scaled);
            fields::check(schema, file, node, &object::id_of(node), &mut findings);
        }
        // What is wrong with a field is said once, and better by its schema.
        let is_said = |problem: &Finding| {
            let is_field = problem.code.name == codes::INVALID_FIELD.name;
            is_field
                && findings
                    .iter()
                    .any(|finding| finding.start == problem.start)
        };
        let others: Vec<Finding> = problems
            .into_iter()
            .filter(|problem| !is_said(problem))
            .collect();
        findings.extend(others);
        for object in &found.objects {
            object::check(self, file, object, &mut findings);
        }
        findings
    }
}

fn engine(
    connections: &BTreeMap<String, NamedConnection>,
    limits: Limits,
) -> Result<Arc<Engine>, Error> {
    let registry = backends::register(Registry::new(&limits, Telemetry::default()));
    // Connections with mistakes are findings of the settings; triggers that name them have them.
    let sound = connections.iter().filter(|(name, connection)| {
        let one = BTreeMap::from([((*name).clone(), (*connection).clone())]);
        registry.check_connections(&one).is_ok()
    });
    let sound = sound.map(|(name, connection)| (name.clone(), connection.clone()));
    let sound: BTreeMap<_, _> = sound.collect();
    Engine::start(registry, &sound, limits)
}

fn of_structure(file: &File, problem: &Problem) -> Finding {
    let code = match problem.cause {
        Cause::Syntax => &codes::INVALID_YAML,
        Cause::Kind | Cause::NoKind => &codes::WRONG_KIND,
        Cause::Field => &codes::INVALID_FIELD,
    };
    // The finding has the line already.
    let reason = match problem.reason.strip_prefix("line ") {
        Some(rest) if problem.cause == Cause::Syntax => {
            rest.split_once(": ").map_or(rest, |(_, reason)| reason)
        }
        _ => &problem.reason,
    };
    let bytes = problem.at..problem.at;
    Finding::new(code, file, bytes, &problem.path, reason)
}
