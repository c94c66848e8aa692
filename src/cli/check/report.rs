//! What was found, as text for people and JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::live::{self, Stage};
use crate::{
    check::{Finding, Severity},
    cli::printable,
};

/// All findings.
pub struct Report {
    pub files: usize,
    /// What they are: `file`, or `object` of a cluster.
    pub noun: &'static str,
    pub findings: Vec<Finding>,
    /// Of `--live`.
    pub stages: Vec<Stage>,
}

/// The shape of `--output json`.
#[derive(Serialize)]
pub struct JsonReport<'a> {
    files: usize,
    errors: usize,
    warnings: usize,
    findings: Vec<JsonFinding<'a>>,
    stages: &'a [Stage],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonFinding<'a> {
    code: &'a str,
    severity: Severity,
    file: &'a str,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    /// `shop/worker, trigger 0`; empty where it is about a file.
    object: &'a str,
    key: &'a str,
    message: &'a str,
    fix: &'a str,
}

impl Report {
    pub fn new(files: usize, findings: Vec<Finding>, stages: Vec<Stage>) -> Self {
        Report {
            files,
            noun: "file",
            findings,
            stages,
        }
    }

    fn count(&self, severity: Severity) -> usize {
        let findings = self.findings.iter();
        findings
            .filter(|finding| finding.code.severity == severity)
            .count()
    }

    /// Whether the exit code tells of it.
    pub fn fails(&self, strict: bool) -> bool {
        let warns = !self.findings.is_empty() || self.stages.iter().any(Stage::is_warning);
        let failed = self.stages.iter().any(Stage::has_failed);
        self.count(Severity::Error) > 0 || failed || strict && warns
    }

    /// For people: what compilers print, so that editors find the line.
    pub fn text(&self) -> String {
        let mut text: String = self.findings.iter().map(text_of).collect();
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        let some = |number: usize, word: &str| match number {
            1 => format!("1 {word}"),
            _ => format!("{number} {word}s"),
        };
        let (files, errors) = (some(self.files, self.noun), some(errors, "error"));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{files}: {errors}, {}", some(warnings, "warning"));
        if !self.stages.is_empty() {
            text += &live::text(&self.stages);
        }
        text
    }

    pub fn json(&self) -> JsonReport<'_> {
        JsonReport {
            files: self.files,
            errors: self.count(Severity::Error),
            warnings: self.count(Severity::Warning),
            findings: self.findings.iter().map(json_of).collect(),
            stages: &self.stages,
        }
    }
}

/// One finding as text, with its fix below it.
pub fn text_of(finding: &Finding) -> String {
    let Finding {
        code,
        file,
        start,
        subject,
        fix,
        ..
    } = finding;
    let (label, name) = (code.severity.label(), code.name);
    let (line, column) = (start.line, start.column);
    let message = message(finding);
    let subject = match subject.is_empty() {
        true => String::new(),
        false => format!("    of: {subject}\n"),
    };
    printable(&format!(
        "{file}:{line}:{column}: {label}[{name}]: {message}\n{subject}    fix: {fix}\n"
    ))
}

/// What was found, after the key that it is about.
pub fn message(finding: &Finding) -> String {
    match finding.key.is_empty() {
        true => finding.message.clone(),
        false => format!("{}: {}", finding.key, finding.message),
    }
}

/// One finding on one line.
pub fn summary(finding: &Finding) -> String {
    let (file, start, subject) = (&finding.file, finding.start, &finding.subject);
    let of = match subject.is_empty() {
        true => String::new(),
        false => format!("{subject}: "),
    };
    let (message, fix, name) = (message(finding), &finding.fix, finding.code.name);
    format!(
        "{file}:{}:{}: {of}{message}; {fix} [{name}]",
        start.line, start.column
    )
}

fn json_of(finding: &Finding) -> JsonFinding<'_> {
    JsonFinding {
        code: finding.code.name,
        severity: finding.code.severity,
        file: &finding.file,
        line: finding.start.line,
        column: finding.start.column,
        end_line: finding.end.line,
        end_column: finding.end.column,
        object: &finding.subject,
        key: &finding.key,
        message: &finding.message,
        fix: &finding.fix,
    }
}
