//! A file → its documents, each by itself, so that one that is broken is named and hides no other.

use std::ops::Range;

use super::{parse::parse, tree::Tree};

/// A file, or what came from stdin.
pub struct File {
    name: String,
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
    documents: Vec<Document>,
}

/// One document of a file that holds something.
pub struct Document {
    /// Where it is: `jobs.yaml, document 2 (line 14)`.
    pub place: String,
    /// What it holds, or why it cannot be read.
    pub content: Result<Tree, Unreadable>,
}

/// Why a document cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The byte of the file at which this shows.
    pub at: usize,
    /// Never part of what the document holds: that may be a secret.
    pub reason: String,
}

/// A place in a file, both from 1. Columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl File {
    /// Reads a text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let (name, text) = (name.into(), text.into());
        let starts = text.match_indices('\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(starts).collect();
        let mut file = File {
            name,
            text,
            lines,
            documents: Vec::new(),
        };
        file.documents = file.read();
        file
    }

    /// Its name, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its documents in order.
    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    /// The line and column of a byte.
    pub fn position(&self, at: usize) -> Position {
        let at = self.text.floor_char_boundary(at);
        let line = self.lines.partition_point(|start| *start <= at);
        let before = &self.text[self.lines[line - 1]..at];
        Position {
            line,
            column: before.trim_start_matches(BOM).chars().count() + 1,
        }
    }

    fn read(&self) -> Vec<Document> {
        let mut documents = Vec::new();
        for (number, range) in parts(&self.text).into_iter().enumerate() {
            let (name, number) = (&self.name, number + 1);
            let line = self.position(range.start).line;
            let content = match parse(&self.text, range.clone()) {
                Ok(None) => continue,
                Ok(Some(tree)) if tree.root().is_null() => continue,
                Ok(Some(tree)) => Ok(tree),
                Err(unreadable) => Err(template(&self.text[range], unreadable)),
            };
            documents.push(Document {
                place: format!("{name}, document {number} (line {line})"),
                content,
            });
        }
        documents
    }
}

const BOM: char = '\u{feff}';

/// The parts of a text that are documents of their own.
fn parts(text: &str) -> Vec<Range<usize>> {
    let bom = text.len() - text.trim_start_matches(BOM).len();
    let mut parts = Vec::new();
    let (mut start, mut at) = (bom, bom);
    for (index, line) in text[bom..].split_inclusive('\n').enumerate() {
        // What is before the first separator is no document of its own if it is empty.
        let begins = is_separator(line) && index > 0;
        if begins && !(parts.is_empty() && is_blank(&text[start..at])) {
            parts.push(start..at);
        }
        if begins {
            start = at;
        }
        at += line.len();
    }
    parts.push(start..at);
    parts
}

/// YAML's own rule: these begin a document wherever they are, even within quotes.
fn is_separator(line: &str) -> bool {
    line.strip_prefix("---")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
}

/// Nothing but comments and directives.
fn is_blank(part: &str) -> bool {
    part.lines().all(|line| {
        let line = line.trim();
        line.is_empty() || line.starts_with(['#', '%'])
    })
}

/// A template of Helm is no YAML, and its own reason would lead nowhere.
fn template(part: &str, unreadable: Unreadable) -> Unreadable {
    if !part.contains("{{") {
        return unreadable;
    }
    let Unreadable { at, reason } = unreadable;
    let reason = format!(
        "{reason}; `{{{{` is a template of Helm or the like: render it first (`helm template CHART`)"
    );
    Unreadable { at, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Vec<String> {
        let file = File::new("f", text);
        let documents = file.documents().iter();
        documents.map(|document| document.place.clone()).collect()
    }

    /// Why each broken document cannot be read, with its line.
    fn reasons(text: &str) -> Vec<(usize, String)> {
        let file = File::new("f", text);
        let documents = file.documents().iter();
        let broken = documents.filter_map(|document| document.content.as_ref().err());
        broken
            .map(|broken| (file.position(broken.at).line, broken.reason.clone()))
            .collect()
    }

    #[test]
    fn documents_are_counted_as_people_count_them() {
        assert_eq!(places("a: 1"), ["f, document 1 (line 1)"]);
        assert_eq!(
            places("---\na: 1\n--- # two\nb: 1\n---\n---\n# empty\n--- {c: 1}\n"),
            [
                "f, document 1 (line 1)",
                "f, document 2 (line 3)",
                "f, document 5 (line 8)"
            ]
        );
        assert_eq!(places("# about\n\n---\na: 1"), ["f, document 1 (line 3)"]);
        assert_eq!(places("%YAML 1.2\n---\na: 1"), ["f, document 1 (line 2)"]);
        assert!(places("").is_empty());
    }

    #[test]
    fn what_is_broken_is_named_by_the_line_of_the_file_and_shows_no_value() {
        let text = "a: 1\n---\nb: 1\npassword: @hunter2\n---\nc: 1\n";
        assert_eq!(places(text).len(), 3);
        let reason = "not valid YAML: unexpected character: `@'".to_owned();
        assert_eq!(reasons(text), [(4, reason)]);
        for text in ["password: *hunter2", "password: hunter2: x"] {
            let reasons = reasons(text);
            assert_eq!(reasons.len(), 1, "{text}");
            assert!(!reasons[0].1.contains("hunter2"), "{reasons:?}");
        }
        let duplicate = "not valid YAML: duplicate mapping key".to_owned();
        assert_eq!(reasons("a: 1\na: 2"), [(2, duplicate)]);
    }

    #[test]
    fn a_template_is_said_to_be_one() {
        for text in [
            "a: 1\n{{- if .Values.x }}\nb: 1\n{{- end }}\n",
            "a: {{ .Values.a }}\n",
        ] {
            let reasons = reasons(text);
            assert!(reasons[0].1.contains("helm template CHART"), "{reasons:?}");
        }
    }

    #[test]
    fn a_place_counts_characters() {
        let file = File::new("f", "\u{feff}é: {ü: ß}\r\n  ñ: 1");
        assert_eq!(file.position(3), Position { line: 1, column: 1 });
        let at = file.text().find('ß').expect("is there");
        assert_eq!(file.position(at), Position { line: 1, column: 8 });
        let at = file.text().find('ñ').expect("is there");
        assert_eq!(file.position(at), Position { line: 2, column: 3 });
    }
}
