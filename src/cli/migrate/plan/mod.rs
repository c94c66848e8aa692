//! What becomes of one built-in trigger, key by key. No I/O: a table of cases tests it.

mod kafka;
mod redis;
mod temporal;
#[cfg(test)]
mod tests;

use super::{
    authentications::{Authentication, Reference},
    kedas_keys::{Reads, Scaler},
};
use crate::metadata::schema::nearest;

/// One of KEDA's own triggers, as it is written.
pub struct Trigger<'a> {
    pub scaler: Scaler,
    /// Its metadata, in order.
    pub metadata: Vec<(String, String)>,
    pub authentication: Auth<'a>,
    /// The server is known to have TLS, which KEDA must speak.
    pub server_tls: bool,
}

/// What is known of a trigger's authentication.
#[derive(Clone, Copy)]
pub enum Auth<'a> {
    None,
    /// It is not among the files.
    Unknown(&'a Reference),
    Known(&'a Reference, &'a Authentication),
}

impl Auth<'_> {
    /// Whether it gives a parameter, as far as is known.
    pub fn has(self, parameter: &str) -> bool {
        matches!(self, Auth::Known(_, authentication) if authentication.has(parameter))
    }

    /// Whether it gives a parameter, or could.
    fn may_have(self, parameter: &str) -> bool {
        matches!(self, Auth::Unknown(_)) || self.has(parameter)
    }
}

/// What becomes of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays, and means the same.
    Stays,
    /// It stays, and something about it differs.
    Differs(&'static str),
    /// It gets another name, and perhaps another value.
    Becomes {
        key: &'static str,
        value: Option<&'static str>,
        why: &'static str,
    },
    /// It is removed.
    Goes(String),
    /// It is removed, as the named connection has it.
    ToConnection,
}

/// What becomes of a trigger.
#[derive(Debug, Default)]
pub struct Plan {
    /// Each key with what becomes of it, in order.
    pub fates: Vec<(String, Fate)>,
    /// Why the `authenticationRef` goes, if it does.
    pub reference_goes: Option<&'static str>,
    /// What whoever moves it should know.
    pub notes: Vec<String>,
    /// Why it cannot move: the key that is in the way, or nothing, and the reason.
    pub refused: Vec<(Option<String>, String)>,
}

/// Plans the move of a trigger.
pub fn plan(trigger: &Trigger<'_>) -> Plan {
    let mut planner = Planner {
        scaler: trigger.scaler,
        authentication: trigger.authentication,
        metadata: &trigger.metadata,
        plan: Plan::default(),
    };
    for (key, _) in &trigger.metadata {
        let fate = planner.as_kedas(key);
        planner.plan.fates.push((key.clone(), fate));
    }
    planner.of_authentication(trigger.server_tls);
    match trigger.scaler {
        scaler if scaler.is_redis() => redis::plan(&mut planner),
        scaler if scaler.is_kafka() => kafka::plan(&mut planner),
        _ => temporal::plan(&mut planner),
    }
    planner.plan
}

/// Collects what becomes of a trigger.
struct Planner<'a> {
    scaler: Scaler,
    authentication: Auth<'a>,
    metadata: &'a [(String, String)],
    plan: Plan,
}

pub const FROM_ENV: &str = "FromEnv";

impl Planner<'_> {
    /// The value of a key that KEDA reads as it is, without the space around it; blank is none.
    fn text(&self, key: &str) -> Option<&str> {
        let value = self.metadata.iter().find(|(name, _)| name == key);
        let value = value.map(|(_, value)| value.trim());
        value.filter(|value| !value.is_empty() && self.reads(key))
    }

    fn reads(&self, key: &str) -> bool {
        matches!(self.scaler.reads(key), Some(Reads::Text | Reads::Both))
    }

    /// Whether a variable gives a key.
    fn by_variable(&self, key: &str) -> bool {
        let reads = matches!(self.scaler.reads(key), Some(Reads::Variable | Reads::Both));
        let written = format!("{key}{FROM_ENV}");
        reads && self.metadata.iter().any(|(name, _)| *name == written)
    }

    /// Whether a key is written, and stays as far as is known.
    fn stays(&self, key: &str) -> bool {
        let mut fates = self.plan.fates.iter();
        fates.any(|(name, fate)| name == key && *fate == Fate::Stays)
    }

    /// KEDA takes a blank value for none.
    fn is_blank(&self, key: &str) -> bool {
        let mut metadata = self.metadata.iter();
        metadata.any(|(name, value)| name == key && value.trim().is_empty())
    }

    fn is_true(&self, key: &str) -> bool {
        self.text(key).and_then(parse_bool) == Some(true)
    }

    fn set(&mut self, key: &str, fate: Fate) {
        let mut fates = self.plan.fates.iter_mut();
        if let Some((_, old)) = fates.find(|(name, _)| name == key) {
            *old = fate;
        }
    }

    fn goes(&mut self, key: &str, why: &str) {
        self.set(key, Fate::Goes(why.to_owned()));
    }

    fn becomes(
        &mut self,
        key: &str,
        new: &'static str,
        value: Option<&'static str>,
        why: &'static str,
    ) {
        let key_of_it = Fate::Becomes {
            key: new,
            value,
            why,
        };
        self.set(key, key_of_it);
    }

    /// Says what differs of a key that is given and stays.
    fn differs(&mut self, key: &str, what: &'static str) {
        if self.text(key).is_some() || self.by_variable(key) {
            for written in [key.to_owned(), format!("{key}{FROM_ENV}")] {
                let mut fates = self.plan.fates.iter_mut();
                if let Some((_, fate)) = fates.find(|(name, _)| *name == written)
                    && *fate == Fate::Stays
                {
                    *fate = Fate::Differs(what);
                }
            }
        }
    }

    fn refuse(&mut self, key: Option<&str>, why: impl Into<String>) {
        let key = key.map(str::to_owned);
        self.plan.refused.push((key, why.into()));
    }

    fn note(&mut self, note: impl Into<String>) {
        self.plan.notes.push(note.into());
    }

    /// What KEDA makes of a key: what it does not read has no meaning, and must get none.
    fn as_kedas(&self, key: &str) -> Fate {
        let base = key.strip_suffix(FROM_ENV);
        let reads = |name: &str| self.scaler.reads(name);
        let goes = |why: &str| Fate::Goes(why.to_owned());
        match (reads(key), base.and_then(reads)) {
            (Some(Reads::Text | Reads::Both), _) => Fate::Stays,
            (_, Some(Reads::Both)) if self.text(base.unwrap_or_default()).is_some() => {
                goes("KEDA ignores the variable, as the key itself is given")
            }
            (_, Some(Reads::Both | Reads::Variable)) => Fate::Stays,
            (Some(Reads::Variable | Reads::Authentication), _) => {
                goes("KEDA ignores it here, and takes it from an authentication alone")
            }
            (_, Some(Reads::Text | Reads::Authentication)) => {
                goes("KEDA ignores it, as it takes this key from no variable")
            }
            (None, None) => Fate::Goes(self.unknown(base.unwrap_or(key))),
        }
    }

    fn unknown(&self, key: &str) -> String {
        let name = self.scaler.name;
        match (key, nearest(key, self.scaler.all().map(|(key, _)| key))) {
            ("metricName", _) => "KEDA ignores it; here it would name the metric".to_owned(),
            (_, Some(near)) => {
                format!("KEDA's `{name}` ignores it; if `{near}` was meant, write that")
            }
            _ => format!("KEDA's `{name}` ignores it"),
        }
    }

    fn of_authentication(&mut self, server_tls: bool) {
        let Auth::Known(reference, authentication) = self.authentication else {
            return;
        };
        if !authentication.unsupported.is_empty() {
            let fields = authentication.unsupported.join(", ");
            self.refuse(
                None,
                format!(
                    "{reference} has {fields}, which only KEDA's operator can follow: put the \
                     credentials into a Secret, or use a named connection"
                ),
            );
        }
        // KEDA's external scaler takes these for its own connection (external_scaler.go).
        let of_hop = ["caCert", "tlsClientCert", "tlsClientKey"];
        let of_hop = of_hop.into_iter().filter(|key| authentication.has(key));
        let of_hop: Vec<&str> = of_hop.collect();
        // With TLS there, they are what they are for.
        if !of_hop.is_empty() && !server_tls {
            let keys = of_hop.join(", ");
            self.refuse(
                None,
                format!(
                    "{reference} has {keys}, with which KEDA would speak TLS to backlog-scaler: have \
                     this trigger refer to one without them"
                ),
            );
        }
    }
}

/// What Go's strconv.ParseBool makes of a text, as KEDA does.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Why keys of TLS get another name.
const OF_HOP: &str = "in an external trigger that key is of KEDA's connection to backlog-scaler";
