//! Other values for keys and fields of a manifest, by edits that leave the rest of it as it is.

use crate::{
    error::{Error, Kind, Result},
    manifests::{Edits, File, Found, NodeRef, Object, Refused, Scaled, is_external},
};

/// A key with the values to try: `listLength=20,50`.
#[derive(Clone, Debug, PartialEq)]
pub struct Vary {
    pub key: String,
    pub values: Vec<String>,
}

/// One of the manifests to try.
pub struct Variant {
    /// What differs: `listLength=20 maxReplicaCount=8`; empty: nothing.
    pub name: String,
    pub text: String,
}

/// The numbers in `spec`; every other key is one of the triggers' metadata.
pub const FIELDS: [&str; 6] = [
    "pollingInterval",
    "cooldownPeriod",
    "initialCooldownPeriod",
    "minReplicaCount",
    "maxReplicaCount",
    "idleReplicaCount",
];

/// Of a ScaledJob's `spec.scalingStrategy`.
const STRATEGY: &str = "strategy";

/// A day of each takes about a second.
const MOST_VARIANTS: usize = 200;

impl Vary {
    /// Of an argument.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let expected = "expected KEY=VALUE,VALUE,…, as listLength=20,50";
        let (key, values) = text.split_once('=').ok_or(expected)?;
        let values: Vec<_> = values
            .split(',')
            .map(|value| value.trim().to_owned())
            .collect();
        match key.trim().is_empty() || values.iter().any(String::is_empty) {
            true => Err(expected.to_owned()),
            false => Ok(Vary {
                key: key.trim().to_owned(),
                values,
            }),
        }
    }
}

/// The manifests with each combination of the values.
pub fn variants(file: &File, all: &[Vary], only: &[usize]) -> Result<Vec<Variant>> {
    let count = all.iter().map(|vary| vary.values.len()).product::<usize>();
    if count > MOST_VARIANTS {
        let what = format!("--vary: {count} combinations are more than {MOST_VARIANTS}");
        return Err(Error::new(Kind::Invalid, what, "Try fewer values."));
    }
    let mut chosen: Vec<Vec<(&str, &str)>> = vec![Vec::new()];
    for Vary { key, values } in all {
        let mut longer = Vec::new();
        for before in &chosen {
            for value in values {
                longer.push([before.as_slice(), &[(key.as_str(), value.as_str())]].concat());
            }
        }
        chosen = longer;
    }
    let chosen = chosen.iter();
    chosen.map(|chosen| variant(file, chosen, only)).collect()
}

fn variant(file: &File, chosen: &[(&str, &str)], only: &[usize]) -> Result<Variant> {
    let found = Found::of(file);
    let mut edits = Edits::of(file);
    for (key, value) in chosen {
        for object in &found.objects {
            set(&mut edits, object, key, value, only).map_err(|refused| {
                let position = file.position(refused.at);
                let what = format!("{}:{}: {key}: {refused}", file.name(), position.line);
                Error::new(Kind::Invalid, what, "")
            })?;
        }
    }
    let text = edits
        .apply()
        .map_err(|refused| Error::new(Kind::Invalid, format!("{}: {refused}", file.name()), ""))?;
    let names: Vec<String> = chosen
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    Ok(Variant {
        name: names.join(" "),
        text,
    })
}

fn set(
    edits: &mut Edits<'_>,
    object: &Object<'_>,
    key: &str,
    value: &str,
    only: &[usize],
) -> std::result::Result<(), Refused> {
    if FIELDS.contains(&key) {
        return match object.node.get("spec") {
            Some(spec) => write(edits, spec, key, value),
            None => Ok(()),
        };
    }
    if key == STRATEGY && object.scaled == Scaled::Job {
        let Some(spec) = object.node.get("spec") else {
            return Ok(());
        };
        return match spec.get("scalingStrategy") {
            Some(strategy) => write(edits, strategy, STRATEGY, value),
            None => write(
                edits,
                spec,
                "scalingStrategy",
                &format!("{{strategy: {value}}}"),
            ),
        };
    }
    let triggers = object
        .triggers
        .iter()
        .enumerate()
        .filter(|(index, trigger)| {
            let is_chosen = only.is_empty() || only.contains(index);
            is_chosen && is_external(&trigger.trigger_type)
        });
    let metadata: Vec<_> = triggers
        .filter_map(|(_, trigger)| trigger.node.get("metadata"))
        .collect();
    // Those of another backend may not know it.
    let having = metadata
        .iter()
        .filter(|metadata| metadata.get(key).is_some());
    let having: Vec<_> = having.copied().collect();
    let targets = if having.is_empty() { metadata } else { having };
    for metadata in targets {
        write(edits, metadata, key, &Edits::quoted(value))?;
    }
    Ok(())
}

/// Sets an entry of a mapping, which is new where there is none.
fn write(
    edits: &mut Edits<'_>,
    mapping: NodeRef<'_>,
    key: &str,
    value: &str,
) -> std::result::Result<(), Refused> {
    match (mapping.get(key), mapping.entries().last()) {
        (Some(node), _) => edits.replace_raw(node, value),
        (None, Some((last, _))) => {
            edits.insert_after(mapping, last.text().unwrap_or_default(), key, value)
        }
        (None, None) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "\
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: worker}
spec:
  maxReplicaCount: 20 # what we pay for
  triggers:
    - type: cpu
      metadata: {value: \"70\"}
    - type: external
      metadata:
        backend: redis
        listLength: '5'
";

    fn texts(vary: &[&str]) -> Vec<(String, String)> {
        let file = File::new("f.yaml", MANIFEST);
        let all: Vec<_> = vary.iter().map(|text| Vary::parse(text).unwrap()).collect();
        let variants = variants(&file, &all, &[]).unwrap();
        let pairs = variants
            .into_iter()
            .map(|Variant { name, text }| (name, text));
        pairs.collect()
    }

    #[test]
    fn each_combination_is_an_edit_of_the_manifest() {
        let found = texts(&["listLength=20,50", "maxReplicaCount=8"]);
        let expected = ["20", "50"].map(|length| {
            let text = MANIFEST.replace("'5'", &format!("\"{length}\""));
            let name = format!("listLength={length} maxReplicaCount=8");
            (name, text.replace(": 20 #", ": 8 #"))
        });
        assert_eq!(found, expected);
        assert_eq!(texts(&[]), [(String::new(), MANIFEST.to_owned())]);
    }

    #[test]
    fn what_is_not_there_is_added_to_external_triggers_and_the_spec() {
        let found = texts(&["scaleDownBelow=1", "cooldownPeriod=60"]);
        let (_, text) = &found[0];
        let trigger = "        listLength: '5'\n        scaleDownBelow: \"1\"\n";
        assert!(text.contains(trigger), "{text}");
        assert!(text.contains("\n  cooldownPeriod: 60"), "{text}");
        assert_eq!(text.matches("scaleDownBelow").count(), 1);
    }

    #[test]
    fn arguments_are_checked() {
        for text in ["", "a", "=1", "a=", "a=1,", "a=,1"] {
            assert!(Vary::parse(text).is_err(), "{text}");
        }
        let many = Vary {
            key: "listLength".to_owned(),
            values: vec!["1".to_owned(); MOST_VARIANTS + 1],
        };
        let error = variants(&File::new("f", MANIFEST), &[many], &[])
            .map(|_| ())
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("201 combinations are more than 200")
        );
    }
}
