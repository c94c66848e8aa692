//! The run that is recorded: its ScaledObject, what arrives, and the file of it.

use std::{fmt::Write, time::Duration};

use backlog_scaler::simulation::HpaController;
use serde_json::{Value, json};

/// Items of the list for each replica.
pub const TARGET: usize = 10;

/// What a replica completes in a second.
pub const RATE: usize = 1;

/// How long the run takes, in seconds.
pub const LENGTH: usize = 330;

/// KEDA's `pollingInterval`, in seconds.
pub const POLLING: usize = 2;

/// The ScaledObject of the run, without its trigger: limits in both directions, in each of another
/// kind.
pub fn spec() -> Value {
    json!({
        "pollingInterval": POLLING,
        "cooldownPeriod": 20,
        "minReplicaCount": 0,
        "maxReplicaCount": 12,
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": {
            "scaleUp": {
                "stabilizationWindowSeconds": 5,
                "policies": [
                    {"type": "Pods", "value": 2, "periodSeconds": 10},
                    {"type": "Percent", "value": 50, "periodSeconds": 15},
                ],
                "selectPolicy": "Max",
            },
            "scaleDown": {
                "stabilizationWindowSeconds": 20,
                "policies": [
                    {"type": "Pods", "value": 2, "periodSeconds": 15},
                    {"type": "Percent", "value": 25, "periodSeconds": 10},
                ],
                "selectPolicy": "Min",
            },
        }}},
    })
}

/// The flags of the cluster's controller manager.
pub fn controller() -> HpaController {
    HpaController {
        sync_period: Duration::from_secs(1),
        downscale_stabilization: Duration::ZERO,
        ..HpaController::default()
    }
}

/// How many items arrive in a second of the run: nothing, slowly more, a burst, and slowly less, so
/// that the HPA removes replicas before KEDA removes the last.
pub fn arrivals(second: usize) -> usize {
    match second {
        0..15 => 0,
        15..75 => (second - 14) * 8 / 60,
        75..110 => 8,
        110..122 => 18,
        122..150 => 9,
        150..290 => 9usize.saturating_sub((second - 150) / 16).max(1),
        _ => 0,
    }
}

/// A second of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Second {
    /// Items that arrived at its begin.
    pub arrived: usize,
    /// Items that waited from then until its end.
    pub backlog: usize,
    /// `spec.replicas` at its end.
    pub replicas: u32,
}

/// A run by the second.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording(pub Vec<Second>);

const HEADER: &str = "second,arrived,backlog,replicas";

impl Recording {
    pub fn of_csv(text: &str) -> Self {
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some(HEADER));
        let seconds = lines.enumerate().map(|(second, line)| {
            let numbers: Vec<usize> = line.split(',').map(|n| n.parse().unwrap()).collect();
            let [at, arrived, backlog, replicas] = numbers[..] else {
                panic!("{line}: has not four columns");
            };
            assert_eq!(at, second, "no second is missing");
            let replicas = u32::try_from(replicas).unwrap();
            Second {
                arrived,
                backlog,
                replicas,
            }
        });
        Recording(seconds.collect())
    }

    pub fn csv(&self) -> String {
        let mut text = format!("{HEADER}\n");
        for (second, row) in self.0.iter().enumerate() {
            let Second {
                arrived,
                backlog,
                replicas,
            } = row;
            writeln!(text, "{second},{arrived},{backlog},{replicas}").expect("text");
        }
        text
    }

    pub fn replicas(&self) -> Vec<u32> {
        self.0.iter().map(|second| second.replicas).collect()
    }
}
