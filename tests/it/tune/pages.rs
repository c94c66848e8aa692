//! What pages show of `tune`, and examples of `simulate`, is what it prints: `make docs` writes outputs and
//! pictures anew.

use std::{fs, path::Path, process::Command};

/// Pages with commands and what they print.
const PAGES: [&str; 3] = [
    "docs/how-to/tune.md",
    "deploy/examples/pipeline/README.md",
    "deploy/examples/documents/README.md",
];

const BEGIN: &str = "```console\n$ backlog-scaler ";
const END: &str = "```\n";

fn path(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// There is no chance in it.
#[test]
fn pages_show_what_it_prints() {
    let is_update = std::env::var_os("UPDATE_EXAMPLES").is_some();
    let mut shown = 0;
    for page in PAGES {
        let text = fs::read_to_string(path(page)).unwrap();
        let mut blocks = text.split(BEGIN);
        let mut anew = blocks.next().unwrap().to_owned();
        for block in blocks {
            let (command, rest) = block.split_once('\n').unwrap();
            let (expected, after) = rest.split_once(END).unwrap();
            let printed = run(command, is_update);
            assert!(
                is_update || printed == expected,
                "{page}: `make docs` writes it anew:\n{printed}"
            );
            anew += &format!("{BEGIN}{command}\n{printed}{END}{after}");
            shown += 1;
        }
        if is_update {
            fs::write(path(page), anew).unwrap();
        }
    }
    assert!(shown >= 5, "{shown}");
}

/// What it prints. Its picture, if any, is one of the docs.
fn run(command: &str, is_update: bool) -> String {
    let folder = tempfile::tempdir().unwrap();
    let drawn = folder.path().join("picture.svg");
    let (before, picture) = match command.split_once(" --picture ") {
        Some((before, picture)) => (before, Some(picture)),
        None => (command, None),
    };
    let drawing = picture.map(|_| format!(" --picture {}", drawn.display()));
    let program = env!("CARGO_BIN_EXE_backlog-scaler");
    let script = format!("{program} {before}{}", drawing.unwrap_or_default());
    let output = Command::new("sh")
        .args(["-c", &script])
        .current_dir(path(""))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {errors}");
    if let Some(picture) = picture {
        let drawn = fs::read_to_string(drawn).unwrap();
        let kept = path("docs/images").join(picture);
        if is_update {
            fs::write(&kept, &drawn).unwrap();
        }
        let kept = fs::read_to_string(kept).unwrap_or_default();
        assert!(kept == drawn, "{picture}: `make docs` draws it anew");
    }
    String::from_utf8(output.stdout).unwrap()
}
