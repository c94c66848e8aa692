//! What a trigger reports of its queue.

use super::{
    CommonKeys,
    problem::{Problem, Problems},
    values::{Activation, Target, words},
};

/// What a trigger's value is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Signal {
    /// How much work waits.
    #[default]
    Backlog,
    /// For how long the oldest of it has waited, in seconds.
    Age,
    /// How long the backlog takes at the present rate of completion, in seconds.
    DrainTime,
}

words!(Signal: "backlog, age or drainTime",
    "backlog" => Backlog,
    "age" => Age,
    "drainTime" => DrainTime);

/// What the common keys of a trigger need of its samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// What is reported.
    pub signal: Signal,
    /// How much work is taken and not finished (`minimumWhileInFlight`).
    pub in_flight: bool,
}

/// Target and activation threshold of a signal in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds {
    /// The wanted time.
    pub target: Target,
    /// The trigger is active above this time; `None`: as with the signal `backlog`.
    pub activation: Option<Activation>,
}

impl Needs {
    /// What these keys need.
    pub fn of(keys: &CommonKeys) -> Self {
        Needs {
            signal: keys.signal,
            in_flight: keys.minimum_while_in_flight.is_some(),
        }
    }

    /// Checks that the signal is one of the supported ones; `what` is measured: `a list`.
    pub fn supports(self, what: &str, supported: &[Signal]) -> Result<(), Problem> {
        if supported.contains(&self.signal) {
            return Ok(());
        }
        let known: Vec<String> = supported.iter().map(Signal::to_string).collect();
        let reason = format!(
            "is not known of {what}; supported there: {}",
            known.join(", ")
        );
        Err(Problem::value("signal", self.signal.to_string(), reason))
    }

    /// Checks that no work in flight is needed, where it is not known; `why` completes the
    /// sentence.
    pub fn no_in_flight(self, why: &str) -> Result<(), Problem> {
        match self.in_flight {
            false => Ok(()),
            true => Err(Problem::key("minimumWhileInFlight", why)),
        }
    }
}

impl Seconds {
    /// The keys of a signal in seconds; `None`: the signal is the backlog, which has none of them.
    pub fn of(keys: &CommonKeys) -> Result<Option<Self>, Problems> {
        let mut problems = Problems::default();
        if keys.signal == Signal::Backlog {
            let given = [
                ("targetSeconds", keys.target_seconds.is_some()),
                ("activationSeconds", keys.activation_seconds.is_some()),
            ];
            for (key, _) in given.into_iter().filter(|(_, given)| *given) {
                let reason = "needs `signal: age` or `signal: drainTime`";
                problems.push(Problem::key(key, reason));
            }
            return problems.into_result().map(|()| None);
        }
        let replicas = [
            ("scaleDownBelow", keys.scale_down_below.is_some()),
            (
                "minimumWhileInFlight",
                keys.minimum_while_in_flight.is_some(),
            ),
        ];
        for (key, _) in replicas.into_iter().filter(|(_, given)| *given) {
            // A time leads to a number of replicas by what runs now, which is not known here.
            let reason = "needs `signal: backlog`; put it into a trigger of its own";
            problems.push(Problem::key(key, reason));
        }
        let Some(target) = keys.target_seconds else {
            let reason = format!("is required with `signal: {}`", keys.signal);
            problems.push(Problem::key("targetSeconds", reason));
            return Err(problems);
        };
        problems.into_result()?;
        Ok(Some(Seconds {
            target,
            activation: keys.activation_seconds,
        }))
    }
}
