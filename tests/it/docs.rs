//! What the documentation shows is what the program does.

mod blocks;
mod book;
mod commands;
mod examples;
mod figures;
mod shown;

use std::{
    fs,
    path::{Path, PathBuf},
};

use backlog_scaler::{
    server,
    settings::{self, Settings},
    telemetry::Telemetry,
};

pub fn page(path: &str) -> String {
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

#[tokio::test]
async fn the_freshness_page_has_the_defaults_of_the_backends() {
    let engine = server::engine(&Settings::default(), &Telemetry::default()).unwrap();
    let fresh_for = |name: &str| {
        let mut all = engine.registry().fresh_for();
        let (_, fresh_for) = all.find(|(found, _)| *found == name).unwrap();
        fresh_for.as_secs()
    };
    let [redis, kafka, temporal] = ["redis", "kafka", "temporal"].map(fresh_for);
    let row = format!("| `freshFor` | redis {redis}s, kafka {kafka}s, temporal {temporal}s |");
    assert!(
        page("docs/explanation/freshness.md").contains(&row),
        "{row}"
    );
}

#[tokio::test]
async fn the_pages_have_the_push_intervals_of_the_backends() {
    let engine = server::engine(&Settings::default(), &Telemetry::default()).unwrap();
    let interval = |name: &str| {
        let mut all = engine.registry().push_interval();
        let (_, interval) = all.find(|(found, _)| *found == name).unwrap();
        format!("{name} {interval:?}")
    };
    let all = ["redis", "kafka", "temporal"].map(interval).join(", ");
    for name in [
        "docs/explanation/freshness.md",
        "docs/how-to/run-in-a-cluster.md",
        "docs/reference/keys.md",
    ] {
        assert!(page(name).contains(&all), "{name}: {all}");
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
fn the_page_of_checks_is_what_the_program_says() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_backlog-scaler"))
        .args(["check", "--codes"])
        .output()
        .unwrap();
    let says = String::from_utf8(output.stdout).unwrap();
    assert!(
        page("docs/reference/checks.md") == says,
        "`make docs` writes the page anew"
    );
}

/// What a chart's `settings` may be is what the server reads.
#[test]
fn the_chart_knows_the_settings_by_their_own_schema() {
    let file = "deploy/helm/backlog-scaler/values.schema.json";
    let mut values: serde_json::Value = serde_json::from_str(&page(file)).unwrap();
    let settings = &mut values["$defs"]["Settings"];
    if std::env::var_os("UPDATE_CHART").is_some() {
        *settings = settings::schema();
        let text = serde_json::to_string_pretty(&values).unwrap() + "\n";
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(file), text).unwrap();
        return;
    }
    assert!(
        *settings == settings::schema(),
        "`make docs` writes it anew"
    );
}

/// Of the chart's results and of the overlays, which hold the file as it is.
#[test]
fn the_settings_files_of_the_deployments_are_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let mut found = 0;
    for file in fs::read_dir(root.join("helm/tests/golden")).unwrap() {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let Some((_, rest)) = text.split_once("\n  settings.yaml: |\n") else {
            continue;
        };
        let lines = rest.lines().take_while(|line| line.starts_with("    "));
        let yaml: String = lines.map(|line| format!("{}\n", &line[4..])).collect();
        load(&yaml);
        found += 1;
    }
    for file in ["base", "components/tls"] {
        load(&page(&format!("deploy/kustomize/{file}/settings.yaml")));
    }
    assert!(found >= 7, "{found}");
}

/// Its address is one of the cluster, and it is what the example has.
#[test]
fn the_page_of_the_cluster_starts_with_an_object_that_works_as_pasted() {
    let page = page("docs/how-to/run-in-a-cluster.md");
    let shown = page.split("```yaml\n").nth(1).unwrap();
    let shown = shown.split("```").next().unwrap();
    let example = self::page("deploy/examples/in-a-cluster.yaml");
    assert_eq!(shown, example.rsplit("---\n").next().unwrap());
    assert!(!example.contains("127.0.0.1"));
}

/// Every Markdown page of the project.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("docs"), root.join("src"), root.join("deploy")];
    let mut pages: Vec<PathBuf> = [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
    ]
    .map(|page| root.join(page))
    .into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

/// The anchors that a page has: those of its headings, as GitHub and mdBook name them.
pub fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn the_links_between_pages_lead_somewhere() {
    let pages = pages();
    assert!(pages.len() > 20, "{pages:?}");
    for file in pages {
        let text = fs::read_to_string(&file).unwrap();
        let links = text.split("](").skip(1);
        for link in links.filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
            let there = match target {
                "" => file.clone(),
                target => file.parent().unwrap().join(target),
            };
            assert!(there.exists(), "{} links to {link}", file.display());
            if !anchor.is_empty() {
                let found = anchors(&fs::read_to_string(&there).unwrap());
                let has = found.iter().any(|found| found == anchor);
                assert!(has, "{} links to {link}: {found:?}", file.display());
            }
        }
    }
}

#[test]
fn the_book_has_every_page() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let summary = page("docs/SUMMARY.md");
    for file in pages() {
        let Ok(page) = file.strip_prefix(&docs) else {
            continue;
        };
        let listed = summary.contains(&format!("({})", page.display()));
        assert!(listed || page.ends_with("SUMMARY.md"), "{}", page.display());
    }
}

#[test]
fn pages_show_their_examples() {
    for (name, shown_in) in [
        ("redis-thresholds", "thresholds"),
        ("redis-waiting-time", "waiting-time"),
    ] {
        let example = page(&format!("deploy/examples/{name}.yaml"));
        let (_, manifest) = example.split_once('\n').unwrap();
        let text = page(&format!("docs/how-to/{shown_in}.md"));
        assert!(text.contains(manifest), "{shown_in}");
    }
}

#[test]
fn check_finds_nothing_in_the_examples() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples");
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> = files.filter(|path| path.is_file()).collect();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_backlog-scaler"))
        .args(["check", "--strict"])
        .args(&files)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

/// Workflows that are started before the server is up are lost.
#[test]
fn the_readme_waits_for_temporal_before_it_starts_workflows() {
    let readme = page("README.md");
    let block = readme
        .split("```")
        .find(|block| block.contains("temporal server start-dev"));
    let lines: Vec<&str> = block.unwrap().lines().collect();
    let line = |part: &str| lines.iter().position(|line| line.contains(part)).unwrap();
    let waits = line("until temporal operator");
    assert!(
        line("start-dev") < waits && waits < line("workflow start"),
        "{lines:#?}"
    );
}

/// Against backends that are not there: what is wrong with a manifest or its metadata would be
/// said before anything is connected.
#[test]
fn the_examples_are_triggers_that_the_program_understands() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples");
    let files = |folder: &Path| {
        let entries = fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().path())
            .collect::<Vec<_>>()
    };
    let mut manifests = Vec::new();
    for file in files(&folder) {
        match file.is_dir() {
            true => manifests.extend(files(&file)),
            false => manifests.push(file),
        }
    }
    let scales = |file: &PathBuf| {
        let is_yaml = file
            .extension()
            .is_some_and(|extension| extension == "yaml");
        is_yaml && fs::read_to_string(file).unwrap().contains("kind: Scaled")
    };
    manifests.retain(scales);
    assert!(manifests.len() >= 10, "{manifests:?}");
    for file in manifests {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_backlog-scaler"))
            .args(["probe", "--output", "json"])
            .arg(&file)
            .output()
            .unwrap();
        let response: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
                let errors = String::from_utf8_lossy(&output.stderr);
                panic!("{}: {error}: {errors}", file.display())
            });
        let objects = response["objects"].as_array().unwrap();
        let triggers = objects
            .iter()
            .flat_map(|object| object["triggers"].as_array().unwrap());
        for trigger in triggers.filter(|t| t["status"] != "notOurs") {
            let named = trigger["metricName"].is_string();
            assert!(named, "{}: {trigger:#}", file.display());
        }
    }
}
