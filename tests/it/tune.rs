//! `tune`: the program, with manifests as users write them.

mod pages;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

const EXAMPLE: &str = "deploy/examples/redis-list.yaml";

/// 5 items a second that take 2 s: 10 replicas have enough to do, and no fewer do it.
const LOAD: [&str; 6] = ["--load", "5/s", "--service-time", "2s", "--price", "0.5"];

fn run(command: &str, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_backlog-scaler"))
        .arg(command)
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().expect("ends by itself");
    (code, text(output.stdout), text(output.stderr))
}

fn tune(arguments: &[&str]) -> (i32, String, String) {
    run("tune", &[arguments, &LOAD[..]].concat())
}

fn json(arguments: &[&str]) -> (i32, Value) {
    let (code, stdout, stderr) = tune(&[arguments, &["-o", "json"]].concat());
    let report = serde_json::from_str(&stdout);
    (
        code,
        report.unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}")),
    )
}

/// A copy of the example that may be changed.
fn copy(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("worker.yaml");
    fs::copy(EXAMPLE, &path).unwrap();
    path
}

/// With a target that no backlog reaches, replicas stay at the minimum: it has to be as many as work
/// needs, and costs as much.
#[test]
fn the_known_optimum_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = copy(&folder);
    let manifest = fs::read_to_string(&path).unwrap();
    let large = manifest.replace("listLength: \"5\"", "listLength: \"1000000\"");
    fs::write(&path, large).unwrap();
    let (code, report) = json(&[
        path.to_str().unwrap(),
        "--objective",
        "max wait < 5s",
        "--try",
        "minReplicaCount=1..20",
    ]);
    assert_eq!(code, 0, "{report:#}");
    let best = &report["best"];
    assert_eq!(best["settings"]["minReplicaCount"], "10", "{best:#}");
    assert_eq!(best["replicaHours"], 10.0, "10 replicas for an hour");
    assert_eq!(best["cost"], 5.0);
    assert_eq!(best["misses"].as_array().unwrap().len(), 0);
    assert_eq!(report["complete"], true);
}

#[test]
fn the_edited_manifest_simulates_as_the_table_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = copy(&folder);
    let before = fs::read_to_string(&path).unwrap();
    let arguments = [
        path.to_str().unwrap(),
        "--objective",
        "p95 wait < 20s",
        "--simulations",
        "30",
    ];
    let (code, report) = json(&arguments);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["complete"], false);
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        before,
        "nothing is written unless told"
    );
    let (code, _, stderr) = tune(&[&arguments[..], &["--in-place"]].concat());
    assert_eq!(code, 0, "{stderr}");
    let after = fs::read_to_string(&path).unwrap();
    assert_eq!(after, report["manifest"].as_str().unwrap());
    // Comments and order stay: what changed are values, and lines that came.
    let kept = before.lines().filter(|line| after.contains(line)).count();
    assert!(kept + 4 >= before.lines().count(), "{after}");
    let arguments = [&[path.to_str().unwrap(), "-o", "json"][..], &LOAD].concat();
    let (_, stdout, stderr) = run("simulate", &arguments);
    let simulated: Value = serde_json::from_str(&stdout).expect(&stderr);
    let simulated = &simulated["simulations"][0];
    for (field, value) in simulated.as_object().unwrap() {
        assert_eq!(&report["best"][field], value, "{field}");
    }
}

#[test]
fn a_picture_is_svg() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tune.png");
    let picture = ["--picture", path.to_str().unwrap()];
    let objective = [EXAMPLE, "--objective", "p95 wait < 5m"];
    let (code, stdout, stderr) = tune(&[&objective[..], &picture].concat());
    assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
    assert!(stderr.contains("--picture"), "{stderr}");
    assert!(stderr.contains("must end in .svg"), "{stderr}");
    assert!(!path.exists());
}

#[test]
fn what_another_target_costs_is_one_command_and_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("tune.svg");
    let (code, stdout, stderr) = tune(&[
        EXAMPLE,
        "--objective",
        "p95 wait < 5m",
        "--try",
        "listLength=5,20,50",
        "--picture",
        picture.to_str().unwrap(),
    ]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    let rows: Vec<&str> = stdout.lines().take(4).collect();
    assert!(
        rows[1].starts_with("now") && rows[1].contains("listLength=5 "),
        "{stdout}"
    );
    for target in ["listLength=20 ", "listLength=50 "] {
        assert!(rows.iter().any(|row| row.contains(target)), "{stdout}");
    }
    assert!(
        stdout.contains("\nall 3 combinations were simulated\n"),
        "{stdout}"
    );
    assert!(
        stdout.contains("-        listLength: \"5\"\n+        listLength: \""),
        "{stdout}"
    );
    let svg = fs::read_to_string(&picture).unwrap();
    let is_whole = is_well_formed(&svg);
    assert!(is_whole, "{svg}");
    for text in [
        "now, cost ",
        "best, cost ",
        "p95 wait, seconds",
        "no other is better",
    ] {
        assert!(svg.contains(text), "{text}");
    }
}

/// Every element that is opened is closed, in order.
fn is_well_formed(svg: &str) -> bool {
    let mut open = Vec::new();
    for tag in svg.split('<').skip(1) {
        let Some((tag, _)) = tag.split_once('>') else {
            return false;
        };
        let name = tag.split([' ', '\n', '/']).find(|word| !word.is_empty());
        match (tag.starts_with('/'), tag.ends_with('/')) {
            (true, _) if open.pop() != name => return false,
            (false, false) => open.extend(name),
            _ => {}
        }
    }
    svg.starts_with("<svg") && open.is_empty()
}

#[test]
fn the_diff_is_one_that_patch_applies() {
    let folder = tempfile::tempdir().unwrap();
    let path = copy(&folder);
    let arguments = [
        "worker.yaml",
        "--objective",
        "p95 wait < 20s",
        "--try",
        "listLength=5,20",
        "--try",
        "stabilizationWindowSeconds=30,300",
        "--minimize",
        "replica-hours",
    ];
    let program = env!("CARGO_BIN_EXE_backlog-scaler");
    let tune = |more: &[&str]| {
        let output = Command::new(program)
            .arg("tune")
            .args(arguments)
            .args(LOAD)
            .args(more)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    };
    let diff = tune(&["--diff"]);
    fs::write(folder.path().join("change.diff"), &diff).unwrap();
    tune(&["--write", "other.yaml"]);
    let patched = Command::new("patch")
        .args(["-p1", "-i", "change.diff"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(
        patched.status.success(),
        "{}",
        String::from_utf8_lossy(&diff)
    );
    let other = fs::read_to_string(folder.path().join("other.yaml")).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), other);
    assert!(
        other.contains("stabilizationWindowSeconds") || other.contains("\"20\""),
        "{other}"
    );
}

#[test]
fn the_worst_of_several_loads_counts() {
    let (even, rising) = ("5/s", "step(1..8/s, 10m)");
    let now = |loads: &[&str]| {
        let rest = ["--objective", "p95 wait < 1m", "--try", "listLength=5,20"];
        let rest = [&rest[..], &LOAD[2..], &["-o", "json"]].concat();
        let (code, stdout, stderr) = run("tune", &[&[EXAMPLE], loads, &rest].concat());
        assert_eq!(code, 0, "{stderr}");
        let mut report: Value = serde_json::from_str(&stdout).unwrap();
        report["now"].take()
    };
    let each = [even, rising].map(|load| now(&["--load", load]));
    let both = now(&["--load", even, "--check-load", rising]);
    let number = |of: &Value, field: &str| of.pointer(field).and_then(Value::as_f64).expect(field);
    for field in [
        "/waitSeconds/p95",
        "/waitSeconds/max",
        "/largestBacklog",
        "/cost",
        "/changes",
    ] {
        let worst = f64::max(number(&each[0], field), number(&each[1], field));
        assert_eq!(number(&both, field), worst, "{field}");
    }
    let items = each.iter().map(|one| number(one, "/items")).sum::<f64>();
    assert_eq!(number(&both, "/items"), items);
    assert_ne!(each[0]["changes"], each[1]["changes"], "the loads differ");
}

#[test]
fn what_cannot_be_met_is_said_with_the_reason_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = copy(&folder);
    let before = fs::read_to_string(&path).unwrap();
    let path = path.to_str().unwrap();
    for (arguments, reason) in [
        (
            &["--objective", "max wait < 1s", "--try", "listLength=2,5"][..],
            "20 replicas at all times would meet the objectives; replicas come too late",
        ),
        (
            &[
                "--objective",
                "p95 wait < 1m",
                "--try",
                "maxReplicaCount=5,8",
            ],
            "replicas at all times miss p95 wait",
        ),
        (
            &[
                "--objective",
                "p95 wait < 1m",
                "--objective",
                "cost < 1",
                "--try",
                "listLength=2,5",
            ],
            "20 replicas at all times miss cost < 1 (10.00) alone",
        ),
    ] {
        let max = fs::read_to_string(path).unwrap();
        if arguments.contains(&"maxReplicaCount=5,8") {
            fs::write(
                path,
                max.replace("maxReplicaCount: 20", "maxReplicaCount: 8"),
            )
            .unwrap();
        }
        let text = fs::read_to_string(path).unwrap();
        let (code, stdout, stderr) = tune(&[&[path, "--in-place"], arguments].concat());
        assert_eq!(code, 1, "{stderr}{stdout}");
        assert!(
            stderr.contains("nothing that was tried meets the objectives: "),
            "{stderr}"
        );
        assert!(stderr.contains(reason), "{reason}: {stderr}");
        assert!(stdout.contains("nearest"), "{stdout}");
        assert_eq!(fs::read_to_string(path).unwrap(), text);
        fs::write(path, &before).unwrap();
    }
}

#[test]
fn one_object_and_one_trigger_are_tuned() {
    let file = "deploy/examples/documents/scaledobjects.yaml";
    let rest = [
        "--objective",
        "p95 wait < 1m",
        "--try",
        "targetQueueSize=5,20",
    ];
    for (chosen, error) in [
        (
            &[][..],
            "holds default/documents-worker, default/documents-cpu. Choose one with --object.",
        ),
        (
            &["--object", "documents-worker"],
            "default/documents-worker: its external triggers are 0, 1. The load is that of one queue: choose one with --trigger.",
        ),
        (&["--object", "documents"], "Choose one with --object."),
        (
            &["--object", "documents-worker", "--trigger", "2"],
            "its external triggers are 0, 1",
        ),
    ] {
        let (code, stdout, stderr) = tune(&[&[file], chosen, &rest[..]].concat());
        assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
        assert!(stderr.contains(error), "{stderr}");
    }
    let chosen = [file, "--object", "documents-worker", "--trigger", "1"];
    let (code, stdout, stderr) = tune(&[&chosen[..], &rest, &["--diff"]].concat());
    assert_eq!(code, 0, "{stderr}");
    // Of the I/O activities, not of the workflows.
    assert!(
        stdout.contains("-        targetQueueSize: \"15\"          # up above 15 I/O"),
        "{stdout}"
    );
    assert_eq!(stdout.matches("\n-").count(), 1, "{stdout}");
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("picture.svg");
    let good = ["--objective", "p95 wait < 1m"];
    for (arguments, error) in [
        (&[EXAMPLE][..], "--objective <OBJECTIVE>"),
        (
            &[EXAMPLE, "--objective", "p95 wiat < 1m"],
            "did you mean `p95 wait`?",
        ),
        (
            &[EXAMPLE, "--objective", "cost < NaN"],
            "`NaN` is not a number from 0",
        ),
        (
            &[EXAMPLE, good[0], good[1], "--minimize", "speed"],
            "`speed` is none of p50 wait,",
        ),
        (
            &[EXAMPLE, good[0], good[1], "--price", "NaN"],
            "expected a number above 0",
        ),
        (
            &[EXAMPLE, good[0], good[1], "--try", "listLength=9..5"],
            "9..5 is empty",
        ),
        (
            &[
                EXAMPLE,
                good[0],
                good[1],
                "--try",
                "listLength",
                "--keep",
                "listLength",
            ],
            "cannot be used with",
        ),
        (
            &[EXAMPLE, good[0], good[1], "--simulations", "0"],
            "--simulations",
        ),
        (
            &[EXAMPLE, good[0], good[1], "--check-load", "40"],
            "load \"40\": is not a rate",
        ),
        (
            &["-", good[0], good[1], "--in-place"],
            "--in-place: stdin cannot be written",
        ),
        (
            &["deploy/examples/pipeline", good[0], good[1]],
            "is a folder",
        ),
        (
            &["deploy/examples/settings.yaml", good[0], good[1]],
            "has no `kind`",
        ),
    ] {
        let price = if arguments.contains(&"--price") {
            &LOAD[..4]
        } else {
            &LOAD[..]
        };
        let picture = ["--picture", picture.to_str().unwrap()];
        let (code, stdout, stderr) = run("tune", &[arguments, &picture, price].concat());
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(error), "{arguments:?}: {stderr}");
        assert!(!Path::new(picture[1]).exists());
    }
    let (code, _, stderr) = run(
        "tune",
        &[&[EXAMPLE, "--objective", "cost < 3"], &LOAD[..4]].concat(),
    );
    assert_eq!(code, 2);
    assert!(
        stderr.contains("a cost needs a price. Add --price"),
        "{stderr}"
    );
}

#[test]
fn a_value_that_the_server_would_refuse_is_named() {
    let (code, stdout, stderr) = tune(&[
        EXAMPLE,
        "--objective",
        "p95 wait < 5m",
        "--try",
        "listLength=5,20,many",
    ]);
    assert_eq!(code, 0, "{stderr}");
    assert!(
        stderr.contains("note: refused: listLength=many: "),
        "{stderr}"
    );
    assert!(stderr.contains("a whole number from 1"), "{stderr}");
    assert!(!stdout.contains("many"), "{stdout}");
    let (code, _, stderr) = tune(&[
        EXAMPLE,
        "--objective",
        "p95 wait < 5m",
        "--try",
        "listLenght=5,20",
    ]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("did you mean `listLength`?"), "{stderr}");
}

/// Twice the same: there is no chance in it, whatever the number of processors.
#[test]
fn a_search_finds_the_same_again() {
    let arguments = [
        EXAMPLE,
        "--objective",
        "p95 wait < 30s",
        "--simulations",
        "25",
    ];
    assert_eq!(json(&arguments), json(&arguments));
}
