//! The reference page of the codes.

use std::fmt::Write as _;

use crate::check::codes::{self, Base, Example};

const HEAD: &str = "# Checks

Everything that [`backlog-scaler check`](../how-to/check.md) can find. `make docs` generates this page from the code; a test checks that each mistake shown is found, and that the corrected version has none. The names are stable.

An **error** is refused by Kubernetes, KEDA or the server, or cannot work. A **warning** is accepted, but probably not what you want.
";

/// The page in Markdown.
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    // Writing to a string cannot fail.
    let _ = write!(page, "\n| code | | found |\n| --- | --- | --- |\n");
    for code in codes::ALL {
        let (name, title) = (code.name, code.title.trim_end_matches('.'));
        let severity = code.severity.label();
        let _ = writeln!(page, "| [`{name}`](#{name}) | {severity} | {title} |");
    }
    for code in codes::ALL {
        let _ = write!(page, "\n## {}\n\n{} {}\n", code.name, code.title, code.why);
        let _ = write!(page, "\nFix: {}.\n", code.fix);
        let Some(example) = &code.example else {
            continue;
        };
        let of = match example.base {
            Base::ScaledObject | Base::ScaledJob => "a manifest",
            Base::Settings => "the settings",
        };
        let bad = shown(example, example.bad);
        let good = shown(example, example.good);
        let _ = write!(
            page,
            "\nIn {of}:\n\n```text\n{bad}\n```\n\nCorrected:\n\n```text\n{good}\n```\n"
        );
    }
    page
}

/// The lines of an example that differ, whole, and the one before them.
fn shown(example: &Example, part: &str) -> String {
    let base = example.base.text();
    let start = base.find(example.place).unwrap_or_default();
    let text = base.replacen(example.place, part, 1);
    let line = |at: usize| text[..at].matches('\n').count();
    let first = line(start).saturating_sub(1);
    let last = line(start + part.trim_end().len());
    let lines: Vec<&str> = text.lines().skip(first).take(last + 1 - first).collect();
    let indentation = |line: &&str| line.len() - line.trim_start().len();
    let cut = lines.iter().map(indentation).min().unwrap_or_default();
    let cut: Vec<&str> = lines.iter().map(|line| &line[cut..]).collect();
    cut.join("\n")
}
