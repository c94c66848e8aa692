//! TriggerAuthentications and ClusterTriggerAuthentications, as far as they can be followed from here.

use serde::Deserialize;
use serde_json::Value;

/// A (Cluster)TriggerAuthentication may have this many references; so many are in no manifest that a
/// person writes, and each may be a request.
const MOST: usize = 100;

/// What a (Cluster)TriggerAuthentication refers to. It holds no secret itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    pub secrets: Vec<KeyReference>,
    pub config_maps: Vec<KeyReference>,
    pub environment: Vec<VariableReference>,
    /// Fields that cannot be followed from here.
    pub unsupported: Vec<&'static str>,
}

/// An entry of `secretTargetRef` or `configMapTargetRef`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct KeyReference {
    pub parameter: String,
    pub name: String,
    pub key: String,
}

/// An entry of `env`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VariableReference {
    pub parameter: String,
    pub name: String,
    #[serde(default)]
    pub container_name: Option<String>,
}

/// The other fields of KEDA's `TriggerAuthenticationSpec`: each needs an identity, a file or a token that
/// KEDA's operator has and this server does not.
const UNSUPPORTED: [&str; 8] = [
    "filePath",
    "hashiCorpVault",
    "azureKeyVault",
    "gcpSecretManager",
    "awsSecretManager",
    "boundServiceAccountToken",
    "oauth2",
    "azureServicePrincipal",
];

const ALTERNATIVE: &str = "Put the keys into a Secret and refer to it by `secretTargetRef`, or have \
    whoever runs backlog-scaler give the connection a name in its settings.";

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    secret_target_ref: Option<Vec<KeyReference>>,
    config_map_target_ref: Option<Vec<KeyReference>>,
    env: Option<Vec<VariableReference>>,
    pod_identity: Option<PodIdentity>,
}

#[derive(Deserialize)]
struct PodIdentity {
    #[serde(default)]
    provider: String,
}

impl References {
    /// The references of an object. The error says what is wrong.
    pub fn parse(object: &Value) -> Result<Self, &'static str> {
        let spec = &object["spec"];
        let parsed = Option::<Spec>::deserialize(spec).map_err(|_| "its spec cannot be parsed")?;
        let parsed = parsed.unwrap_or_default();
        let given = |field: &&str| match &spec[*field] {
            Value::Null => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(list) => !list.is_empty(),
            _ => true,
        };
        let mut unsupported: Vec<&str> = UNSUPPORTED.into_iter().filter(given).collect();
        let identity = parsed.pod_identity.map(|identity| identity.provider);
        if identity.is_some_and(|provider| !matches!(provider.as_str(), "" | "none")) {
            unsupported.push("podIdentity");
        }
        let references = References {
            secrets: parsed.secret_target_ref.unwrap_or_default(),
            config_maps: parsed.config_map_target_ref.unwrap_or_default(),
            environment: parsed.env.unwrap_or_default(),
            unsupported,
        };
        match references.len() > MOST {
            true => Err("it has more than 100 references"),
            false => Ok(references),
        }
    }

    /// Why a field of `unsupported` cannot be followed, and what to do instead.
    pub fn alternative(field: &str) -> (&'static str, &'static str) {
        match field {
            // `readAuthParamsFromFile` in KEDA's scale_resolvers.go.
            "filePath" => (
                "it names a file in KEDA's own pod (--filepath-auth-root-path), which is not there in \
                 this server's",
                "Put its keys into a Secret and refer to it by `secretTargetRef`, or mount the file for \
                 this server and have a named connection read it (`passwordFromFile`).",
            ),
            // `resolveBoundServiceAccountToken` there: a TokenRequest for each call.
            "boundServiceAccountToken" => (
                "it needs the permission to create tokens of that ServiceAccount, which this server never has",
                "Mount a projected token of this server's own ServiceAccount and have a named \
                 connection read it (`…FromFile`), or put a token into a Secret and refer to it by \
                 `secretTargetRef`.",
            ),
            _ => ("only KEDA itself can follow it", ALTERNATIVE),
        }
    }

    fn len(&self) -> usize {
        self.secrets.len() + self.config_maps.len() + self.environment.len()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_references_of_an_object_are_found() {
        let object = json!({"spec": {
            "secretTargetRef": [{"parameter": "password", "name": "redis", "key": "p"}],
            "env": [{"parameter": "username", "name": "REDIS_USER", "containerName": "app"}],
            "podIdentity": {"provider": "none"},
            "hashiCorpVault": null,
        }});
        let found = References::parse(&object).unwrap();
        assert_eq!(found.secrets[0].parameter, "password");
        assert_eq!(found.environment[0].container_name.as_deref(), Some("app"));
        assert!(found.unsupported.is_empty(), "{found:?}");
    }

    #[test]
    fn what_only_keda_can_do_is_found_by_its_field() {
        let object = json!({"spec": {
            "podIdentity": {"provider": "aws"},
            "filePath": "redis.json",
            "hashiCorpVault": {"address": "https://vault", "secrets": []},
            "boundServiceAccountToken": [{"parameter": "token", "serviceAccountName": "x"}],
        }});
        assert_eq!(
            References::parse(&object).unwrap().unsupported,
            [
                "filePath",
                "hashiCorpVault",
                "boundServiceAccountToken",
                "podIdentity"
            ]
        );
    }

    #[test]
    fn each_field_that_cannot_be_followed_has_a_reason_and_an_alternative() {
        for (field, reason) in [
            ("filePath", "it names a file in KEDA's own pod"),
            (
                "boundServiceAccountToken",
                "it needs the permission to create tokens",
            ),
            ("hashiCorpVault", "only KEDA itself can follow it"),
        ] {
            let (what, next) = References::alternative(field);
            assert!(what.starts_with(reason), "{field}: {what}");
            assert!(next.contains("`secretTargetRef`"), "{field}: {next}");
        }
    }

    #[test]
    fn the_number_of_references_is_bounded() {
        let reference = json!({"parameter": "password", "name": "redis", "key": "p"});
        let object = json!({"spec": {"secretTargetRef": vec![reference; MOST + 1]}});
        assert!(References::parse(&object).is_err());
        assert!(References::parse(&json!({})).unwrap().secrets.is_empty());
    }
}
