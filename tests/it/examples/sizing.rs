//! The numbers of `documents/sizing.py` are those of its manifests, and its README shows what it prints.

use std::{path::PathBuf, process::Command};

use regex::Regex;
use testkit::{program, require};

use super::root;
use crate::docs::page;

const FOLDER: &str = "deploy/examples/documents";

fn sizing(python: &PathBuf, arguments: &[&str]) -> String {
    let output = Command::new(python)
        .arg(root().join(FOLDER).join("sizing.py"))
        .args(arguments)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_readme_shows_what_sizing_prints() {
    let python = program("PYTHON", "python3");
    if !require(python.is_some(), "python3") {
        return;
    }
    let python = python.unwrap();
    let readme = page(&format!("{FOLDER}/README.md"));
    let command = format!("$ python3 {FOLDER}/sizing.py ");
    let (_, block) = readme.split_once(&command).expect("the command");
    let (arguments, shown) = block.split_once('\n').unwrap();
    let shown = shown.split("```").next().unwrap();
    let arguments: Vec<&str> = arguments.split(' ').collect();
    assert_eq!(shown, sizing(&python, &arguments));

    // The table above it has the same replicas as a run without arguments.
    let printed = sizing(&python, &[]);
    let rows: Vec<String> = printed
        .lines()
        .skip(1)
        .map(|row| {
            let cells: Vec<&str> = row.split_whitespace().collect();
            format!("| {} |", cells.join(" | "))
        })
        .collect();
    assert!(rows.len() > 3, "{printed}");
    for row in rows {
        assert!(readme.contains(&format!("\n{row}\n")), "{row}");
    }
}

#[test]
fn sizing_has_the_numbers_of_the_manifests() {
    let script = page(&format!("{FOLDER}/sizing.py"));
    let line = Regex::new(r"(?m)^([A-Z_]+(?:, [A-Z_]+)+) = ([\d, ]+)$").unwrap();
    let found = line.captures(&script).expect("the constants");
    let manifests = ["worker.yaml", "cpu.yaml"].map(|file| page(&format!("{FOLDER}/{file}")));
    let mut checked = 0;
    for (name, value) in found[1].split(", ").zip(found[2].split(", ")) {
        let entry = format!("name: {name}, value: \"{value}\"");
        let is_there = manifests.iter().any(|manifest| manifest.contains(&entry));
        assert!(is_there, "{entry}");
        checked += 1;
    }
    assert_eq!(checked, 4);
}
