//! What must hold for any text that is YAML.

use proptest::{prelude::*, sample::Index};

use super::*;

/// Scalars in every style, some of them beyond ASCII.
fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zé日][a-zé日 ]{0,6}[a-z]",
        "'[a-zé日 #:]{0,6}'",
        "\"[a-zé日 #:]{0,6}\"",
        Just("\"a\\n\\u00e9\"".to_owned()),
        Just("5".to_owned()),
        Just("~".to_owned()),
    ]
}

fn flow() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        (scalar(), scalar()).prop_map(|(a, b)| format!("[{a}, {b}]")),
        (scalar(), scalar()).prop_map(|(a, b)| format!("{{k: {a}, 'ß': {b} }}")),
    ]
}

/// A block mapping of the keys k0, k1, … with comments, and lines that end in any of both ways.
fn document() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        scalar(),
        flow(),
        Just("|\n    é one\n    two".to_owned()),
        Just(">-\n    one\n    two\n".to_owned()),
        Just("\n    a: 1\n    b:\n    - x\n    - y: z".to_owned()),
        Just("\n    - 1\n    -   a: b\n        c: d".to_owned()),
        Just("".to_owned()),
    ];
    let comment = prop_oneof![Just(""), Just("  # é comment")];
    let above = prop_oneof![
        Just(""),
        Just("\n"),
        Just("  # above\n"),
        Just("# at the left\n")
    ];
    let lines = proptest::collection::vec((above, value, comment), 1..6);
    (lines, any::<bool>(), any::<bool>()).prop_map(|(lines, crlf, ends)| {
        let mut text = "# ß\nroot:\n".to_owned();
        for (i, (above, value, comment)) in lines.into_iter().enumerate() {
            // A comment behind a block scalar would be part of it.
            let comment = if value.contains('\n') { "" } else { comment };
            text += &format!("{above}  k{i}: {value}{comment}\n");
        }
        let text = if ends {
            text
        } else {
            text.trim_end().to_owned()
        };
        if crlf {
            text.replace('\n', "\r\n")
        } else {
            text
        }
    })
}

fn root<'a>(file: &'a File, text: &str) -> NodeRef<'a> {
    let content = file.documents()[0].content.as_ref();
    let tree = content.unwrap_or_else(|unreadable| panic!("{unreadable:?}\n{text}"));
    tree.root().get("root").expect("has one")
}

/// Of every node, its text is what the bytes of its span hold, read alone.
fn spans_hold(file: &File, node: NodeRef<'_>) -> Result<(), TestCaseError> {
    let written = &file.text()[node.span()];
    match node.style() {
        Some(Style::Plain) if !written.contains('\n') => {
            prop_assert_eq!(Some(written), node.text())
        }
        Some(Style::SingleQuoted) => {
            prop_assert!(written.starts_with('\'') && written.ends_with('\''))
        }
        Some(Style::DoubleQuoted) => {
            prop_assert!(written.starts_with('"') && written.ends_with('"'))
        }
        _ => {}
    }
    for (key, value) in node.entries() {
        prop_assert!(node.span().start <= key.span().start && value.span().end <= node.span().end);
        spans_hold(file, key)?;
        spans_hold(file, value)?;
    }
    for item in node.items() {
        prop_assert!(node.span().start <= item.span().start && item.span().end <= node.span().end);
        spans_hold(file, item)?;
    }
    Ok(())
}

proptest! {
    #[test]
    fn without_changes_the_text_is_the_same(text in prop_oneof![document(), any::<String>()]) {
        let file = File::new("f", text.as_str());
        prop_assert_eq!(Edits::of(&file).apply(), Ok(text));
    }

    #[test]
    fn every_node_knows_its_bytes(text in document()) {
        let file = File::new("f", text.as_str());
        spans_hold(&file, root(&file, &text))?;
    }

    #[test]
    fn a_change_changes_nothing_else(text in document(), at in any::<Index>(), what in 0..4_u8) {
        let file = File::new("f", text.as_str());
        let before = root(&file, &text);
        let keys: Vec<&str> = before.entries().filter_map(|(key, _)| key.text()).collect();
        let key = *at.get(&keys);
        let mut edits = Edits::of(&file);
        let mut expected = before.value().expect("is valid");
        let map = expected.as_object_mut().expect("is a map");
        let value = before.get(key).expect("is there");
        match what {
            0 => {
                edits.insert_after(before, key, "new", "\"5\"").expect("is written plainly");
                map.insert("new".to_owned(), "5".into());
            }
            1 => {
                edits.insert_before(before, key, "new", "[é]").expect("is written plainly");
                map.insert("new".to_owned(), serde_json::json!(["é"]));
            }
            2 => {
                edits.remove(before, key).expect("is written plainly");
                map.remove(key);
            }
            _ => {
                let new = "it's: é";
                // Refused is what has no place of its own.
                if edits.replace_scalar(value, new).is_ok() {
                    map.insert(key.to_owned(), new.into());
                }
            }
        }
        let changed = edits.apply().expect("is one change");
        let after = File::new("f", changed.as_str());
        prop_assert_eq!(root(&after, &changed).value(), Ok(expected), "{}\n---\n{}", text, changed);
        // A comment behind what is removed goes with it; others stay.
        let count = |text: &str, comment: &str| text.matches(comment).count();
        for comment in ["# ß", "# above", "# at the left"] {
            prop_assert_eq!(count(&changed, comment), count(&text, comment), "{}", changed);
        }
        let behind = "# é comment";
        prop_assert!(count(&changed, behind) + 1 >= count(&text, behind), "{text}\n---\n{changed}");
    }
}
