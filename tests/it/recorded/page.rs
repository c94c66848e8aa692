//! What `docs/how-to/simulate.md` shows of the recording that is kept.

use std::{fmt::Write, time::Duration};

use backlog_scaler::simulation::{Diagram, Line, draw_diagrams};

use super::{Replay, from_arrivals, from_backlog, kept, recording::Recording};
use crate::examples::generated::{is_file, shown_in_page};

const PAGE: &str = "docs/how-to/simulate.md";
const PICTURE: &str = "docs/images/simulated-and-real.svg";

#[test]
fn the_page_shows_how_true_the_simulation_is() {
    let recording = kept();
    let (alone, whole) = (from_backlog(&recording), from_arrivals(&recording));
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
    let line = |name, values: Vec<f64>| Line {
        name,
        points: (0..).map(Duration::from_secs).zip(values).collect(),
    };
    let cluster = |name, of: fn(&super::recording::Second) -> f64| {
        line(name, recording.0.iter().map(of).collect())
    };
    let replicas = |name, replay: &Replay| {
        line(
            name,
            replay.replicas.iter().copied().map(f64::from).collect(),
        )
    };
    let waiting = whole.backlog.iter().map(|items| *items as f64).collect();
    let diagrams = [
        Diagram {
            caption: "Replicas",
            lines: vec![
                cluster("the cluster", |second| second.replicas.into()),
                replicas("simulated from its arrivals", whole),
                replicas("simulated from its backlog", alone),
            ],
        },
        Diagram {
            caption: "Items that wait: the cluster, and simulated from its arrivals",
            lines: vec![
                cluster("the cluster", |second| second.backlog as f64),
                line("simulated from its arrivals", waiting),
            ],
        },
        Diagram {
            caption: "Arrivals per second",
            lines: vec![cluster("the cluster", |second| second.arrived as f64)],
        },
    ];
    draw_diagrams(&diagrams).expect("a picture")
}
