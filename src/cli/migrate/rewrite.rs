//! Files → the same files with their triggers moved, each result checked as the server would.

use super::{
    authentications::{Authentications, Reference},
    connections::NeededSettings,
    existing::Existing,
    kedas_keys::Scaler,
    plan::{Auth, Plan, Trigger, plan},
    server::tls_note,
    site::{Outcome, REFERENCE, Site},
};
use crate::{
    check::Checker,
    manifests::{Edits, File, Found, NodeRef, Position, Refused, Scaled},
    sampling::TypeKeys,
    settings::{ServerTls, Settings},
};

/// How triggers move.
pub struct Options {
    pub scaler_address: String,
    /// `external-push` instead of `external`.
    pub push: bool,
    /// The server reads authentications.
    pub kubernetes: bool,
    /// The settings of the server, if they are known.
    pub server: Option<Settings>,
}

impl Options {
    /// TLS of the server's listener, which KEDA must speak.
    pub fn tls(&self) -> Option<&ServerTls> {
        self.server.as_ref()?.listen.tls.as_ref()
    }
}

/// A file with what became of it.
pub struct Moved {
    pub text: String,
    pub triggers: Vec<Outcome>,
    /// Triggers of types that KEDA keeps, or that are external already.
    pub others: usize,
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
pub type Id = (usize, usize, usize);

impl Migrator<'_> {
    /// Moves what can be moved. What the server would refuse stays as it is, and says why.
    pub fn migrate(&self, files: &[File]) -> Migration {
        let mut stays: Vec<(Id, Position, String)> = Vec::new();
        loop {
            let existing = Existing::of(self.options.server.as_ref());
            let mut settings = NeededSettings::beside(existing);
            let found: Vec<Found<'_>> = files.iter().map(Found::of).collect();
            let all = || files.iter().zip(&found).enumerate();
            let moved = all().map(|(number, (file, found))| {
                self.file(number, file, found, &stays, &mut settings)
            });
            let moved: Vec<Moved> = moved.collect();
            // New connections are known to a server that gets them.
            let with = settings.checker(self.options.server.as_ref());
            let checker = with.as_ref().unwrap_or(self.checker);
            // What cannot move must leave nothing in the settings either.
            let new = all()
                .zip(&moved)
                .flat_map(|((number, (file, found)), moved)| {
                    self.check(checker, number, file, found, moved)
                });
            let mut new: Vec<_> = new.collect();
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
        let text = match edits.apply() {
            Ok(text) => text,
            // Each trigger's changes were tried alone, and triggers do not overlap.
            Err(Refused { at, reason }) => {
                let why = format!("what is written here {reason}");
                let refusal = (file.position(at), why);
                let all = triggers.iter_mut();
                all.for_each(|trigger| trigger.refuse(refusal.clone()));
                file.text().to_owned()
            }
        };
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
                outcome.refuse((site.file.position(at), why));
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
                    outcome.refuse((outcome.position, why));
                    return outcome;
                }
            },
        };
        let trigger = Trigger {
            scaler: site.scaler,
            metadata,
            authentication,
            server_tls: self.options.tls().is_some(),
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
            reference_goes,
            notes,
            refused,
        } = plan;
        for (key, why) in refused {
            outcome.refuse(site.refusal(key.as_deref(), &why));
        }
        (outcome.fates, outcome.notes) = (fates, notes);
        outcome.reference_goes = reference_goes;
        if reference_goes.is_some() {
            outcome.beside.retain(|field| field != REFERENCE);
        }
        if outcome.refused.is_empty() {
            let connection = connection.as_deref();
            // Alone first: half of a trigger's changes must not stay.
            let mut alone = Edits::of(site.file);
            let tried = self.edit(site, &outcome, connection, &mut alone);
            let tried = tried.and_then(|()| alone.apply().map(|_| ()));
            let done = tried.and_then(|()| self.edit(site, &outcome, connection, edits));
            if let Err(Refused { at, reason }) = done {
                let at = site.file.position(at);
                outcome.refuse((at, format!("what is written here {reason}")));
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
                    "{key}: has no quotes, and Kubernetes refuses metadata that is not a string"
                ));
            }
        }
        if let Some(tls) = self.options.tls() {
            plan.notes.push(tls_note(tls, trigger.authentication));
        }
        if self.options.kubernetes && site.has_twin() {
            let why = "another trigger of this object has the same metadata and another \
                       authentication: the server could not tell them apart";
            plan.refused
                .push((Some("authenticationRef".to_owned()), why.to_owned()));
        }
        if let Auth::Unknown(reference) = trigger.authentication {
            match self.options.kubernetes {
                true => plan.notes.push(format!(
                    "{reference} is not among the files: name its file as well to have it checked"
                )),
                false => plan.refused.push((
                    Some("authenticationRef".to_owned()),
                    format!(
                        "{reference} is not among the files, and becomes a named connection with \
                         --kubernetes=off: name its file as well"
                    ),
                )),
            }
        }
    }
}
