//! What is searched: keys and fields, each with the values to try.

use super::{
    edit::{Setting, Site},
    search::Point,
};
use crate::{error::Result, simulation::ScaledObject};

/// A key or field with the values to try.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    pub key: String,
    pub values: Vec<Value>,
    /// The one that the manifest has.
    pub present: usize,
}

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    /// The key is left out.
    None,
    /// So many percent of the target.
    PartOfTarget(u64),
}

/// All combinations of values.
pub struct Space {
    pub axes: Vec<Axis>,
    pub target_key: Option<String>,
    pub target: u64,
}

impl Value {
    /// For the order of an axis; none comes first.
    pub fn number(&self) -> f64 {
        match self {
            Value::Text(text) => text.parse().unwrap_or(f64::INFINITY),
            Value::None => f64::NEG_INFINITY,
            Value::PartOfTarget(percent) => *percent as f64,
        }
    }
}

impl Space {
    pub fn sizes(&self) -> Vec<usize> {
        self.axes.iter().map(|axis| axis.values.len()).collect()
    }

    pub fn present(&self) -> Point {
        self.axes.iter().map(|axis| axis.present).collect()
    }

    /// What a point sets differently from the manifest. `None`: a threshold would not be below its
    /// target.
    pub fn settings(&self, point: &Point) -> Option<Vec<Setting>> {
        let target = self.target_at(point);
        let mut settings = Vec::new();
        for (axis, index) in self.axes.iter().zip(point) {
            let is_present = *index == axis.present;
            let value = match &axis.values[*index] {
                Value::PartOfTarget(_) if is_present && target == self.target => continue,
                Value::Text(_) | Value::None if is_present => continue,
                Value::Text(text) => Some(text.clone()),
                Value::None => None,
                Value::PartOfTarget(percent) => {
                    let below = (target.saturating_mul(*percent) + 50) / 100;
                    let below = below.max(1);
                    if below >= target {
                        return None;
                    }
                    Some(below.to_string())
                }
            };
            settings.push(Setting {
                key: axis.key.clone(),
                value,
            });
        }
        Some(settings)
    }

    fn target_at(&self, point: &Point) -> u64 {
        let mut axes = self.axes.iter().zip(point);
        let at = axes.find(|(axis, _)| Some(&axis.key) == self.target_key.as_ref());
        let text = at.map(|(axis, index)| &axis.values[*index]);
        match text {
            Some(Value::Text(text)) => text.parse().unwrap_or(self.target),
            _ => self.target,
        }
    }

    /// What the manifest has of all that is searched: `listLength=50 minReplicaCount=3`.
    pub fn shown_present(&self, site: &Site<'_>) -> String {
        let shown = self.axes.iter().filter_map(|axis| {
            let written = site.value(&axis.key);
            let value = written.or_else(|| match &axis.values[axis.present] {
                Value::Text(text) => Some(text.clone()),
                _ => None,
            });
            Some(format!("{}={}", axis.key, value?.trim()))
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    /// The largest number of replicas of any point.
    pub fn largest_max(&self, object: &ScaledObject) -> u32 {
        let axis = self.axes.iter().find(|axis| axis.key == "maxReplicaCount");
        let numbers = axis.into_iter().flat_map(|axis| &axis.values);
        let numbers = numbers.filter_map(|value| match value {
            Value::Text(text) => text.parse().ok(),
            _ => None,
        });
        numbers.max().unwrap_or(object.max_replica_count)
    }

    /// Whether the search has values of a key.
    pub fn searches(&self, key: &str) -> bool {
        self.axes.iter().any(|axis| axis.key == key)
    }
}

/// Whether the manifest's text can be changed there.
pub fn can_change(site: &Site<'_>, axis: &Axis) -> Result<()> {
    // To leave the key out is another change than to set it; that is the first of the values.
    for value in axis.values.first().into_iter().chain(axis.values.last()) {
        let setting = Setting {
            key: axis.key.clone(),
            value: match value {
                Value::Text(text) => Some(text.clone()),
                Value::PartOfTarget(percent) => Some(percent.to_string()),
                Value::None => None,
            },
        };
        site.edited(&[setting])?;
    }
    Ok(())
}
