//! Whole files: input → output, byte for byte, and what is said of it.

mod with_settings;

use super::*;
use crate::manifests::Position;

async fn migrated(texts: &[&str], options: &Options) -> Migration {
    let files: Vec<File> = texts.iter().map(|text| File::new("f", *text)).collect();
    let checker = Checker::new().expect("starts");
    migrate(&files, options, &checker)
}

fn options() -> Options {
    Options {
        scaler_address: "backlog-scaler.keda.svc:9090".to_owned(),
        push: false,
        kubernetes: true,
        server: None,
    }
}

async fn moved(text: &str) -> String {
    let migration = migrated(&[text], &options()).await;
    for trigger in &migration.files[0].triggers {
        assert!(trigger.refused.is_empty(), "{:?}\n{text}", trigger.refused);
    }
    migration.files[0].text.clone()
}

const HEAD: &str = "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata:\n  name: worker\n  namespace: shop\nspec:\n  scaleTargetRef:\n    name: worker\n";

fn object(triggers: &str) -> String {
    format!("{HEAD}  triggers:\n{triggers}")
}

const NEW: &str = "        scalerAddress: backlog-scaler.keda.svc:9090\n        backend: redis\n";

#[tokio::test]
async fn a_block_keeps_its_comments_order_and_quotes() {
    let before = object(
        "    # the jobs\n    - type: redis   # KEDA's own\n      name: 'jobs'\n      metadata: # of it\n        \
         # where\n        address: 'redis.shop.svc:6379'  # it is\n\n        listName: jobs\n        \
         listLength: \"5\"\n        enableTLS: 'false'  # no\n        metricName: old\n      \
         useCachedMetrics: true\n      authenticationRef:\n        name: redis\n    - type: cpu\n      \
         metadata: {value: '60'}\n",
    );
    let expected = before
        .replace("type: redis   #", "type: external   #")
        .replace("metadata: # of it\n", &format!("metadata: # of it\n{NEW}"))
        .replace("enableTLS: 'false'  # no", "tls: 'disable'  # no")
        .replace("        metricName: old\n", "");
    assert_eq!(moved(&before).await, expected);
    let crlf = before.replace('\n', "\r\n");
    assert_eq!(moved(&crlf).await, expected.replace('\n', "\r\n"));
    let bom = format!("\u{feff}{before}");
    assert_eq!(moved(&bom).await, format!("\u{feff}{expected}"));
}

#[tokio::test]
async fn a_key_can_take_the_place_of_one_that_keda_ignores() {
    let keys = "        address: r:6379\n        tls: disable\n        enableTLS: \"true\"\n        \
                listName: jobs\n";
    let before = object(&format!("    - type: redis\n      metadata:\n{keys}"));
    let keys = keys
        .replace("        tls: disable\n", "")
        .replace("enableTLS: \"true\"", "tls: \"enable\"");
    let expected = object(&format!(
        "    - type: external\n      metadata:\n{NEW}{keys}"
    ));
    assert_eq!(moved(&before).await, expected);
}

#[tokio::test]
async fn flow_style_stays_flow_style() {
    let before = object(
        "  - {type: redis, metadata: {address: \"r:6379\", listName: jobs, unsafeSsl: 'true'}} # one\n  \
         - { \"type\" : \"temporal\", \"metadata\": { \"endpoint\": \"t:7233\", \"taskQueue\": \"q\" } }\n",
    );
    let expected = object(
        "  - {type: external, metadata: {scalerAddress: backlog-scaler.keda.svc:9090, backend: redis, \
         address: \"r:6379\", listName: jobs}} # one\n  \
         - { \"type\" : \"external\", \"metadata\": { \"scalerAddress\": \"backlog-scaler.keda.svc:9090\", \
         \"backend\": \"temporal\", \"endpoint\": \"t:7233\", \"taskQueue\": \"q\" } }\n",
    );
    assert_eq!(moved(&before).await, expected);
}

#[tokio::test]
async fn json_and_lists_of_kubectl_stay_what_they_are() {
    let item = serde_json::json!({
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledJob",
        "metadata": {"name": "jobs", "namespace": "shop", "resourceVersion": "7"},
        "spec": {"jobTargetRef": {}, "triggers": [
            {"type": "kafka", "metadata": {"bootstrapServers": "k:9092", "consumerGroup": "g", "topic": "t"}},
        ]},
    });
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": [item]});
    let pretty = serde_json::to_string_pretty(&list).expect("is JSON");
    for text in [list.to_string(), pretty] {
        let after = moved(&text).await;
        let read: serde_json::Value = serde_json::from_str(&after).expect("stays JSON");
        let trigger = &read["items"][0]["spec"]["triggers"][0];
        assert_eq!(trigger["type"], "external");
        assert_eq!(trigger["metadata"]["backend"], "kafka");
        assert_eq!(trigger["metadata"]["topic"], "t");
        assert_eq!(after.contains("\n  "), text.contains("\n  "));
    }
    let yaml = "apiVersion: v1\nitems:\n- apiVersion: keda.sh/v1alpha1\n  kind: ScaledObject\n  metadata:\n    \
                name: a\n  spec:\n    triggers:\n    - metadata:\n        endpoint: t:7233\n        taskQueue: q\n      \
                type: temporal\nkind: List\n";
    let expected = yaml
        .replace("    - metadata:\n", "    - metadata:\n        scalerAddress: backlog-scaler.keda.svc:9090\n        backend: temporal\n")
        .replace("type: temporal", "type: external");
    assert_eq!(moved(yaml).await, expected);
}

#[tokio::test]
async fn what_is_written_elsewhere_stays_and_says_where() {
    let anchors = format!(
        "{HEAD}  triggers:\n    - type: redis\n      metadata: &m\n        address: r:6379\n        listName: a\n    \
         - type: redis\n      metadata: *m\n    - type: redis\n      metadata:\n        <<: *m\n        listLength: '7'\n"
    );
    let migration = migrated(&[&anchors], &options()).await;
    let file = &migration.files[0];
    assert_eq!(file.text, anchors);
    let places: Vec<(Position, &str)> = file
        .triggers
        .iter()
        .map(|trigger| (trigger.refused[0].0, trigger.refused[0].1.as_str()))
        .collect();
    let shared =
        "metadata: is an alias, or has an anchor that aliases refer to; write it out first";
    let at = |line, column| Position { line, column };
    assert_eq!(places[0], (at(12, 9), shared));
    assert_eq!(places[1], (at(15, 17), shared));
    assert_eq!(places[2].0, at(18, 9));
    assert!(places[2].1.contains("merges another mapping"), "{places:?}");
}

#[tokio::test]
async fn what_the_server_would_refuse_stays_as_it_was() {
    let text = object(
        "    - type: redis\n      metadata:\n        address: r:6379\n        listName: jobs\n        listLength: \"0\"\n    \
         - type: redis\n      metadata:\n        address: r:6379\n        listName: jobs\n",
    );
    let migration = migrated(&[&text], &options()).await;
    let file = &migration.files[0];
    let second = text.rfind("    - type: redis").expect("is there");
    assert_eq!(file.text[..second], text[..second]);
    assert!(file.text[second..].contains("type: external"));
    let (at, why) = &file.triggers[0].refused[0];
    assert_eq!((at.line, at.column), (14, 9));
    assert!(
        why.starts_with("listLength: `0` must be a whole number from 1"),
        "{why}"
    );
    assert_eq!(
        Counts::of(&migration),
        Counts {
            moved: 1,
            stay: 1,
            others: 0
        }
    );
}

#[tokio::test]
async fn a_push_trigger_is_one_of_a_scaled_object() {
    let text = object(
        "    - type: redis\n      metadata:\n        address: r:6379\n        listName: jobs\n",
    );
    let job = text.replace("ScaledObject", "ScaledJob");
    let options = Options {
        push: true,
        ..options()
    };
    let migration = migrated(&[&text, &job], &options).await;
    assert!(migration.files[0].text.contains("type: external-push\n"));
    assert!(migration.files[1].text.contains("type: external\n"));
    assert_eq!(migration.files[1].triggers[0].notes.len(), 1);
}

const AUTHENTICATION: &str = "apiVersion: keda.sh/v1alpha1\nkind: TriggerAuthentication\nmetadata: {name: auth, namespace: shop}\nspec:\n  \
     secretTargetRef:\n  - {parameter: password, name: redis, key: pw}\n  - {parameter: unrelated, name: redis, key: x}\n  \
     env:\n  - {parameter: username, name: REDIS_USER}\n";

fn authenticated(triggers: &str) -> String {
    object(&triggers.replace("AUTH", "authenticationRef: {name: auth}"))
}

#[tokio::test]
async fn without_the_cluster_client_a_named_connection_takes_the_place_of_an_authentication() {
    let text = authenticated(
        "    - type: redis\n      metadata:\n        address: r:6379 # where\n        databaseIndex: \"2\"\n        listName: jobs\n      AUTH\n    \
         - type: redis-streams\n      metadata:\n        address: r:6379\n        databaseIndex: \"2\"\n        stream: s\n      AUTH\n    \
         - type: redis\n      metadata:\n        address: other:6379\n        listName: jobs\n      AUTH\n",
    );
    let options = Options {
        kubernetes: false,
        ..options()
    };
    let migration = migrated(&[&text, AUTHENTICATION], &options).await;
    let after = &migration.files[0].text;
    let connection = |name: &str| format!("        connection: {name}\n        listName: jobs\n");
    assert!(after.contains(&connection("shop-auth")), "{after}");
    assert!(
        after
            .contains("backend: redis-streams\n        connection: shop-auth\n        stream: s\n")
    );
    assert!(after.contains(&connection("shop-auth-2")));
    assert!(!after.contains("6379"), "{after}");
    assert!(!after.contains("authenticationRef"), "{after}");
    let said = report::text(
        &[
            File::new("f", text.as_str()),
            File::new("g", AUTHENTICATION),
        ],
        &migration,
    );
    let removed = "    authenticationRef: removed; the named connection takes its place\n";
    assert_eq!(said.matches(removed).count(), 3, "{said}");
    assert!(!said.contains("as before: authenticationRef"), "{said}");
    let yaml = migration.settings.yaml();
    assert!(yaml.contains("    address: \"r:6379\"\n    databaseIndex: \"2\"\n    passwordFromFile: \"/secrets/redis/pw\"\n    usernameFromEnv: \"REDIS_USER\"\n    namespaces: [shop]\n"), "{yaml}");
    assert!(!yaml.contains("unrelated"), "{yaml}");
    let findings = Checker::new()
        .expect("starts")
        .check_settings(&File::new("s", yaml.as_str()));
    assert_eq!(findings.len(), 0, "{findings:?}\n{yaml}");
    is_clean(&yaml, after);

    let migration = migrated(&[&text], &options).await;
    let (_, why) = &migration.files[0].triggers[0].refused[0];
    assert!(why.contains("is not among the files"), "{why}");
    assert_eq!(migration.files[0].text, text);
}

/// Nothing is found in a manifest that has no fallback, for a server with these settings.
fn is_clean(yaml: &str, manifest: &str) {
    let server = with_settings::settings(yaml);
    let checker = Checker::of(&server).expect("starts");
    let mut findings = checker.check(&File::new("f", manifest), true);
    findings.retain(|finding| finding.code.name != "no-fallback");
    assert_eq!(findings.len(), 0, "{findings:?}\n{manifest}");
}

#[tokio::test]
async fn an_authentication_that_is_replaced_is_removed_wherever_it_is_written() {
    let options = Options {
        kubernetes: false,
        ..options()
    };
    let metadata = "metadata: {address: 'r:6379', listName: jobs}";
    let gone = "metadata: {scalerAddress: backlog-scaler.keda.svc:9090, backend: redis, connection: \
                shop-auth, listName: jobs}";
    for (before, after) in [
        (
            "    - authenticationRef: # whose\n        name: auth\n      type: redis\n      METADATA\n",
            "    - type: external\n      METADATA\n",
        ),
        (
            "    - type: redis\n      authenticationRef:\n        name: auth # it\n      METADATA # end\n",
            "    - type: external\n      METADATA # end\n",
        ),
        (
            "    - {type: redis, METADATA, authenticationRef: {name: auth}} # one\n",
            "    - {type: external, METADATA} # one\n",
        ),
    ] {
        let text = object(&before.replace("METADATA", metadata));
        let migration = migrated(&[&text, AUTHENTICATION], &options).await;
        let expected = object(&after.replace("METADATA", gone));
        assert_eq!(migration.files[0].text, expected);
        let beside = &migration.files[0].triggers[0].beside;
        assert!(beside.is_empty(), "{beside:?}");
    }
    // Another trigger uses what is written here: it stays, and the note says so.
    let shared = "    - type: redis\n      METADATA\n      authenticationRef: &a {name: auth}\n    \
                  - type: cron\n      metadata: {timezone: UTC}\n      authenticationRef: *a\n";
    let text = object(&shared.replace("METADATA", metadata));
    let migration = migrated(&[&text, AUTHENTICATION], &options).await;
    let file = &migration.files[0];
    assert!(
        file.triggers[0].refused.is_empty(),
        "{:?}",
        file.triggers[0].refused
    );
    assert!(file.text.contains("authenticationRef: &a {name: auth}\n"));
    assert!(
        file.triggers[0].notes[0].starts_with("authenticationRef: stays, as"),
        "{:?}",
        file.triggers[0].notes
    );
}

#[tokio::test]
async fn the_settings_say_where_keys_of_the_whole_cluster_may_go() {
    let text = object(
        "    - type: redis\n      metadata:\n        host: r\n        port: \"6379\"\n        listName: jobs\n      \
         authenticationRef: {name: all, kind: ClusterTriggerAuthentication}\n",
    );
    let migration = migrated(&[&text], &options()).await;
    let yaml = migration.settings.yaml();
    assert_eq!(
        yaml,
        "kubernetes:\n  enabled: true\n  clusterAuthenticationServers:\n    \"all\": [\"r:6379\"]\n"
    );
    let findings = Checker::new()
        .expect("starts")
        .check_settings(&File::new("s", yaml.as_str()));
    assert_eq!(findings.len(), 0, "{findings:?}");
}

#[tokio::test]
async fn triggers_that_differ_in_their_authentication_alone_cannot_move() {
    let trigger = |name: &str| {
        format!(
            "    - type: redis\n      metadata:\n        address: r:6379\n        listName: jobs\n      \
             authenticationRef: {{name: {name}}}\n"
        )
    };
    let text = object(&(trigger("a") + &trigger("b")));
    let migration = migrated(&[&text], &options()).await;
    assert_eq!(Counts::of(&migration).stay, 2);
    let same = object(&(trigger("a") + &trigger("a")));
    let migration = migrated(&[&same], &options()).await;
    assert_eq!(Counts::of(&migration).moved, 2);
}

#[tokio::test]
async fn no_secret_is_said() {
    let text = authenticated(
        "    - type: redis\n      metadata:\n        address: r:6379\n        password: hunter2\n        listName: jobs\n      AUTH\n    \
         - type: kafka\n      metadata:\n        bootstrapServers: k:9092\n        consumerGroup: g\n        password: hunter2\n        lagThreshold: hunter2x\n",
    );
    for kubernetes in [true, false] {
        let files = [
            File::new("f", text.as_str()),
            File::new("g", AUTHENTICATION),
        ];
        let checker = Checker::new().expect("starts");
        let migration = migrate(
            &files,
            &Options {
                kubernetes,
                ..options()
            },
            &checker,
        );
        let said = report::text(&files, &migration);
        let json = report::json(&files, &migration, vec![None, None]).to_string();
        let fleet = fleet::Fleet::of(&migration).text();
        for said in [said, json, fleet, migration.settings.yaml()] {
            assert!(!said.replace("hunter2x", "").contains("hunter2"), "{said}");
        }
    }
}

#[tokio::test]
async fn a_fleet_shares_connections() {
    let text = object(
        "    - type: kafka\n      metadata: {bootstrapServers: 'k:9092', consumerGroup: g, topic: a}\n    \
         - type: kafka\n      metadata: {bootstrapServers: 'k:9092', consumerGroup: h, topic: b}\n    \
         - type: apache-kafka\n      metadata: {bootstrapServers: 'other:9092', consumerGroup: h, topic: b}\n    \
         - type: cron\n      metadata: {}\n",
    );
    let migration = migrated(&[&text], &options()).await;
    let json = fleet::Fleet::of(&migration).json();
    assert_eq!((&json["moved"], &json["others"]), (&3.into(), &1.into()));
    assert_eq!(json["kinds"][0]["connections"]["now"], 4);
    assert_eq!(json["kinds"][0]["connections"]["then"], 1);
    let shared = &json["connections"]["kafka bootstrapServers=k:9092"];
    assert_eq!(shared.as_array().map(Vec::len), Some(2), "{json:#}");
}

mod properties {
    use proptest::prelude::*;
    use similar::{ChangeTag, TextDiff};

    use super::*;

    fn trigger() -> impl Strategy<Value = String> {
        let value = prop_oneof![Just("jobs"), Just("'a b'"), Just("\"é\""), Just("x # c")];
        let comment = prop_oneof![Just(""), Just("        # about é\n"), Just("\n")];
        let tls = prop_oneof![
            Just(""),
            Just("        enableTLS: \"true\" # t\n"),
            Just("        old: |\n          x\n          y\n")
        ];
        (value, comment, tls, any::<bool>()).prop_map(|(value, comment, tls, flow)| match flow {
            true => format!("    - {{type: redis, metadata: {{address: \"r:1\", listName: {}}}}}\n", value.replace(" # c", "")),
            false => format!("    -   type: redis\n        metadata:\n{comment}          address: r:1\n{}          listName: {value}\n", tls.replace("        ", "          ")),
        })
    }

    proptest! {
        #[test]
        fn only_the_lines_of_the_changes_differ(triggers in proptest::collection::vec(trigger(), 1..5), crlf in any::<bool>()) {
            let text = object(&triggers.concat());
            let text = if crlf { text.replace('\n', "\r\n") } else { text };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("starts");
            let migration = runtime.block_on(migrated(&[&text], &options()));
            let file = &migration.files[0];
            prop_assert!(file.triggers.iter().all(|trigger| trigger.refused.is_empty()));
            for change in TextDiff::from_lines(text.as_str(), file.text.as_str()).iter_all_changes() {
                let line = change.value();
                let expected = match change.tag() {
                    ChangeTag::Equal => true,
                    ChangeTag::Delete => ["type: redis", "enableTLS", "old: |"].iter().any(|part| line.contains(part)) || matches!(line.trim(), "x" | "y"),
                    ChangeTag::Insert => ["type: external", "scalerAddress:", "backend:", "tls:"].iter().any(|part| line.contains(part)),
                };
                prop_assert!(expected, "{:?} {line}\n{}", change.tag(), file.text);
                prop_assert_eq!(line.ends_with("\r\n"), crlf && line.ends_with('\n'));
            }
        }
    }
}
