//! A file → the ScaledObjects and ScaledJobs to probe, with everything that is wrong with it and
//! notes for its author.

use std::collections::BTreeMap;

use super::metadata::Resolver;
pub use crate::manifests::{Bounds, Combination, MetricType, Scaled, is_external};
use crate::{
    check::is_settings,
    error::one_line,
    manifests::{self, Cause, File, Found, Skipped},
};

/// A ScaledObject or ScaledJob.
#[derive(Clone)]
pub struct Object {
    pub scaled: Scaled,
    pub namespace: String,
    pub name: String,
    pub bounds: Bounds,
    pub combination: Combination,
    pub triggers: Vec<Trigger>,
}

/// One of its triggers. No `Debug`: the metadata may hold secrets.
#[derive(Clone)]
pub struct Trigger {
    pub name: Option<String>,
    pub trigger_type: String,
    pub metric_type: MetricType,
    /// As KEDA sends it: texts, with `…FromEnv` resolved.
    pub metadata: BTreeMap<String, String>,
}

/// What a file holds, with notes for its author.
pub struct Manifests {
    pub objects: Vec<Object>,
    pub notes: Vec<String>,
}

/// Reads a file's text; `env` gives the value of an environment variable. `Err` is everything
/// that is wrong with it, each with the place.
#[cfg(test)]
pub fn read(
    file: &str,
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Manifests, Vec<String>> {
    read_all(&[(File::new(file, text), false)], env)
}

/// The same of many files, some of them found in folders: those may be anything.
pub fn read_all(
    files: &[(File, bool)],
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Manifests, Vec<String>> {
    let mut reader = Reader {
        env,
        objects: Vec::new(),
        notes: Vec::new(),
        problems: Vec::new(),
    };
    for (file, in_folder) in files {
        if !in_folder || !is_settings(file) {
            reader.file(file, *in_folder);
        }
    }
    let Reader {
        objects,
        notes,
        mut problems,
        ..
    } = reader;
    let lines = |texts: Vec<String>| texts.into_iter().map(one_line).collect();
    if objects.is_empty() && problems.is_empty() {
        // What they hold instead explains it.
        problems.extend(notes.iter().cloned());
        let names: Vec<&str> = files.iter().map(|(file, _)| file.name()).collect();
        let held = match &names[..] {
            [name] => format!("{name}: holds"),
            names => format!("{} files: hold", names.len()),
        };
        problems.push(format!("{held} no ScaledObject or ScaledJob"));
    }
    match problems.is_empty() {
        true => Ok(Manifests {
            objects,
            notes: lines(notes),
        }),
        false => Err(lines(problems)),
    }
}

fn skipped(skipped: &Skipped<'_>) -> String {
    let Skipped {
        place,
        kind,
        version,
        ..
    } = skipped;
    format!(
        "{place}: skipped a {kind} of apiVersion {version:?}; probed are ScaledObjects and ScaledJobs of keda.sh/v1alpha1"
    )
}

struct Reader<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    objects: Vec<Object>,
    notes: Vec<String>,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn file(&mut self, file: &File, in_folder: bool) {
        let Found {
            objects,
            skipped,
            problems,
        } = Found::of(file);
        let problems = problems.iter();
        let problems = problems.filter(|problem| !in_folder || problem.cause != Cause::NoKind);
        self.problems.extend(problems.map(ToString::to_string));
        if !in_folder {
            self.notes.extend(skipped.iter().map(self::skipped));
        }
        for object in objects {
            self.object(object);
        }
    }

    fn object(&mut self, object: manifests::Object<'_>) {
        let id = format!("{}/{}", object.namespace, object.name);
        if object.paused {
            let note = "has an annotation that pauses it: KEDA does not scale it by these values";
            self.notes.push(format!("{id}: {note}"));
        }
        let mut problems = Vec::new();
        let mut triggers = Vec::new();
        for (i, item) in object.triggers.into_iter().enumerate() {
            let mut resolver = Resolver {
                env: self.env,
                path: format!("spec.triggers[{i}].metadata"),
                of: format!("{id}, trigger {i}"),
                notes: &mut self.notes,
                problems: &mut problems,
            };
            let is_ours = is_external(&item.trigger_type);
            if is_ours && item.has_authentication {
                resolver.note("authenticationRef: the parameters of a TriggerAuthentication never reach an external scaler, except caCert, tlsClientCert and tlsClientKey of KEDA's connection to it");
            }
            triggers.push(Trigger {
                name: item.name,
                metadata: match is_ours {
                    true => resolver.resolve(item.metadata),
                    false => BTreeMap::new(),
                },
                trigger_type: item.trigger_type,
                metric_type: item.metric_type.unwrap_or_default(),
            });
        }
        let place = &object.place;
        let at_place = |problem| format!("{place}: {problem}");
        self.problems.extend(problems.into_iter().map(at_place));
        self.objects.push(Object {
            scaled: object.scaled,
            namespace: object.namespace,
            name: object.name,
            bounds: object.bounds,
            combination: object.combination,
            triggers,
        });
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
