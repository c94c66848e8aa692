//! Commands that pages show: that they are shell, and name targets, options and files that exist.

use std::{
    collections::BTreeSet,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use regex::Regex;

use super::{
    blocks::{Block, blocks},
    page,
};

/// What a person types: shell blocks, and the lines of consoles behind a prompt.
pub fn typed() -> Vec<Block> {
    let mut blocks_of_both = blocks("sh");
    for mut console in blocks("console") {
        let lines = console
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("$ "));
        console.text = lines.map(|line| format!("{line}\n")).collect();
        assert!(!console.text.is_empty(), "{console}: no prompt");
        blocks_of_both.push(console);
    }
    blocks_of_both
}

/// A simple command, as words without quotes. Redirections are left out.
pub type Words = Vec<String>;

/// The simple commands of a script. Knows as much of a shell as the pages use.
pub fn commands(script: &str) -> Vec<Words> {
    let script = script.replace("\\\n", " ");
    let (mut all, mut words, mut word) = (Vec::new(), Words::new(), None::<String>);
    let mut chars = script.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' | '"' => {
                let quoted: String = chars.by_ref().take_while(|next| *next != c).collect();
                word.get_or_insert_default().push_str(&quoted);
            }
            '$' if chars.peek() == Some(&'(') => {
                let inner = parenthesized(&mut chars);
                all.extend(commands(&inner));
                word.get_or_insert_default().push('…');
            }
            '#' if word.is_none() => while chars.next_if(|next| *next != '\n').is_some() {},
            ' ' => words.extend(word.take()),
            '\n' | ';' | '|' | '&' | '(' | ')' => {
                words.extend(word.take());
                all.push(std::mem::take(&mut words));
            }
            '<' | '>' => {
                // `2>` has the number before it.
                word.take();
                chars.next_if_eq(&'&');
                words.push("<".to_owned());
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    all.push(words);
    let simple = all.into_iter().map(simple);
    simple.filter(|words| !words.is_empty()).collect()
}

fn parenthesized(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let (mut inner, mut depth) = (String::new(), 0);
    for c in chars.by_ref() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        inner.push(c);
    }
    inner[1..].to_owned()
}

/// Without keywords, variables that are set for it, and the files of redirections.
fn simple(words: Words) -> Words {
    let assignment = Regex::new(r"^[A-Za-z_]+=").unwrap();
    let mut words = words.into_iter().peekable();
    let keyword = |word: &String| {
        let keywords = [
            "do", "then", "else", "while", "until", "if", "!", "done", "fi",
        ];
        keywords.contains(&word.as_str()) || assignment.is_match(word)
    };
    while words.next_if(keyword).is_some() {}
    let mut kept = Words::new();
    while let Some(word) = words.next() {
        match word.as_str() {
            "<" => _ = words.next(),
            _ => kept.push(word),
        }
    }
    kept
}

#[test]
fn what_is_typed_is_shell() {
    let blocks = typed();
    assert!(blocks.len() > 50, "{}", blocks.len());
    for block in blocks {
        let mut shell = Command::new("sh")
            .arg("-n")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = shell.stdin.take().unwrap();
        input.write_all(block.text.as_bytes()).unwrap();
        drop(input);
        let output = shell.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{block}: {errors}");
    }
}

#[test]
fn make_is_given_targets_and_variables_that_it_has() {
    let makefile = page("Makefile");
    let all = |pattern: &str| -> BTreeSet<String> {
        let pattern = Regex::new(pattern).unwrap();
        let found = pattern.captures_iter(&makefile);
        found.map(|found| found[1].to_owned()).collect()
    };
    let (targets, variables) = (all(r"(?m)^([a-z-]+):"), all(r"\$\(([A-Z_]+)\)"));
    let mut checked = 0;
    for block in typed() {
        for words in commands(&block.text)
            .iter()
            .filter(|words| words[0] == "make")
        {
            for word in &words[1..] {
                let known = match word.split_once('=') {
                    Some((variable, _)) => variables.contains(variable),
                    None => targets.contains(word),
                };
                assert!(known, "{block}: make {word}");
            }
            checked += 1;
        }
    }
    assert!(checked > 5, "{checked}");
}

/// Parsed by the program's own declaration, in a shell and in a container.
#[test]
fn the_program_is_given_subcommands_and_options_that_it_has() {
    let mut checked = 0;
    for block in typed() {
        for words in commands(&block.text) {
            let own = |word: &String| word.rsplit('/').next() == Some("backlog-scaler");
            let at = match words[0].as_str() {
                "docker" | "kubectl" => words.iter().position(|word| word == "/backlog-scaler"),
                _ => Some(0).filter(|at| own(&words[*at])),
            };
            let Some(at) = at else { continue };
            let parsed = backlog_scaler::cli::command().try_get_matches_from(&words[at..]);
            if let Err(error) = parsed {
                panic!("{block}: {}: {error}", words[at..].join(" "));
            }
            checked += 1;
        }
    }
    assert!(checked > 10, "{checked}");
}

/// Those of this repository, wherever they stand in a command.
#[test]
fn commands_name_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = Regex::new(r"^(scripts|tests|deploy|docs|src|benches)/[^*$]+$").unwrap();
    // As kubectl writes it.
    let deployment = Regex::new(r"^deploy/[A-Za-z-]+$").unwrap();
    let mut checked = 0;
    for block in typed() {
        for word in commands(&block.text).concat() {
            let file = word.rsplit('=').next().unwrap();
            if own.is_match(file) && !deployment.is_match(file) {
                assert!(root.join(file).exists(), "{block}: {file}");
                checked += 1;
            }
        }
    }
    assert!(checked > 15, "{checked}");
}

#[test]
fn helm_is_given_values_that_the_chart_has() {
    let values: serde_json::Value =
        serde_saphyr::from_str(&page("deploy/helm/backlog-scaler/values.yaml")).unwrap();
    let mut checked = 0;
    for block in typed() {
        for words in commands(&block.text)
            .iter()
            .filter(|words| words[0] == "helm")
        {
            for pair in words.windows(2).filter(|pair| pair[0] == "--set") {
                let (key, _) = pair[1].split_once('=').expect("a value");
                let pointer = format!("/{}", key.replace('.', "/"));
                assert!(values.pointer(&pointer).is_some(), "{block}: {key}");
                checked += 1;
            }
        }
    }
    assert!(checked > 1, "{checked}");
}

#[test]
fn words_are_read_as_a_shell_reads_them() {
    let read = |script| {
        commands(script)
            .iter()
            .map(|c| c.join("_"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        read(
            "A=1 make 'a b' \\\n c | sed s/x/y/ > out # not this\nfor i in $(seq 3); do echo $i; done"
        ),
        ["make_a b_c", "sed_s/x/y/", "seq_3", "for_i_in_…", "echo_$i"]
    );
    assert_eq!(read("until x -q 2>/dev/null; do :; done"), ["x_-q", ":"]);
    assert_eq!(read("probe - <file 2>&1 && b &"), ["probe_-", "b"]);
}
