//! Changes of a file's text that leave everything else as it is: comments, order, quotes, indentation.

mod entries;

use std::{fmt, ops::Range};

use super::{
    document::File,
    tree::{NodeRef, Style},
};

/// Changes that are collected, and made together.
pub struct Edits<'a> {
    file: &'a File,
    changes: Vec<Change>,
}

struct Change {
    range: Range<usize>,
    text: String,
}

/// Why something cannot be changed, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The byte of the file.
    pub at: usize,
    pub reason: &'static str,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

const SHARED: &str = "is an alias, or has an anchor that aliases refer to; write it out first";
const TAGGED: &str = "has a tag; remove it first";
const COMPLEX: &str = "is written in a way that cannot be changed without rewriting it";
const OVERLAP: &str = "is changed twice";

impl<'a> Edits<'a> {
    /// No changes yet.
    pub fn of(file: &'a File) -> Self {
        Edits {
            file,
            changes: Vec::new(),
        }
    }

    /// Whether nothing is to be changed.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Writes another text in place of a scalar, in the quotes that it has. Not for one of `|` or `>`.
    pub fn replace_scalar(&mut self, node: NodeRef<'_>, text: &str) -> Result<(), Refused> {
        plainly_written(node)?;
        let style = node.style().filter(|style| *style != Style::Block);
        let style = style.ok_or(refused(node, COMPLEX))?;
        let written = scalar(text, style);
        let range = node.span();
        // `key:` has nothing behind its colon, not even a space.
        let before = &self.file.text()[..range.start];
        if range.is_empty() && !before.trim_end_matches(' ').ends_with(':') {
            return Err(refused(node, COMPLEX));
        }
        let gap = range.is_empty() && before.ends_with(':');
        let written = if gap { format!(" {written}") } else { written };
        self.change(range, written);
        Ok(())
    }

    /// Writes text in place of a node, whatever it is. `text` is YAML that fits there.
    pub fn replace_raw(&mut self, node: NodeRef<'_>, text: &str) -> Result<(), Refused> {
        plainly_written(node)?;
        self.change(node.span(), text.to_owned());
        Ok(())
    }

    /// Inserts an entry after another one of a mapping. `value` is YAML that fits behind a colon, on one
    /// line; see [`Edits::quoted`].
    pub fn insert_after(
        &mut self,
        mapping: NodeRef<'_>,
        sibling: &str,
        key: &str,
        value: &str,
    ) -> Result<(), Refused> {
        let (of, behind) = own_entry(mapping, sibling)?;
        let entry = format!("{}: {value}", beside(of, key));
        if mapping.is_flow() {
            let end = behind.span().end.max(of.span().end);
            self.change(end..end, format!(", {entry}"));
            return Ok(());
        }
        let (at, needs_break) = self.line_behind(behind.span().end.max(of.span().end));
        let indentation = self.indentation(of);
        let end = self.line_break();
        self.change(
            at..at,
            match needs_break {
                true => format!("{end}{indentation}{entry}"),
                false => format!("{indentation}{entry}{end}"),
            },
        );
        Ok(())
    }

    /// Inserts an entry before another one of a mapping.
    pub fn insert_before(
        &mut self,
        mapping: NodeRef<'_>,
        sibling: &str,
        key: &str,
        value: &str,
    ) -> Result<(), Refused> {
        let (of, _) = own_entry(mapping, sibling)?;
        let entry = format!("{}: {value}", beside(of, key));
        let at = of.span().start;
        let text = match mapping.is_flow() {
            true => format!("{entry}, "),
            false => format!("{entry}{}{}", self.line_break(), self.indentation(of)),
        };
        self.change(at..at, text);
        Ok(())
    }

    /// Gives an entry of a mapping another key.
    pub fn rename(&mut self, mapping: NodeRef<'_>, key: &str, new: &str) -> Result<(), Refused> {
        let (of, _) = own_entry(mapping, key)?;
        self.replace_scalar(of, new)
    }

    /// Removes an entry of a mapping: in a block its lines, with the comment behind its value. Comments
    /// above it stay.
    pub fn remove(&mut self, mapping: NodeRef<'_>, key: &str) -> Result<(), Refused> {
        let (of, value) = own_entry(mapping, key)?;
        if value.node().anchored {
            return Err(refused(value, SHARED));
        }
        let entries: Vec<_> = mapping.entries().collect();
        let index = entries.iter().position(|(k, _)| k.span() == of.span());
        let index = index.ok_or(refused(of, COMPLEX))?;
        let start = of.span().start;
        let end = value.span().end.max(of.span().end);
        let next = entries.get(index + 1).map(|(key, _)| key.span().start);
        let before = index.checked_sub(1).map(|i| entries[i].1.span().end);
        if entries.len() == 1 {
            self.change(mapping.span(), "{}".to_owned());
        } else if mapping.is_flow() {
            let range = match (next, before) {
                (Some(next), _) => start..next,
                (None, Some(before)) => before..end,
                (None, None) => start..end,
            };
            // A comment or a line break between entries makes it more than a comma.
            let between = &self.file.text()[range.clone()];
            if between.contains('#') && between.contains('\n') {
                return Err(refused(of, COMPLEX));
            }
            self.change(range, String::new());
        } else {
            let line = self.line_start(start);
            let alone = self.file.text()[line..start].chars().all(|c| c == ' ');
            match (alone, next) {
                (true, _) => {
                    let (behind, _) = self.line_behind(end);
                    self.change(line..behind, String::new());
                }
                // Behind a dash: the next entry takes its place.
                (false, Some(next)) => self.change(start..next, String::new()),
                (false, None) => return Err(refused(of, COMPLEX)),
            }
        }
        Ok(())
    }

    /// A text as it is written between double quotes.
    pub fn quoted(text: &str) -> String {
        scalar(text, Style::DoubleQuoted)
    }

    /// The whole text with all changes.
    pub fn apply(mut self) -> Result<String, Refused> {
        // What is inserted at one place stays in the order in which it came.
        self.changes
            .sort_by_key(|change| (change.range.start, change.range.end));
        let source = self.file.text();
        let mut text = String::with_capacity(source.len());
        let mut at = 0;
        for Change { range, text: new } in self.changes {
            if range.start < at {
                return Err(Refused {
                    at: range.start,
                    reason: OVERLAP,
                });
            }
            text.push_str(&source[at..range.start]);
            text.push_str(&new);
            at = range.end;
        }
        text.push_str(&source[at..]);
        Ok(text)
    }

    fn change(&mut self, range: Range<usize>, text: String) {
        self.changes.push(Change { range, text });
    }

    fn line_start(&self, at: usize) -> usize {
        self.file.text()[..at].rfind('\n').map_or(0, |at| at + 1)
    }

    /// Where the line after the one of this byte begins; `true`: there is none, and no line break.
    fn line_behind(&self, at: usize) -> (usize, bool) {
        let text = self.file.text();
        match text[at..].find('\n') {
            Some(length) => (at + length + 1, false),
            None => (text.len(), true),
        }
    }

    /// Spaces up to the column of a key.
    fn indentation(&self, key: NodeRef<'_>) -> String {
        let start = key.span().start;
        let before = &self.file.text()[self.line_start(start)..start];
        " ".repeat(before.trim_start_matches('\u{feff}').chars().count())
    }

    fn line_break(&self) -> &'static str {
        match self.file.text().contains("\r\n") {
            true => "\r\n",
            false => "\n",
        }
    }
}

fn refused(node: NodeRef<'_>, reason: &'static str) -> Refused {
    Refused {
        at: node.span().start,
        reason,
    }
}

fn plainly_written(node: NodeRef<'_>) -> Result<(), Refused> {
    match (node.is_shared(), node.node().tag) {
        (true, _) => Err(refused(node, SHARED)),
        (_, Some(_)) => Err(refused(node, TAGGED)),
        _ => Ok(()),
    }
}

/// An entry that is written in the mapping itself, which is written in one place.
fn own_entry<'a>(mapping: NodeRef<'a>, key: &str) -> Result<(NodeRef<'a>, NodeRef<'a>), Refused> {
    if mapping.is_shared() {
        return Err(refused(mapping, SHARED));
    }
    let found = mapping.entries().find(|(k, _)| k.text() == Some(key));
    let (key, value) = found.ok_or(refused(mapping, "has no such entry of its own"))?;
    match key.is_shared() {
        true => Err(refused(key, SHARED)),
        false => Ok((key, value)),
    }
}

/// A key as one beside it is written: JSON stays JSON.
fn beside(sibling: NodeRef<'_>, key: &str) -> String {
    let style = sibling.style();
    let in_quotes = style.filter(|style| *style == Style::DoubleQuoted);
    scalar(key, in_quotes.unwrap_or(Style::Plain))
}

/// A text as a scalar on one line: in quotes where it was in quotes, or where it needs them.
fn scalar(text: &str, style: Style) -> String {
    let is_plain = is_plain(text);
    match style {
        Style::Plain if is_plain => text.to_owned(),
        Style::SingleQuoted if !text.contains(char::is_control) => {
            format!("'{}'", text.replace('\'', "''"))
        }
        // A JSON string is one of YAML.
        _ => serde_json::Value::from(text).to_string(),
    }
}

/// Whether a text can stand without quotes, anywhere, and is a text then.
fn is_plain(text: &str) -> bool {
    let first = text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '_'));
    let all = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let words = ["y", "yes", "n", "no", "on", "off", "true", "false", "null"];
    let is_word = words.iter().any(|word| text.eq_ignore_ascii_case(word));
    // A colon within is fine, as of host:port.
    let colon = !text.ends_with(':');
    first && colon && !is_word && text.chars().all(|c| all(c) || c == ':')
}

#[cfg(test)]
mod tests;
