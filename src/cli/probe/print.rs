//! The report for people: a table, and below it what does not fit into a row.

use std::fmt::Write as _;

use super::{
    report::{ObjectReport, Report, Status, TriggerReport},
    watch::History,
};
use crate::cli::{printable, table};

const HEADER: [&str; 10] = [
    "OBJECT", "TRIGGER", "TYPE", "STATUS", "VALUE", "TARGET", "ACTIVE", "REPLICAS", "AGE", "METRIC",
];

/// Draws the report.
pub fn text(report: &Report) -> String {
    text_with(report, None)
}

/// The same with a last column of how the values went.
pub fn text_with(report: &Report, history: Option<&History>) -> String {
    let mut header = HEADER.to_vec();
    let objects = report.objects.iter().enumerate();
    let rows = objects.flat_map(|(index, object)| {
        let rows = rows_of(object).into_iter().enumerate();
        let with_history = |(row, mut cells): (usize, Vec<String>)| {
            cells.extend(history.map(|history| history.sparkline(index, row)));
            cells
        };
        rows.map(with_history).collect::<Vec<_>>()
    });
    header.extend(history.map(|_| "HISTORY"));
    let mut text = table::unwrapped(&header, rows);
    let remarks: String = report.objects.iter().map(remarks_of).collect();
    if !remarks.is_empty() {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{}", printable(&remarks));
    }
    text
}

fn rows_of(object: &ObjectReport) -> Vec<Vec<String>> {
    let mut rows: Vec<_> = object
        .triggers
        .iter()
        .map(|trigger| row(object, trigger))
        .collect();
    if object.triggers.len() > 1 {
        let replicas = match (object.replicas, object.replicas_at_least) {
            (Some(count), true) => format!("≥{count}"),
            (count, _) => shown(count),
        };
        let mut all = vec!["-".to_owned(); HEADER.len()];
        all[0] = id(object);
        all[1] = "all".to_owned();
        all[7] = replicas;
        rows.push(all);
    }
    rows
}

fn row(object: &ObjectReport, trigger: &TriggerReport) -> Vec<String> {
    let active = trigger
        .active
        .map(|active| if active { "yes" } else { "no" });
    vec![
        id(object),
        trigger.index.to_string(),
        match &trigger.backend {
            Some(backend) => format!("{}/{backend}", trigger.r#type),
            None => trigger.r#type.clone(),
        },
        match trigger.status {
            Status::Ok => "ok",
            Status::Stale => "STALE",
            Status::Error => "ERROR",
            Status::NotOurs => "not ours",
        }
        .to_owned(),
        shown(trigger.value.map(number)),
        shown(trigger.target.map(number)),
        shown(active),
        shown(trigger.replicas),
        shown(trigger.sample_age_ms.map(age)),
        shown(trigger.metric_name.as_ref()),
    ]
}

fn id(object: &ObjectReport) -> String {
    let ObjectReport {
        kind,
        namespace,
        name,
        ..
    } = object;
    match *kind {
        "ScaledObject" => format!("{namespace}/{name}"),
        kind => format!("{namespace}/{name} ({kind})"),
    }
}

fn shown(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Whole numbers as such, others with three places at most.
fn number(number: f64) -> String {
    ((number * 1000.0).round() / 1000.0).to_string()
}

fn age(milliseconds: u64) -> String {
    match milliseconds {
        0..1000 => format!("{milliseconds}ms"),
        1000..120_000 => format!("{}s", milliseconds / 1000),
        _ => format!("{}m", milliseconds / 60_000),
    }
}

/// What a trigger's keys made of its value, if it has such keys.
fn shaping(trigger: &TriggerReport) -> Option<String> {
    let by = trigger.shaped_by.as_ref()?;
    let measured = match trigger.raw_value {
        Some(value) => format!("{} measured", number(value)),
        None => "nothing measured yet".to_owned(),
    };
    let reported = shown(trigger.value.map(number));
    Some(match by.is_empty() {
        true => format!("{measured}, and reported as it is"),
        false => format!("{measured}, {reported} reported by {}", by.join(" and ")),
    })
}

fn remarks_of(object: &ObjectReport) -> String {
    let mut remarks = String::new();
    let mut remark = |label: &str, of: &str, text: &str| {
        // One line each, whatever a scaler says.
        let text = text.replace('\n', " ");
        let _ = writeln!(remarks, "{label}: {}{of}: {text}", id(object));
    };
    for trigger in &object.triggers {
        let of = format!(", trigger {}", trigger.index);
        if let Some(error) = &trigger.error {
            remark("error", &of, &error.message);
        }
        if let Some(kind) = &trigger.stale_because {
            let text = format!(
                "the value is not of a fresh sample, as the backend cannot be read now ({kind}); the server's log says more"
            );
            remark("stale", &of, &text);
        }
        if let Some(text) = shaping(trigger) {
            remark("shaped", &of, &text);
        }
        if let Some(hint) = &trigger.hint {
            remark("hint", &of, hint);
        }
        if object.replicas_note.is_none()
            && let Some(note) = &trigger.replicas_note
        {
            remark("note", &of, note);
        }
    }
    if let Some(note) = object.replicas_note {
        remark("note", "", note);
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ages_are_short() {
        assert_eq!(
            [12.0, 0.4, 1.0 / 3.0, 1e6].map(number),
            ["12", "0.4", "0.333", "1000000"]
        );
        assert_eq!(
            [0, 999, 1000, 34_900, 119_999, 120_000].map(age),
            ["0ms", "999ms", "1s", "34s", "119s", "2m"]
        );
    }
}
