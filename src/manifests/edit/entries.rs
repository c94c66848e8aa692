//! Several entries of one mapping at once: some come first, some go.

use super::{COMPLEX, Edits, Refused, SHARED, own_entry, plainly_written, refused, scalar};
use crate::manifests::tree::{NodeRef, Style};

type Entry<'a> = (NodeRef<'a>, NodeRef<'a>);

impl Edits<'_> {
    /// Puts entries before all others of the mapping that is the value of `field`, and removes some that
    /// it has. In a block, the new ones are the lines behind that of `field`, above any comment; removed
    /// ones go with their lines. JSON stays JSON.
    pub fn put_first(
        &mut self,
        holder: NodeRef<'_>,
        field: &str,
        first: &[(String, String)],
        removed: &[String],
    ) -> Result<(), Refused> {
        let (key, mapping) = own_entry(holder, field)?;
        plainly_written(mapping)?;
        let entries: Vec<Entry<'_>> = mapping.entries().collect();
        if entries.is_empty() {
            return Err(refused(mapping, COMPLEX));
        }
        for name in removed {
            let (_, value) = own_entry(mapping, name)?;
            if value.node().anchored {
                return Err(refused(value, SHARED));
            }
        }
        let goes = |(key, _): &Entry<'_>| removed.iter().any(|name| key.text() == Some(name));
        let gone: Vec<bool> = entries.iter().map(goes).collect();
        match mapping.is_flow() {
            true => self.in_flow(mapping, &entries, &gone, first),
            false => self.in_block(key, &entries, &gone, first),
        }
    }

    fn in_block(
        &mut self,
        key: NodeRef<'_>,
        entries: &[Entry<'_>],
        gone: &[bool],
        first: &[(String, String)],
    ) -> Result<(), Refused> {
        let (start, end) = (entries[0].0, self.line_break());
        let (at, _) = self.line_behind(key.span().end);
        if at > self.line_start(start.span().start) {
            return Err(refused(start, COMPLEX));
        }
        let indentation = self.indentation(start);
        let line = |(key, value): &(String, String)| {
            let (key, value) = (scalar(key, Style::Plain), scalar(value, Style::Plain));
            format!("{indentation}{key}: {value}{end}")
        };
        self.change(at..at, first.iter().map(line).collect());
        for ((key, value), _) in entries.iter().zip(gone).filter(|(_, gone)| **gone) {
            let line = self.line_start(key.span().start);
            let before = &self.file.text()[line..key.span().start];
            if !before.chars().all(|c| c == ' ') {
                return Err(refused(*key, COMPLEX));
            }
            let (behind, _) = self.line_behind(value.span().end.max(key.span().end));
            self.change(line..behind, String::new());
        }
        Ok(())
    }

    fn in_flow(
        &mut self,
        mapping: NodeRef<'_>,
        entries: &[Entry<'_>],
        gone: &[bool],
        first: &[(String, String)],
    ) -> Result<(), Refused> {
        let start = entries[0].0;
        let style = match start.style() {
            Some(Style::DoubleQuoted) => Style::DoubleQuoted,
            _ => Style::Plain,
        };
        let at = start.span().start;
        let gap = &self.file.text()[mapping.span().start + 1..at];
        // Pretty JSON has each entry on a line of its own.
        let comma = match gap.contains('\n') && !gap.contains('#') {
            true => format!(",{gap}"),
            false => ", ".to_owned(),
        };
        let entry = |(key, value): &(String, String)| {
            format!("{}: {}", scalar(key, style), scalar(value, style))
        };
        let mut text = first.iter().map(entry).collect::<Vec<_>>().join(&comma);
        if gone.contains(&false) && !first.is_empty() {
            text += &comma;
        }
        self.change(at..at, text);
        let mut next = 0;
        while let Some(from) = (next..gone.len()).find(|i| gone[*i]) {
            let until = (from..gone.len()).find(|i| !gone[*i]);
            let last = entries[until.unwrap_or(gone.len()) - 1].1.span().end;
            let range = match (until, from.checked_sub(1)) {
                (Some(until), _) => entries[from].0.span().start..entries[until].0.span().start,
                (None, Some(before)) => entries[before].1.span().end..last,
                (None, None) => at..last,
            };
            // A comment between entries is more than a comma.
            let between = &self.file.text()[range.clone()];
            if between.contains('#') && between.contains('\n') {
                return Err(refused(entries[from].0, COMPLEX));
            }
            self.change(range, String::new());
            next = until.unwrap_or(gone.len());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifests::File;

    fn edited(text: &str, removed: &[&str]) -> Result<String, &'static str> {
        let file = File::new("f", text);
        let tree = file.documents()[0].content.as_ref().expect("is valid");
        let mut edits = Edits::of(&file);
        let first = [("x", "1:2"), ("w", "z")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let removed: Vec<String> = removed.iter().map(|name| name.to_string()).collect();
        edits
            .put_first(tree.root(), "m", &first, &removed)
            .map_err(|refused| refused.reason)?;
        let text = edits.apply().map_err(|refused| refused.reason)?;
        let after = File::new("f", text.as_str());
        let root = after.documents()[0].content.as_ref().expect("stays valid");
        let keys = root.root().get("m").expect("is there").entries();
        let keys: Vec<&str> = keys.filter_map(|(key, _)| key.text()).collect();
        assert_eq!(keys[..2], ["x", "w"], "{text}");
        assert!(removed.iter().all(|key| !keys.contains(&key.as_str())));
        Ok(text)
    }

    #[test]
    fn lines_come_and_go_in_a_block() {
        let text =
            "m: # of it\n  # about a\n  a: 1 # one\n  b: |\n    two\n    lines\n  c: 3\nn: 1\n";
        for (removed, expected) in [
            (
                &[][..],
                "m: # of it\n  x: \"1:2\"\n  w: z\n  # about a\n  a: 1 # one\n  b: |\n    two\n    lines\n  c: 3\nn: 1\n",
            ),
            (
                &["a"],
                "m: # of it\n  x: \"1:2\"\n  w: z\n  # about a\n  b: |\n    two\n    lines\n  c: 3\nn: 1\n",
            ),
            (
                &["b", "c"],
                "m: # of it\n  x: \"1:2\"\n  w: z\n  # about a\n  a: 1 # one\nn: 1\n",
            ),
            (
                &["a", "b", "c"],
                "m: # of it\n  x: \"1:2\"\n  w: z\n  # about a\nn: 1\n",
            ),
        ] {
            assert_eq!(edited(text, removed).as_deref(), Ok(expected));
            let crlf = edited(&text.replace('\n', "\r\n"), removed);
            assert_eq!(crlf.as_deref(), Ok(expected.replace('\n', "\r\n").as_str()));
        }
        assert_eq!(
            edited("m:\n  a: 1", &[]).as_deref(),
            Ok("m:\n  x: \"1:2\"\n  w: z\n  a: 1")
        );
    }

    #[test]
    fn entries_come_and_go_between_braces() {
        let text = "m: {a: 1, b: 2, c: 3}";
        for (removed, expected) in [
            (&[][..], "m: {x: \"1:2\", w: z, a: 1, b: 2, c: 3}"),
            (&["a"], "m: {x: \"1:2\", w: z, b: 2, c: 3}"),
            (&["b"], "m: {x: \"1:2\", w: z, a: 1, c: 3}"),
            (&["b", "c"], "m: {x: \"1:2\", w: z, a: 1}"),
            (&["a", "c"], "m: {x: \"1:2\", w: z, b: 2}"),
            (&["a", "b", "c"], "m: {x: \"1:2\", w: z}"),
        ] {
            assert_eq!(edited(text, removed).as_deref(), Ok(expected));
        }
        let commented = "m: {a: 1, # one\n  b: 2}";
        assert_eq!(edited(commented, &["a"]), Err(COMPLEX));
    }

    #[test]
    fn json_stays_json() {
        let json = serde_json::json!({"m": {"a": "1", "b": "2"}, "n": 1});
        for text in [
            json.to_string(),
            serde_json::to_string_pretty(&json).expect("is JSON"),
        ] {
            for removed in [&[][..], &["a"], &["b"], &["a", "b"]] {
                let after = edited(&text, removed).expect("can be edited");
                let mut expected = json.clone();
                let m = expected["m"].as_object_mut().expect("is a map");
                m.retain(|key, _| !removed.contains(&key.as_str()));
                m.insert("x".to_owned(), "1:2".into());
                m.insert("w".to_owned(), "z".into());
                let read: serde_json::Value = serde_json::from_str(&after).expect("is JSON");
                assert_eq!(read, expected, "{after}");
                assert_eq!(after.contains('\n'), text.contains('\n'));
            }
        }
    }

    #[test]
    fn what_is_written_elsewhere_is_refused() {
        assert_eq!(edited("n: &n {a: 1}\nm: *n", &[]), Err(SHARED));
        assert_eq!(edited("m: &m\n  a: 1\nn: *m", &[]), Err(SHARED));
        assert_eq!(edited("m:\n  a: &a 1\nn: *a", &["a"]), Err(SHARED));
        assert_eq!(edited("m: {}", &[]), Err(COMPLEX));
    }
}
