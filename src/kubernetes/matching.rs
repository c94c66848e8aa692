//! Which trigger of an object a call is for: KEDA sends the metadata, not the trigger's index.

use std::collections::BTreeMap;

use super::scalable::Trigger;

type Metadata = BTreeMap<String, String>;

/// KEDA sends the value of a container's environment variable in place of its name, and leaves the
/// key out if there is none or it is empty (`parseExternalScalerMetadata` in
/// `pkg/scalers/external_scaler.go`). All other keys arrive as they are written.
const FROM_ENV: &str = "FromEnv";

/// Whether a call with this metadata may be for this trigger. Values of `…FromEnv` are not compared.
pub fn may_be(trigger: &Trigger, sent: &Metadata) -> bool {
    let written = &trigger.metadata;
    let same =
        |(key, value): (&String, &String)| key.ends_with(FROM_ENV) || sent.get(key) == Some(value);
    written.iter().all(same) && sent.keys().all(|key| written.contains_key(key))
}

/// Whether values of this trigger come from the environment.
pub fn has_environment(trigger: &Trigger) -> bool {
    trigger.metadata.keys().any(|key| key.ends_with(FROM_ENV))
}

/// The keys whose values come from the environment: key, variable, and what was sent.
pub fn from_environment<'a>(
    trigger: &'a Trigger,
    sent: &'a Metadata,
) -> impl Iterator<Item = (&'a str, &'a str, Option<&'a str>)> {
    let keys = trigger.metadata.iter();
    keys.filter(|(key, _)| key.ends_with(FROM_ENV))
        .map(|(key, variable)| {
            let sent = sent.get(key).map(String::as_str);
            (key.as_str(), variable.as_str(), sent)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Metadata {
        let pairs = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string()));
        pairs.collect()
    }

    fn trigger(pairs: &[(&str, &str)]) -> Trigger {
        Trigger {
            index: 0,
            metadata: map(pairs),
            reference: None,
        }
    }

    #[test]
    fn metadata_match_key_for_key() {
        let written = trigger(&[("backend", "redis"), ("listName", "jobs")]);
        for (sent, expected) in [
            (&[("backend", "redis"), ("listName", "jobs")] as &[_], true),
            (&[("backend", "redis"), ("listName", "mail")], false),
            (&[("backend", "redis")], false),
            (
                &[("backend", "redis"), ("listName", "jobs"), ("x", "y")],
                false,
            ),
        ] {
            assert_eq!(may_be(&written, &map(sent)), expected, "{sent:?}");
        }
    }

    #[test]
    fn a_value_from_the_environment_may_be_any_and_may_be_absent() {
        let written = trigger(&[("backend", "redis"), ("passwordFromEnv", "PASSWORD")]);
        for (sent, expected) in [
            (
                &[("backend", "redis"), ("passwordFromEnv", "hunter2")] as &[_],
                true,
            ),
            (&[("backend", "redis")], true),
            (&[("backend", "redis"), ("usernameFromEnv", "x")], false),
        ] {
            assert_eq!(may_be(&written, &map(sent)), expected, "{sent:?}");
        }
        let sent = map(&[("passwordFromEnv", "hunter2")]);
        let keys: Vec<_> = from_environment(&written, &sent).collect();
        assert_eq!(keys, [("passwordFromEnv", "PASSWORD", Some("hunter2"))]);
    }
}
