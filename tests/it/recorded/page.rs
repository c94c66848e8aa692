//! What `docs/how-to/simulate.md` shows of the recording that is kept.

use std::{fmt::Write, time::Duration};

use backlog_scaler::simulation::{Diagram, Line, draw_diagrams};

use super::{
    ONE_SYNC, Replay, from_arrivals, from_backlog, kept,
    recording::{Recording, Second},
};
use crate::examples::generated::{is_file, shown_in_page};

const PAGE: &str = "docs/how-to/simulate.md";
const PICTURE: &str = "docs/images/simulated-and-real.svg";

#[test]
fn the_page_shows_how_true_the_simulation_is() {
    let recording = kept();
    let alone = from_backlog(&recording, ONE_SYNC);
    let whole = from_arrivals(&recording, ONE_SYNC);
    shown_in_page(PAGE, "recorded", &figures(&recording, &alone, &whole));
    is_file(PICTURE, &picture(&recording, &alone, &whole));
}

fn figures(recording: &Recording, alone: &Replay, whole: &Replay) -> String {
    let mut text = "\
| | cluster | KEDA and the HPA, from its backlog | everything, from its arrivals |\n\
| --- | --- | --- | --- |\n"
        .to_owned();
    let mut row = |name: &str, cluster: &str, of: &dyn Fn(&Replay) -> String| {
        writeln!(
            text,
            "| {name} | {cluster} | {} | {} |",
            of(alone),
            of(whole)
        )
        .expect("text");
    };
    let real = recording.replicas();
    row(
        "seconds with as many replicas as the cluster",
        "",
        &|replay| {
            let comparison = &replay.comparison;
            format!("{} of {}", comparison.equal, comparison.seconds)
        },
    );
    row(
        "greatest difference within one sync, in replicas",
        "",
        &|replay| replay.comparison.greatest.to_string(),
    );
    row(
        "seconds and changes that are further off than one sync and one replica",
        "",
        &|replay| replay.comparison.misses.len().to_string(),
    );
    row("changes of the replicas", &changes(&real), &|replay| {
        changes(&replay.replicas)
    });
    let seconds = |replicas: &[u32]| replicas.iter().sum::<u32>().to_string();
    row(
        "replicas, added up over all seconds",
        &seconds(&real),
        &|replay| seconds(&replay.replicas),
    );
    let backlog = recording.0.iter().map(|second| second.backlog as u64);
    row("largest backlog", &largest(backlog), &|replay| {
        largest(replay.backlog.iter().copied())
    });
    text
}

fn largest(backlog: impl Iterator<Item = u64>) -> String {
    backlog.max().unwrap_or(0).to_string()
}

fn changes(replicas: &[u32]) -> String {
    let pairs = replicas.windows(2);
    pairs.filter(|pair| pair[0] != pair[1]).count().to_string()
}

fn picture(recording: &Recording, alone: &Replay, whole: &Replay) -> String {
    let cluster = |of: fn(&Second) -> f64| {
        let values = recording.0.iter().map(of).collect();
        line("the cluster", 6, values)
    };
    let simulated = |of: fn(&Replay) -> Vec<f64>| {
        let whole = line("simulated from its arrivals", 2, of(whole));
        [whole, line("simulated from its backlog", 2, of(alone))]
    };
    let with_both = |caption, real: fn(&Second) -> f64, of: fn(&Replay) -> Vec<f64>| Diagram {
        caption,
        lines: [cluster(real)].into_iter().chain(simulated(of)).collect(),
    };
    let diagrams = [
        Diagram {
            caption: "Arrivals per second",
            lines: vec![cluster(|second| second.arrived as f64)],
        },
        with_both(
            "Items that wait",
            |second| second.backlog as f64,
            |replay| replay.backlog.iter().map(|items| *items as f64).collect(),
        ),
        with_both(
            "Replicas",
            |second| second.replicas.into(),
            |replay| replay.replicas.iter().copied().map(f64::from).collect(),
        ),
    ];
    draw_diagrams(&diagrams).expect("a picture")
}

fn line(name: &str, width: u32, values: Vec<f64>) -> Line<'_> {
    Line {
        name,
        width,
        points: (0..).map(Duration::from_secs).zip(values).collect(),
    }
}
