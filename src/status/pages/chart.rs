//! Lines of values over time, as SVG within the page.

use std::fmt::Write;

use maud::{Markup, html};

use crate::{
    metadata::signal::Signal,
    status::{model::Point, numbers},
};

/// What a chart shows.
pub struct Chart<'a> {
    pub points: &'a [Point],
    /// What the time axis ends with on the left, such as `1 h ago`.
    pub begins: &'static str,
    /// How many seconds it spans.
    pub seconds: u64,
    /// How many seconds a point stands for.
    pub step: u64,
    pub target: f64,
    pub signal: Signal,
    /// The sample's own value is drawn as well.
    pub with_measured: bool,
}

/// The size of a drawing, and its margins.
struct Frame {
    width: f64,
    height: f64,
    left: f64,
    bottom: f64,
    top: f64,
}

const SPARKLINE: Frame = Frame {
    width: 120.0,
    height: 28.0,
    left: 0.0,
    bottom: 2.0,
    top: 2.0,
};

const LARGE: Frame = Frame {
    width: 640.0,
    height: 220.0,
    left: 64.0,
    bottom: 24.0,
    top: 10.0,
};

const HOUR: u64 = 60 * 60;

/// A line of the last hour, for a row of a table. The values of each minute: how many seconds ago it
/// began, and the highest one.
pub fn sparkline(values: &[(u64, f64)]) -> Markup {
    let highest = highest(values.iter().map(|(_, value)| *value));
    let path = SPARKLINE.path(values.iter().copied(), HOUR, 60, highest);
    let (now, then) = (values.last(), values.iter().map(|(_, value)| *value));
    let label = match now {
        None => "no value in the last hour".to_owned(),
        Some((_, now)) => format!(
            "last hour: lowest {}, highest {}, last {}",
            numbers::number(then.fold(f64::INFINITY, f64::min)),
            numbers::number(highest),
            numbers::number(*now)
        ),
    };
    html! {
        svg.sparkline role="img" aria-label=(label) viewBox="0 0 120 28" width="120" height="28" {
            path.reported d=(path) {}
        }
    }
}

/// The chart, with axes and a legend.
pub fn large(chart: &Chart<'_>, title: &str) -> Markup {
    let reported = || series(chart.points, |point| point.value);
    let measured = || series(chart.points, |point| point.measured);
    let all = reported().chain(measured()).map(|(_, value)| value);
    let highest = round_up(highest(all.chain([chart.target])));
    let path = |values: Vec<(u64, f64)>| {
        LARGE.path(values.into_iter(), chart.seconds, chart.step, highest)
    };
    let (right, bottom) = (LARGE.width, LARGE.height - LARGE.bottom);
    let target = LARGE.y(chart.target, highest);
    let lines = [0.0, 0.5, 1.0].map(|part| (LARGE.y(part * highest, highest), part * highest));
    let summary = summary(chart, reported());
    html! {
        figure.chart {
            figcaption {
                (title)
                span.legend {
                    span.key.reported { "returned to KEDA" }
                    @if chart.with_measured { span.key.measured { "measured" } }
                    span.key.target { "target of one replica" }
                }
            }
            svg role="img" aria-label=(summary) viewBox="0 0 640 220" {
                @for (y, value) in lines {
                    line.grid x1=(LARGE.left) x2=(right) y1=(y) y2=(y) {}
                    text.axis x=(LARGE.left - 8.0) y=(y + 4.0) text-anchor="end" {
                        (numbers::value(value, chart.signal))
                    }
                }
                line.target x1=(LARGE.left) x2=(right) y1=(target) y2=(target) {}
                @if chart.with_measured { path.measured d=(path(measured().collect())) {} }
                path.reported d=(path(reported().collect())) {}
                text.axis x=(LARGE.left) y=(bottom + 18.0) { (chart.begins) }
                text.axis x=(right) y=(bottom + 18.0) text-anchor="end" { "now" }
            }
        }
    }
}

fn series(
    points: &[Point],
    value: impl Fn(&Point) -> Option<f64>,
) -> impl Iterator<Item = (u64, f64)> {
    points
        .iter()
        .filter_map(move |point| Some((point.seconds_ago, value(point)?)))
}

fn summary(chart: &Chart<'_>, reported: impl Iterator<Item = (u64, f64)>) -> String {
    let values: Vec<f64> = reported.map(|(_, value)| value).collect();
    let show = |value| numbers::value(value, chart.signal);
    match values.last() {
        None => "No value was returned to KEDA in this time.".to_owned(),
        Some(last) => format!(
            "Returned to KEDA: lowest {}, highest {}, last {}; the target of one replica is {}.",
            show(values.iter().copied().fold(f64::INFINITY, f64::min)),
            show(highest(values.iter().copied())),
            show(*last),
            show(chart.target)
        ),
    }
}

fn highest(values: impl Iterator<Item = f64>) -> f64 {
    values.filter(|value| value.is_finite()).fold(0.0, f64::max)
}

/// The next of 1, 2 or 5 times a power of ten, so that the axis has round numbers.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps
        .into_iter()
        .find(|step| *step >= value)
        .unwrap_or(value)
}

impl Frame {
    fn y(&self, value: f64, highest: f64) -> f64 {
        let inner = self.height - self.top - self.bottom;
        let part = if highest > 0.0 {
            (value / highest).clamp(0.0, 1.0)
        } else {
            0.0
        };
        self.height - self.bottom - part * inner
    }

    /// The line through values that are some seconds old. Where one of the steps has none, the line
    /// has a gap.
    fn path(
        &self,
        values: impl Iterator<Item = (u64, f64)>,
        seconds: u64,
        step: u64,
        highest: f64,
    ) -> String {
        let (mut path, mut before) = (String::new(), None);
        for (ago, value) in values.filter(|(_, value)| value.is_finite()) {
            let part = 1.0 - (ago.min(seconds) as f64 / seconds as f64);
            let x = self.left + part * (self.width - self.left);
            let follows =
                before.is_some_and(|before: u64| before.saturating_sub(ago) <= step + step / 2);
            let y = self.y(value, highest);
            // A short line of its own, so that a value between two gaps is seen.
            let _ = match follows {
                true => write!(path, "L{x:.1} {y:.1}"),
                false => write!(path, "M{x:.1} {y:.1}h1"),
            };
            before = Some(ago);
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_minute_is_a_gap() {
        let values = [(240, 0.0), (180, 10.0), (60, 10.0), (0, 5.0)];
        let path = SPARKLINE.path(values.into_iter(), 240, 60, 10.0);
        assert_eq!(path, "M0.0 26.0h1L30.0 2.0M90.0 2.0h1L120.0 14.0");
    }

    #[test]
    fn an_axis_ends_with_a_round_number() {
        for (highest, then) in [
            (0.0, 1.0),
            (7.0, 10.0),
            (12.0, 20.0),
            (430.0, 500.0),
            (0.3, 0.5),
        ] {
            assert!((round_up(highest) - then).abs() < 1e-9, "{highest}");
        }
    }

    #[test]
    fn no_value_and_a_strange_one_draw_nothing() {
        for values in [&[][..], &[(60, f64::INFINITY)], &[(60, f64::NAN)]] {
            let path = SPARKLINE.path(values.iter().copied(), HOUR, 60, 1.0);
            assert_eq!(path, "");
        }
    }
}
