//! `simulate`: the program, with manifests as users write them.

use std::{
    fs,
    io::Read,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

const EXAMPLE: &str = "deploy/examples/redis-list.yaml";

fn simulate(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_backlog-scaler"))
        .args(["simulate", "--service-time", "2s"])
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().expect("ends by itself");
    (code, text(output.stdout), text(output.stderr))
}

fn json(arguments: &[&str]) -> Vec<Value> {
    let (code, stdout, stderr) = simulate(&[arguments, &["-o", "json"]].concat());
    assert_eq!(code, 0, "{stderr}");
    let mut report: Value = serde_json::from_str(&stdout).expect("is JSON");
    serde_json::from_value(report["simulations"].take()).expect("is a list")
}

#[test]
fn a_larger_target_needs_fewer_replicas_and_lets_work_wait_longer() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = fs::read_to_string(EXAMPLE).unwrap();
    let paths = ["5", "50"].map(|target| {
        let path = folder.path().join(format!("{target}.yaml"));
        let changed = manifest.replace("listLength: \"5\"", &format!("listLength: \"{target}\""));
        fs::write(&path, changed).unwrap();
        path.display().to_string()
    });
    let [five, fifty] = &paths;
    let load = [
        "--load",
        "ramp(0..5/s, 20m)",
        "--length",
        "1h",
        "--price",
        "0.5",
    ];
    let found = json(&[&[five.as_str(), fifty], &load[..]].concat());
    let [five, fifty] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert!(
        five["name"]
            .as_str()
            .unwrap()
            .ends_with("5.yaml: shop/worker")
    );
    // 5 items a second that take 2 s are 10 workers at least.
    assert!(five["replicas"]["largest"].as_u64() >= Some(10), "{five}");
    let number = |of: &Value, field: &str| of.pointer(field).and_then(Value::as_f64).expect(field);
    assert!(number(five, "/replicaHours") > number(fifty, "/replicaHours"));
    assert!(number(five, "/waitSeconds/p95") < number(fifty, "/waitSeconds/p95"));
    for one in [five, fifty] {
        assert_eq!(
            number(one, "/items"),
            15_000.0,
            "1,200 s × 2.5/s, and 2,400 s × 5/s: {one}"
        );
        assert_eq!(number(one, "/cost"), number(one, "/replicaHours") * 0.5);
    }
}

#[test]
fn a_load_is_replayed_from_a_file_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (load, picture) = (path("load.csv"), path("picture.svg"));
    fs::write(&load, "seconds,rate\n0,2\n60,0\n300,0\n").unwrap();
    let (code, stdout, stderr) = simulate(&[EXAMPLE, "--load", &load, "--picture", &picture]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    let row = stdout.lines().nth(1).expect("a row");
    assert!(
        row.starts_with("shop/worker") && row.trim_end().ends_with(" 120"),
        "{stdout}"
    );
    let svg = fs::read_to_string(&picture).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("Items that wait"));
}

#[test]
fn the_keys_of_the_trigger_count() {
    let folder = tempfile::tempdir().unwrap();
    let smooth = folder.path().join("smooth.yaml").display().to_string();
    let manifest = fs::read_to_string(EXAMPLE).unwrap();
    let key = "listName: jobs";
    let added = manifest.replace(
        key,
        "listName: jobs\n        smoothing: max:10m\n        activityHold: 10m",
    );
    fs::write(&smooth, added).unwrap();
    let load = ["--load", "bursts(5/s, 30s, 6m)", "--length", "1h"];
    let found = json(&[&[EXAMPLE, smooth.as_str()], &load[..]].concat());
    // Without, replicas go up with each burst, and down after the stabilization window.
    let changes = |of: &Value| of["changes"].as_u64().unwrap();
    assert!(changes(&found[0]) > 2 * changes(&found[1]), "{found:?}");
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("picture.svg").display().to_string();
    let manifest = fs::read_to_string(EXAMPLE).unwrap();
    let bad = folder.path().join("bad.yaml");
    fs::write(&bad, manifest.replace("listLength", "listLenght")).unwrap();
    let bad = bad.display().to_string();
    for (arguments, error) in [
        (&[EXAMPLE, "--load", "40"][..], "load \"40\": is not a rate"),
        (
            &[EXAMPLE, "--load", "nowhere.csv"],
            "cannot read nowhere.csv",
        ),
        (
            &[EXAMPLE, "--load", "1/s", "--length", "8d"],
            "--length: 8days is more than 7 days",
        ),
        (
            &[EXAMPLE, "--load", "100000/s", "--length", "1h"],
            "--load: 360000000 items are more than 50000000",
        ),
        (
            &[EXAMPLE, "--load", "1/s", "--trigger", "1"],
            "--trigger 1: shop/worker has 1 triggers",
        ),
        (
            &[
                "deploy/examples/documents/scaledobjects.yaml",
                "--load",
                "1/s",
                "--object",
                "documents",
            ],
            "holds default/documents-worker, default/documents-cpu. Choose one with --object.",
        ),
        (&[&bad, "--load", "1/s"], "did you mean `listLength`?"),
        (
            &["deploy/examples/settings.yaml", "--load", "1/s"],
            "has no `kind`",
        ),
    ] {
        let (code, stdout, stderr) = simulate(&[arguments, &["--picture", &picture]].concat());
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(error), "{arguments:?}: {stderr}");
        assert!(!Path::new(&picture).exists());
    }
}

#[test]
fn a_picture_is_svg() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.png", "svg", "a.svg.txt"] {
        let path = folder.path().join(name);
        let picture = ["--picture", path.to_str().unwrap()];
        let (code, stdout, stderr) =
            simulate(&[&[EXAMPLE, "--load", "1/s"], &picture[..]].concat());
        assert_eq!((code, stdout.as_str()), (2, ""), "{name}: {stderr}");
        assert!(stderr.contains("--picture"), "{stderr}");
        assert!(stderr.contains("must end in .svg"), "{stderr}");
        assert!(!path.exists(), "{name}");
    }
}

/// Whoever waits at a terminal sees how far it is; a file or a pipe gets nothing of it.
#[test]
fn progress_is_for_terminals() {
    let long = "--load 40/s --length 7d --service-time 2s --vary listLength=5,6,7,8";
    let command = format!(
        "{} simulate {EXAMPLE} {long}",
        env!("CARGO_BIN_EXE_backlog-scaler")
    );
    // The shell becomes the program, so that it is the one to end.
    let mut piped = Command::new("sh")
        .args(["-c", &format!("exec {command}")])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // util-linux's, which every Debian has: a command with a terminal of its own.
    let mut shown = Command::new("script")
        .args(["--quiet", "--command", &command, "/dev/null"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script, of Debian's package bsdutils");
    let mut text = String::new();
    let mut output = shown.stdout.take().unwrap();
    let mut bytes = [0; 4096];
    while text.matches(" left").count() < 5 {
        let read = output.read(&mut bytes).unwrap();
        assert_ne!(read, 0, "it ends without a bar: {text}");
        text += &String::from_utf8_lossy(&bytes[..read]);
    }
    // Its terminal goes with it, and so does the program.
    for process in [&mut shown, &mut piped] {
        process.kill().unwrap();
        process.wait().unwrap();
    }
    let bar = "\rshop/worker listLength=5: [";
    assert!(text.contains(bar) && text.contains(" %, "), "{text:?}");
    let mut nothing = String::new();
    piped.stderr.unwrap().read_to_string(&mut nothing).unwrap();
    assert_eq!(nothing, "");
}

const JOBS: &str = "\
apiVersion: keda.sh/v1alpha1
kind: ScaledJob
metadata: {name: reports, namespace: shop}
spec:
  maxReplicaCount: 5
  pollingInterval: 10
  jobTargetRef: {template: {}}
  triggers:
    - type: external
      metadata: {backend: redis, address: 'redis:6379', listName: reports, listLength: '1'}
";

#[test]
fn jobs_take_items_and_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reports.yaml");
    fs::write(&path, JOBS).unwrap();
    let path = path.display().to_string();
    let load = [
        "--load",
        "0/s",
        "--initial-backlog",
        "12",
        "--length",
        "10m",
    ];
    let vary = ["--vary", "strategy=default,accurate"];
    let found = json(&[&[path.as_str(), "--items-per-job", "2"], &load[..], &vary].concat());
    let names: Vec<_> = found
        .iter()
        .map(|of| of["name"].as_str().unwrap())
        .collect();
    let name = "shop/reports strategy=";
    assert_eq!(
        names,
        ["default", "accurate"].map(|strategy| format!("{name}{strategy}"))
    );
    for of in &found {
        assert_eq!(of["completed"], 12, "{of}");
        assert_eq!(of["replicas"]["largest"], 5, "{of}");
        // Five jobs with two items of 2 s each: gone at 4 s. Two others come with the next poll.
        assert_eq!(of["secondsAtMax"], 3, "{of}");
    }
    let (code, _, notes) = simulate(&[&[path.as_str()], &load[..]].concat());
    assert_eq!((code, notes.as_str()), (0, ""));

    let conditions = "  scalingStrategy: {pendingPodConditions: [Ready]}\n  jobTargetRef";
    fs::write(&path, JOBS.replace("  jobTargetRef", conditions)).unwrap();
    let (code, _, notes) = simulate(&[&[path.as_str()], &load[..]].concat());
    assert_eq!(code, 0, "{notes}");
    let note = "pendingPodConditions is not simulated";
    assert!(notes.contains(note), "{notes}");

    let external = "    - type: external";
    let refused = format!("{external}\n      metricType: Value");
    fs::write(&path, JOBS.replace(external, &refused)).unwrap();
    let (code, _, error) = simulate(&[&[path.as_str()], &load[..]].concat());
    let expected = "KEDA refuses metricType in the triggers of a ScaledJob. Leave it out";
    assert!(code == 2 && error.contains(expected), "{code}: {error}");
}

#[test]
fn a_price_is_a_number() {
    for price in ["NaN", "inf", "-1", "-0.5", "free"] {
        let price = format!("--price={price}");
        let (code, stdout, stderr) = simulate(&[EXAMPLE, "--load", "1/s", &price]);
        assert_eq!((code, stdout.as_str()), (2, ""), "{price}");
        assert!(
            stderr.contains("must be a number, and not below 0"),
            "{stderr}"
        );
    }
    let found = json(&[EXAMPLE, "--load", "1/s", "--price", "0"]);
    assert_eq!(found[0]["cost"], 0.0);
}

/// A simulation has no chance in it.
#[test]
fn the_page_shows_what_it_prints_of_a_scaled_job() {
    let page = fs::read_to_string("docs/how-to/simulate.md").unwrap();
    let (_, section) = page.split_once("## ScaledJobs\n").unwrap();
    let between = |start: &str| {
        let (_, rest) = section.split_once(start).unwrap();
        rest.split_once("```").unwrap().0
    };
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("reports.yaml"), between("```yaml\n")).unwrap();
    let (command, expected) = between("```console\n$ backlog-scaler ")
        .split_once('\n')
        .unwrap();
    let program = env!("CARGO_BIN_EXE_backlog-scaler");
    let output = Command::new("sh")
        .args(["-c", &format!("{program} {command}")])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

/// A simulation has no chance in it.
#[test]
fn the_page_shows_what_it_prints() {
    let page = fs::read_to_string("docs/how-to/simulate.md").unwrap();
    let (_, block) = page.split_once("```console\n$ backlog-scaler ").unwrap();
    let (command, rest) = block.split_once('\n').unwrap();
    let (expected, _) = rest.split_once("```").unwrap();
    let picture = tempfile::Builder::new().suffix(".svg").tempfile().unwrap();
    let command = command.replace("simulate.svg", &picture.path().display().to_string());
    let program = env!("CARGO_BIN_EXE_backlog-scaler");
    let output = Command::new("sh")
        .args(["-c", &format!("{program} {command}")])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    let drawn = fs::read_to_string(picture.path()).unwrap();
    assert!(drawn == fs::read_to_string("docs/images/simulate.svg").unwrap());
}
