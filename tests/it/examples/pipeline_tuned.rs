//! Thresholds and cost of `deploy/examples/pipeline` before and after `tune`, for its page: `make docs`.

use std::{
    fmt::Write as _,
    fs,
    process::{Command, Output},
};

use serde_json::Value;

use super::{
    generated::shown_in_page,
    objects::of_kind,
    pipeline_load::{PAGE, Stage, whole_pipeline},
};

/// What the page lists of a manifest.
const KEYS: [&str; 4] = [
    "listLength",
    "scaleDownBelow",
    "minReplicaCount",
    "stabilizationWindowSeconds",
];

/// `tune` with the load of a stage, so that nothing becomes worse.
fn tune(name: &str, stage: &Stage, load: &str, wait: f64, changes: u32) -> Value {
    let manifest = format!("deploy/examples/pipeline/{name}.yaml");
    let output: Output = Command::new(env!("CARGO_BIN_EXE_backlog-scaler"))
        .args(["tune", &manifest, "--load", load, "--output", "json"])
        .args([
            "--length",
            "2h",
            "--startup",
            "20s",
            "--grace-period",
            "25s",
        ])
        .args(["--service-time", &format!("{}ms", stage.seconds * 1000.0)])
        .args(["--price", &stage.price.to_string()])
        .args(["--objective", &format!("max wait <= {}s", wait.ceil())])
        .args(["--objective", &format!("changes <= {changes}")])
        .args(["--keep", "maxReplicaCount"])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What the manifest has for a key that is tuned.
fn before(name: &str, key: &str) -> String {
    let object = &of_kind(
        &format!("deploy/examples/pipeline/{name}.yaml"),
        "ScaledObject",
    )[0];
    let spec = &object["spec"];
    let behavior = &spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"];
    let places = [
        &spec["triggers"][0]["metadata"][key],
        &spec[key],
        &behavior["scaleDown"][key],
    ];
    let found = places.into_iter().find(|value| !value.is_null());
    match found.unwrap_or_else(|| panic!("{name} has no {key}")) {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

fn number(of: &Value, field: &str) -> f64 {
    of.pointer(field).and_then(Value::as_f64).expect(field)
}

#[test]
fn the_page_shows_what_tuning_would_save() {
    let folder = tempfile::tempdir().unwrap();
    let mut table =
        "| stage | before → tuned | cost | before | longest wait | before | changes | before |\n\
                     | --- | --- | --- | --- | --- | --- | --- | --- |\n"
            .to_owned();
    let (mut costs, mut all_changes) = ([0.0, 0.0], [0, 0]);
    for (name, stage, timeline, arrives) in whole_pipeline() {
        let mut csv = "seconds,rate\n".to_owned();
        for second in 0..=7200 {
            let rate = arrives.rate(std::time::Duration::from_secs(second));
            writeln!(csv, "{second},{rate}").unwrap();
        }
        let load = folder.path().join(format!("{name}.csv"));
        fs::write(&load, csv).unwrap();
        let summary = &timeline.summary;
        let wait = summary.max_age.as_secs_f64();
        let changes = summary.scale_ups + summary.scale_downs;
        let report = tune(name, &stage, load.to_str().unwrap(), wait, changes);
        let (now, best) = (&report["now"], &report["best"]);
        // The program and the library see the same.
        assert_eq!(number(now, "/changes"), f64::from(changes), "{name}");
        let hours = summary.worker_seconds / 3600.0;
        assert!(
            (number(now, "/replicaHours") - hours).abs() < 1e-9,
            "{name}"
        );
        assert!(number(best, "/cost") <= number(now, "/cost"), "{name}");
        let settings = best["settings"].as_object().unwrap();
        let shown = KEYS.iter().filter_map(|key| {
            let tuned = settings.get(*key)?.as_str().unwrap_or("none");
            Some(format!("`{key}` {} → {tuned}", before(name, key)))
        });
        let shown: Vec<String> = shown.collect();
        assert_eq!(shown.len(), settings.len(), "{settings:?}");
        let shown = match shown.is_empty() {
            true => "as it is".to_owned(),
            false => shown.join(", "),
        };
        writeln!(
            table,
            "| {name} | {shown} | {:.3} | {:.3} | {:.0} s | {:.0} s | {} | {} |",
            number(best, "/cost"),
            number(now, "/cost"),
            number(best, "/waitSeconds/max"),
            number(now, "/waitSeconds/max"),
            best["changes"],
            now["changes"],
        )
        .unwrap();
        for (i, of) in [best, now].into_iter().enumerate() {
            costs[i] += number(of, "/cost");
            all_changes[i] += of["changes"].as_u64().unwrap();
        }
    }
    let [tuned, present] = costs;
    let less = 100.0 * (1.0 - tuned / present);
    let [tuned_changes, changes] = all_changes;
    writeln!(
        table,
        "| together | {less:.0} % less cost | {tuned:.3} | {present:.3} | | | {tuned_changes} | {changes} |"
    )
    .unwrap();
    shown_in_page(PAGE, "tuned", &table);
}
