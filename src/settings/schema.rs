//! The settings as a JSON schema, for editors and for the values of the Helm chart.

use schemars::{JsonSchema, Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::Value;

use super::Settings;

/// The schema of a settings file (JSON Schema, draft 2020-12). It is stricter than the server,
/// which takes a number or a boolean also as text.
pub fn schema() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    let settings = settings.with_transform(RecursiveTransform(as_in_yaml));
    settings
        .into_generator()
        .into_root_schema_for::<Settings>()
        .to_value()
}

/// A time is text, and YAML reads `0` as a number. `x-allowed` is for the reference of keys.
fn as_in_yaml(schema: &mut Schema) {
    if schema.remove("x-allowed").is_some() {
        schema.insert("type".to_owned(), serde_json::json!(["string", "integer"]));
    }
}

/// A value of a connection's key: text, a number, a boolean or a list of them.
pub struct AnyScalar;

impl JsonSchema for AnyScalar {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> Schema {
        let scalar = ["string", "number", "boolean"];
        schemars::json_schema!({
            "type": ["string", "number", "boolean", "array"],
            "items": { "type": scalar },
        })
    }
}
