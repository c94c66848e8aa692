use super::*;

const MANIFEST: &str = "# about\nspec:\n  triggers:\n    # the first\n    - type: redis   # old\n      metadata:\n        \
                        address: 'redis:6379'  # where\n        listLength: \"5\"\n    - {type: cpu, metadata: {value: '60'}}\n";

fn edited(
    text: &str,
    edit: impl FnOnce(&mut Edits<'_>, NodeRef<'_>) -> Result<(), Refused>,
) -> String {
    let file = File::new("f", text);
    let tree = file.documents()[0].content.as_ref().expect("is valid");
    let triggers = tree
        .root()
        .get("spec")
        .and_then(|spec| spec.get("triggers"));
    let trigger = triggers
        .and_then(|triggers| triggers.items().next())
        .expect("has one");
    let mut edits = Edits::of(&file);
    edit(&mut edits, trigger).expect("can be done");
    let text = edits.apply().expect("do not overlap");
    let after = File::new("f", text.as_str());
    assert!(
        after.documents().iter().all(|d| d.content.is_ok()),
        "{text}"
    );
    text
}

fn metadata(trigger: NodeRef<'_>) -> NodeRef<'_> {
    trigger.get("metadata").expect("has metadata")
}

#[test]
fn a_value_changes_within_its_quotes() {
    let text = edited(MANIFEST, |edits, trigger| {
        edits.replace_scalar(trigger.get("type").expect("has one"), "external")?;
        edits.replace_scalar(metadata(trigger).get("address").expect("has one"), "it's")
    });
    let expected = MANIFEST.replace("type: redis ", "type: external ");
    assert_eq!(text, expected.replace("'redis:6379'", "'it''s'"));
}

#[test]
fn an_entry_is_inserted_as_a_line_of_its_own() {
    let text = edited(MANIFEST, |edits, trigger| {
        let metadata = metadata(trigger);
        edits.insert_before(metadata, "address", "backend", "redis")?;
        edits.insert_after(metadata, "address", "one", "1")?;
        edits.insert_after(metadata, "address", "two", &Edits::quoted("2"))
    });
    let expected = MANIFEST.replace("        address", "        backend: redis\n        address");
    let expected = expected.replace("# where\n", "# where\n        one: 1\n        two: \"2\"\n");
    assert_eq!(text, expected);
}

#[test]
fn an_entry_is_removed_with_its_lines() {
    let text = edited(MANIFEST, |edits, trigger| {
        edits.remove(metadata(trigger), "address")
    });
    assert_eq!(
        text,
        MANIFEST.replace("        address: 'redis:6379'  # where\n", "")
    );
    let text = edited(MANIFEST, |edits, trigger| edits.remove(trigger, "type"));
    assert_eq!(
        text,
        MANIFEST.replace("type: redis   # old\n      metadata", "metadata")
    );
    let text = edited(MANIFEST, |edits, trigger| edits.remove(trigger, "metadata"));
    assert!(
        text.contains("- type: redis   # old\n    - {type"),
        "{text}"
    );
}

#[test]
fn flow_mappings_are_edited_within_their_braces() {
    let text = "spec: {triggers: [{type: redis, metadata: {a: \"1\", b: '2'}}]}";
    let after = edited(text, |edits, trigger| {
        let metadata = metadata(trigger);
        edits.insert_after(metadata, "a", "c", "x")?;
        edits.remove(metadata, "b")?;
        edits.insert_before(trigger, "type", "name", "jobs")
    });
    let expected = "spec: {triggers: [{name: jobs, type: redis, metadata: {a: \"1\", c: x}}]}";
    assert_eq!(after, expected);
}

#[test]
fn lines_end_as_those_of_the_file_do() {
    let crlf = MANIFEST.replace('\n', "\r\n");
    let text = edited(&crlf, |edits, trigger| {
        edits.insert_after(metadata(trigger), "listLength", "x", "y")
    });
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
    let cut = MANIFEST.split("\n    - {").next().expect("is the start");
    let text = edited(cut, |edits, trigger| {
        edits.insert_after(metadata(trigger), "listLength", "x", "y")
    });
    assert_eq!(text, format!("{cut}\n        x: y"));
}

#[test]
fn what_is_written_elsewhere_is_not_changed() {
    let text =
        "base: &base {a: b}\nspec:\n  triggers:\n    - metadata: *base\n      type: &t redis\n";
    edited(text, |edits, trigger| {
        let refused = edits.insert_after(metadata(trigger), "a", "x", "y");
        assert_eq!(refused.map_err(|refused| refused.reason), Err(SHARED));
        let refused = edits.replace_scalar(trigger.get("type").expect("has one"), "x");
        assert_eq!(refused.map_err(|refused| refused.reason), Err(SHARED));
        Ok(())
    });
}

#[test]
fn changes_of_one_place_are_refused() {
    let file = File::new("f", "a: b");
    let tree = file.documents()[0].content.as_ref().expect("is valid");
    let mut edits = Edits::of(&file);
    for text in ["c", "d"] {
        edits
            .replace_scalar(tree.root().get("a").expect("is there"), text)
            .expect("is plain");
    }
    assert_eq!(
        edits.apply().map_err(|refused| refused.reason),
        Err(OVERLAP)
    );
}
