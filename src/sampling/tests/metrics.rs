//! `/metrics` with the names that hostile users would choose, read by a real parser.

use std::{sync::Arc, time::Duration};

use openmetrics_parser::{openmetrics::parse_openmetrics, prometheus::parse_prometheus};

use super::scripted::{Script, trigger};
use crate::{
    metadata::TriggerRef,
    sampling::{Engine, Limits, trigger_metrics},
    telemetry::{Exposition, Telemetry},
};

const HOSTILE: &str = "a\"b\\c\nd{e=\"f\"} 1\r# EOF\u{0}é";

fn engine(telemetry: &Telemetry) -> Arc<Engine> {
    Script::default().engine_with(Limits::default(), telemetry)
}

fn pages(telemetry: &Telemetry, engine: &Engine) -> [String; 2] {
    [Exposition::OpenMetrics, Exposition::Text].map(|exposition| {
        let head = telemetry.encode(exposition).expect("is encoded");
        let triggers: String = trigger_metrics(engine, exposition).collect();
        head + &triggers + exposition.end()
    })
}

#[tokio::test]
async fn names_of_users_and_backends_cannot_break_the_page() {
    let telemetry = Telemetry::default();
    let engine = engine(&telemetry);
    let request = TriggerRef {
        namespace: HOSTILE.to_owned(),
        name: HOSTILE.to_owned(),
        // The name of the server, without what is refused in a value.
        ..trigger("a\"b\\c{d=\"e\"} 1", "bad")
    };
    engine
        .trigger(request)
        .unwrap()
        .evaluate()
        .await
        .unwrap_err();

    let [open_metrics, text] = pages(&telemetry, &engine);
    assert!(open_metrics.ends_with("\n# EOF\n") && !text.contains("\n# EOF\n"));
    // This parser refuses units of histograms, which the format allows.
    let lines = open_metrics
        .lines()
        .filter(|line| !line.starts_with("# UNIT"));
    let without_units: String = lines.map(|line| format!("{line}\n")).collect();
    let exposition = parse_openmetrics(&without_units);
    let exposition = exposition.unwrap_or_else(|error| panic!("{error}\n{open_metrics}"));
    assert!(
        exposition
            .families
            .contains_key("backlog_scaler_trigger_up")
    );
    let exposition = parse_prometheus(&text);
    let exposition = exposition.unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert!(
        exposition
            .families
            .contains_key("backlog_scaler_trigger_up")
    );
}

#[tokio::test(start_paused = true)]
async fn every_trigger_has_its_own_series_and_a_refused_one_is_down() {
    let telemetry = Telemetry::default();
    let engine = engine(&telemetry);
    let with = |key: &str, value: &str| {
        let mut request = trigger("a", "jobs");
        request.metadata.insert(key.to_owned(), value.to_owned());
        request
    };
    // These differ in a threshold alone.
    for request in [with("freshFor", "1m"), with("freshFor", "2m")] {
        engine.trigger(request).unwrap().evaluate().await.unwrap();
    }
    assert!(engine.trigger(with("quueue", "x")).is_err());
    tokio::time::advance(Duration::from_secs(5)).await;

    let [page, _] = pages(&telemetry, &engine);
    let lines = |start: &str| page.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!(lines("backlog_scaler_trigger_value{"), 2, "{page}");
    assert_eq!(lines("backlog_scaler_trigger_up{"), 3, "{page}");
    let down = "backlog_scaler_trigger_up{scaled_object_namespace=\"shop\",\
                scaled_object=\"worker\",metric=\"\",backend=\"\",trigger=\"\"} 0";
    assert!(page.contains(down), "{page}");
    assert!(page.contains("kind=\"invalid\"} 1"), "{page}");
    assert_eq!(
        lines("backlog_scaler_trigger_last_success_timestamp_seconds{"),
        2
    );
}
