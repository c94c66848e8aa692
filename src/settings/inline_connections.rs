//! Whether triggers may bring their own connections, as it is written in the settings.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::connections::Scalar;
use crate::{network::Rules, sampling::InlineConnections};

impl JsonSchema for InlineConnections {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "InlineConnections".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "enum": ["allow", "deny"] },
                { "type": "array", "items": { "type": "string" } },
            ],
        })
    }
}

impl<'de> Deserialize<'de> for InlineConnections {
    /// `allow`, `deny`, or a list of hosts and networks.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Scalar::deserialize(deserializer)?;
        if let Scalar::Text(text) = &written {
            match text.as_str() {
                "allow" => return Ok(InlineConnections::Allow),
                "deny" => return Ok(InlineConnections::Deny),
                // Rather a slip than a host.
                word if !word.contains(['.', ':', '*', '/', ',']) => {
                    return Err(D::Error::custom(
                        "must be allow, deny or a list of hosts and networks",
                    ));
                }
                _ => {}
            }
        }
        let rules = Rules::listed(&written.list()).map_err(D::Error::custom)?;
        Ok(InlineConnections::Listed(rules))
    }
}
