//! `check`: mistakes in manifests and settings, and the way of KEDA's calls.

mod crds;
mod live;

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use testkit::process;

/// What a run printed, and its exit code.
struct Run {
    code: i32,
    out: String,
    err: String,
}

async fn check(args: &[&str], stdin: &str) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backlog-scaler"));
    command.arg("check").args(args);
    let stdin = stdin.to_owned();
    let run = move || {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One that reads no stdin may have ended already.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        child.wait_with_output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    Run {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A ScaledObject with a list of Redis, and a fallback; `more` are more keys of its trigger.
fn manifest(address: &str, scaler: &str, more: &str) -> String {
    format!(
        "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata:\n  name: worker\n  namespace: shop\n\
         spec:\n  scaleTargetRef:\n    name: worker\n  fallback:\n    failureThreshold: 3\n    replicas: 2\n  \
         triggers:\n    - type: external\n      metadata:\n        scalerAddress: {scaler}\n        backend: redis\n        \
         address: {address}\n        listName: jobs\n        listLength: \"5\"\n{more}"
    )
}

const SCALER: &str = "backlog-scaler.keda.svc:9090";

fn sound() -> String {
    manifest("redis.shop.svc:6379", SCALER, "")
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn findings_of_files_and_folders_have_their_line_and_column() {
    let folder = process::directory();
    let folder = folder.path();
    let good = write(folder, "a/good.yaml", &sound());
    let bad = sound().replace("listLength: \"5\"", "listLenght: 5");
    let bad = write(folder, "a/b/bad.yml", &bad);
    write(folder, "a/values.yaml", "image: {tag: x}");
    write(
        folder,
        "a/deployment.json",
        r#"{"apiVersion": "apps/v1", "kind": "Deployment"}"#,
    );

    let run = check(&[&good], "").await;
    assert_eq!(
        (run.code, run.out.as_str()),
        (0, "1 file: 0 errors, 0 warnings\n"),
        "{}",
        run.err
    );

    let run = check(&[folder.to_str().unwrap()], "").await;
    assert_eq!(run.code, 1, "{}", run.out);
    for expected in [
        format!(
            "{bad}:19:9: error[unknown-key]: listLenght: unknown key; did you mean `listLength`?\n"
        ),
        "    of: shop/worker, trigger 0\n    fix: write `listLength`\n".to_owned(),
        format!("{bad}:19:9: error[unquoted-value]: listLenght: has no quotes"),
        "4 files: 2 errors, 0 warnings\n".to_owned(),
    ] {
        assert!(run.out.contains(&expected), "{expected}\n{}", run.out);
    }
}

#[tokio::test]
async fn exit_codes_tell_errors_warnings_and_what_cannot_be_read_apart() {
    let warning = sound().replace(
        "  fallback:\n    failureThreshold: 3\n    replicas: 2\n",
        "",
    );
    let run = check(&["-"], &warning).await;
    assert_eq!(run.code, 0, "{}", run.out);
    assert!(
        run.out.starts_with("stdin:6:1: warning[no-fallback]"),
        "{}",
        run.out
    );
    assert_eq!(check(&["-", "--strict"], &warning).await.code, 1);
    assert_eq!(check(&["-", "--strict"], &sound()).await.code, 0);
    assert_eq!(check(&["-"], "a: [").await.code, 1);
    let template = check(&["-"], "kind: ScaledObject\nspec: {{ .Values.spec }}\n").await;
    assert!(
        template.out.contains("helm template CHART"),
        "{}",
        template.out
    );
    for bad in [
        &["/does/not/exist.yaml"][..],
        &[],
        &["-", "--output", "pdf"],
    ] {
        let run = check(bad, "").await;
        assert_eq!(
            (run.code, run.out.as_str()),
            (2, ""),
            "{bad:?}: {}",
            run.err
        );
    }
    // Of a pipe whose first command failed.
    for nothing in [
        "",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n",
        "apiVersion: v1\nkind: List\nitems: []\n",
    ] {
        let run = check(&["-"], nothing).await;
        assert_eq!((run.code, run.out.as_str()), (2, ""), "{nothing}");
        assert!(
            run.err.contains("no ScaledObject, ScaledJob"),
            "{}",
            run.err
        );
    }
}

#[tokio::test]
async fn output_for_programs_has_every_finding() {
    let folder = process::directory();
    let text = sound().replace("listLength: \"5\"", "listLength: ten");
    let file = write(folder.path(), "with space, and comma.yaml", &text);

    let run = check(&[&file, "--output", "json"], "").await;
    let json: Value = serde_json::from_str(&run.out).unwrap();
    let finding = &json["findings"][0];
    assert_eq!(
        (run.code, &json["errors"], &json["warnings"]),
        (1, &1.into(), &0.into())
    );
    assert_eq!(finding["code"], "invalid-metadata");
    assert_eq!(
        (&finding["line"], &finding["column"]),
        (&19.into(), &9.into())
    );
    assert_eq!(finding["message"], "`ten` must be a whole number from 1");

    let run = check(&[&file, "--output", "github"], "").await;
    let escaped = file.replace(',', "%2C");
    let start = format!(
        "::error file={escaped},line=19,col=9,endLine=19,endColumn=19,title=invalid-metadata::listLength: "
    );
    assert!(run.out.starts_with(&start), "{}", run.out);
    assert_eq!(run.out.lines().count(), 1, "{}", run.out);

    let run = check(&[&file, "--output", "sarif"], "").await;
    let sarif: Value = serde_json::from_str(&run.out).unwrap();
    is_sarif(&sarif);
    let result = &sarif["runs"][0]["results"][0];
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["region"]["startLine"], 19);
    let uri = place["artifactLocation"]["uri"].as_str().unwrap();
    assert!(uri.ends_with("with%20space%2C%20and%20comma.yaml"), "{uri}");
}

/// What SARIF 2.1.0 requires of the parts that we write (sections 3.13, 3.14, 3.18, 3.19, 3.27, 3.49).
fn is_sarif(log: &Value) {
    assert_eq!(log["version"], "2.1.0");
    for run in log["runs"].as_array().unwrap() {
        let driver = &run["tool"]["driver"];
        assert!(driver["name"].is_string());
        let rules = driver["rules"].as_array().unwrap();
        for rule in rules {
            assert!(rule["id"].is_string() && rule["shortDescription"]["text"].is_string());
            let level = rule["defaultConfiguration"]["level"].as_str();
            assert!(matches!(level, Some("error" | "warning" | "note" | "none")));
        }
        for result in run["results"].as_array().unwrap() {
            assert!(result["message"]["text"].is_string());
            let index = result["ruleIndex"].as_u64().unwrap() as usize;
            assert_eq!(rules[index]["id"], result["ruleId"]);
            let region = &result["locations"][0]["physicalLocation"]["region"];
            let number = |key: &str| region[key].as_u64().unwrap();
            assert!(number("startLine") >= 1 && number("startColumn") >= 1);
            let start = (number("startLine"), number("startColumn"));
            assert!((number("endLine"), number("endColumn")) >= start);
        }
    }
}

#[tokio::test]
async fn settings_are_checked_and_decide_what_triggers_may_use() {
    let folder = process::directory();
    let folder = folder.path();
    let settings = "connections:\n  orders:\n    backend: redis\n    namespaces: [shop]\n    \
                    address: redis:6379\n    passwordFromFile: /not/here\n";
    let config = write(folder, "settings.yaml", settings);
    let named = sound().replace("address: redis.shop.svc:6379", "connection: orders");
    let run = check(&["-", "--config", &config], &named).await;
    assert_eq!(run.code, 0, "{}", run.out);
    let other = named.replace("connection: orders", "connection: payments");
    let run = check(&["-", "--config", &config], &other).await;
    assert!(
        run.out.contains("connection: `payments` is not known"),
        "{}",
        run.out
    );

    let slip = settings.replace("namespaces", "namespace");
    let config = write(
        folder,
        "settings.yaml",
        &format!("{slip}engine:\n  callTimeout: soon\n"),
    );
    let run = check(&["--config", &config], "").await;
    assert_eq!(run.code, 1, "{}", run.out);
    let expected =
        format!("{config}:8:3: error[invalid-settings]: engine.callTimeout: `soon` must be a time");
    assert!(run.out.contains(&expected), "{}", run.out);
}

#[tokio::test]
async fn templates_of_a_chart_in_a_folder_are_left_out() {
    let folder = process::directory();
    let folder = folder.path();
    write(
        folder,
        "chart/Chart.yaml",
        "apiVersion: v2\nname: chart\nversion: 0.1.0\n",
    );
    write(folder, "chart/values.yaml", "list: jobs\n");
    let template = sound().replace(
        "listName: jobs",
        "{{- with .Values.list }}\n        listName: {{ . }}\n{{- end }}",
    );
    let template = write(folder, "chart/templates/worker.yaml", &template);
    let plain = sound().replace("listLength: \"5\"", "listLenght: \"5\"");
    let plain = write(folder, "chart/templates/plain.yaml", &plain);
    write(folder, "other.yaml", &sound());

    let run = check(&[folder.to_str().unwrap()], "").await;
    assert!(
        run.out
            .contains(&format!("{plain}:19:9: error[unknown-key]")),
        "{}",
        run.out
    );
    assert!(!run.out.contains(&template), "{}", run.out);
    let chart = folder.join("chart");
    let chart = chart.display();
    let note = format!("note: {chart}: 1 template is left out");
    let render = format!("`helm template {chart} | backlog-scaler check -`");
    assert!(
        run.err.contains(&note) && run.err.contains(&render),
        "{}",
        run.err
    );
    // One that is named is meant.
    let run = check(&[&template], "").await;
    assert_eq!(run.code, 1, "{}", run.out);
    assert!(run.out.contains("error[invalid-yaml]"), "{}", run.out);
    assert_eq!(run.err, "");
}
