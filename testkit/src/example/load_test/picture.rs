//! A load test as SVG: load, backlog and replicas as steps over the minutes. Colours suit light and dark,
//! as those of `scripts/picture.sh`.

use std::fmt::Write;

use super::Outcome;

const LEFT: f64 = 56.0;
const WIDTH: f64 = 690.0;

/// One of the curves, above the next one.
struct Panel {
    class: &'static str,
    title: String,
    top: f64,
    height: f64,
    values: Vec<f64>,
    most: f64,
}

pub(super) fn draw(outcome: &Outcome) -> String {
    let points = &outcome.timeline.points;
    let seconds = points.len().saturating_sub(1).max(1) as f64;
    let values = |of: &dyn Fn(usize) -> f64| (0..points.len()).map(of).collect::<Vec<f64>>();
    let length = (outcome.test.minutes_each * 60) as usize;
    let rates = &outcome.test.rates;
    let rate = |at: usize| rates[(at / length.max(1)).min(rates.len() - 1)];
    let (min, max) = outcome.limits;
    let target = outcome.target;
    let panels = [
        Panel::new(
            "load",
            34.0,
            60.0,
            values(&rate),
            "items a second".to_owned(),
        ),
        Panel::new(
            "backlog",
            144.0,
            120.0,
            values(&|at| points[at].queue.backlog as f64),
            format!("items in the queue, of which {target} are one replica's"),
        ),
        Panel::new(
            "replicas",
            314.0,
            110.0,
            values(&|at| f64::from(points[at].replicas)),
            format!("replicas, from {min} to {max}"),
        ),
    ];
    let bottom = 424.0;
    let mut text = String::new();
    let label = format!(
        "Simulated: replicas and queue of {} while {} items a second arrive",
        outcome.test.scaled_object,
        rates
            .iter()
            .map(f64::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    );
    text += &format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 770 470\" role=\"img\" aria-label=\"{label}\">\n"
    );
    text += STYLE;
    for panel in &panels {
        panel.draw(&mut text, seconds);
    }
    let minutes = (seconds / 60.0) as usize;
    for minute in (0..=minutes).step_by((minutes / 8).max(1)) {
        let x = LEFT + WIDTH * minute as f64 * 60.0 / seconds;
        let y = bottom + 20.0;
        let _ = writeln!(
            text,
            "<text class=\"middle\" x=\"{x:.1}\" y=\"{y}\">{minute}</text>"
        );
    }
    let _ = writeln!(
        text,
        "<text class=\"end\" x=\"{}\" y=\"{}\">minutes, simulated</text>\n</svg>",
        LEFT + WIDTH,
        bottom + 38.0
    );
    text
}

const STYLE: &str = "<style>
text { font: 13px sans-serif; fill: #57606a } .end { text-anchor: end } .middle { text-anchor: middle }
.grid { stroke: #8b949e; stroke-opacity: 0.35 } .line { fill: none; stroke-width: 2 }
.line.load { stroke: #6e7781 }
.line.backlog { stroke: #bc4c00 } .name.backlog { fill: #bc4c00 }
.line.replicas { stroke: #0969da } .name.replicas { fill: #0969da }
@media (prefers-color-scheme: dark) {
text { fill: #9198a1 }
.line.backlog { stroke: #f0883e } .name.backlog { fill: #f0883e }
.line.replicas { stroke: #58a6ff } .name.replicas { fill: #58a6ff }
}
</style>
";

impl Panel {
    fn new(class: &'static str, top: f64, height: f64, values: Vec<f64>, title: String) -> Self {
        Panel {
            class,
            title,
            top,
            height,
            most: values.iter().copied().fold(1.0, f64::max),
            values,
        }
    }

    fn draw(&self, text: &mut String, seconds: f64) {
        let Panel {
            class,
            title,
            top,
            height,
            values,
            most,
        } = self;
        let x = |second: usize| LEFT + WIDTH * second as f64 / seconds;
        let y = |value: f64| top + height * (1.0 - value / most);
        let every = round_step(most / 4.0);
        let mut value = 0.0;
        while value <= *most {
            let at = y(value);
            let (end, label) = (LEFT + WIDTH, LEFT - 8.0);
            let _ = writeln!(text, "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{end}\"/>");
            let _ = writeln!(
                text,
                "<text class=\"end\" x=\"{label}\" y=\"{:.1}\">{value}</text>",
                at + 4.0
            );
            value += every;
        }
        let _ = writeln!(
            text,
            "<text class=\"name {class}\" x=\"{LEFT}\" y=\"{:.1}\">{title}</text>",
            top - 10.0
        );
        // A value holds until the next one that differs.
        let first = values.first().copied().unwrap_or_default();
        let mut path = format!("M{:.1} {:.1}", x(0), y(first));
        let changes = values
            .windows(2)
            .zip(1..)
            .filter(|(pair, _)| pair[0] != pair[1]);
        for (pair, second) in changes {
            let _ = write!(path, "H{:.1}V{:.1}", x(second), y(pair[1]));
        }
        let _ = write!(path, "H{:.1}", x(values.len().saturating_sub(1)));
        let _ = writeln!(text, "<path class=\"line {class}\" d=\"{path}\"/>");
    }
}

/// 1, 2 or 5 times a power of ten, not below a number.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.max(1.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps
        .into_iter()
        .find(|step| *step >= least)
        .unwrap_or(10.0 * power)
}
