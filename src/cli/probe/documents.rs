//! A file → its documents, each by itself, so that one that is broken is named and hides no other.

use serde_json::Value;

/// One document of a file.
pub struct Document {
    /// Where it is: `jobs.yaml, document 2 (line 14)`.
    pub place: String,
    /// What it holds, or why it cannot be read. Never part of what it holds: that may be a secret.
    pub content: Result<Value, String>,
}

/// The documents of a file that hold something. `name` is the file's.
pub fn split(name: &str, text: &str) -> Vec<Document> {
    let text = text.trim_start_matches('\u{feff}');
    let mut parts = Vec::new();
    let (mut start, mut first_line, mut at) = (0, 1, 0);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if is_separator(line) && index > 0 {
            parts.push((first_line, &text[start..at]));
            (start, first_line) = (at, index + 1);
        }
        at += line.len();
    }
    parts.push((first_line, &text[start..]));
    let held = |(number, (first_line, part)): (usize, (usize, &str))| {
        let content = parse(part, first_line);
        (content != Ok(Value::Null)).then(|| Document {
            place: format!("{name}, document {} (line {first_line})", number + 1),
            content,
        })
    };
    // What is before the first separator is no document of its own if it is empty.
    let parts = parts.into_iter().skip_while(|(_, part)| is_blank(part));
    parts.enumerate().filter_map(held).collect()
}

/// YAML's own rule: these begin a document wherever they are, even within quotes.
fn is_separator(line: &str) -> bool {
    line.strip_prefix("---")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
}

fn is_blank(part: &str) -> bool {
    part.lines().all(|line| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#')
    })
}

fn parse(part: &str, first_line: usize) -> Result<Value, String> {
    // A dump of a whole cluster is one document; the file is the user's own. Depth stays limited.
    let budget = serde_saphyr::budget! {
        max_events: 50_000_000,
        max_nodes: 50_000_000,
    };
    // Aliases are written by hand, but a few lines of them can stand for gigabytes.
    let alias_limits = serde_saphyr::alias_limits! { max_total_replayed_events: 100_000 };
    let options = serde_saphyr::options! {
        budget: budget,
        alias_limits: alias_limits,
        // Would show lines of the file.
        with_snippet: false,
        // Kubernetes, and whoever wrote `007`, mean the text.
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
    };
    serde_saphyr::from_str_with_options(part, options).map_err(|error| {
        let text = error.to_string();
        // The library counts lines from the document's first, and speaks to its programmer.
        let reason = text.split(" at line ").next().unwrap_or_default();
        // What follows is the key, which may be a line of a secret.
        let duplicate = "duplicate mapping key";
        let reason = match reason.starts_with(duplicate) {
            true => duplicate,
            false => reason,
        };
        match error.location() {
            Some(at) => format!(
                "line {}: not valid YAML: {reason}",
                first_line as u64 + at.line().max(1) - 1
            ),
            None => format!("not valid YAML: {reason}"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Vec<String> {
        let documents = split("f", text).into_iter();
        documents.map(|document| document.place).collect()
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
        assert!(places("").is_empty());
    }

    #[test]
    fn json_is_yaml() {
        let documents = split("f", r#"{"kind": "ScaledObject", "n": [1, "a\nb"]}"#);
        let content = documents[0].content.as_ref().expect("is valid");
        assert_eq!(content["n"][1], "a\nb");
    }

    #[test]
    fn what_is_broken_is_named_by_the_line_of_the_file_and_shows_no_value() {
        let documents = split("f", "a: 1\n---\nb: 1\npassword: @hunter2\n---\nc: 1\n");
        assert_eq!(documents.len(), 3);
        let reason = documents[1].content.as_ref().expect_err("needs quotes");
        assert_eq!(reason, "line 4: not valid YAML: unexpected character: `@'");
        for text in [
            "password: *hunter2",
            "password: hunter2: x",
            "a: !!int hunter2",
        ] {
            let documents = split("f", text);
            let reason = documents[0].content.as_ref().expect_err(text);
            assert!(!reason.contains("hunter2"), "{reason}");
        }
        let documents = split("f", "a: 1\na: 2");
        let reason = documents[0].content.as_ref().expect_err("is given twice");
        assert_eq!(reason, "line 2: not valid YAML: duplicate mapping key");
    }
}
