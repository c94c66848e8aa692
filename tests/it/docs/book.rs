//! The book, built: that its links lead somewhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use regex::Regex;
use testkit::{process, program, require};

/// `make test` and `make book` install it there.
fn mdbook() -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin/mdbook");
    match own.exists() {
        true => Some(own),
        false => program("MDBOOK", "mdbook"),
    }
}

/// Every page below a folder.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(pages(&path));
        } else if path
            .extension()
            .is_some_and(|extension| extension == "html")
        {
            found.push(path);
        }
    }
    found
}

/// A page's own anchors, and where it links to.
struct Page {
    anchors: BTreeSet<String>,
    links: Vec<String>,
}

impl Page {
    fn read(file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap();
        let all = |attribute: &str| {
            let pattern = format!(r#"\s(?:{attribute})\s*=\s*"([^"]*)""#);
            let pattern = Regex::new(&pattern).unwrap();
            let found = pattern.captures_iter(&text);
            found
                .map(|found| found[1].replace("&amp;", "&"))
                .collect::<Vec<_>>()
        };
        Page {
            anchors: all("id|name").into_iter().collect(),
            links: all("href|src"),
        }
    }
}

#[test]
fn every_link_of_the_built_book_leads_somewhere() {
    let mdbook = mdbook();
    if !require(mdbook.is_some(), "mdbook") {
        return;
    }
    let folder = process::directory();
    let book = folder.path().join("book");
    let output = Command::new("scripts/book.sh")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([&mdbook.unwrap(), &book])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");

    let files = pages(&book);
    let read: BTreeMap<&PathBuf, Page> = files.iter().map(|f| (f, Page::read(f))).collect();
    let (mut checked, mut broken) = (0, Vec::new());
    // That for what is missing is served at any address, so that its links are absolute.
    let served = read.iter().filter(|(file, _)| !file.ends_with("404.html"));
    for (file, page) in served {
        let outside = |link: &&String| link.contains("://") || link.starts_with("mailto:");
        for link in page.links.iter().filter(|link| !outside(link)) {
            let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
            let there = match target {
                "" => (*file).clone(),
                target => normal(&file.parent().unwrap().join(target)),
            };
            let known = read.get(&there);
            let has_anchor = || known.is_some_and(|page| page.anchors.contains(anchor));
            // A folder has no page of its own.
            if !there.is_file() || !(anchor.is_empty() || has_anchor()) {
                let page = file.strip_prefix(&book).unwrap().display();
                broken.push(format!("{page}: {link}"));
            }
            checked += 1;
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(files.len() > 50 && checked > 1000, "{checked}");
    for page in [
        "index.html",
        "docs/index.html",
        "deploy/examples/documents/README.html",
    ] {
        assert!(book.join(page).is_file(), "{page}");
    }
}

/// Without `..` and `.`, as a browser requests it.
fn normal(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => _ = normal.pop(),
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}
