//! What the documentation shows is what the program does.

use std::{fs, path::Path};

use backlog_scaler::settings::{self, Settings};

fn page(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn load(yaml: &str) -> Settings {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), yaml).unwrap();
    settings::load(Some(file.path()), []).unwrap()
}

#[test]
fn the_settings_page_shows_every_setting_with_its_default() {
    let page = page("docs/reference/settings.md");
    let block = page
        .split("```")
        .nth(1)
        .unwrap()
        .strip_prefix("yaml\n")
        .unwrap();
    assert_eq!(
        format!("{:#?}", load(block)),
        format!("{:#?}", Settings::default())
    );
    // A setting that is missing from the page would be equal as well: every one is named.
    for line in format!("{:#?}", Settings::default()).lines() {
        let Some((field, _)) = line.trim().split_once(": ") else {
            continue;
        };
        let mut key = String::new();
        for (i, word) in field.split('_').enumerate() {
            let (first, rest) = word.split_at(1);
            key += &if i == 0 {
                first.to_owned()
            } else {
                first.to_uppercase()
            };
            key += rest;
        }
        assert!(
            block.contains(&format!("{key}:")),
            "{key} is not on the page"
        );
    }
}

#[test]
fn the_example_settings_are_valid() {
    let settings = load(&page("deploy/examples/settings.yaml"));
    assert_eq!(settings.named_connections().unwrap().len(), 1);
}

#[test]
fn the_page_of_keys_is_what_the_program_says() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_backlog-scaler"))
        .args(["keys", "--output", "markdown"])
        .output()
        .unwrap();
    let says = String::from_utf8(output.stdout).unwrap();
    assert!(
        page("docs/reference/keys.md") == says,
        "`make docs` writes the page anew"
    );
}

#[test]
fn the_links_between_pages_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [
        "",
        "docs",
        "docs/how-to",
        "docs/reference",
        "docs/explanation",
    ];
    let pages = folders
        .iter()
        .flat_map(|folder| fs::read_dir(root.join(folder)).unwrap());
    for file in pages.map(|entry| entry.unwrap().path()) {
        if file.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let there = file.parent().unwrap().join(target);
            assert!(there.exists(), "{} links to {link}", file.display());
        }
    }
}

/// Against backends that are not there: what is wrong with a manifest or its metadata would be
/// said before anything is connected.
#[test]
fn the_examples_are_triggers_that_the_program_understands() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples");
    for file in fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        if file.ends_with("settings.yaml") {
            continue;
        }
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_backlog-scaler"))
            .args(["probe", "--output", "json"])
            .arg(&file)
            .output()
            .unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let triggers = answer["objects"][0]["triggers"].as_array().unwrap();
        for trigger in triggers.iter().filter(|t| t["status"] != "notOurs") {
            let named = trigger["metricName"].is_string();
            assert!(named, "{}: {trigger:#}", file.display());
        }
    }
}
