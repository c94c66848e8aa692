//! The declared keys of a struct, read from its schema: one declaration serves the parser, the
//! error messages, the `keys` command and the reference page.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::Serialize;
use serde_json::Value;

/// One key that a user may write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Key {
    /// The key as it is written in the metadata.
    pub name: String,
    /// What it means: the doc comment of its field.
    pub meaning: String,
    /// What its value may be.
    pub allowed: String,
    /// The value that it has when it is left out.
    pub default: Option<String>,
    /// Leaving it out is an error.
    pub required: bool,
    /// Its value appears in no output.
    pub secret: bool,
    /// `…FromEnv` comes before the authentication, as in KEDA (`order` in its scaler's configuration):
    /// `#[schemars(extend("x-environment-first" = true))]`. Otherwise the authentication does.
    #[serde(skip)]
    pub environment_first: bool,
    /// Another name of this key, which KEDA looks for first: `#[schemars(extend("x-same-as" = "…"))]`.
    #[serde(skip)]
    pub same_as: Option<String>,
}

/// The keys of one struct, in the order of its declaration.
#[derive(Clone, Debug, Default)]
pub struct KeySet(pub Vec<Key>);

impl KeySet {
    /// Reads the declaration of `T`.
    pub fn of<T: JsonSchema>() -> Self {
        let settings = SchemaSettings::default().with(|s| s.inline_subschemas = true);
        let schema = settings.into_generator().into_root_schema_for::<T>();
        let required = schema.get("required").and_then(Value::as_array);
        let is_required = |name: &str| required.is_some_and(|r| r.iter().any(|n| n == name));
        let properties = schema.get("properties").and_then(Value::as_object);
        let keys = properties.into_iter().flatten();
        KeySet(
            keys.map(|(name, schema)| key(name, schema, is_required(name)))
                .collect(),
        )
    }

    /// The key of this name.
    pub fn get(&self, name: &str) -> Option<&Key> {
        self.0.iter().find(|key| key.name == name)
    }

    /// The keys with the same meaning as this one, which is one of them.
    pub fn spellings(&self, name: &str) -> impl Iterator<Item = &Key> {
        let first = |key: &'_ Key| key.same_as.clone().unwrap_or_else(|| key.name.clone());
        let wanted = self.get(name).map(first);
        let keys = self.0.iter();
        keys.filter(move |key| wanted.as_ref().is_some_and(|wanted| first(key) == *wanted))
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|key| key.name.as_str())
    }
}

fn key(name: &str, schema: &Value, required: bool) -> Key {
    let text = |field: &str| {
        find(schema, field)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let default = schema.get("default").and_then(|default| match default {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    });
    Key {
        name: name.to_owned(),
        meaning: text("description"),
        allowed: allowed(schema),
        default,
        required,
        secret: is_true(schema, "writeOnly"),
        environment_first: is_true(schema, "x-environment-first"),
        same_as: find(schema, "x-same-as")
            .and_then(Value::as_str)
            .map(str::to_owned),
    }
}

fn is_true(schema: &Value, field: &str) -> bool {
    find(schema, field) == Some(&Value::Bool(true))
}

/// A field of the schema, or of the inner one of an `Option`.
fn find<'a>(schema: &'a Value, field: &str) -> Option<&'a Value> {
    let inner = schema.get("anyOf").and_then(Value::as_array);
    schema
        .get(field)
        .or_else(|| inner.into_iter().flatten().find_map(|s| s.get(field)))
}

fn allowed(schema: &Value) -> String {
    if let Some(allowed) = find(schema, "x-allowed").and_then(Value::as_str) {
        return allowed.to_owned();
    }
    let of_type = |name: &str| match find(schema, "type") {
        Some(Value::String(t)) => t == name,
        Some(Value::Array(types)) => types.iter().any(|t| t == name),
        _ => false,
    };
    match of_type("boolean") {
        true => "true or false".to_owned(),
        false => "text".to_owned(),
    }
}

/// Names longer than this are no slip of a known one; comparing them would only cost time.
const LONGEST_SLIP: usize = 64;

/// The known name nearest to `name`, if one is near enough to be a slip.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST_SLIP {
        return None;
    }
    let distance = |candidate: &str| {
        strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase())
    };
    known
        .into_iter()
        .map(|candidate| (distance(candidate), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .map(|(_, candidate)| candidate)
}

/// The same for names that are made of words: one that begins with a known name means that one,
/// whatever it ends with (`redis-list` is no `redis-cluster`), unless it is a slip of another.
pub fn nearest_of_words<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let slip = nearest(name, known.iter().copied());
    let is_small = |found: &&str| strsim::damerau_levenshtein(name, found) <= 2;
    let begins = |known: &&&str| {
        let rest = name.strip_prefix(**known);
        rest.is_some_and(|rest| rest.starts_with(['-', '_']))
    };
    let begun = || known.iter().filter(begins).max_by_key(|known| known.len());
    slip.filter(is_small).or_else(|| begun().copied()).or(slip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_key_and_another_word_does_not() {
        let known = ["listName", "listLength", "address"];
        assert_eq!(nearest("listlenght", known), Some("listLength"));
        assert_eq!(nearest("adress", known), Some("address"));
        assert_eq!(nearest("topic", known), None);
        assert_eq!(nearest(&"listName".repeat(100_000), known), None);
    }

    #[test]
    fn the_nearest_name_is_nearest_by_meaning() {
        let known = [
            "redis",
            "redis-cluster",
            "redis-streams",
            "kafka",
            "temporal",
        ];
        for (name, expected) in [
            ("redis-list", Some("redis")),
            ("redis-cluster-list", Some("redis-cluster")),
            ("redis-stream", Some("redis-streams")),
            ("rediscluster", Some("redis-cluster")),
            ("kafka-lag", Some("kafka")),
            ("Temporal", Some("temporal")),
            ("rabbitmq", None),
        ] {
            assert_eq!(nearest_of_words(name, &known), expected, "{name}");
        }
    }
}
