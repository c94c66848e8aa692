//! A picture of alternatives: what each costs, and how long work waits under it, as SVG.

use plotters::prelude::*;

use super::picture::{COLORS, Drawn, failed};
use crate::error::Result;

/// Alternatives to draw.
pub struct Scatter<'a> {
    /// What the axes are: `cost`.
    pub x: &'a str,
    pub y: &'a str,
    /// What has to be kept.
    pub x_limit: Option<f64>,
    pub y_limit: Option<f64>,
    pub dots: Vec<Dot>,
    /// Those that no other one beats, by `x`.
    pub frontier: Vec<(f64, f64)>,
    /// The present one, and the chosen one.
    pub now: Mark,
    pub best: Option<Mark>,
}

/// One of the alternatives.
#[derive(Clone, Debug, PartialEq)]
pub struct Dot {
    pub x: f64,
    pub y: f64,
    /// It keeps all limits.
    pub is_good: bool,
    /// What is written beside it.
    pub text: String,
}

/// One with a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    pub x: f64,
    pub y: f64,
    /// What it is, for the legend.
    pub text: String,
}

const SIZE: (u32, u32) = (900, 600);
const LEGEND_HEIGHT: u32 = 84;
/// The signs of its lines.
const LEGEND: [(i32, i32); 5] = [(90, 24), (90, 46), (90, 68), (330, 24), (330, 46)];
const LONGEST_TEXT: usize = 84;
const FONT: (&str, u32) = ("sans-serif", 14);
const SMALL: (&str, u32) = ("sans-serif", 12);

const GOOD: RGBColor = COLORS[4];
const FRONTIER: RGBColor = COLORS[0];
const NOW: RGBColor = COLORS[1];
const BEST: RGBColor = COLORS[2];
const BAD: RGBColor = RGBColor(190, 190, 190);

/// What stands before a line of the legend.
enum Sign {
    Dot(RGBColor, i32),
    Line(ShapeStyle),
}

/// What of the plane is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
struct View {
    x: (f64, f64),
    y: (f64, f64),
}

impl Scatter<'_> {
    /// Draws it. Alternatives that are far worse than the present one and the limits are left out.
    pub fn draw(&self) -> Result<String> {
        let mut svg = String::new();
        self.draw_into(&mut svg).map_err(failed)?;
        Ok(svg)
    }

    fn draw_into(&self, svg: &mut String) -> Drawn {
        let view = self.view();
        let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let (legend, below) = root.split_vertically(LEGEND_HEIGHT);
        for (place, (sign, text)) in self.legend().iter().enumerate() {
            let (x, y) = LEGEND[place];
            match sign {
                Sign::Dot(color, size) => {
                    legend.draw(&Circle::new((x, y), *size, color.filled()))?
                }
                Sign::Line(style) => {
                    legend.draw(&PathElement::new([(x - 10, y), (x + 10, y)], *style))?
                }
            }
            legend.draw(&Text::new(text.as_str(), (x + 18, y - 8), FONT))?;
        }
        let mut chart = ChartBuilder::on(&below)
            .margin(12)
            .margin_right(24)
            .x_label_area_size(44)
            .y_label_area_size(70)
            .build_cartesian_2d(view.x.0..view.x.1, view.y.0..view.y.1)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_labels(10)
            .y_labels(10)
            .x_label_formatter(&|number| tick(*number, view.x))
            .y_label_formatter(&|number| tick(*number, view.y))
            .x_desc(self.x)
            .y_desc(self.y)
            .draw()?;
        // Good ones last, over the others.
        for (is_good, color) in [(false, BAD), (true, GOOD)] {
            let dots = self.dots.iter().filter(|dot| dot.is_good == is_good);
            let dots = dots.filter(|dot| view.has(dot.x, dot.y));
            chart.draw_series(dots.map(|dot| {
                EmptyElement::at((dot.x, dot.y))
                    + Circle::new((0, 0), 3, color.filled())
                    + Text::new(dot.text.clone(), (8, 4), SMALL)
            }))?;
        }
        let steps = view.steps(&self.frontier);
        chart.draw_series(LineSeries::new(steps, FRONTIER.stroke_width(2)))?;
        for line in self.limits(view) {
            chart.draw_series(DashedLineSeries::new(line, 6, 4, BLACK.stroke_width(1)))?;
        }
        for (mark, color, name) in self.marks() {
            chart.draw_series([EmptyElement::at((mark.x, mark.y))
                + Circle::new((0, 0), 6, color.filled())
                + Text::new(name, (9, -16), FONT.into_font().color(&color))])?;
        }
        root.present()?;
        Ok(())
    }

    fn marks(&self) -> impl Iterator<Item = (&Mark, RGBColor, &'static str)> {
        let now = std::iter::once((&self.now, NOW, "now"));
        now.chain(self.best.iter().map(|best| (best, BEST, "best")))
    }

    fn legend(&self) -> Vec<(Sign, String)> {
        let mut legend = vec![
            (Sign::Dot(BAD, 3), "misses an objective".to_owned()),
            (Sign::Dot(GOOD, 3), "meets the objectives".to_owned()),
            (
                Sign::Line(FRONTIER.stroke_width(2)),
                "no other is better in both".to_owned(),
            ),
        ];
        let marks = self.marks();
        legend.extend(
            marks.map(|(mark, color, name)| (Sign::Dot(color, 5), short(name, &mark.text))),
        );
        legend
    }

    fn limits(&self, view: View) -> Vec<[(f64, f64); 2]> {
        let x = self.x_limit.filter(|x| view.has(*x, view.y.0));
        let y = self.y_limit.filter(|y| view.has(view.x.0, *y));
        let upright = x.map(|x| [(x, view.y.0), (x, view.y.1)]);
        let level = y.map(|y| [(view.x.0, y), (view.x.1, y)]);
        upright.into_iter().chain(level).collect()
    }

    /// The present one, the chosen one and the limits, with some room around them.
    fn view(&self) -> View {
        let marks = || std::iter::once(&self.now).chain(&self.best);
        let right = marks().map(|mark| mark.x).chain(self.x_limit);
        let right = right.fold(0.0, f64::max) * 1.5;
        let top = marks().map(|mark| mark.y).chain(self.y_limit);
        let top = top.fold(0.0, f64::max) * 1.5;
        let shown = self
            .dots
            .iter()
            .filter(|dot| dot.x <= right && dot.y <= top);
        let left = shown.map(|dot| dot.x).fold(self.now.x, f64::min) * 0.95;
        View {
            x: (left, right.max(left + 1e-3)),
            y: (0.0, top.max(1.0)),
        }
    }
}

impl View {
    fn has(&self, x: f64, y: f64) -> bool {
        (self.x.0..=self.x.1).contains(&x) && (self.y.0..=self.y.1).contains(&y)
    }

    /// The edge of what is beaten, within the view: level until the next point, then down to it.
    fn steps(&self, frontier: &[(f64, f64)]) -> Vec<(f64, f64)> {
        let shown = frontier.iter().filter(|(x, y)| self.has(*x, *y));
        let mut line: Vec<(f64, f64)> = Vec::new();
        for (x, y) in shown {
            match line.last() {
                Some((_, above)) => line.push((*x, *above)),
                None => line.push((*x, self.y.1)),
            }
            line.push((*x, *y));
        }
        if let Some((_, y)) = line.last().copied() {
            line.push((self.x.1, y));
        }
        line
    }
}

/// A number of an axis, with as many digits as tell its labels apart.
fn tick(number: f64, (from, until): (f64, f64)) -> String {
    let step = (until - from) / 10.0;
    let digits = (-step.log10()).ceil().clamp(0.0, 6.0);
    format!("{number:.*}", digits as usize)
}

/// A line of the legend.
fn short(name: &str, text: &str) -> String {
    let line = format!("{name}, {text}");
    match line.chars().count() > LONGEST_TEXT {
        true => line.chars().take(LONGEST_TEXT - 1).chain(['…']).collect(),
        false => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scatter() -> Scatter<'static> {
        let dot = |x, y, is_good| Dot {
            x,
            y,
            is_good,
            text: format!("{x} > 1"),
        };
        let mark = |x, y, text: &str| Mark {
            x,
            y,
            text: text.to_owned(),
        };
        Scatter {
            x: "cost",
            y: "p95 wait, seconds",
            x_limit: None,
            y_limit: Some(30.0),
            dots: vec![
                dot(2.0, 40.0, false),
                dot(3.0, 20.0, true),
                dot(4.0, 25.0, true),
                dot(1.0, 9_000.0, false),
                dot(f64::INFINITY, 1.0, false),
            ],
            frontier: vec![(1.0, 9_000.0), (2.0, 40.0), (3.0, 20.0)],
            now: mark(4.0, 25.0, "listLength=50"),
            best: Some(mark(3.0, 20.0, "list <&> length")),
        }
    }

    #[test]
    fn alternatives_have_their_colours_and_names() {
        let svg = scatter().draw().unwrap();
        let circles = |RGBColor(r, g, b): RGBColor| {
            let fill = format!("fill=\"#{r:02X}{g:02X}{b:02X}\"");
            let lines = svg.lines().filter(|line| line.starts_with("<circle"));
            lines.filter(|line| line.contains(&fill)).count()
        };
        // Each in the diagram, and beside its name.
        assert_eq!([BAD, GOOD, NOW, BEST].map(circles), [2, 3, 2, 2]);
        for text in [
            "now, listLength=50",
            "best, list &lt;&amp;&gt; length",
            "p95 wait, seconds",
            "3 &gt; 1",
        ] {
            assert!(svg.contains(text), "{text}\n{svg}");
        }
    }

    #[test]
    fn what_is_far_off_is_left_out() {
        let scatter = scatter();
        let view = scatter.view();
        assert_eq!((view.x, view.y), ((1.9, 6.0), (0.0, 45.0)));
        let top = [
            (2.0, 45.0),
            (2.0, 40.0),
            (3.0, 40.0),
            (3.0, 20.0),
            (6.0, 20.0),
        ];
        assert_eq!(view.steps(&scatter.frontier), top);
        assert_eq!(scatter.limits(view), [[(1.9, 30.0), (6.0, 30.0)]]);
    }

    #[test]
    fn labels_of_an_axis_differ() {
        let ticks = |view| [0.012, 0.5, 30.0].map(|number| tick(number, view));
        assert_eq!(ticks((0.0, 450.0)), ["0", "0", "30"]);
        assert_eq!(ticks((0.0, 6.0)), ["0.0", "0.5", "30.0"]);
        assert_eq!(ticks((0.01, 0.03)), ["0.012", "0.500", "30.000"]);
    }

    #[test]
    fn a_single_alternative_is_drawn_as_well() {
        let only = Scatter {
            y_limit: None,
            dots: Vec::new(),
            frontier: Vec::new(),
            now: Mark {
                x: 0.0,
                y: 0.0,
                text: "x".repeat(500),
            },
            best: None,
            ..scatter()
        };
        let svg = only.draw().unwrap();
        assert!(svg.contains('…') && svg.ends_with("</svg>\n"), "{svg}");
    }
}
