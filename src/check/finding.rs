//! One thing that was found, and where.

use serde::Serialize;

use super::codes::Code;
use crate::{
    error::one_line,
    manifests::{File, Position},
};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The server, KEDA or Kubernetes refuses it, or it cannot work.
    Error,
    /// It works, and not as one would expect.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub fn label(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// Something that was found. Holds no secret.
#[derive(Clone, Debug)]
pub struct Finding {
    pub code: &'static Code,
    /// The file as it was named.
    pub file: String,
    pub start: Position,
    pub end: Position,
    /// `shop/worker, trigger 0`; empty where it is about a file.
    pub subject: String,
    /// What it is about: a key of the metadata, or a field with its path.
    pub key: String,
    pub message: String,
    /// What to do.
    pub fix: String,
}

impl Finding {
    /// A finding about these bytes of a file.
    pub fn new(
        code: &'static Code,
        file: &File,
        bytes: std::ops::Range<usize>,
        key: &str,
        message: impl Into<String>,
    ) -> Self {
        Finding {
            code,
            file: file.name().to_owned(),
            start: file.position(bytes.start),
            end: file.position(bytes.end),
            subject: String::new(),
            key: one_line(key.to_owned()),
            message: one_line(message.into()),
            fix: code.fix.to_owned(),
        }
    }

    /// The same about an object or a trigger.
    pub fn of(mut self, subject: impl Into<String>) -> Self {
        self.subject = one_line(subject.into());
        self
    }

    /// The same with a fix that says more than the code's.
    pub fn mended_by(mut self, fix: impl Into<String>) -> Self {
        self.fix = one_line(fix.into());
        self
    }
}
