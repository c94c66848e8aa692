//! The fields and types that `check` knows are those of KEDA's source, in the version that the tests use.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use regex::Regex;
use serde_json::{Map, Value, json};
use testkit::{program, require};

use super::{check, sound};

const MODULE: &str = "github.com/kedacore/keda/v2";

/// What Go says of KEDA's module, which `tests/keda` needs.
fn of_module(field: &str) -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(program("GO", "go")?)
        .current_dir(root.join("tests/keda"))
        .args(["list", "-m", "-f", field, MODULE])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// KEDA's source; `None`: it is not there, which is reported.
fn keda() -> Option<PathBuf> {
    let folder = of_module("{{.Dir}}");
    require(folder.is_some(), "KEDA's source, as Go has it").then_some(PathBuf::from(folder?))
}

/// What a schema says of types and fields, without descriptions, formats and rules in CEL.
fn reduced(schema: &Value) -> Value {
    let mut kept = Map::new();
    for key in ["type", "enum", "minimum", "required"] {
        if let Some(value) = schema.get(key) {
            kept.insert(key.to_owned(), value.clone());
        }
    }
    if let Some(items) = schema.get("items") {
        kept.insert("items".to_owned(), reduced(items));
    }
    if let Some(properties) = schema["properties"].as_object() {
        let properties = properties
            .iter()
            .map(|(name, of)| (name.clone(), reduced(of)));
        kept.insert("properties".to_owned(), properties.collect());
    }
    Value::Object(kept)
}

/// The resource's schema, and what is known besides.
fn expected(resource: &Value, is_job: bool) -> Value {
    let schema = resource
        .pointer("/spec/versions/0/schema/openAPIV3Schema")
        .unwrap();
    let mut schema = reduced(schema);
    // Nobody writes the status, the template of a job is Kubernetes' own, and metadata is read key by key.
    schema["properties"]["status"] = json!({"type": "object"});
    let spec = &mut schema["properties"]["spec"]["properties"];
    let trigger = &mut spec["triggers"]["items"];
    trigger["properties"]["metadata"] = json!({});
    let required = trigger["required"].as_array_mut().unwrap();
    required.retain(|name| name != "metadata");
    if is_job {
        let fields = spec["jobTargetRef"]["properties"].as_object_mut().unwrap();
        for (_, field) in fields.iter_mut() {
            *field = json!({});
        }
        return schema;
    }
    // What the API server refuses of the HPA that KEDA creates: `validateScalingRules` and
    // `validateScalingPolicy` in pkg/apis/autoscaling/validation of Kubernetes.
    let behavior = &mut spec["advanced"]["properties"]["horizontalPodAutoscalerConfig"]["properties"]
        ["behavior"];
    for direction in ["scaleUp", "scaleDown"] {
        let rules = &mut behavior["properties"][direction]["properties"];
        rules["stabilizationWindowSeconds"]["minimum"] = 0.into();
        rules["stabilizationWindowSeconds"]["maximum"] = 3600.into();
        rules["selectPolicy"]["enum"] = json!(["Max", "Min", "Disabled"]);
        let policy = &mut rules["policies"]["items"]["properties"];
        policy["type"]["enum"] = json!(["Pods", "Percent"]);
        policy["value"]["minimum"] = 1.into();
        policy["periodSeconds"]["minimum"] = 1.into();
        policy["periodSeconds"]["maximum"] = 1800.into();
    }
    schema
}

/// `UPDATE_CRDS=1` writes them.
#[test]
fn the_fields_are_those_of_kedas_resources() {
    let Some(keda) = keda() else { return };
    for (name, is_job) in [("scaledobject", false), ("scaledjob", true)] {
        let crd = keda.join(format!("config/crd/bases/keda.sh_{name}s.yaml"));
        let crd: Value = serde_saphyr::from_str(&fs::read_to_string(crd).unwrap()).unwrap();
        let expected = expected(&crd, is_job);
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src/check/crds")
            .join(format!("{name}.json"));
        if std::env::var_os("UPDATE_CRDS").is_some() {
            let text = serde_json::to_string_pretty(&expected).unwrap() + "\n";
            fs::write(&file, text).unwrap();
        }
        let own: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        assert!(
            own == expected,
            "{name}: UPDATE_CRDS=1 cargo test --test it -- check::crds writes it anew"
        );
    }
}

#[tokio::test]
async fn the_version_is_that_of_kedas_source() {
    let Some(version) = of_module("{{.Version}}") else {
        require(false, "KEDA's source, as Go has it");
        return;
    };
    let minor = version.trim_start_matches('v').rsplit_once('.').unwrap().0;
    let run = check(&["-"], &sound().replace("  fallback:", "  fallBacks:")).await;
    let expected = format!("KEDA {minor} has no such field");
    assert!(run.out.contains(&expected), "{version}: {}", run.out);
}

/// Each of KEDA's types is known: with a scalerAddress it is a warning, as the address is not read.
#[tokio::test]
async fn the_types_are_those_of_kedas_source() {
    let Some(keda) = keda() else { return };
    let source = fs::read_to_string(keda.join("pkg/scaling/scalers_builder.go")).unwrap();
    let case = Regex::new(r#"(?m)^\tcase "([^"]+)":"#).unwrap();
    let types: Vec<&str> = case
        .captures_iter(&source)
        .map(|found| found.extract::<1>().1[0])
        .collect();
    assert!(
        types.len() > 50 && types.contains(&"external-push"),
        "{types:?}"
    );
    let object = |of: &str| sound().replace("type: external", &format!("type: {of}"));
    let documents: Vec<String> = types.iter().map(|of| object(of)).collect();
    let run = check(&["-", "-o", "json"], &documents.join("---\n")).await;
    let output: Value = serde_json::from_str(&run.out).unwrap();
    let findings = output["findings"].as_array().unwrap();
    let count = |code: &str| findings.iter().filter(|f| f["code"] == code).count();
    assert_eq!(count("unknown-type"), 0, "{findings:#?}");
    assert_eq!(count("not-external"), types.len() - 2);
    let own = check(&["-"], &object("kedas-own")).await;
    assert!(own.out.contains("error[unknown-type]"), "{}", own.out);
}
