//! Lines over time as SVG, in the colours of the README's picture.

use std::fmt::Write;

/// A line of a panel: its values at whole seconds, under one unit.
pub struct Line<'a> {
    pub name: &'a str,
    pub values: Vec<f64>,
}

/// One panel: what is counted at the left, in orange, and at the right, in blue.
pub struct Panel<'a> {
    pub title: &'a str,
    pub left: Line<'a>,
    pub right: Option<Line<'a>>,
}

const LEFT: f64 = 56.0;
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 74.0;
const DISTANCE: f64 = 118.0;
/// A point of a line for so many seconds: an hour and more has no more to show.
const EVERY: usize = 15;

/// Panels one below the other, over the same minutes.
pub fn svg(label: &str, panels: &[Panel]) -> String {
    let bottom = panels.len() as f64 * DISTANCE + 14.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 {:.0}\" role=\"img\" aria-label=\"{label}\">\n{STYLE}\n",
        bottom + 30.0
    );
    for (n, panel) in panels.iter().enumerate() {
        svg += &draw(panel, n as f64 * DISTANCE + 34.0);
    }
    let seconds = panels[0].left.values.len() - 1;
    for minute in (0..=seconds / 60).step_by(10) {
        let x = LEFT + WIDTH * (minute * 60) as f64 / seconds as f64;
        writeln!(
            svg,
            "<text class=\"middle\" x=\"{x:.1}\" y=\"{bottom:.0}\">{minute}</text>"
        )
        .expect("text");
    }
    let (x, y) = (LEFT + WIDTH, bottom + 18.0);
    svg + &format!("<text class=\"end\" x=\"{x}\" y=\"{y:.0}\">minutes</text>\n</svg>\n")
}

const STYLE: &str = "<style>
text { font: 13px sans-serif; fill: #57606a } .end { text-anchor: end } .middle { text-anchor: middle }
.grid { stroke: #8b949e; stroke-opacity: 0.35 } .line { fill: none; stroke-width: 2 }
.line.left { stroke: #bc4c00 } text.left { fill: #bc4c00 }
.line.right { stroke: #0969da } text.right { fill: #0969da }
@media (prefers-color-scheme: dark) {
text { fill: #9198a1 }
.line.left { stroke: #f0883e } text.left { fill: #f0883e }
.line.right { stroke: #58a6ff } text.right { fill: #58a6ff }
}
</style>";

fn draw(panel: &Panel, top: f64) -> String {
    let mut svg = format!(
        "<text x=\"{LEFT}\" y=\"{:.1}\">{}: <tspan class=\"left\" style=\"fill: inherit\">{}</tspan></text>\n",
        top - 10.0,
        panel.title,
        panel.left.name
    );
    for part in [0.0, 0.5, 1.0] {
        let y = top + HEIGHT * (1.0 - part);
        writeln!(svg, "<path class=\"grid\" d=\"M{LEFT} {y:.1}h{WIDTH}\"/>").expect("text");
    }
    for (side, line) in [("left", Some(&panel.left)), ("right", panel.right.as_ref())] {
        let Some(line) = line else { continue };
        let most = round_up(line.values.iter().copied().fold(1.0, f64::max));
        let (x, anchor) = match side {
            "left" => (LEFT - 8.0, "end"),
            _ => (LEFT + WIDTH + 8.0, "start"),
        };
        for part in [0.0, 0.5, 1.0] {
            let y = top + HEIGHT * (1.0 - part) + 4.0;
            let value = most * part;
            writeln!(
                svg,
                "<text class=\"{side}\" text-anchor=\"{anchor}\" x=\"{x}\" y=\"{y:.1}\">{value}</text>"
            )
            .expect("text");
        }
        let path = path(&line.values, most, top);
        writeln!(svg, "<path class=\"line {side}\" d=\"{path}\"/>").expect("text");
    }
    if let Some(line) = &panel.right {
        let (x, y) = (LEFT + WIDTH, top - 10.0);
        let name = line.name;
        writeln!(
            svg,
            "<text class=\"right end\" x=\"{x}\" y=\"{y:.1}\">{name}</text>"
        )
        .expect("text");
    }
    svg
}

/// A value holds until the next one.
fn path(values: &[f64], most: f64, top: f64) -> String {
    let seconds = (values.len() - 1) as f64;
    let x = |second: usize| LEFT + WIDTH * second as f64 / seconds;
    let y = |value: f64| top + HEIGHT * (1.0 - value / most);
    let mut path = format!("M{:.1} {:.1}", x(0), y(values[0]));
    let mut last = values[0];
    for (second, value) in values.iter().copied().enumerate().step_by(EVERY) {
        if value != last {
            write!(path, "H{:.1}V{:.1}", x(second), y(value)).expect("text");
            last = value;
        }
    }
    write!(path, "H{:.1}", LEFT + WIDTH).expect("text");
    path
}

/// The next number of the kind 2, 4, 10, 20, 40, 100: half of it is one to read as well.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let steps = [2.0, 4.0, 10.0].map(|step| step * power);
    steps
        .into_iter()
        .find(|step| *step >= value)
        .unwrap_or(value)
}
