//! SARIF 2.1.0 (OASIS), which code-scanning services read.

use serde_json::{Value, json};

use super::report::{Report, message};
use crate::check::{Code, Finding, codes};

/// The whole log: one run.
pub fn of(report: &Report) -> Value {
    let rules: Vec<Value> = codes::ALL.iter().map(|code| rule(code)).collect();
    let results: Vec<Value> = report.findings.iter().map(result).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {
                "driver": {
                    "name": "backlog-scaler",
                    "version": env!("CARGO_PKG_VERSION"),
                    "rules": rules,
                },
            },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(code: &Code) -> Value {
    json!({
        "id": code.name,
        "shortDescription": {"text": code.title},
        "fullDescription": {"text": code.why},
        "help": {"text": code.fix},
        "defaultConfiguration": {"level": code.severity.label()},
    })
}

fn result(finding: &Finding) -> Value {
    let index = codes::ALL
        .iter()
        .position(|code| code.name == finding.code.name);
    let text = match finding.subject.is_empty() {
        true => message(finding),
        false => format!("{} (of {})", message(finding), finding.subject),
    };
    json!({
        "ruleId": finding.code.name,
        "ruleIndex": index,
        "level": finding.code.severity.label(),
        "message": {"text": format!("{text}. Fix: {}", finding.fix)},
        "locations": [{
            "physicalLocation": {
                "artifactLocation": {"uri": uri(&finding.file)},
                "region": {
                    "startLine": finding.start.line,
                    "startColumn": finding.start.column,
                    "endLine": finding.end.line,
                    "endColumn": finding.end.column,
                },
            },
        }],
    })
}

/// A path as a reference of RFC 3986.
fn uri(path: &str) -> String {
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    let escaped = path.bytes().map(|byte| match kept(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    escaped.collect()
}
