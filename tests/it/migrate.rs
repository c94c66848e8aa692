//! `migrate`: the program with files, folders and stdin.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

const BEFORE: &str = "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: worker, namespace: shop}\nspec:\n  \
     scaleTargetRef: {name: worker}\n  triggers:\n    - type: redis # old\n      metadata:\n        \
     address: redis.shop.svc:6379\n        listName: jobs\n";

fn after() -> String {
    let new = "        scalerAddress: backlog-scaler.keda.svc:9090\n        backend: redis\n";
    let moved = BEFORE.replace("type: redis", "type: external");
    moved.replace("metadata:\n", &format!("metadata:\n{new}"))
}

/// Runs `migrate`, with a text on its standard input.
fn migrate(args: &[&str], input: &str) -> (i32, String, String) {
    migrate_in(Path::new("."), args, input)
}

fn migrate_in(folder: &Path, args: &[&str], input: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_backlog-scaler"))
        .current_dir(folder)
        .arg("migrate")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Arguments that are refused are so before anything is read.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_file_is_printed_with_its_changes_and_a_report_beside() {
    let (code, out, said) = migrate(&["-"], BEFORE);
    assert_eq!((code, out.as_str()), (0, after().as_str()), "{said}");
    assert!(
        said.contains(
            "stdin:7:7: shop/worker, trigger 0: redis moves\n    as before: address, listName\n"
        ),
        "{said}"
    );
    assert!(said.contains("1 trigger moved, 0 cannot\n"), "{said}");
    // Nothing is left to move.
    let (code, again, said) = migrate(&["-"], &out);
    assert_eq!((code, &again), (0, &out));
    assert!(
        said.contains("no trigger of KEDA's own that could move; 1 trigger of other types"),
        "{said}"
    );
}

#[test]
fn a_diff_applies() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("worker.yaml");
    fs::write(&file, BEFORE).unwrap();
    let (code, diff, _) = migrate_in(folder.path(), &["worker.yaml", "--diff"], "");
    assert_eq!(code, 0);
    let change = "\n-    - type: redis # old\n+    - type: external # old\n";
    assert!(diff.contains(change), "{diff}");
    let mut git = Command::new("git")
        .args(["apply", "-"])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = git.stdin.take().unwrap();
    stdin.write_all(diff.as_bytes()).unwrap();
    drop(stdin);
    assert!(git.wait().unwrap().success());
    assert_eq!(fs::read_to_string(&file).unwrap(), after());
}

#[test]
fn a_folder_is_written_in_place_and_what_cannot_move_ends_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let refused = BEFORE.replace(
        "listName: jobs\n",
        "listName: jobs\n        listLength: \"0\"\n",
    );
    let other = "replicas: 5\n";
    write("a.yaml", BEFORE);
    write("b.yaml", &refused);
    write("values.yaml", other);
    let (code, out, said) = migrate(&[path(folder.path()), "--in-place"], "");
    assert_eq!((code, out.as_str()), (1, ""), "{said}");
    assert_eq!(read("a.yaml"), after());
    assert_eq!(
        (read("b.yaml"), read("values.yaml")),
        (refused, other.to_owned())
    );
    assert!(
        said.contains("b.yaml:11:9: listLength: `0` must be a whole number from 1"),
        "{said}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    // Without --in-place a folder's result is what changes.
    write("a.yaml", BEFORE);
    let (_, out, _) = migrate(&[path(folder.path())], "");
    assert_eq!(out, after());
}

#[test]
fn bad_input_ends_with_2_and_prints_no_document() {
    for (args, input, expected) in [
        (&["-"][..], "kind: [", "not valid YAML"),
        (&["-"], "a: 1", "has no `kind`"),
        (&["/nowhere.yaml"], "", "cannot read /nowhere.yaml"),
        (
            &["-", "--in-place"],
            BEFORE,
            "--in-place: stdin cannot be written",
        ),
        (
            &["-", "--scaler-address", "http://x:9090"],
            BEFORE,
            "--scaler-address: must be host:port",
        ),
        (
            &["-", "--scaler-address", "scaler"],
            BEFORE,
            "--scaler-address: must be host:port",
        ),
        (&["-", "--diff", "--report"], BEFORE, "cannot be used with"),
    ] {
        let (code, out, said) = migrate(args, input);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?} {said}");
        assert!(said.contains(expected), "{args:?} {said}");
    }
}

/// What is printed, manifests and settings, is all that a server without the cluster client needs.
#[test]
fn a_result_without_the_cluster_client_is_clean() {
    let authentication = "apiVersion: keda.sh/v1alpha1\nkind: TriggerAuthentication\n\
        metadata: {name: redis, namespace: shop}\nspec:\n  secretTargetRef:\n  \
        - {parameter: password, name: redis, key: password}\n";
    let fallback = "  fallback: {failureThreshold: 3, replicas: 2}\n  triggers:";
    let before = BEFORE.replace("  triggers:", fallback);
    let input = format!("{before}      authenticationRef: {{name: redis}}\n---\n{authentication}");
    let arguments = ["-", "--kubernetes=off", "--output", "json"];
    let (code, out, said) = migrate(&arguments, &input);
    assert_eq!((code, said.as_str()), (0, ""));
    let json: Value = serde_json::from_str(&out).unwrap();
    let keys = json["files"][0]["triggers"][0]["keys"].as_array().unwrap();
    let reference = keys.iter().find(|key| key["key"] == "authenticationRef");
    assert_eq!(reference.unwrap()["becomes"], "removed", "{out}");
    let folder = tempfile::tempdir().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    fs::write(folder.path().join("settings.yaml"), text(&json["settings"])).unwrap();
    fs::write(
        folder.path().join("moved.yaml"),
        text(&json["files"][0]["text"]),
    )
    .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_backlog-scaler"))
        .current_dir(&folder)
        .args([
            "check",
            "moved.yaml",
            "--config",
            "settings.yaml",
            "--output",
            "json",
        ])
        .output()
        .unwrap();
    let found = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{found}{errors}");
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(
        found["findings"].as_array().map(Vec::len),
        Some(0),
        "{found}"
    );
}

#[test]
fn json_has_everything() {
    let (code, out, said) = migrate(&["-", "--output", "json"], BEFORE);
    assert_eq!((code, said.as_str()), (0, ""));
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["moved"], 1);
    assert_eq!(json["files"][0]["text"], after());
    assert_eq!(
        json["files"][0]["triggers"][0]["keys"][0]["becomes"],
        "same"
    );
}

#[test]
fn a_report_of_a_cluster_says_what_it_would_save() {
    let item = |n: usize| {
        format!(
            "- {}",
            BEFORE
                .replace("name: worker,", &format!("name: worker-{n},"))
                .replace('\n', "\n  ")
                .trim_end()
        )
    };
    let items: Vec<String> = (0..1000).map(item).collect();
    let list = format!("apiVersion: v1\nkind: List\nitems:\n{}\n", items.join("\n"));
    let (code, out, said) = migrate(&["-", "--report"], &list);
    assert_eq!(code, 0, "{said}");
    let row: Vec<&str> = out
        .lines()
        .find(|line| line.starts_with("Redis"))
        .unwrap()
        .split("  ")
        .filter(|cell| !cell.is_empty())
        .map(str::trim)
        .collect();
    assert_eq!(
        row[..6],
        ["Redis", "1000", "1000", "1", "52 MiB", "54 MiB"],
        "{out}"
    );
    assert!(out.contains("docs/reference/benchmarks.md"), "{out}");
    assert!(
        out.contains("  redis address=redis.shop.svc:6379: shop/worker-0, trigger 0; "),
        "{out}"
    );
    assert!(out.contains("and 995 more"), "{out}");
}
