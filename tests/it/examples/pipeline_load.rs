//! The load test of `deploy/examples/pipeline`, simulated: the product's own shaping, KEDA's loop and
//! the HPA's algorithm, with the numbers of the manifests. It writes the picture and the tables of the
//! example's page: `make docs`.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use backlog_scaler::{
    metadata::{CommonKeys, parse::Metadata, schema::KeySet, values::Target},
    simulation::{
        Between, Load, MetricTarget, Points, ScaledObject, ShapedTrigger, Simulation, Timeline,
        Trigger, WorkerModel, backlog,
    },
};

use super::{
    generated::{is_file, shown_in_page},
    objects::{number, of_kind, requests, variable},
    picture::{Line, Panel, svg},
};

const STAGES: [&str; 4] = ["crawler", "ocr", "parser", "labeler"];
pub const PAGE: &str = "deploy/examples/pipeline/README.md";
const PICTURE: &str = "docs/images/pipeline-load.svg";
/// A spot node of 4 CPUs and 16 GiB for 0.06 an hour, half of it for each: `cost.yaml` says so.
const PRICE_OF_CPU: f64 = 0.06 / 2.0 / 4.0;
const PRICE_OF_GIB: f64 = 0.06 / 2.0 / 16.0;

/// From the creation of a pod to its first document: a node that has room, and the image.
const STARTUP: Duration = Duration::from_secs(20);
const TWO_HOURS: Duration = Duration::from_secs(2 * 3600);

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

/// A stage with the numbers of its manifest.
pub struct Stage {
    scaled_object: ScaledObject,
    pub seconds: f64,
    target: u64,
    down_below: u64,
    /// CPUs and GiB of a replica.
    requests: (f64, f64),
    /// Of a replica, for an hour, by the recording rule.
    pub price: f64,
}

impl Stage {
    fn read(name: &str) -> Self {
        let file = format!("deploy/examples/pipeline/{name}.yaml");
        let object = &of_kind(&file, "ScaledObject")[0];
        let deployment = &of_kind(&file, "Deployment")[0];
        let trigger = &object["spec"]["triggers"][0]["metadata"];
        Stage {
            scaled_object: ScaledObject::of_spec(&object["spec"]).unwrap(),
            seconds: variable(deployment, "WORK_SECONDS").parse().unwrap(),
            target: number(&trigger["listLength"]),
            down_below: number(&trigger["scaleDownBelow"]),
            requests: requests(deployment),
            price: price(name),
        }
    }

    fn run(&self, load: Load, target: u64, down_below: Option<u64>, length: Duration) -> Timeline {
        let mut model = WorkerModel::new(Duration::from_secs_f64(self.seconds));
        model.startup = STARTUP;
        model.termination_grace_period = Duration::from_secs(25);
        let trigger = shaped(target, down_below);
        Simulation::new(load, model, self.scaled_object.clone())
            .trigger(MetricTarget::AverageValue(target as f64), trigger)
            .run(length)
            .unwrap()
    }

    fn as_it_is(&self, load: Load, length: Duration) -> Timeline {
        self.run(load, self.target, Some(self.down_below), length)
    }
}

/// The constant of the recording rule, which is a sum of products.
fn price(stage: &str) -> f64 {
    let rules = &of_kind("deploy/examples/pipeline/cost.yaml", "PrometheusRule")[0];
    let rules = rules["spec"]["groups"][0]["rules"].as_array().unwrap();
    let rule = rules.iter().find(|rule| rule["labels"]["stage"] == stage);
    let expression = rule.unwrap()["expr"].as_str().unwrap();
    let number = |text: &str| text.trim().parse::<f64>().unwrap();
    let terms = expression.split('+');
    terms
        .map(|term| term.split('*').map(number).product::<f64>())
        .sum()
}

/// The product's own shaping of the backlog.
fn shaped(target: u64, down_below: Option<u64>) -> ShapedTrigger<impl Trigger> {
    let mut map = BTreeMap::from([("backend".to_owned(), "redis".to_owned())]);
    if let Some(below) = down_below {
        map.insert("scaleDownBelow".to_owned(), below.to_string());
    }
    let known = KeySet::of::<CommonKeys>();
    let (metadata, problems) = Metadata::new(&map, &[&known]);
    assert_eq!(problems, Default::default());
    let keys = metadata.parse::<CommonKeys>(&known).unwrap();
    ShapedTrigger::new(&keys, Target(target), backlog(0)).unwrap()
}

/// What a stage completes is what arrives at the next one.
fn completions(timeline: &Timeline) -> Load {
    let points = &timeline.points;
    let rates = points.windows(2).map(|pair| {
        let (before, after) = (&pair[0].queue, &pair[1].queue);
        (before.time, (after.completed - before.completed) as f64)
    });
    Load::Points(Points::new(rates.collect(), Between::Hold).unwrap())
}

/// Documents a second at the pipeline's door: a quiet start, a busy half hour, a burst of 600 in a
/// minute, and quiet again.
fn load() -> Load {
    let rates = [(0, 0.5), (10, 3.2), (40, 0.5), (65, 10.0), (66, 0.5)];
    let rates = rates.map(|(minute, rate)| (minutes(minute), rate));
    Load::Points(Points::new(rates.into(), Between::Hold).unwrap())
}

/// Each stage, what comes of it, and the load that arrives at it.
pub fn whole_pipeline() -> Vec<(&'static str, Stage, Timeline, Load)> {
    let mut arrives = load();
    let mut all = Vec::new();
    for name in STAGES {
        let stage = Stage::read(name);
        let timeline = stage.as_it_is(arrives.clone(), TWO_HOURS);
        let arrived = std::mem::replace(&mut arrives, completions(&timeline));
        all.push((name, stage, timeline, arrived));
    }
    all
}

fn picture(all: &[(&str, Stage, Timeline, Load)]) -> String {
    let load = load();
    let seconds = 0..=TWO_HOURS.as_secs();
    let mut panels = vec![Panel {
        title: "load",
        left: Line {
            name: "documents a second",
            values: seconds.map(|s| load.rate(Duration::from_secs(s))).collect(),
        },
        right: None,
    }];
    for (name, _, timeline, _) in all {
        let points = timeline.points.iter();
        panels.push(Panel {
            title: name,
            left: Line {
                name: "documents that wait",
                values: points.clone().map(|p| p.queue.backlog as f64).collect(),
            },
            right: Some(Line {
                name: "replicas",
                values: points.map(|p| f64::from(p.replicas)).collect(),
            }),
        });
    }
    let label = "Simulated load of the pipeline: documents a second, and for each of four stages the documents that wait and the replicas, over two hours";
    svg(label, &panels)
}

fn load_table(all: &[(&str, Stage, Timeline, Load)]) -> String {
    let mut table =
        "| stage | most that wait | longest wait | most replicas | replica-hours | cost |\n\
                     | --- | --- | --- | --- | --- | --- |\n"
            .to_owned();
    for (name, stage, timeline, _) in all {
        let summary = &timeline.summary;
        let hours = summary.worker_seconds / 3600.0;
        let row = writeln!(
            table,
            "| {name} | {} | {:.0} s | {} | {hours:.1} | {:.3} |",
            summary.max_backlog,
            summary.max_age.as_secs_f64(),
            summary.max_replicas,
            hours * stage.price,
        );
        row.unwrap();
    }
    table
}

/// The OCR stage with other thresholds, for four hours of a load that swings around half of what
/// its 20 replicas can do.
fn tuning_table(ocr: &Stage, period: Duration) -> String {
    let mean = 0.5 * f64::from(ocr.scaled_object.max_replica_count) / ocr.seconds;
    let swing = || Load::Sine {
        mean,
        amplitude: 0.8 * mean,
        period,
    };
    let mut table = "| `listLength` | `scaleDownBelow` | longest wait | most replicas | replica-hours | times that replicas were taken away |\n\
                     | --- | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for (target, below) in [
        (20, None),
        (20, Some(4)),
        (50, None),
        (50, Some(10)),
        (50, Some(25)),
        (100, None),
        (100, Some(20)),
    ] {
        let Timeline { summary, .. } = ocr.run(swing(), target, below, minutes(240));
        let below = below.map_or("–".to_owned(), |below| below.to_string());
        let row = writeln!(
            table,
            "| {target} | {below} | {:.0} s | {} | {:.1} | {} |",
            summary.max_age.as_secs_f64(),
            summary.max_replicas,
            summary.worker_seconds / 3600.0,
            summary.scale_downs
        );
        row.unwrap();
    }
    table
}

#[test]
fn the_page_and_its_picture_show_what_the_simulation_yields() {
    let all = whole_pipeline();
    shown_in_page(PAGE, "load", &load_table(&all));
    let ocr = Stage::read("ocr");
    for minutes in [10, 30] {
        let table = tuning_table(&ocr, self::minutes(minutes));
        shown_in_page(PAGE, &format!("tuning, {minutes} minutes"), &table);
    }
    is_file(PICTURE, &picture(&all));
}

/// What the thresholds are for, whatever the exact figures are.
#[test]
fn the_thresholds_keep_replicas_still_at_no_more_cost() {
    let ocr = Stage::read("ocr");
    let mean = 0.5 * f64::from(ocr.scaled_object.max_replica_count) / ocr.seconds;
    let run = |target, below| {
        let load = Load::Sine {
            mean,
            amplitude: 0.8 * mean,
            period: minutes(10),
        };
        ocr.run(load, target, below, minutes(240)).summary
    };
    let (without, with) = (run(50, None), run(ocr.target, Some(ocr.down_below)));
    assert!(
        without.scale_downs >= 10 * with.scale_downs,
        "{without:?} {with:?}"
    );
    assert!(with.worker_seconds <= 1.01 * without.worker_seconds);
    let small = run(20, None);
    assert!(small.worker_seconds >= 1.3 * with.worker_seconds);
}

#[test]
fn the_limits_are_enough_for_the_load_and_nothing_is_lost_at_them() {
    for (name, stage, timeline, _) in whole_pipeline() {
        let summary = &timeline.summary;
        assert!(
            summary.max_replicas <= stage.scaled_object.max_replica_count,
            "{name}"
        );
        assert_eq!(
            summary.interrupted, 0,
            "{name}: the grace period is long enough"
        );
        let last = &timeline.points.last().unwrap().queue;
        assert!(last.backlog <= stage.target, "{name}: {last:?}");
    }
}

/// The prices of `cost.yaml` are the requests of the Deployments, times what it says of a CPU and a GiB.
#[test]
fn a_replica_costs_what_it_requests() {
    for name in STAGES {
        let stage = Stage::read(name);
        let (cpus, gib) = stage.requests;
        let expected = cpus * PRICE_OF_CPU + gib * PRICE_OF_GIB;
        assert!(
            (stage.price - expected).abs() < 1e-9,
            "{name}: {}",
            stage.price
        );
    }
}
