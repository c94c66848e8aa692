//! The status page and its JSON: as programs read them, and as a person does, in a real browser.

mod api;
mod attention;
mod browser;
mod called;
mod commands;
mod pictures;
mod schema;

use backlog_scaler::keda::proto::ScaledObjectRef;
use serde_json::Value;

use testkit::scaler::{Scaler, trigger, with};

/// A trigger of `namespace/object` on a list.
fn on_list(namespace: &str, object: &str, address: &str, list: &str) -> ScaledObjectRef {
    let mut trigger = trigger([
        ("backend", "redis"),
        ("address", address),
        ("listName", list),
        ("freshFor", "0"),
        ("maxStaleness", "0"),
    ]);
    trigger.namespace = namespace.to_owned();
    trigger.name = object.to_owned();
    trigger
}

/// A trigger with a slip in a key.
fn with_a_slip(namespace: &str, object: &str, address: &str) -> ScaledObjectRef {
    with(
        on_list(namespace, object, address, "jobs"),
        "listLenght",
        "5",
    )
}

/// The JSON at a path.
async fn json(scaler: &Scaler, path: &str) -> Value {
    let (status, body) = scaler.page(path).await;
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
}

/// The trigger of an object, in a response of `/api/v1/triggers`.
fn of_object<'a>(triggers: &'a Value, object: &str) -> &'a Value {
    let mut all = triggers["triggers"].as_array().unwrap().iter();
    let found = all.find(|trigger| trigger["object"] == object);
    found.unwrap_or_else(|| panic!("{object} is not in {triggers:#}"))
}
