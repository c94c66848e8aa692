//! Every code has an example that has it, and that is clean once it is mended.

use super::*;
use crate::{manifests::File, settings};

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("starts")
}

fn findings(text: &str) -> Vec<Finding> {
    runtime().block_on(async {
        Checker::new()
            .expect("starts")
            .check(&File::new("f", text), false)
    })
}

/// The same for a server with these settings.
fn with_settings(yaml: &str, text: &str) -> Vec<Finding> {
    let settings = settings::load_text(Some(("s", yaml)), [])
        .ok()
        .expect("are valid");
    runtime().block_on(async {
        let checker = Checker::of(&settings).expect("starts");
        checker.check(&File::new("f", text), false)
    })
}

fn names(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.code.name).collect()
}

#[test]
fn each_example_has_its_mistake_and_is_clean_when_mended() {
    for code in codes::ALL {
        let Some(example) = &code.example else {
            continue;
        };
        let base = example.base.text();
        assert_eq!(base.matches(example.place).count(), 1, "{}", code.name);
        assert_eq!(names(&findings(base)), [""; 0], "{:?}", example.base);
        let bad = findings(&base.replace(example.place, example.bad));
        assert!(names(&bad).contains(&code.name), "{}: {bad:#?}", code.name);
        let good = findings(&base.replace(example.place, example.good));
        assert_eq!(names(&good), [""; 0], "{}: {good:#?}", code.name);
    }
}

#[test]
fn a_code_has_a_name_of_its_own_and_says_what_to_do() {
    for (index, code) in codes::ALL.iter().enumerate() {
        let Code {
            name,
            title,
            why,
            fix,
            ..
        } = code;
        assert!(
            codes::ALL[..index].iter().all(|other| other.name != *name),
            "{name}"
        );
        let kebab = |c: char| c.is_ascii_lowercase() || c == '-';
        assert!(name.chars().all(kebab), "{name}");
        assert!(
            title.ends_with('.') && why.ends_with('.') && !fix.is_empty(),
            "{name}"
        );
    }
}

#[test]
fn a_finding_is_at_its_key() {
    let base = codes::Base::ScaledObject.text();
    let text = base.replace("listLength: \"5\"", "listLenght: \"5\"");
    let found = findings(&text);
    let [finding] = &found[..] else {
        panic!("{found:#?}");
    };
    let line = text
        .lines()
        .position(|line| line.contains("listLenght"))
        .expect("is there");
    assert_eq!((finding.start.line, finding.start.column), (line + 1, 9));
    assert_eq!(finding.subject, "shop/worker, trigger 1");
    assert_eq!(finding.message, "unknown key; did you mean `listLength`?");
    assert_eq!(finding.fix, "write `listLength`");
}

#[test]
fn what_the_server_would_refuse_is_found_all_at_once() {
    let base = codes::Base::ScaledObject.text();
    let text = base
        .replace("listLength: \"5\"", "listLength: ten")
        .replace(
            "address: redis.shop.svc:6379\n        listName",
            "address: redis.shop.svc\n        list",
        );
    let found = findings(&text);
    let keys: Vec<&str> = found.iter().map(|finding| finding.key.as_str()).collect();
    for key in ["listLength", "address", "list"] {
        assert!(keys.contains(&key), "{key}: {found:#?}");
    }
}

#[test]
fn what_a_variable_has_is_not_judged() {
    let base = codes::Base::ScaledObject.text();
    let text = base.replace(
        "address: redis.shop.svc:6379\n        listName: mails",
        "addressFromEnv: REDIS\n        passwordFromEnv: PASSWORD\n        listNameFromEnv: LIST",
    );
    assert_eq!(names(&findings(&text)), [""; 0]);
    let text = text.replace("passwordFromEnv", "pasFromEnv");
    assert_eq!(names(&findings(&text)), ["unknown-key"]);
}

#[test]
fn no_finding_shows_a_secret() {
    let base = codes::Base::ScaledObject.text();
    for bad in [
        "password: hunter2\n        pasword: hunter2\n        username: \"\"",
        "password: [hunter2]",
        "password: hunter2\n        password: hunter2",
        "password: 5\n        tls: hunter2x\n        key: hunter2",
    ] {
        let text = base.replace(
            "listName: mails",
            &format!("listName: mails\n        {bad}"),
        );
        let found = findings(&text);
        let shown = format!("{found:?}").replace("hunter2x", "");
        assert!(
            !found.is_empty() && !shown.contains("hunter2"),
            "{found:#?}"
        );
    }
    let settings =
        "connections: {orders: {backend: redis, address: 'redis:1', pasword: hunter2}}\n";
    let found = findings(settings);
    assert!(
        !found.is_empty() && !format!("{found:?}").contains("hunter2"),
        "{found:#?}"
    );
}

#[test]
fn settings_decide_what_tls_and_authentications_come_to() {
    let base = codes::Base::ScaledObject.text();
    let tls = "listen: {tls: {certFile: /c, keyFile: /k}}";
    assert_eq!(
        names(&with_settings(tls, base)),
        ["enable-tls", "enable-tls"]
    );
    let text = base.replace("backend:", "enableTLS: \"true\"\n        backend:");
    assert_eq!(names(&with_settings(tls, &text)), [""; 0]);
    assert_eq!(
        names(&with_settings("{}", &text)),
        ["enable-tls", "enable-tls"]
    );

    let text = format!("{base}      authenticationRef:\n        name: redis\n");
    assert_eq!(
        names(&with_settings("kubernetes: {enabled: true}", &text)),
        [""; 0]
    );
    assert_eq!(
        names(&with_settings("{}", &text)),
        ["unreachable-authentication"]
    );
    let text = text.replace("backend:", "enableTLS: \"true\"\n        backend:");
    assert_eq!(names(&with_settings(tls, &text)), [""; 0]);
}

#[test]
fn one_list_of_two_named_connections_is_two_metrics() {
    let settings = "connections:\n  a: {backend: redis, address: 'a:1'}\n  b: {backend: redis, address: 'b:1'}\n";
    let of = |second: &str| -> Vec<String> {
        let trigger = |name: &str| {
            format!(
                "    - type: external\n      metadata: {{scalerAddress: 'backlog-scaler.keda.svc:9090', \
                 backend: redis, connection: {name}, listName: jobs}}\n"
            )
        };
        let (head, _) = codes::Base::ScaledObject
            .text()
            .split_once("  triggers:\n")
            .expect("has triggers");
        let text = format!("{head}  triggers:\n{}{}", trigger("a"), trigger(second));
        let found = with_settings(settings, &text);
        names(&found).into_iter().map(str::to_owned).collect()
    };
    assert_eq!(of("b"), [""; 0]);
    assert_eq!(of("a"), ["same-metric-name"]);
}

#[test]
fn settings_say_which_connections_there_are() {
    let settings = codes::Base::Settings.text();
    let text = codes::Base::ScaledObject.text().replace(
        "address: redis.shop.svc:6379\n        listName",
        "connection: orders\n        listName",
    );
    assert_eq!(names(&with_settings(settings, &text)), [""; 0]);
    assert_eq!(
        names(&findings(&text)),
        [""; 0],
        "the settings are not known"
    );
    let other = text.replace("connection: orders", "connection: payments");
    let found = with_settings(settings, &other);
    assert!(
        found[0].message.contains("`payments` is not known"),
        "{found:#?}"
    );
    let namespace = text.replace("namespace: shop", "namespace: mail");
    let found = with_settings(settings, &namespace);
    assert!(
        found[0]
            .message
            .contains("may not be used by namespace mail"),
        "{found:#?}"
    );
}

#[test]
fn what_is_no_manifest_is_a_finding_but_in_a_folder() {
    let file = File::new("values.yaml", "image: {tag: x}");
    let check = |in_folder| {
        runtime().block_on(async { Checker::new().expect("starts").check(&file, in_folder) })
    };
    assert_eq!(names(&check(false)), ["wrong-kind"]);
    assert_eq!(names(&check(true)), [""; 0]);
}

#[test]
fn every_mistake_of_settings_is_found() {
    let found = findings(
        "engine:\n  callTimeuot: 1s\n  maxStaleness: soon\nlog:\n  format: loud\n\
         connections:\n  orders: {backend: redis, adress: x, namespaces: [shop]}\n",
    );
    let found: Vec<(&str, usize)> = found
        .iter()
        .map(|finding| (finding.key.as_str(), finding.start.line))
        .collect();
    for expected in [
        ("engine.callTimeuot", 2),
        ("engine.maxStaleness", 3),
        ("log.format", 5),
        ("connections.orders.adress", 7),
    ] {
        assert!(found.contains(&expected), "{expected:?}: {found:?}");
    }
}

/// A ScaledObject with one place of its text replaced, and the findings: key, code, message, fix.
fn found_in(place: &str, bad: &str) -> Vec<(String, &'static str, String, String)> {
    let base = codes::Base::ScaledObject.text();
    assert!(base.contains(place), "{place}");
    let found = findings(&base.replacen(place, bad, 1));
    let shown = found.into_iter();
    shown
        .map(|f| (f.key, f.code.name, f.message, f.fix))
        .collect()
}

#[test]
fn fields_are_what_the_custom_resource_says() {
    let invalid = "invalid-field";
    let behavior = |inner: &str| {
        format!(
            "  advanced:\n    horizontalPodAutoscalerConfig:\n      behavior:\n        scaleDown: {inner}\n  fallback:"
        )
    };
    for (place, bad, key, code, message, fix) in [
        (
            "pollingInterval: 30",
            "pollingInterval: \"30\"".to_owned(),
            "spec.pollingInterval",
            invalid,
            "\"30\" must be a number, without quotes",
            "write `30`",
        ),
        (
            "pollingInterval: 30",
            "pollingInterval: 0".to_owned(),
            "spec.pollingInterval",
            invalid,
            "0 must be a whole number from 1",
            "",
        ),
        (
            "pollingInterval: 30",
            "cooldownPeriod: 5m".to_owned(),
            "spec.cooldownPeriod",
            invalid,
            "`5m` must be a whole number from 0, without a unit",
            "write `300`",
        ),
        (
            "    replicas: 5\n",
            String::new(),
            "spec.fallback",
            invalid,
            "has no `replicas`",
            "add `replicas`",
        ),
        (
            "    failureThreshold: 3\n    replicas: 5\n",
            "    behavior: static\n".to_owned(),
            "spec.fallback",
            invalid,
            "has no `failureThreshold` and no `replicas`",
            "",
        ),
        (
            "    replicas: 5\n",
            "    replicas: 5\n    behavior: currentReplica\n".to_owned(),
            "spec.fallback.behavior",
            invalid,
            "must be one of static, ",
            "write `currentReplicas`",
        ),
        (
            "  scaleTargetRef:\n    name: worker\n",
            String::new(),
            "spec",
            invalid,
            "has no `scaleTargetRef`",
            "",
        ),
        (
            "maxReplicaCount: 20",
            "maxReplicasCount: 20".to_owned(),
            "spec.maxReplicasCount",
            "unknown-field",
            "did you mean `maxReplicaCount`?",
            "write `maxReplicaCount`",
        ),
        (
            "  fallback:",
            behavior("{stabilizationWindowSeconds: 4000}"),
            "spec.advanced.horizontalPodAutoscalerConfig.behavior.scaleDown.stabilizationWindowSeconds",
            invalid,
            "4000 must be a whole number from 0 to 3600",
            "",
        ),
        (
            "  fallback:",
            behavior("{policies: [{type: percent, value: 50, periodSeconds: 60}]}"),
            "spec.advanced.horizontalPodAutoscalerConfig.behavior.scaleDown.policies[0].type",
            invalid,
            "must be one of Pods, Percent",
            "write `Percent`",
        ),
        (
            "  fallback:",
            behavior("{}").replace("behavior:", "behaviour:"),
            "spec.advanced.horizontalPodAutoscalerConfig.behaviour",
            "unknown-field",
            "did you mean `behavior`?",
            "",
        ),
        (
            "  fallback:",
            "  advanced: {scalingModifiers: {formula: jobs, target: 5}}\n  fallback:".to_owned(),
            "spec.advanced.scalingModifiers.target",
            invalid,
            "has no quotes",
            "",
        ),
        (
            "  fallback:",
            "  advanced: {scalingModifiers: {formula: jobs}}\n  fallback:".to_owned(),
            "spec.advanced.scalingModifiers",
            invalid,
            "has a formula and no target",
            "",
        ),
        (
            "  name: worker\n  namespace",
            format!("  name: {}\n  namespace", "w".repeat(60)),
            "metadata.name",
            invalid,
            "more than the 63 characters",
            "",
        ),
        (
            "type: external\n",
            "type: External\n".to_owned(),
            "type",
            "unknown-type",
            "did you mean `external`?",
            "write `type: external`",
        ),
        (
            "type: external\n",
            "type: redis-lists\n".to_owned(),
            "type",
            "unknown-type",
            "has no scaler of this type",
            "",
        ),
        (
            "type: external\n",
            "type: redis\n".to_owned(),
            "type",
            "not-external",
            "does not read the scalerAddress",
            "",
        ),
    ] {
        let found = found_in(place, &bad);
        let [(at, name, text, mends)] = &found[..] else {
            panic!("{bad}: {found:#?}");
        };
        assert_eq!((at.as_str(), *name), (key, code), "{bad}: {text}");
        assert!(
            text.contains(message) && mends.contains(fix),
            "{bad}: {text}; {mends}"
        );
    }
}

#[test]
fn fields_that_kubernetes_reads_as_what_they_should_be_are_no_findings() {
    for (place, other) in [
        ("pollingInterval: 30", "pollingInterval: 30.0"),
        ("pollingInterval: 30", "pollingInterval: 0042"),
        ("pollingInterval: 30", "pollingInterval:"),
        (
            "pollingInterval: 30",
            "advanced: {restoreToOriginalReplicaCount: yes}",
        ),
        (
            "  fallback:\n    failureThreshold: 3\n    replicas: 5\n  triggers:\n",
            "  fallback: &fallback {failureThreshold: 3, replicas: 5}\n  advanced: null\n  triggers:\n",
        ),
    ] {
        let found = found_in(place, other);
        assert!(found.is_empty(), "{other}: {found:#?}");
    }
}

/// One field that cannot be read does not hide the others.
#[test]
fn every_wrong_field_is_found_once() {
    let base = codes::Base::ScaledObject.text();
    let text = base
        .replace("maxReplicaCount: 20", "maxReplicaCount: \"20\"")
        .replace("pollingInterval: 30", "pollingInterval: \"30\"");
    let found = findings(&text);
    let keys: Vec<&str> = found.iter().map(|finding| finding.key.as_str()).collect();
    assert_eq!(
        keys,
        ["spec.pollingInterval", "spec.maxReplicaCount"],
        "{found:#?}"
    );
    assert_eq!(found[0].subject, "shop/worker");
}

#[test]
fn kinds_of_authentications_are_known_by_their_slips() {
    let text =
        "apiVersion: keda.sh/v1alpha1\nkind: TriggerAuthentification\nmetadata: {name: redis}\n";
    let found = findings(text);
    assert_eq!(names(&found), ["wrong-kind"]);
    assert!(
        found[0]
            .message
            .contains("did you mean `TriggerAuthentication`?"),
        "{found:#?}"
    );
    let right = text.replace("Authentification", "Authentication");
    assert_eq!(names(&findings(&right)), [""; 0]);
}
