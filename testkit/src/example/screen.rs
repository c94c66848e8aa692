//! What a person sees of a run: a table that is drawn anew in a terminal, and lines elsewhere.

use std::{
    fmt::Write as _,
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use backlog_scaler::simulation::MetricTarget;

use super::{
    load::Counts,
    scaled::{Latest, Scaled, Trigger},
};

/// Without a terminal, and without a change of replicas, a line comes this often.
const LINES_EVERY: Duration = Duration::from_secs(5);
/// A terminal is drawn this often.
const DRAWN_EVERY: Duration = Duration::from_millis(500);

/// Where it is shown.
pub struct Screen {
    shown: bool,
    is_terminal: bool,
    /// Lines of the table that stand there now.
    drawn: usize,
    last: Option<Instant>,
    last_replicas: Vec<u32>,
}

impl Screen {
    /// Stdout, or nothing.
    pub fn new(shown: bool) -> Self {
        Screen {
            shown,
            is_terminal: std::io::stdout().is_terminal(),
            drawn: 0,
            last: None,
            last_replicas: Vec::new(),
        }
    }

    /// A line that stays.
    pub fn say(&mut self, text: &str) {
        // The next table is drawn below it.
        self.drawn = 0;
        self.write(&format!("{text}\n"));
    }

    /// The present state.
    pub fn show(&mut self, now: Duration, scaled: &[Scaled], counts: Counts) {
        let replicas: Vec<u32> = scaled.iter().map(|scaled| scaled.pool.running()).collect();
        let every = match self.is_terminal {
            true => DRAWN_EVERY,
            false => LINES_EVERY,
        };
        let is_due = self.last.is_none_or(|last| last.elapsed() >= every);
        if !is_due && replicas == self.last_replicas {
            return;
        }
        let is_first = self.last.is_none();
        (self.last, self.last_replicas) = (Some(Instant::now()), replicas);
        let mut rows = Vec::new();
        if self.is_terminal || is_first {
            rows.push(HEADER.map(str::to_owned));
        }
        for scaled in scaled {
            for (at, trigger) in scaled.triggers.iter().enumerate() {
                rows.push(row(now, scaled, at, trigger, counts));
            }
        }
        let mut text = String::new();
        if self.is_terminal && self.drawn > 0 {
            // ECMA-48: up so many lines, then erase what is below.
            let _ = write!(text, "\x1b[{}A\x1b[J", self.drawn);
        }
        for row in &rows {
            let [time, object, trigger, rest @ ..] = row;
            let _ = write!(text, "{time:>5}  {object:<22} {trigger:<34}");
            for cell in rest {
                let _ = write!(text, " {cell:>8}");
            }
            text.push('\n');
        }
        self.drawn = rows.len();
        self.write(&text);
    }

    fn write(&self, text: &str) {
        if self.shown {
            let mut stdout = std::io::stdout().lock();
            // Nobody reads it any more: the run ends by itself.
            let _ = stdout
                .write_all(text.as_bytes())
                .and_then(|()| stdout.flush());
        }
    }
}

const HEADER: [&str; 10] = [
    "TIME", "OBJECT", "TRIGGER", "BACKLOG", "VALUE", "TARGET", "WANTED", "WORKERS", "PUT", "DONE",
];

fn row(
    now: Duration,
    scaled: &Scaled,
    at: usize,
    trigger: &Trigger,
    counts: Counts,
) -> [String; 10] {
    let (raw, value) = match &trigger.latest {
        Some(Latest::Value { raw, value, .. }) => (number(*raw), number(*value)),
        Some(Latest::Failed(_)) => ("error".to_owned(), "error".to_owned()),
        None => ("-".to_owned(), "-".to_owned()),
    };
    let target = match trigger.target {
        MetricTarget::AverageValue(target) => number(target),
        MetricTarget::Value(target) => format!("={}", number(target)),
    };
    // Of the object and of the whole: once is enough.
    let once = |text: String| if at == 0 { text } else { String::new() };
    let stopping = match scaled.pool.stopping() {
        0 => String::new(),
        stopping => format!("+{stopping}"),
    };
    let wanted = scaled
        .wanted()
        .map_or("-".to_owned(), |wanted| wanted.to_string());
    [
        once(format!("{}s", now.as_secs())),
        once(scaled.name.clone()),
        trigger.name(),
        raw,
        value,
        target,
        once(wanted),
        once(format!("{}{stopping}", scaled.pool.running())),
        once(counts.put.to_string()),
        once(counts.done.to_string()),
    ]
}

fn number(number: f64) -> String {
    match number.fract() == 0.0 {
        true => format!("{number}"),
        false => format!("{number:.1}"),
    }
}
