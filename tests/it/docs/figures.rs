//! Measured figures that pages show: each is on the page that says how it was measured.

use regex::Regex;

use super::page;

/// A number with its unit.
fn figures(text: &str) -> Vec<String> {
    let figure = Regex::new(r"\d[\d,]*(?:\.\d+)?(?: (?:µs|ms|MiB|%|s)\b|\s%)?").unwrap();
    let found = figure.find_iter(text);
    found
        .map(|found| found.as_str().trim_end_matches(',').to_owned())
        .collect()
}

/// The cells of all tables below a heading, up to the next one.
fn tables(text: &str, from: &str) -> String {
    let (_, below) = text.split_once(from).expect(from);
    let section = below.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with('|'));
    // Dates and links are no figures.
    rows.map(|row| format!("{row}\n")).collect()
}

#[test]
fn the_figures_of_readme_and_comparison_are_those_of_the_benchmarks() {
    let readme = page("README.md");
    let comparison = page("docs/explanation/comparison.md");
    let best = readme
        .lines()
        .find(|line| line.starts_with("In production KEDA spreads its polls"));
    let measured = page("docs/reference/benchmarks.md");
    let measured = measured.split("## Results").nth(1).expect("results");
    let mut checked = 0;
    for (place, text) in [
        ("README.md, table", tables(&readme, "# backlog-scaler\n")),
        ("README.md, KEDA's rhythm", best.unwrap().to_owned()),
        (
            "comparison.md, all at once",
            tables(&comparison, "## All at once\n"),
        ),
        (
            "comparison.md, KEDA's rhythm",
            tables(&comparison, "## In KEDA's own rhythm\n"),
        ),
    ] {
        let figures = figures(&text);
        assert!(figures.len() > 5, "{place}: {figures:?}");
        for figure in figures {
            let whole = format!(r"(?:^|[^\d.,]){}(?:[^\d]|$)", regex::escape(&figure));
            let is_measured = Regex::new(&whole).unwrap().is_match(measured);
            assert!(is_measured, "{place}: {figure} is not in benchmarks.md");
            checked += 1;
        }
    }
    assert!(checked > 60, "{checked}");
}

#[test]
fn figures_are_read_with_their_units() {
    let text = "| 45 µs of CPU, 8,000 sockets; 58 to 87 % in 0.1 ms, 1,431 MiB |";
    assert_eq!(
        figures(text),
        ["45 µs", "8,000", "58", "87 %", "0.1 ms", "1,431 MiB"]
    );
}
