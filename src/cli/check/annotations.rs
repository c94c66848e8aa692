//! Workflow commands of GitHub, which shows them at the lines of a pull request
//! (docs.github.com, "Workflow commands for GitHub Actions", setting an error message).

use super::report::{Report, message};
use crate::check::Finding;

/// One command a line.
pub fn of(report: &Report) -> String {
    report.findings.iter().map(command).collect()
}

fn command(finding: &Finding) -> String {
    let Finding {
        code,
        file,
        start,
        end,
        subject,
        fix,
        ..
    } = finding;
    let subject = match subject.is_empty() {
        true => String::new(),
        false => format!(" (of {subject})"),
    };
    let text = format!("{}{subject}. Fix: {fix}", message(finding));
    let mut place = format!(
        "file={},line={},col={}",
        property(file),
        start.line,
        start.column
    );
    if end.line == start.line && end.column > start.column {
        place += &format!(",endLine={},endColumn={}", end.line, end.column);
    }
    let title = property(code.name);
    format!(
        "::{} {place},title={title}::{}\n",
        code.severity.label(),
        data(&text)
    )
}

/// As `@actions/core` escapes them.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
