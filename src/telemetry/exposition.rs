//! The two formats of `/metrics`: OpenMetrics, and the older Prometheus text format for clients
//! that do not accept the former.

use std::fmt::Write;

use super::PREFIX;

/// A format of the metrics page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The Prometheus text format 0.0.4.
    Text,
}

/// A family of metrics that is written by hand.
pub struct Descriptor {
    /// Without the prefix and the unit.
    pub name: &'static str,
    /// A sentence without its full stop.
    pub help: &'static str,
    pub unit: Option<&'static str>,
    /// `gauge` or `counter`.
    pub kind: &'static str,
}

impl Descriptor {
    /// What each of its lines begins with.
    pub fn series_name(&self) -> String {
        let total = match self.kind {
            "counter" => "_total",
            _ => "",
        };
        format!("{PREFIX}_{}{}{total}", self.name, suffix(self.unit))
    }
}

/// What the unit adds to a name.
fn suffix(unit: Option<&str>) -> String {
    unit.map_or(String::new(), |unit| format!("_{unit}"))
}

/// The last line in OpenMetrics.
pub(super) const END: &str = "# EOF\n";

impl Exposition {
    /// The format for a request with this `Accept` header.
    pub fn for_accept(accept: Option<&str>) -> Self {
        match accept.is_some_and(|accept| accept.contains("application/openmetrics-text")) {
            true => Exposition::OpenMetrics,
            false => Exposition::Text,
        }
    }

    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Exposition::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Exposition::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// The lines that describe a family.
    pub fn describe(self, descriptor: &Descriptor) -> String {
        let Descriptor {
            name,
            help,
            unit,
            kind,
        } = descriptor;
        let name = format!("{PREFIX}_{name}{}", suffix(*unit));
        let mut lines = format!("# HELP {name} {help}.\n# TYPE {name} {kind}\n");
        if let Some(unit) = unit {
            let _ = writeln!(lines, "# UNIT {name} {unit}");
        }
        self.page(lines)
    }

    /// What a page ends with.
    pub fn end(self) -> &'static str {
        match self {
            Exposition::OpenMetrics => END,
            Exposition::Text => "",
        }
    }

    /// The page in this format, from OpenMetrics.
    pub fn page(self, open_metrics: String) -> String {
        match self {
            Exposition::OpenMetrics => open_metrics,
            Exposition::Text => to_text(&open_metrics),
        }
    }
}

/// The samples are the same; the lines that describe them differ: the older format names counters
/// with their `_total`, and has neither the type `info` nor units nor an end.
fn to_text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        match line.splitn(4, ' ').collect::<Vec<_>>()[..] {
            ["#", "EOF"] | ["#", "UNIT", ..] => {}
            // Before the type, which decides about the name.
            ["#", "HELP", name, words] => help = Some((name, words)),
            ["#", "TYPE", name, kind] => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    kind => ("", kind),
                };
                if let Some((_, words)) = help.take().filter(|(of, _)| *of == name) {
                    let _ = writeln!(text, "# HELP {name}{suffix} {words}");
                }
                let _ = writeln!(text, "# TYPE {name}{suffix} {kind}");
            }
            _ => {
                let _ = writeln!(text, "{line}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_format_is_for_those_that_do_not_ask_for_open_metrics() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2";
        let formats = [Some(prometheus), Some("*/*"), None].map(Exposition::for_accept);
        assert_eq!(
            formats,
            [Exposition::OpenMetrics, Exposition::Text, Exposition::Text]
        );
    }

    #[test]
    fn counters_and_infos_have_their_old_names() {
        let open_metrics = "# HELP up Up.\n# TYPE up gauge\n# UNIT up seconds\nup 1\n\
             # HELP errors How many.\n# TYPE errors counter\nerrors_total{kind=\"a b\"} 2\n\
             # HELP build The build.\n# TYPE build info\nbuild_info{version=\"1\"} 1\n# EOF\n";
        assert_eq!(
            Exposition::Text.page(open_metrics.to_owned()),
            "# HELP up Up.\n# TYPE up gauge\nup 1\n\
             # HELP errors_total How many.\n# TYPE errors_total counter\nerrors_total{kind=\"a b\"} 2\n\
             # HELP build_info The build.\n# TYPE build_info gauge\nbuild_info{version=\"1\"} 1\n"
        );
    }
}
