//! What a manifest has at present → the values to try around it.

use super::{
    edit::{Setting, Site, WINDOW},
    search::MOST_AXES,
    space::{Axis, Space, Value},
    values::{NONE, Try, Values, round_numbers},
};
use crate::{
    cli::registry,
    error::{Error, Kind, Result},
    manifests::File,
    metadata::schema::nearest,
    simulation::{MetricTarget, ScaledObject},
};

/// The key of a lower threshold.
const BELOW: &str = "scaleDownBelow";

/// The values that there are at present.
pub struct Present<'a> {
    pub site: Site<'a>,
    pub object: ScaledObject,
    pub target: MetricTarget,
    /// The key of the target, if it can be set.
    pub target_key: Option<String>,
}

/// Percent of the target, beside the present threshold and none.
const BANDS: [u64; 6] = [10, 20, 30, 40, 50, 70];
/// Seconds of the window for the way down; Kubernetes allows an hour.
const WINDOWS: [u64; 8] = [0, 30, 60, 120, 180, 300, 600, 900];
/// From the present target divided by this until it times this.
const TARGET_FACTOR: u64 = 8;
/// From the present maximum divided by this until it times this.
const MAX_FACTOR: u64 = 4;

impl Present<'_> {
    /// The keys that are searched unless others are named, those that matter most first.
    fn default_keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.target_key.iter().cloned().collect();
        // Times have no threshold for each replica.
        let is_count = self.target_key.as_deref() != Some("targetSeconds");
        if is_count && matches!(self.target, MetricTarget::AverageValue(_)) {
            keys.push(BELOW.to_owned());
        }
        keys.extend(["maxReplicaCount", "minReplicaCount", WINDOW].map(str::to_owned));
        keys
    }

    fn target(&self) -> u64 {
        self.target.number() as u64
    }

    /// A number of the manifest, or the default that counts in its place.
    fn number(&self, key: &str) -> Option<u64> {
        let object = &self.object;
        let default = match key {
            "minReplicaCount" => Some(object.min_replica_count.into()),
            "maxReplicaCount" => Some(object.max_replica_count.into()),
            "pollingInterval" => Some(object.polling_interval.as_secs()),
            "cooldownPeriod" => Some(object.cooldown_period.as_secs()),
            // Kubernetes' own, where there is none: five minutes.
            WINDOW => Some(300),
            key if self.target_key.as_deref() == Some(key) => Some(self.target()),
            _ => None,
        };
        let written = self.site.value(key);
        let written = written.and_then(|text| text.trim().parse().ok());
        written.or(default)
    }

    /// An axis with values of the search's own choice.
    fn axis(&self, key: &str) -> Option<Axis> {
        let present = self.number(key);
        let numbers = match (key, present) {
            (BELOW, _) => return Some(self.band()),
            (WINDOW, _) => WINDOWS.to_vec(),
            // What runs at least one has a reason to.
            ("minReplicaCount", Some(present)) => {
                let max = self.object.max_replica_count.into();
                round_numbers(present.min(1), present.max(max))
            }
            ("maxReplicaCount", Some(present)) => {
                let present = present.max(1);
                round_numbers((present / MAX_FACTOR).max(1), present * MAX_FACTOR)
            }
            (_, Some(present)) => {
                let present = present.max(1);
                let lowest = (present / TARGET_FACTOR).max(1);
                round_numbers(lowest, present.saturating_mul(TARGET_FACTOR))
            }
            (_, None) => return None,
        };
        Some(self.with_present(key, numbers.iter().map(u64::to_string).collect()))
    }

    /// A threshold moves with the target.
    fn band(&self) -> Axis {
        let written = self.site.value(BELOW);
        let mut values = vec![Value::None];
        let number = written.as_deref().and_then(|text| text.trim().parse().ok());
        let of_target = |number: f64| (number / self.target().max(1) as f64 * 100.0).round() as u64;
        let present = number.map(of_target);
        let mut percents = BANDS.to_vec();
        percents.extend(present);
        percents.sort_unstable();
        percents.dedup();
        values.extend(percents.iter().map(|percent| Value::PartOfTarget(*percent)));
        let at = present.and_then(|percent| {
            let present = Value::PartOfTarget(percent);
            values.iter().position(|value| *value == present)
        });
        Axis {
            key: BELOW.to_owned(),
            values,
            present: at.unwrap_or(0),
        }
    }

    /// Values in their order, with the present one among them.
    fn with_present(&self, key: &str, texts: Vec<String>) -> Axis {
        let mut values: Vec<Value> = texts
            .into_iter()
            .map(|text| match text.as_str() {
                NONE if key == BELOW => Value::None,
                _ => Value::Text(text),
            })
            .collect();
        let number = self.number(key).map(|number| number.to_string());
        let present = self.site.value(key).or(number);
        let present = present.map_or(Value::None, |text| Value::Text(text.trim().to_owned()));
        let at = values.iter().position(|value| *value == present);
        let at = at.unwrap_or_else(|| {
            let at = values.partition_point(|value| value.number() < present.number());
            values.insert(at, present);
            at
        });
        Axis {
            key: key.to_owned(),
            values,
            present: at,
        }
    }

    /// The space that the arguments describe: what `tries` names, or else the keys of the search's own
    /// choice without `keep`.
    pub fn space(&self, tries: &[Try], keep: &[String]) -> Result<Space> {
        let axes = match tries {
            [] => self.chosen(keep)?,
            tries => self.named(tries)?,
        };
        if axes.len() > MOST_AXES {
            let what = format!("--try: {} keys are more than {MOST_AXES}", axes.len());
            return Err(Error::new(Kind::Invalid, what, "Try fewer at once."));
        }
        if axes.iter().all(|axis| axis.values.len() < 2) {
            let next = "Name some: --try listLength=20,50.";
            return Err(Error::new(Kind::Invalid, "there is no value to try", next));
        }
        Ok(Space {
            axes,
            target_key: self.target_key.clone(),
            target: self.target(),
        })
    }

    fn chosen(&self, keep: &[String]) -> Result<Vec<Axis>> {
        let keys = self.default_keys();
        for kept in keep {
            if !keys.contains(kept) {
                let near = nearest(kept, keys.iter().map(String::as_str));
                let hint = near.map(|near| format!("Did you mean `{near}`?"));
                let what = format!(
                    "--keep {kept}: is not searched; what is searched: {}",
                    keys.join(", ")
                );
                return Err(Error::new(Kind::Invalid, what, hint.unwrap_or_default()));
            }
        }
        let searched = keys.iter().filter(|key| !keep.contains(key));
        Ok(searched.filter_map(|key| self.axis(key)).collect())
    }

    fn named(&self, tries: &[Try]) -> Result<Vec<Axis>> {
        let mut axes: Vec<Axis> = Vec::new();
        for Try { key, values } in tries {
            let invalid = |what: &str, next: &str| {
                Err(Error::new(
                    Kind::Invalid,
                    format!("--try {key}: {what}"),
                    next,
                ))
            };
            if axes.iter().any(|axis| axis.key == *key) {
                return invalid("is given twice", "Give all its values at once.");
            }
            axes.push(match values {
                None => match self.axis(key) {
                    Some(axis) => axis,
                    None => {
                        return invalid(
                            "has no number to start from",
                            "Name values: --try KEY=20,50 or --try KEY=20..100.",
                        );
                    }
                },
                Some(Values::List(texts)) => self.with_present(key, texts.clone()),
                Some(Values::Range(from, until)) => {
                    let numbers = round_numbers(*from, *until);
                    self.with_present(key, numbers.iter().map(u64::to_string).collect())
                }
            });
        }
        Ok(axes)
    }
}

/// A number that no manifest has by chance.
const MARK: u64 = 7919;

/// The key of a trigger's target: the one whose number becomes the target. `target` reads the target of
/// a manifest.
pub fn target_key(
    site: &Site<'_>,
    backend: &str,
    target: impl Fn(&File) -> Option<MetricTarget>,
) -> Option<String> {
    let keys = registry()
        .keys()
        .find(|keys| keys.trigger_type == backend)?;
    let names = keys.query.iter().chain(&keys.common);
    // Counts are declared as such; others cannot hold the number.
    let mut names: Vec<&str> = names
        .filter(|key| key.allowed.starts_with("a whole number from 1"))
        .map(|key| key.name.as_str())
        .collect();
    // Of those that would work, the one that is there.
    names.sort_by_key(|name| site.value(name).is_none());
    let becomes_target = |name: &&str| {
        let setting = Setting {
            key: name.to_string(),
            value: Some(MARK.to_string()),
        };
        let text = site.edited(&[setting]).ok();
        let file = text.map(|text| File::new(site.file.name(), text));
        let read = file.and_then(|file| target(&file));
        read.is_some_and(|target| target.number() == MARK as f64)
    };
    names.into_iter().find(becomes_target).map(str::to_owned)
}
