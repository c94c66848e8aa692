//! Files → the same files with their triggers moved, each result checked as the server would.

use std::collections::BTreeMap;

use super::{
    authentications::{Authentications, Reference},
    connections::NeededSettings,
    kedas_keys::Scaler,
    plan::{Auth, FROM_ENV, Fate, Plan, Trigger, plan},
};
use crate::{
    check::{Checker, Finding, Severity, codes},
    manifests::{Edits, File, Found, NodeRef, Object, Position, Refused, Scaled},
    metadata::TriggerRef,
    sampling::TypeKeys,
};

/// How triggers move.
pub struct Options {
    pub scaler_address: String,
    /// `external-push` instead of `external`.
    pub push: bool,
    /// The server reads authentications.
    pub kubernetes: bool,
}

/// A file with what became of it.
pub struct Moved {
    pub text: String,
    pub triggers: Vec<Outcome>,
    /// Triggers of types that KEDA keeps, or that are external already.
    pub others: usize,
}

/// What became of one of KEDA's own triggers.
pub struct Outcome {
    /// `shop/worker`.
    pub object: String,
    pub index: usize,
    pub position: Position,
    /// The type that it had.
    pub was: &'static str,
    /// Each key with what became of it.
    pub fates: Vec<(String, Fate)>,
    pub notes: Vec<String>,
    /// Why it stays as it is, each with its place; empty: it moved.
    pub refused: Vec<(Position, String)>,
    /// How often KEDA polls it, in seconds.
    pub polling_interval: u64,
    /// What it connects to, for people, once moved.
    pub connection: String,
    /// KEDA's own setting that saves memory of its Kafka scaler.
    pub full_metadata: bool,
}

/// All files, and what the settings need for them.
pub struct Migration {
    pub files: Vec<Moved>,
    pub settings: NeededSettings,
}

/// Moves the triggers of files.
pub struct Migrator<'a> {
    pub options: &'a Options,
    pub authentications: &'a Authentications,
    pub checker: &'a Checker,
    /// The declared keys of every backend.
    pub keys: &'a [TypeKeys],
}

/// A trigger: its file, the number of its object in it, and its own in that.
type Id = (usize, usize, usize);

impl Migrator<'_> {
    /// Moves what can be moved. What the server would refuse stays as it is, and says why.
    pub fn migrate(&self, files: &[File]) -> Migration {
        let mut stays: Vec<(Id, Position, String)> = Vec::new();
        loop {
            let mut settings = NeededSettings::default();
            let found: Vec<Found<'_>> = files.iter().map(Found::of).collect();
            let mut moved = Vec::new();
            let mut new = Vec::new();
            for (number, (file, found)) in files.iter().zip(&found).enumerate() {
                let result = self.file(number, file, found, &stays, &mut settings);
                new.extend(self.check(number, file, found, &result));
                moved.push(result);
            }
            // Another name of a connection is no new reason: this ends.
            new.retain(|(id, _, _)| !stays.iter().any(|(known, _, _)| known == id));
            if new.is_empty() {
                return Migration {
                    files: moved,
                    settings,
                };
            }
            stays.extend(new);
        }
    }

    fn file(
        &self,
        number: usize,
        file: &File,
        found: &Found<'_>,
        stays: &[(Id, Position, String)],
        settings: &mut NeededSettings,
    ) -> Moved {
        let mut edits = Edits::of(file);
        let (mut triggers, mut others) = (Vec::new(), 0);
        for (o, object) in found.objects.iter().enumerate() {
            for t in 0..object.triggers.len() {
                let Some(scaler) = Scaler::of(&object.triggers[t].trigger_type) else {
                    others += 1;
                    continue;
                };
                let id = (number, o, t);
                let known = stays.iter().filter(|(known, _, _)| *known == id);
                let known = known.map(|(_, at, why)| (*at, why.clone()));
                let site = Site {
                    file,
                    object,
                    index: t,
                    scaler,
                };
                triggers.push(self.trigger(&site, known.collect(), &mut edits, settings));
            }
        }
        // Each trigger's changes were tried alone, and triggers do not overlap.
        let text = edits.apply().unwrap_or_else(|_| file.text().to_owned());
        Moved {
            text,
            triggers,
            others,
        }
    }

    fn trigger(
        &self,
        site: &Site<'_>,
        known: Vec<(Position, String)>,
        edits: &mut Edits<'_>,
        settings: &mut NeededSettings,
    ) -> Outcome {
        let mut outcome = site.outcome();
        outcome.refused = known;
        let metadata = match site.metadata() {
            Ok(metadata) => metadata,
            Err(Refused { at, reason }) => {
                let why = format!("metadata: {reason}");
                outcome.refused.push((site.file.position(at), why));
                return outcome;
            }
        };
        let reference = Reference::of(site.node(), &site.object.namespace);
        let authentication = match &reference {
            None => Auth::None,
            Some(reference) => match self.authentications.get(reference) {
                None => Auth::Unknown(reference),
                Some(Ok(authentication)) => Auth::Known(reference, authentication),
                Some(Err(why)) => {
                    let why = format!("{reference} cannot be read: {why}");
                    outcome.refused.push((outcome.position, why));
                    return outcome;
                }
            },
        };
        let trigger = Trigger {
            scaler: site.scaler,
            metadata,
            authentication,
        };
        let mut plan = plan(&trigger);
        self.ways(site, &trigger, &mut plan);
        let connection = match plan.refused.is_empty() && outcome.refused.is_empty() {
            true => self.authentication(site, &trigger, &mut plan, settings),
            false => None,
        };
        outcome.connection = self.connection(site, &trigger, &plan, connection.as_deref());
        let Plan {
            fates,
            notes,
            refused,
        } = plan;
        let refused = refused
            .into_iter()
            .map(|(key, why)| site.refusal(key.as_deref(), &why));
        outcome.refused.extend(refused);
        (outcome.fates, outcome.notes) = (fates, notes);
        if outcome.refused.is_empty() {
            let (fates, connection) = (&outcome.fates, connection.as_deref());
            // Alone first: half of a trigger's changes must not stay.
            let mut alone = Edits::of(site.file);
            let tried = self.edit(site, fates, connection, &mut alone);
            let tried = tried.and_then(|()| alone.apply().map(|_| ()));
            let done = tried.and_then(|()| self.edit(site, fates, connection, edits));
            if let Err(Refused { at, reason }) = done {
                let at = site.file.position(at);
                outcome.refused.push((at, format!("what is written here {reason}")));
            }
        }
        outcome
    }

    /// What is said of the trigger besides its keys.
    fn ways(&self, site: &Site<'_>, trigger: &Trigger<'_>, plan: &mut Plan) {
        if self.options.push && site.object.scaled == Scaled::Job {
            plan.notes.push(
                "`external`, as KEDA opens no stream for a ScaledJob's `external-push`".to_owned(),
            );
        }
        let metadata = site.node().get("metadata");
        for (key, value) in &trigger.metadata {
            if value.contains("{{") {
                let note = "holds a template that is not rendered, and is not checked";
                plan.notes.push(format!("{key}: {note}"));
            }
            let value = metadata.and_then(|metadata| metadata.get(key));
            if value.is_some_and(NodeRef::is_not_text) {
                plan.notes.push(format!(
                    "{key}: has no quotes, and Kubernetes refuses metadata that is no text"
                ));
            }
        }
        if let Auth::Unknown(reference) = trigger.authentication {
            match self.options.kubernetes {
                true => plan.notes.push(format!(
                    "{reference} is not among the files: name its file as well to have it checked"
                )),
                false => plan.refused.push((
                    Some("authenticationRef".to_owned()),
                    format!(
                        "{reference} is not among the files, and becomes a named connection with                          --kubernetes=off: name its file as well"
                    ),
                )),
            }
        }
    }

    /// What the settings need for the authentication; returns the name of the connection that takes its
    /// place.
    fn authentication(
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
        match trigger.authentication {
            Auth::None => None,
            Auth::Known(reference, _) | Auth::Unknown(reference) if self.options.kubernetes => {
                settings.read(reference, &kept(plan), plan);
                None
            }
            Auth::Known(reference, authentication) => {
                let mut keys = self.keys.iter();
                let keys = keys.find(|keys| keys.trigger_type == site.scaler.name)?;
                let namespace = &site.object.namespace;
                let of = (reference, authentication);
                Some(settings.name(keys, namespace, &trigger.metadata, of, plan))
            }
            Auth::Unknown(_) => None,
        }
    }

    fn edit(
        &self,
        site: &Site<'_>,
        fates: &[(String, Fate)],
        connection: Option<&str>,
        edits: &mut Edits<'_>,
    ) -> Result<(), Refused> {
        let node = site.node();
        let missing = Refused {
            at: node.span().start,
            reason: "has no entry of its own for what changes",
        };
        let type_node = node.get("type").ok_or(missing.clone())?;
        edits.replace_scalar(type_node, self.new_type(site.object))?;
        let metadata = node.get("metadata").ok_or(missing)?;
        let mut first = vec![
            ("scalerAddress".to_owned(), self.options.scaler_address.clone()),
            ("backend".to_owned(), site.scaler.name.to_owned()),
        ];
        first.extend(connection.map(|name| ("connection".to_owned(), name.to_owned())));
        let goes = |(_, fate): &&(String, Fate)| matches!(fate, Fate::Goes(_) | Fate::ToConnection);
        let removed: Vec<String> = fates.iter().filter(goes).map(|(key, _)| key.clone()).collect();
        edits.put_first(node, "metadata", &first, &removed)?;
        for (key, fate) in fates {
            if let Fate::Becomes { key: new, value, .. } = fate {
                if let (Some(text), Some(value)) = (metadata.get(key), value) {
                    edits.replace_scalar(text, value)?;
                }
                edits.rename(metadata, key, new)?;
            }
        }
        Ok(())
    }

    fn new_type(&self, object: &Object<'_>) -> &'static str {
        match self.options.push && object.scaled == Scaled::Object {
            true => "external-push",
            false => "external",
        }
    }

    /// What the moved trigger connects to.
    fn connection(
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
                fates.any(|(name, fate)| name == key && matches!(fate, Fate::Stays | Fate::Differs(_)))
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

    /// What the server, KEDA or Kubernetes would refuse of the moved triggers of a file.
    fn check(
        &self,
        number: usize,
        file: &File,
        found: &Found<'_>,
        moved: &Moved,
    ) -> Vec<(Id, Position, String)> {
        let after = File::new(file.name(), moved.text.as_str());
        let findings = self.checker.check(&after, true);
        let errors = findings
            .iter()
            .filter(|finding| finding.code.severity == Severity::Error)
            // These were so before, and are notes.
            .filter(|finding| {
                let before = [&codes::UNQUOTED_VALUE, &codes::TEMPLATE];
                before.iter().all(|code| code.name != finding.code.name)
            });
        let errors: Vec<&Finding> = errors.collect();
        if errors.is_empty() {
            return Vec::new();
        }
        let found_after = Found::of(&after);
        let mut refused = Vec::new();
        let objects = found.objects.iter().zip(&found_after.objects);
        for (o, (before, object)) in objects.enumerate() {
            for (t, trigger) in object.triggers.iter().enumerate() {
                let span = trigger.node.span();
                let (start, end) = (after.position(span.start), after.position(span.end));
                let within = errors.iter().filter(|f| start <= f.start && f.start <= end);
                let Some(scaler) = Scaler::of(&before.triggers[t].trigger_type) else {
                    continue;
                };
                let site = Site {
                    file,
                    object: before,
                    index: t,
                    scaler,
                };
                for finding in within {
                    let why = format!("{}: {}. {}", finding.key, finding.message, sentence(&finding.fix));
                    let (at, why) = site.refusal_at(&finding.key, why.trim_end_matches(". ").to_owned());
                    refused.push(((number, o, t), at, why));
                }
            }
        }
        refused
    }
}

/// A fix as a sentence of its own.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

/// Where a trigger is.
struct Site<'a> {
    file: &'a File,
    object: &'a Object<'a>,
    index: usize,
    scaler: Scaler,
}

/// KEDA's default (`ScaledObjectSpec`).
const POLLING_INTERVAL: u64 = 30;

impl<'a> Site<'a> {
    fn node(&self) -> NodeRef<'a> {
        self.object.triggers[self.index].node
    }

    fn id(&self) -> String {
        format!("{}/{}", self.object.namespace, self.object.name)
    }

    fn outcome(&self) -> Outcome {
        let node = self.node();
        let at = node.entry("type").map_or(node.span(), |(key, _)| key.span());
        let spec = self.object.node.get("spec");
        let interval = spec.and_then(|spec| spec.text_of("pollingInterval"));
        let metadata = node.get("metadata");
        let full = metadata.and_then(|metadata| metadata.text_of("fullMetadata"));
        Outcome {
            object: self.id(),
            index: self.index,
            position: self.file.position(at.start),
            was: self.scaler.name,
            fates: Vec::new(),
            notes: Vec::new(),
            refused: Vec::new(),
            polling_interval: interval
                .and_then(|text| text.parse().ok())
                .filter(|seconds| *seconds > 0)
                .unwrap_or(POLLING_INTERVAL),
            connection: String::new(),
            full_metadata: full != Some("false"),
        }
    }

    /// The metadata in order, if all of it is written in one place.
    fn metadata(&self) -> Result<Vec<(String, String)>, Refused> {
        let node = self.node();
        let refused = |node: NodeRef<'_>, reason| Refused {
            at: node.span().start,
            reason,
        };
        let metadata = node.get("metadata");
        let metadata = metadata.ok_or(refused(node, "is missing"))?;
        if metadata.is_shared() {
            let reason = "is an alias, or has an anchor that aliases refer to; write it out first";
            return Err(refused(metadata, reason));
        }
        let mut texts = Vec::new();
        for (key, value) in metadata.entries() {
            let name = key.text().unwrap_or_default();
            if name == "<<" {
                return Err(refused(key, "merges another mapping; write it out first"));
            }
            match value.text() {
                _ if value.is_null() => {}
                Some(text) => texts.push((name.to_owned(), text.to_owned())),
                None => return Err(refused(value, "has a value that is no text")),
            }
        }
        Ok(texts)
    }

    fn refusal(&self, key: Option<&str>, why: &str) -> (Position, String) {
        match key {
            Some(key) => self.refusal_at(key, format!("{key}: {why}")),
            None => self.refusal_at("type", why.to_owned()),
        }
    }

    /// A reason, with the place of a key of the metadata or of the trigger.
    fn refusal_at(&self, key: &str, why: String) -> (Position, String) {
        let node = self.node();
        let metadata = node.get("metadata");
        let names = [key.to_owned(), format!("{key}{FROM_ENV}")];
        let in_metadata = metadata.and_then(|metadata| {
            let mut names = names.iter();
            names.find_map(|name| metadata.entry(name))
        });
        let entry = in_metadata
            .or_else(|| node.entry(key))
            .or_else(|| node.entry("metadata"));
        let at = entry.map_or(node.span(), |(key, _)| key.span());
        (self.file.position(at.start), why)
    }
}
