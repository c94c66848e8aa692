//! Manifests of any text, and good ones with the slips of somebody who edits them. A manifest holds
//! secrets, and what is wrong with it ends up in the logs of a pipeline.

use std::{fmt::Write, sync::LazyLock};

use allocation_counter::measure;
use proptest::{
    collection::{btree_map, vec},
    prelude::*,
    sample::{Index, select},
};
use serde_json::{Value, json};

use tokio::runtime::Runtime;

use super::*;
use crate::check::{Checker, Finding};

/// In every secret, and in no problem or note.
const SENTINEL: &str = "s3cr3t-s3nt1n3l";

/// Every variable is set to a secret but one.
fn env(name: &str) -> Option<String> {
    (name != "MISSING").then(|| format!("{SENTINEL} of {name}"))
}

/// How a secret may be written: some of these are slips already.
fn written_secret() -> impl Strategy<Value = String> {
    let styles = select(vec![
        "#",
        "\"#\"",
        "'#'",
        "|\n        #",
        ">-\n          #\n          #",
        "[#]",
        "[a, #]",
        "{a: #}",
        "{#: a}",
        "!!int #",
        "!#",
        "&a #",
        "&# a",
        "*#",
        "@#",
        "`#`",
        "%#",
        "#: x",
        "a: #",
        "\"#",
        "'#",
        "#'",
        "- #",
        "? #",
        "!!binary #",
        "! #",
        "|#",
        "\\#",
        "\"\\#\"",
        "\"\\u#\"",
        "\t#",
        "#\n#: x\n#: x",
        "5#",
        "~#",
        "-----BEGIN #-----\n#",
    ]);
    styles.prop_map(|style| style.replace('#', SENTINEL))
}

/// A good manifest but for its secrets, in the block style that people write.
fn manifest() -> impl Strategy<Value = String> {
    let key = select(vec![
        "password",
        "saslPassword",
        "tlsClientKey",
        "apiKey",
        "key",
    ]);
    let secrets = vec((key, written_secret()), 0..4);
    let optional = vec(any::<bool>(), 9);
    let trigger = (secrets, any::<bool>());
    (optional, vec(trigger, 1..3), any::<bool>()).prop_map(|(optional, triggers, is_job)| {
        let kind = if is_job { "ScaledJob" } else { "ScaledObject" };
        let mut text = format!("apiVersion: keda.sh/v1alpha1\nkind: {kind}\nmetadata:\n  name: orders\n");
        let lines = [
            "  namespace: shop",
            "  annotations:\n    team: orders",
            "spec:",
            "  minReplicaCount: 2",
            "  maxReplicaCount: 20",
            "  idleReplicaCount: 0",
            "  advanced:\n    scalingModifiers:\n      formula: a + b",
            "  scalingStrategy:\n    multipleScalersCalculation: sum",
            "  triggers:",
        ];
        for (line, wanted) in lines.iter().zip(optional) {
            // What every manifest needs is left out rarely enough by the slips.
            if wanted || line.ends_with("spec:") || line.ends_with("triggers:") {
                let _ = writeln!(text, "{line}");
            }
        }
        for (secrets, is_ours) in triggers {
            let trigger_type = if is_ours { "external" } else { "cpu" };
            let _ = writeln!(
                text,
                "    - type: {trigger_type}\n      name: jobs\n      metricType: AverageValue\n      \
                 authenticationRef:\n        name: auth\n      metadata:\n        \
                 scalerAddress: s:9090\n        backend: redis\n        usernameFromEnv: USER"
            );
            for (key, secret) in secrets {
                let _ = writeln!(text, "        {key}: {secret}");
            }
            let _ = writeln!(text, "        listName: jobs");
        }
        text
    })
}

/// A slip of somebody who edits a manifest.
#[derive(Clone, Debug)]
enum Slip {
    Indent(Index, usize),
    Dedent(Index, usize),
    RemoveLine(Index),
    RepeatLine(Index),
    SwapLines(Index, Index),
    /// The line goes on with the next one.
    JoinLines(Index),
    /// What stands before the colon is lost, or what stands after it.
    LoseKey(Index),
    LoseValue(Index),
    RemoveChar(Index),
    Insert(Index, String),
    Cut(Index),
}

fn slip() -> impl Strategy<Value = Slip> {
    let at = any::<Index>;
    let marks = select(vec![
        "\"", "'", ": ", ":", "- ", "{", "}", "[", "]", ",", "&a ", "*a", "!!int ", "!", "|", ">",
        "\t", "%", "@", "# ", "\n---\n", "\n", "? ", "<<: ", "\u{feff}", "\r", "\0", "\u{85}", "`",
    ]);
    prop_oneof![
        (at(), 1..9_usize).prop_map(|(at, by)| Slip::Indent(at, by)),
        (at(), 1..9_usize).prop_map(|(at, by)| Slip::Dedent(at, by)),
        at().prop_map(Slip::RemoveLine),
        at().prop_map(Slip::RepeatLine),
        (at(), at()).prop_map(|(one, other)| Slip::SwapLines(one, other)),
        at().prop_map(Slip::JoinLines),
        at().prop_map(Slip::LoseKey),
        at().prop_map(Slip::LoseValue),
        at().prop_map(Slip::RemoveChar),
        (at(), marks).prop_map(|(at, mark)| Slip::Insert(at, mark.to_owned())),
        (at(), any::<char>()).prop_map(|(at, c)| Slip::Insert(at, c.to_string())),
        at().prop_map(Slip::Cut),
    ]
}

impl Slip {
    fn apply(&self, text: &str) -> String {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut chars: Vec<char> = text.chars().collect();
        if lines.is_empty() {
            return text.to_owned();
        }
        let (n, c) = (lines.len(), chars.len());
        match self {
            Slip::Indent(at, by) => lines[at.index(n)].insert_str(0, &" ".repeat(*by)),
            Slip::Dedent(at, by) => {
                let line = &mut lines[at.index(n)];
                let spaces = line.chars().take(*by).take_while(|c| *c == ' ').count();
                line.drain(..spaces);
            }
            Slip::RemoveLine(at) => drop(lines.remove(at.index(n))),
            Slip::RepeatLine(at) => lines.insert(at.index(n), lines[at.index(n)].clone()),
            Slip::SwapLines(one, other) => lines.swap(one.index(n), other.index(n)),
            Slip::JoinLines(at) => {
                let next = lines.remove(at.index(n));
                match lines.get_mut(at.index(n).wrapping_sub(1)) {
                    Some(line) => line.push_str(&next),
                    None => lines.insert(0, next),
                }
            }
            Slip::LoseKey(at) => {
                let line = &mut lines[at.index(n)];
                if let Some((key, value)) = line.split_once(':') {
                    let indent = key.len() - key.trim_start().len();
                    *line = format!("{}{}", " ".repeat(indent), value.trim_start());
                }
            }
            Slip::LoseValue(at) => {
                let line = &mut lines[at.index(n)];
                if let Some((key, _)) = line.split_once(':') {
                    *line = format!("{key}:");
                }
            }
            Slip::RemoveChar(at) => {
                chars.remove(at.index(c));
                return chars.into_iter().collect();
            }
            Slip::Insert(at, mark) => {
                let at = at.index(c);
                return chars[..at].iter().collect::<String>()
                    + mark
                    + &chars[at..].iter().collect::<String>();
            }
            Slip::Cut(at) => return chars[..at.index(c)].iter().collect(),
        }
        lines.join("\n") + "\n"
    }
}

/// What `check` would say of it.
fn findings(text: &str) -> Vec<Finding> {
    static CHECKER: LazyLock<(Runtime, Checker)> = LazyLock::new(|| {
        let runtime = Runtime::new().expect("starts");
        let checker = runtime.block_on(async { Checker::new().expect("starts") });
        (runtime, checker)
    });
    CHECKER.1.check(&File::new("f", text), false)
}

/// Everything that is said about a file is one line each, of bounded length, without a secret.
fn says_no_secret(text: &str) -> Result<(), TestCaseError> {
    let said = match read("f", text, &env) {
        Ok(manifests) => {
            prop_assert!(!manifests.objects.is_empty());
            manifests.notes
        }
        Err(problems) => {
            prop_assert!(!problems.is_empty());
            problems
        }
    };
    // A key that is not known is shown: it is no value.
    let said_by_check = findings(text)
        .into_iter()
        .flat_map(|finding| [finding.subject, finding.message, finding.fix].into_iter());
    for one in said.into_iter().chain(said_by_check) {
        prop_assert!(!one.contains(SENTINEL), "{one}\n{text}");
        prop_assert!(!one.contains(char::is_control), "{one:?}\n{text}");
        prop_assert!(one.len() < 4200, "{} bytes: {one}\n{text}", one.len());
    }
    Ok(())
}

/// A value of any depth, as a manifest may hold.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        Just(Value::from(SENTINEL)),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map("[a-zA-Z]{1,8}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

/// Where in a manifest another value may stand than the one that is expected. Left out are names,
/// kinds and versions, which are shown so that an object can be found.
const PLACES: [&str; 12] = [
    "",
    "/metadata/annotations",
    "/spec",
    "/spec/minReplicaCount",
    "/spec/advanced",
    "/spec/triggers",
    "/spec/triggers/0",
    "/spec/triggers/0/type",
    "/spec/triggers/0/name",
    "/spec/triggers/0/metricType",
    "/spec/triggers/0/metadata",
    "/spec/triggers/0/metadata/listName",
];

fn manifest_with(metadata: &BTreeMap<String, String>) -> Value {
    json!({
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "orders", "namespace": "shop", "annotations": {"a": "b"}},
        "spec": {
            "minReplicaCount": 1,
            "advanced": {},
            "triggers": [{
                "type": "external",
                "name": "jobs",
                "metricType": "AverageValue",
                "metadata": metadata,
            }],
        },
    })
}

proptest! {
    #[test]
    fn a_manifest_is_read_as_it_is_written(
        metadata in btree_map("[a-zA-Z]{1,12}", any::<String>(), 0..6),
        as_list in any::<bool>(),
    ) {
        let mut manifest = manifest_with(&metadata);
        if as_list {
            manifest = json!({"kind": "List", "apiVersion": "v1", "items": [manifest]});
        }
        let found = read("f", &manifest.to_string(), &env).map_err(|problems| {
            TestCaseError::fail(format!("{problems:?}\n{manifest}"))
        })?;
        let expected = metadata.into_iter().map(|(key, value)| match key.ends_with("FromEnv") {
            true => (key, env(&value).expect("is set")),
            false => (key, value),
        });
        let trigger = &found.objects[0].triggers[0];
        prop_assert_eq!(&trigger.metadata, &expected.collect::<BTreeMap<_, _>>());
    }

    #[test]
    fn no_slip_shows_a_secret(manifest in manifest(), slips in vec(slip(), 0..4)) {
        let text = slips.iter().fold(manifest, |text, slip| slip.apply(&text));
        says_no_secret(&text)?;
    }

    #[test]
    fn no_value_at_a_wrong_place_shows_a_secret(place in select(&PLACES[..]), value in value()) {
        let metadata = BTreeMap::from([("password".to_owned(), SENTINEL.to_owned())]);
        let mut manifest = manifest_with(&metadata);
        *manifest.pointer_mut(place).unwrap_or(&mut Value::Null) = value;
        says_no_secret(&manifest.to_string())?;
    }

    #[test]
    fn any_text_is_manifests_or_problems(
        text in prop_oneof![
            any::<String>(),
            "([ \\-]{0,4}(kind|apiVersion|spec|triggers|metadata|a|\\*a|&a b)?[:,\\[\\]{}&*!|>'\"%@`#?-]{0,2} ?\n?){0,30}",
            "(---|\\.\\.\\.|%YAML 1\\.2|a: b|- |\\[|\\{| |\n){0,40}",
        ],
    ) {
        says_no_secret(&text)?;
    }
}

/// Memory stands for time here as well: every node that is read is kept.
#[test]
fn properties_of_what_a_few_bytes_stand_for() {
    let mut aliases = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        let all = [before.as_str(); 9].join(", ");
        let _ = writeln!(aliases, "a{level}: &a{level} [{all}]");
    }
    let merges = (1..30).fold("a0: &a0 {x: y}\n".to_owned(), |text, level| {
        let before = level - 1;
        format!("{text}a{level}: &a{level} {{b: *a{before}, c: *a{before}, <<: *a{before}}}\n")
    });
    for text in [
        aliases,
        merges,
        "[".repeat(200_000),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
        "? ".repeat(100_000),
        format!(
            "{}kind: List{}",
            "{items: [".repeat(2_000),
            "]}".repeat(2_000)
        ),
    ] {
        let mut outcome = None;
        let memory = measure(|| outcome = Some(read("f", &text, &env).map(|_| ())));
        let start: String = text.chars().take(40).collect();
        assert!(outcome.expect("was read").is_err(), "{start}");
        assert!(memory.bytes_total < 512 << 20, "{start}: {memory:?}");
    }
}
