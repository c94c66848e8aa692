//! What pages show of a run is what a run prints: patterns for metrics, and the table of `probe`.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use testkit::{
    redis::{Redis, available},
    require,
};

use super::{
    commands::{Words, commands, typed},
    page,
};
use crate::watching::exposed;

/// The objects that pages name in patterns: a placeholder, and those of the examples.
const OBJECTS: [(&str, &str); 4] = [
    ("NAMESPACE", "NAME"),
    ("documents", "documents-worker"),
    ("exceptions", "triage"),
    ("pipeline", "ocr"),
];

/// What one `grep` of a line lets through.
fn grep(words: &Words, input: &str) -> String {
    let mut child = Command::new("grep")
        .args(&words[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // Its output may fill a pipe before its input is written.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn every_pattern_for_metrics_finds_some() {
    if !require(available(), "redis-server") {
        return;
    }
    let exposed = exposed::page(&OBJECTS).await;
    let mut checked = 0;
    for block in typed() {
        let commands = commands(&block.text);
        for (at, _) in commands.iter().enumerate().filter(|(_, words)| {
            words[0] == "curl" && words.iter().any(|word| word.ends_with("/metrics"))
        }) {
            let greps = commands[at + 1..]
                .iter()
                .take_while(|words| words[0] == "grep");
            let (mut found, mut shown) = (exposed.clone(), Vec::new());
            for words in greps {
                shown.push(words.join(" "));
                found = grep(words, &found);
            }
            // `grep -c` prints a number.
            let has_some = !matches!(found.trim(), "" | "0");
            assert!(
                has_some && !shown.is_empty(),
                "{block}: {shown:?} finds nothing"
            );
            checked += 1;
        }
    }
    assert!(checked > 12, "{checked}");
}

/// Without the age, which is another one in every run, and the width of columns.
fn rows(text: &str) -> Vec<Vec<String>> {
    let rows = text.lines().map(|line| {
        let cells = line.split("  ").map(str::trim).filter(|c| !c.is_empty());
        let cells = cells.map(|cell| match cell.strip_suffix("ms") {
            Some(number) if number.parse::<u64>().is_ok() => "AGE".to_owned(),
            _ => cell.to_owned(),
        });
        cells.collect::<Vec<_>>()
    });
    rows.filter(|row| !row.is_empty()).collect()
}

/// With the list that `make run` fills in place of its Redis.
#[tokio::test]
async fn the_readme_shows_what_probe_prints() {
    if !require(available(), "redis-server") {
        return;
    }
    let redis = Redis::start().await;
    redis.rpush("jobs", 36).await;
    let map = format!("127.0.0.1:16379={}", redis.address());
    let run = move || {
        Command::new(env!("CARGO_BIN_EXE_backlog-scaler"))
            .args(["probe", "deploy/examples/redis-list.yaml", "--map", &map])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let readme = page("README.md");
    let (_, shown) = readme
        .split_once("probe deploy/examples/redis-list.yaml\n")
        .unwrap();
    let shown = shown.split("```").next().unwrap();
    assert_eq!(
        rows(shown),
        rows(&printed),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    // The page for the night shows another trigger, in the same columns.
    let on_call = page("docs/how-to/on-call.md");
    let (_, shown) = on_call.split_once("probe scaledobject.yaml\n").unwrap();
    let shown = rows(shown.split("```").next().unwrap());
    assert_eq!(shown[0], rows(&printed)[0]);
    assert_eq!(shown[1].len(), rows(&printed)[1].len());
}
