//! The structure of the code: which modules may use which, and that no files go round in circles.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The modules of `src`, each with those that it may use. A module uses itself as well.
const USES: [(&str, &[&str]); 15] = [
    ("error", &[]),
    ("metadata", &["error"]),
    ("manifests", &["error", "metadata"]),
    ("telemetry", &["error"]),
    ("network", &["error", "metadata"]),
    // Reads keys and hands them over: who connects with them is above it.
    ("kubernetes", &["error", "metadata", "network", "telemetry"]),
    ("sampling", &["error", "metadata", "network", "telemetry"]),
    ("backends", &["error", "metadata", "network", "sampling"]),
    ("simulation", &["error", "metadata", "sampling"]),
    ("keda", &["error", "metadata", "sampling", "telemetry"]),
    (
        "settings",
        &[
            "error",
            "kubernetes",
            "metadata",
            "network",
            "sampling",
            "telemetry",
        ],
    ),
    (
        "server",
        &[
            "backends",
            "error",
            "keda",
            "kubernetes",
            "metadata",
            "network",
            "sampling",
            "settings",
            "telemetry",
        ],
    ),
    (
        "check",
        &[
            "backends",
            "error",
            "manifests",
            "metadata",
            "sampling",
            "settings",
            "telemetry",
        ],
    ),
    (
        "cli",
        &[
            "backends",
            "check",
            "error",
            "keda",
            "kubernetes",
            "manifests",
            "metadata",
            "network",
            "sampling",
            "server",
            "settings",
            "simulation",
            "telemetry",
        ],
    ),
    ("main", &["cli"]),
];

/// What every backend has, for the same jobs.
const FILES: [&str; 8] = [
    "mod.rs",
    "config.rs",
    "keys.rs",
    "query.rs",
    "client.rs",
    "sample.rs",
    "errors.rs",
    "README.md",
];

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file under a folder, without those of tests.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name == "tests" || name == "template" {
            continue;
        }
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The code of a file, without its unit tests.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    code.to_owned()
}

/// The names that follow `prefix::` in the code, in a path or in a list of braces.
fn named_after(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(&format!("{prefix}::")) {
        let rest = &code[at + prefix.len() + 2..];
        match rest.strip_prefix('{') {
            Some(list) => names.extend(first_of_each(list)),
            None => names.extend(word(rest)),
        }
    }
    names
}

fn word(text: &str) -> Option<String> {
    let word: String = text
        .trim_start()
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    (!word.is_empty()).then_some(word)
}

/// The first word of each entry of a list, up to its closing brace.
fn first_of_each(list: &str) -> Vec<String> {
    let (mut depth, mut start, mut names) = (0, true, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => start = true,
            c if start && !c.is_whitespace() => {
                names.extend(word(&list[at..]));
                start = false;
            }
            _ => {}
        }
    }
    names
}

#[test]
fn no_module_uses_one_above_it() {
    let allowed = BTreeMap::from(USES);
    for file in files(&src()) {
        let relative = file.strip_prefix(src()).unwrap();
        let first = relative.iter().next().unwrap().to_str().unwrap();
        let module = first.trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let uses = allowed[module];
        for used in named_after(&code(&file), "crate") {
            if !allowed.contains_key(used.as_str()) || used == module {
                continue;
            }
            let shown = relative.display();
            assert!(uses.contains(&used.as_str()), "{shown} uses crate::{used}");
        }
    }
}

#[test]
fn every_backend_has_the_same_files_for_the_same_jobs() {
    for backend in ["kafka", "redis", "temporal"] {
        for file in FILES {
            let path = src().join("backends").join(backend).join(file);
            assert!(path.is_file(), "{} is missing", path.display());
        }
    }
}

/// The files of a folder that each file of it uses, by `super::`.
fn siblings(folder: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let stem = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let all: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    let names: BTreeSet<String> = all.iter().map(|path| stem(path)).collect();
    let uses = all.iter().filter(|path| !path.ends_with("mod.rs"));
    let uses = uses.map(|path| {
        let mut used = named_after(&code(path), "super");
        used.retain(|name| names.contains(name) && *name != stem(path));
        (stem(path), used)
    });
    uses.collect()
}

#[test]
fn the_files_of_a_backend_do_not_go_round_in_circles() {
    for backend in ["kafka", "redis", "temporal"] {
        let mut left = siblings(&src().join("backends").join(backend));
        // What uses nothing that is left can be taken away; a circle cannot.
        loop {
            let names: BTreeSet<String> = left.keys().cloned().collect();
            let before = left.len();
            left.retain(|_, uses| uses.iter().any(|used| names.contains(used)));
            if left.len() == before {
                break;
            }
        }
        assert!(left.is_empty(), "{backend}: {left:#?}");
    }
}

#[test]
fn backends_connect_through_the_network_alone() {
    let connects = ["TcpStream::connect", "lookup_host", "TcpSocket"];
    for file in files(&src().join("backends")) {
        let code = code(&file);
        let found = connects.iter().find(|name| code.contains(**name));
        assert_eq!(found, None, "{}: use Network::connect", file.display());
    }
}
