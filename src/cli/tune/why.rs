//! Why nothing meets the objectives: whether replicas are too few, or come too late.

use super::{
    evaluate::{Simulator, Wanted},
    space::Space,
};
use crate::{
    cli::simulate::{object::Scaled, report::Row},
    error::Result,
    simulation::ScaledObject,
};

/// The reason, by one more simulation: of as many replicas as there may be, at all times.
pub fn why(simulator: &Simulator<'_>, space: &Space, wanted: &Wanted<'_>) -> Result<String> {
    let present = simulator.present()?;
    let replicas = space.largest_max(&present).max(1);
    let row = simulator.simulate(|| {
        let constant = ScaledObject {
            min_replica_count: replicas,
            max_replica_count: replicas,
            idle_replica_count: None,
            ..present.clone()
        };
        Ok(Scaled {
            object: constant.into(),
            ..simulator.prepare(&[])?
        })
    })?;
    Ok(reason(simulator, space, wanted, replicas, &row))
}

fn reason(
    simulator: &Simulator<'_>,
    space: &Space,
    wanted: &Wanted<'_>,
    replicas: u32,
    row: &Row,
) -> String {
    let missed = wanted.missed(row);
    let shown = |objective: &&super::objective::Objective| {
        let measure = objective.measure;
        format!("{objective} ({})", measure.shown(measure.of(row)))
    };
    let all: Vec<String> = missed.iter().map(shown).collect();
    let all = all.join(", ");
    let time = humantime::format_duration(simulator.workload.startup());
    let late = format!(
        "replicas come too late: they are wanted only once work waits, and take --startup {time}"
    );
    let waits = missed.iter().any(|objective| objective.measure.is_wait());
    match (missed.is_empty(), waits) {
        (true, _) => {
            let next = match space.searches("minReplicaCount") {
                true => "Give it more --simulations",
                false => "Let minReplicaCount be searched as well",
            };
            format!("{replicas} replicas at all times would meet the objectives; {late}. {next}.")
        }
        (false, false) => format!(
            "{replicas} replicas at all times miss {all} alone; with fewer, {late}. The objectives may not go together."
        ),
        (false, true) => {
            let rates = simulator.replays.iter();
            let rate = rates
                .map(|replay| replay.largest_rate())
                .fold(0.0, f64::max);
            let capacity = simulator.workload.capacity(replicas);
            format!(
                "even {replicas} replicas at all times miss {all}: they complete at most {capacity:.1} items a second, and up to {rate:.1} arrive. Allow more replicas, as --try maxReplicaCount={replicas}..{}.",
                replicas.saturating_mul(4)
            )
        }
    }
}
