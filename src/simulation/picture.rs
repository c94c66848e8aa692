//! Pictures, as SVG: diagrams one below the other over the same time, of simulations those of
//! arrivals, backlog, replicas and waits.

use std::{ops::Range, time::Duration};

use plotters::prelude::*;

use super::{
    load::Load,
    timeline::{Point, Timeline},
};
use crate::error::{Error, Kind, Result};

/// A simulation to draw, under its name.
pub struct Course<'a> {
    pub name: &'a str,
    pub load: &'a Load,
    pub timeline: &'a Timeline,
}

/// Lines over time, each in its colour.
pub struct Diagram<'a> {
    pub caption: &'a str,
    pub lines: Vec<Line<'a>>,
}

/// A line of a diagram.
pub struct Line<'a> {
    /// Shown where a diagram has several.
    pub name: &'a str,
    /// In pixels. A wider line is seen under a later one that goes the same way.
    pub width: u32,
    /// Times since the start, in order, with the value from each on.
    pub points: Vec<(Duration, f64)>,
}

const WIDTH: u32 = 900;
/// Of one diagram.
const HEIGHT: u32 = 215;

/// The points of a line: about one for a pixel.
const MOST_POINTS: usize = 800;

/// Told apart by people with any kind of colour vision: the palette of Okabe and Ito, without yellow.
pub(super) const COLORS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
];

/// One of the four diagrams: what it shows of a point.
struct Panel {
    caption: &'static str,
    of: fn(&Course<'_>, &Point) -> f64,
}

const PANELS: [Panel; 4] = [
    Panel {
        caption: "Arrivals per second",
        of: |course, point| course.load.rate(point.queue.time),
    },
    Panel {
        caption: "Items that wait",
        of: |_, point| point.queue.backlog as f64,
    },
    Panel {
        caption: "Replicas",
        of: |_, point| f64::from(point.replicas),
    },
    Panel {
        caption: "Seconds that the oldest item has waited",
        of: |_, point| point.queue.oldest_age.as_secs_f64(),
    },
];

/// Draws simulations over each other, each in its colour.
pub fn draw(courses: &[Course<'_>]) -> Result<String> {
    let diagrams = PANELS.map(|panel| {
        let lines = courses.iter().map(|course| line(course, &panel));
        Diagram {
            caption: panel.caption,
            lines: lines.collect(),
        }
    });
    draw_diagrams(&diagrams)
}

/// Draws diagrams. One that has several lines names them, unless the one above it has named them
/// already.
pub fn draw_diagrams(diagrams: &[Diagram<'_>]) -> Result<String> {
    let mut svg = String::new();
    draw_into(&mut svg, diagrams).map_err(failed)?;
    Ok(svg)
}

/// The library cannot draw.
pub(super) fn failed(error: Box<dyn std::error::Error>) -> Error {
    let what = format!("cannot draw the picture: {error}");
    Error::new(Kind::Internal, what, "Report this as a defect.")
}

pub(super) type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

fn draw_into(svg: &mut String, diagrams: &[Diagram<'_>]) -> Drawn {
    let lines = diagrams.iter().flat_map(|diagram| &diagram.lines);
    let ends = lines.filter_map(|line| line.points.last());
    let end = ends.map(|(at, _)| *at).max().unwrap_or_default();
    let mut named: Vec<&str> = Vec::new();
    let count = diagrams.len().max(1);
    let size = (WIDTH, HEIGHT * count as u32);
    let root = SVGBackend::with_string(svg, size).into_drawing_area();
    root.fill(&WHITE)?;
    let areas = root.split_evenly((count, 1));
    for (index, (diagram, area)) in diagrams.iter().zip(&areas).enumerate() {
        let lines = || diagram.lines.iter().map(|line| thinned(&line.points));
        let names: Vec<&str> = diagram.lines.iter().map(|line| line.name).collect();
        let is_named = names.len() < 2 || named.starts_with(&names);
        let values = lines().flatten().map(|(_, value)| value);
        let top = values.fold(0.0, f64::max) * 1.05;
        let (unit, per_unit) = unit(end);
        let x: Range<f64> = 0.0..(end.as_secs_f64() / per_unit).max(1e-9);
        let mut chart = ChartBuilder::on(area)
            .caption(diagram.caption, ("sans-serif", 15))
            .margin(8)
            .margin_right(24)
            .x_label_area_size(34)
            .y_label_area_size(60)
            .build_cartesian_2d(x, 0.0..top.max(1.0))?;
        let mut mesh = chart.configure_mesh();
        mesh.light_line_style(TRANSPARENT)
            .y_labels(5)
            .x_labels(12)
            .y_label_formatter(&number)
            .x_label_formatter(&number);
        if index + 1 == count {
            mesh.x_desc(unit);
        }
        mesh.draw()?;
        for (number, (named_line, line)) in diagram.lines.iter().zip(lines()).enumerate() {
            let style = COLORS[number % COLORS.len()].stroke_width(named_line.width);
            let line = line.into_iter().map(|(at, value)| (at / per_unit, value));
            let series = chart.draw_series(LineSeries::new(line, style))?;
            if !is_named {
                let key = move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style);
                series.label(named_line.name).legend(key);
            }
        }
        if !is_named {
            named = names;
            let mut labels = chart.configure_series_labels();
            labels.background_style(WHITE.mix(0.8)).border_style(BLACK);
            labels.draw()?;
        }
    }
    root.present()?;
    Ok(())
}

/// Without a fraction that says nothing.
fn number(number: &f64) -> String {
    let rounded = (number * 100.0).round() / 100.0;
    rounded.to_string()
}

fn line<'a>(course: &Course<'a>, panel: &Panel) -> Line<'a> {
    let points = course.timeline.points.iter();
    let points = points.map(|point| (point.queue.time, (panel.of)(course, point)));
    Line {
        name: course.name,
        width: 2,
        points: points.collect(),
    }
}

/// Seconds and values: of as many points as become one, the largest.
fn thinned(points: &[(Duration, f64)]) -> Vec<(f64, f64)> {
    let together = points.len().div_ceil(MOST_POINTS).max(1);
    let chunks = points.chunks(together).map(|chunk| {
        let values = chunk.iter().map(|(_, value)| *value);
        let at = chunk.first().map_or(0.0, |(at, _)| at.as_secs_f64());
        (at, values.fold(0.0, f64::max))
    });
    chunks.collect()
}

/// The unit of the time axis, and its seconds.
fn unit(end: Duration) -> (&'static str, f64) {
    match end.as_secs() {
        0..300 => ("seconds", 1.0),
        300..18_000 => ("minutes", 60.0),
        _ => ("hours", 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::{MetricTarget, ScaledObject, Simulation, WorkerModel, backlog};

    fn timeline(target: f64) -> (Load, Timeline) {
        let load: Load = "sine(0..20/s, 10m)".parse().unwrap();
        let workers = WorkerModel::new(Duration::from_secs(1));
        let timeline = Simulation::new(load.clone(), workers, ScaledObject::default())
            .trigger(MetricTarget::AverageValue(target), backlog(0))
            .run(Duration::from_secs(1800))
            .unwrap();
        (load, timeline)
    }

    #[test]
    fn the_picture_has_a_line_for_each_simulation_in_each_diagram_and_names_them() {
        let all = [timeline(5.0), timeline(50.0)];
        let names = ["five.yaml", "fifty <&>.yaml"];
        let courses = |count| {
            let all = all.iter().zip(names).take(count);
            let all = all.map(|((load, timeline), name)| Course {
                name,
                load,
                timeline,
            });
            draw(&all.collect::<Vec<_>>()).unwrap()
        };
        let color = |number: usize| {
            let RGBColor(r, g, b) = COLORS[number];
            format!("stroke=\"#{r:02X}{g:02X}{b:02X}\"")
        };
        let (one, two) = (courses(1), courses(2));
        assert_eq!(one.matches(&color(0)).count(), PANELS.len());
        assert_eq!(one.matches(&color(1)).count(), 0);
        // Each in its diagrams, and beside its name.
        assert_eq!(two.matches(&color(0)).count(), PANELS.len() + 1);
        assert_eq!(two.matches(&color(1)).count(), PANELS.len() + 1);
        assert!(two.contains("fifty &lt;&amp;&gt;.yaml"), "is escaped");
        for panel in &PANELS {
            assert!(one.contains(panel.caption));
        }
        assert!(one.len() < 200_000, "{}", one.len());
    }

    #[test]
    fn a_line_keeps_its_peaks() {
        let (load, mut timeline) = timeline(5.0);
        timeline.points[777].replicas = 9_999;
        let course = Course {
            name: "x",
            load: &load,
            timeline: &timeline,
        };
        let line = thinned(&line(&course, &PANELS[2]).points);
        assert!(line.len() <= MOST_POINTS);
        assert!(line.iter().any(|(_, value)| *value == 9_999.0));
    }
}
