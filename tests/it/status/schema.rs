//! The JSON is what its schema says, and the reference page knows every name.

use std::{fs, path::Path};

use backlog_scaler::status;
use serde_json::{Value, json};

use testkit::{
    redis::{self, Redis},
    require,
    scaler::{Scaler, with},
};

use super::{of_object, on_list, with_a_slip};

/// What does not fit a schema, by the path in the value. Of JSON Schema as much as ours uses.
fn misfits(value: &Value, schema: &Value, root: &Value, path: &str) -> Vec<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.strip_prefix('#').unwrap();
        return misfits(value, root.pointer(pointer).unwrap(), root, path);
    }
    for any in ["anyOf", "oneOf"] {
        if let Some(schemas) = schema[any].as_array() {
            let all: Vec<_> = schemas
                .iter()
                .map(|schema| misfits(value, schema, root, path))
                .collect();
            return match all.iter().any(Vec::is_empty) {
                true => Vec::new(),
                false => all.concat(),
            };
        }
    }
    let mut wrong = Vec::new();
    if schema.get("const").is_some_and(|only| only != value) {
        wrong.push(format!("{path}: {value} is not {}", schema["const"]));
    }
    let words = schema["enum"].as_array();
    if words.is_some_and(|words| !words.contains(value)) {
        wrong.push(format!("{path}: {value} is none of {}", schema["enum"]));
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_u64() || number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is_kind = |wanted: &Value| wanted == kind || (wanted == "number" && kind == "integer");
    let fits = match &schema["type"] {
        Value::Null => true,
        Value::Array(kinds) => kinds.iter().any(is_kind),
        wanted => is_kind(wanted),
    };
    if !fits {
        wrong.push(format!("{path}: {value} is no {}", schema["type"]));
    }
    if let (Value::Array(items), Some(schema)) = (value, schema.get("items")) {
        for (at, item) in items.iter().enumerate() {
            wrong.extend(misfits(item, schema, root, &format!("{path}/{at}")));
        }
    }
    if let Value::Object(fields) = value {
        let required = schema["required"].as_array().into_iter().flatten();
        for name in required.filter(|name| !fields.contains_key(name.as_str().unwrap())) {
            wrong.push(format!("{path}: {name} is missing"));
        }
        for (name, field) in fields {
            let path = format!("{path}/{name}");
            let known = schema["properties"].get(name);
            match known.or(schema.get("additionalProperties")) {
                Some(schema) => wrong.extend(misfits(field, schema, root, &path)),
                None => wrong.push(format!("{path}: is not in the schema")),
            }
        }
    }
    wrong
}

#[test]
fn what_does_not_fit_is_found() {
    let schema = json!({
        "type": "object", "required": ["a"],
        "properties": {"a": {"type": ["integer", "null"]}, "b": {"$ref": "#/$defs/b"}},
        "$defs": {"b": {"enum": ["x", "y"]}},
    });
    let fits = |value: Value| misfits(&value, &schema, &schema, "").is_empty();
    assert!(fits(json!({"a": 1, "b": "x"})) && fits(json!({"a": null})));
    for wrong in [
        json!({}),
        json!({"a": "1"}),
        json!({"a": 1, "b": "z"}),
        json!({"a": 1, "c": 1}),
    ] {
        assert!(!fits(wrong.clone()), "{wrong}");
    }
}

#[tokio::test]
async fn every_response_is_what_the_schema_says() {
    if !require(redis::available(), "redis-server") {
        return;
    }
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    redis.rpush("jobs", 36).await;
    let good = on_list("shop", "worker", &redis.address(), "jobs");
    let shaped = with(
        on_list("shop", "shaped", &redis.address(), "jobs"),
        "activityHold",
        "1m",
    );
    let dead = on_list("mail", "sender", "127.0.0.1:1", "mails");
    for trigger in [&good, &shaped] {
        scaler.evaluate(trigger).await.unwrap();
    }
    for trigger in [dead, with_a_slip("mail", "typo", &redis.address())] {
        scaler.evaluate(&trigger).await.unwrap_err();
    }
    let schema = status::schema();
    let check = async |path: &str, name: &str| {
        let (_, body) = scaler.page(path).await;
        let value: Value = serde_json::from_str(&body).unwrap();
        let wrong = misfits(&value, &schema["responses"][name], &schema, "");
        assert!(wrong.is_empty(), "{path}: {wrong:#?}\n{value:#}");
        value
    };
    check("/api/v1/overview", "/api/v1/overview").await;
    let triggers = check("/api/v1/triggers", "/api/v1/triggers").await;
    for object in ["worker", "shaped", "sender", "typo"] {
        let id = of_object(&triggers, object)["id"]
            .as_str()
            .unwrap()
            .to_owned();
        check(&format!("/api/v1/triggers/{id}"), "/api/v1/triggers/ID").await;
    }
    let connections = check("/api/v1/connections", "/api/v1/connections").await;
    for connection in connections["connections"].as_array().unwrap() {
        let path = format!("/api/v1/connections/{}", connection["id"].as_str().unwrap());
        check(&path, "/api/v1/connections/ID").await;
    }
    for path in [
        "/api/v1/triggers?sort=size",
        "/api/v1/triggers/0",
        "/api/v1/connections/0",
    ] {
        check(path, "errors").await;
    }
}

/// A name that changes shows in the file's history.
#[test]
fn the_schema_in_the_docs_is_that_of_the_program() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/api.schema.json");
    let text = serde_json::to_string_pretty(&status::schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE_CHART").is_some() {
        fs::write(file, text).unwrap();
        return;
    }
    let shown = fs::read_to_string(file).unwrap();
    assert!(shown == text, "`make docs` writes it anew");
}

#[test]
fn the_page_of_the_api_has_every_name() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/api.md");
    let page = fs::read_to_string(file).unwrap();
    let schema = status::schema();
    for (kind, of_kind) in schema["$defs"].as_object().unwrap() {
        let fields = of_kind["properties"].as_object().into_iter().flatten();
        for (name, _) in fields {
            assert!(page.contains(&format!("`{name}`")), "{name} of {kind}");
        }
    }
    let paths = schema["responses"].as_object().unwrap().keys();
    for path in paths.filter(|path| path.starts_with('/')) {
        assert!(page.contains(&format!("`{path}`")), "{path}");
    }
}
