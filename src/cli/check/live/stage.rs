//! One step of `check --live`, as a line for people.

use std::fmt::{Display, Write as _};

use serde::Serialize;

use crate::{
    cli::printable,
    error::{Error, one_line},
};

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    Passed,
    Warning,
    Failed,
}

/// One step.
#[derive(Debug, Serialize)]
pub struct Stage {
    /// The heading that it is under.
    section: String,
    status: Mark,
    what: String,
    reason: Option<String>,
    fix: Option<String>,
}

impl Stage {
    /// A step without more to say.
    pub fn new(section: impl Into<String>, status: Mark, what: impl Into<String>) -> Self {
        Stage {
            section: section.into(),
            status,
            what: one_line(what.into()),
            reason: None,
            fix: None,
        }
    }

    /// The same with the reason.
    pub fn because(mut self, reason: impl Display) -> Self {
        self.reason = Some(one_line(reason.to_string()));
        self
    }

    /// The same with what to do.
    pub fn mended_by(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(one_line(fix.into()));
        self
    }

    /// The same with an error: what happened, and what it says to do.
    pub fn on(self, error: &Error) -> Self {
        let stage = self.because(error.what());
        match error.next() {
            "" => stage,
            next => stage.mended_by(next.trim_end_matches('.')),
        }
    }

    /// Whether it failed.
    pub fn has_failed(&self) -> bool {
        self.status == Mark::Failed
    }

    /// Whether it is a warning.
    pub fn is_warning(&self) -> bool {
        self.status == Mark::Warning
    }
}

/// All steps under their headings, and how many failed.
pub fn text(stages: &[Stage]) -> String {
    let mut text = String::new();
    let mut section = "";
    // Writing to a string cannot fail.
    for stage in stages {
        if stage.section != section {
            section = &stage.section;
            let line = "-".repeat(section.chars().count());
            let _ = write!(text, "\n{section}\n{line}\n");
        }
        let mark = match stage.status {
            Mark::Passed => '✓',
            Mark::Warning => '‼',
            Mark::Failed => '✗',
        };
        let _ = writeln!(text, "{mark} {}", stage.what);
        if let Some(reason) = &stage.reason {
            let _ = writeln!(text, "    {reason}");
        }
        if let Some(fix) = &stage.fix {
            let _ = writeln!(text, "    fix: {fix}");
        }
    }
    let failed = stages.iter().filter(|stage| stage.has_failed()).count();
    let _ = match failed {
        0 => writeln!(text, "\nStatus is ✓"),
        _ => writeln!(text, "\nStatus is ✗: {failed} of {} failed", stages.len()),
    };
    printable(&text)
}
