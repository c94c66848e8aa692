//! A condition of an object's status, as KEDA and the HPA write it.

use serde_json::Value;

/// One condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition<'a> {
    /// `True`, `False` or `Unknown`.
    pub status: &'a str,
    pub reason: &'a str,
    pub message: &'a str,
}

impl<'a> Condition<'a> {
    /// The condition of a type. `None`: it is not there, or not yet.
    pub fn of(object: &'a Value, kind: &str) -> Option<Self> {
        let mut all = object["status"]["conditions"].as_array()?.iter();
        let found = all.find(|condition| condition["type"].as_str() == Some(kind))?;
        let text = |key: &str| found[key].as_str().unwrap_or_default();
        Some(Condition {
            status: text("status"),
            reason: text("reason"),
            message: text("message"),
        })
    }

    pub fn is_true(&self) -> bool {
        self.status == "True"
    }

    pub fn is_false(&self) -> bool {
        self.status == "False"
    }

    /// Its reason and its message, as far as it has them.
    pub fn said(&self) -> String {
        match (self.reason, self.message) {
            ("", message) => message.to_owned(),
            (reason, "") => reason.to_owned(),
            (reason, message) => format!("{reason}: {message}"),
        }
    }

    /// One line: its type, its status unless it is True, and what is said of it.
    pub fn line(&self, kind: &str) -> String {
        let status = match self.is_true() {
            true => String::new(),
            false => format!(" {}", self.status),
        };
        match self.message {
            "" => format!("{kind}{status}"),
            message => format!("{kind}{status}: {message}"),
        }
    }
}
