//! Load tests that are simulated: what the pages show is what the shipped manifests lead to.

use testkit::example::{load_test, local::Local};

use super::{directories, name, root};

/// `make load-test NAME=…` draws the picture anew and prints the table.
#[tokio::test]
async fn pages_show_what_load_tests_lead_to() {
    for directory in directories() {
        if Local::read(&directory).unwrap().load_test.is_none() {
            continue;
        }
        let name = name(&directory);
        let outcome = load_test::simulate(&directory).unwrap();
        let picture = format!("docs/images/{name}-load-test.svg");
        let drawn = std::fs::read_to_string(root().join(&picture)).unwrap();
        assert!(
            drawn == outcome.picture(),
            "{picture}: make load-test NAME={name}"
        );
        let page = std::fs::read_to_string(directory.join("README.md")).unwrap();
        for row in outcome.rows() {
            assert!(page.contains(&row), "{name}/README.md has no {row}");
        }
        assert!(page.contains(&format!("{name}-load-test.svg")), "{name}");
    }
}

/// Documents a second, and the replicas that are planned for them.
const PLANNED: [(f64, f64, f64); 4] = [
    (10.0, 3.0, 5.0),
    (25.0, 5.0, 10.0),
    (30.0, 10.0, 15.0),
    (40.0, 15.0, 20.0),
];
/// How far a minute may be from the plan: a queue says that workers are missing only when they are, so
/// that replicas swing around what is needed.
const SWING: f64 = 2.0;

#[tokio::test]
async fn documents_take_the_replicas_that_are_planned() {
    let directory = root().join("deploy/examples/documents");
    let outcome = load_test::simulate(&directory).unwrap();
    assert_eq!(outcome.steps.len(), PLANNED.len());
    for (step, (rate, least, most)) in outcome.steps.iter().zip(PLANNED) {
        assert_eq!(step.rate, rate);
        assert!((least..=most).contains(&step.mean_replicas), "{step:?}");
        let (fewest, many) = step.minute_replicas;
        assert!(fewest >= least - SWING && many <= most + SWING, "{step:?}");
        assert!(step.replicas.1 <= 20, "{step:?}");
    }
}

#[tokio::test]
async fn an_example_without_steps_names_what_to_run_instead() {
    let directory = root().join("deploy/examples/incidents");
    let Err(error) = load_test::simulate(&directory) else {
        panic!("incidents has a loadTest");
    };
    for part in [
        "incidents/local.yaml has no loadTest",
        "`make example NAME=incidents`",
        "`backlog-scaler simulate FILE --load LOAD --service-time TIME`",
    ] {
        assert!(error.contains(part), "{error}");
    }
}
