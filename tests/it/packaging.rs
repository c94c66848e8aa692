//! What comes with a release beside the program: completions, manual pages, krew's manifest.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use testkit::process;

fn run(args: &[&str]) -> String {
    let program = env!("CARGO_BIN_EXE_backlog-scaler");
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]);
        for word in [
            "probe",
            "check",
            "serve",
            "completions",
            "strict",
            "migrate",
        ] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    // A shell takes it.
    let folder = process::directory();
    let file = folder.path().join("completions.bash");
    fs::write(&file, run(&["completions", "bash"])).unwrap();
    let status = Command::new("bash").arg("-n").arg(&file).status().unwrap();
    assert!(status.success());
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = process::directory();
    let man = folder.path().join("man");
    run(&["man", man.to_str().unwrap()]);
    for (page, holds) in [
        ("backlog-scaler.1", "backlog\\-scaler\\-probe(1)"),
        ("backlog-scaler-probe.1", "\\-\\-watch"),
        ("backlog-scaler-check.1", "\\-\\-strict"),
        ("backlog-scaler-migrate.1", "\\-\\-in\\-place"),
        ("backlog-scaler-serve.1", "\\-\\-config"),
    ] {
        let text = fs::read_to_string(man.join(page)).unwrap();
        assert!(text.starts_with(".ie") && text.contains(".TH "), "{page}");
        assert!(text.contains(holds), "{page}: {text}");
    }
}

/// By krew's own rules (`internal/index/validation` of kubernetes-sigs/krew).
#[test]
fn the_manifest_for_krew_is_one_that_krew_takes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = process::directory();
    let sums = folder.path().join("SHA256SUMS");
    let script = |version: &str| {
        Command::new(root.join("scripts/krew.sh"))
            .arg(&sums)
            .args([version, "https://example.com/v1", "https://example.com"])
            .output()
            .unwrap()
    };
    let line = |sum: &str, arch: &str| {
        let sum = sum.repeat(32);
        format!("{sum}  backlog-scaler-1.2.3-{arch}-unknown-linux-gnu.tar.gz\n")
    };
    fs::write(&sums, line("0a", "x86_64") + &line("1b", "aarch64")).unwrap();
    let output = script("1.2.3");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains('@'), "{text}");
    let plugin: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(
        plugin["apiVersion"],
        "krew.googlecontainertools.github.com/v1alpha2"
    );
    assert_eq!(
        (&plugin["kind"], &plugin["metadata"]["name"]),
        (&"Plugin".into(), &"backlog-scaler".into())
    );
    let spec = &plugin["spec"];
    assert_eq!(spec["version"], "v1.2.3");
    let description = spec["shortDescription"].as_str().unwrap();
    assert!(
        description.len() <= 50 && !description.contains('\n'),
        "{description}"
    );
    let platforms = spec["platforms"].as_array().unwrap();
    assert_eq!(platforms.len(), 2);
    for platform in platforms {
        let sum = platform["sha256"].as_str().unwrap();
        assert!(
            sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit()),
            "{sum}"
        );
        assert_eq!(platform["bin"], "backlog-scaler");
        let uri = platform["uri"].as_str().unwrap();
        assert!(
            uri.starts_with("https://example.com/v1/backlog-scaler-1.2.3-"),
            "{uri}"
        );
        let arch = &platform["selector"]["matchLabels"]["arch"];
        assert_eq!(uri.contains("x86_64"), arch == "amd64", "{uri}");
        let files = platform["files"].as_array().unwrap();
        assert!(
            files.iter().any(|file| file["from"] == "*/backlog-scaler"),
            "{files:?}"
        );
    }
    let missing = script("9.9.9");
    assert!(!missing.status.success());
    assert!(
        String::from_utf8(missing.stderr)
            .unwrap()
            .contains("has no backlog-scaler-9.9.9")
    );
}
