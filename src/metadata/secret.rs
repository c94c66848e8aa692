//! Secrets in metadata and settings.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

/// A secret: shown by no `Debug`, and part of no message.
///
/// Equality is needed so that equal connections are shared. It compares in constant time for
/// equal lengths, though both sides come from whoever may use the connection anyway.
#[derive(Clone, Debug)]
pub struct Secret(pub SecretString);

impl Secret {
    /// The secret itself, for the client library.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// A text that came from outside, without this secret: some servers repeat in an error what
    /// they were sent.
    pub fn hidden_in(&self, text: &str) -> String {
        match self.expose() {
            // It would garble the text, and is hardly a secret.
            short if short.len() < SHORTEST_HIDDEN => text.to_owned(),
            secret => text.replace(secret, "***"),
        }
    }
}

/// Shorter secrets are words of many messages.
const SHORTEST_HIDDEN: usize = 4;

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Secret(text.to_owned().into())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.expose().as_bytes(), other.expose().as_bytes());
        a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
    }
}

impl Eq for Secret {}

impl std::hash::Hash for Secret {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.expose().hash(state);
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Secret(text.into()))
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // JSON Schema's own word for a value that is never given back.
        json_schema!({ "type": "string", "writeOnly": true, "x-allowed": "text, kept secret" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_a_server_repeats_is_hidden() {
        let hidden = Secret::from("hunter2").hidden_in("unknown command AUTH hunter2");
        assert_eq!(hidden, "unknown command AUTH ***");
        assert_eq!(Secret::from("").hidden_in("ERR"), "ERR");
    }

    #[test]
    fn a_secret_is_in_no_debug_output() {
        assert!(!format!("{:?}", Secret::from("hunter2")).contains("hunter2"));
    }
}
