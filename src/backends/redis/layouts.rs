//! Where libraries for jobs keep their queues, as keys to count.

use std::fmt;

use super::{query::Lists, unix_time::ScoreScale};
use crate::metadata::{
    patterns::{MOST_NAMES, Patterns},
    problem::{Problem, Problems},
    values::{NameList, words},
};

/// A library that keeps its queues in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// BullMQ 4 to 6: <https://docs.bullmq.io>.
    BullMq,
    /// Celery, by Kombu's transport `redis`.
    Celery,
    /// Sidekiq.
    Sidekiq,
    /// RQ.
    Rq,
}

words!(Layout: "bullmq, celery, sidekiq or rq",
    "bullmq" => BullMq,
    "celery" => Celery,
    "sidekiq" => Sidekiq,
    "rq" => Rq);

/// Queues of a library.
#[derive(Debug)]
pub struct Queues {
    layout: Layout,
    names: Patterns,
    /// What its keys start with; empty: nothing.
    prefix: String,
    /// Whether the keys that all queues have in common count as well.
    shared: bool,
}

impl Layout {
    /// What is measured, to complete "is not known of …".
    pub fn what(self) -> String {
        let library = match self {
            Layout::BullMq => "BullMQ",
            Layout::Celery => "Celery",
            Layout::Sidekiq => "Sidekiq",
            Layout::Rq => "RQ",
        };
        format!("a queue of {library}, as its lists have no times")
    }

    /// Why it is not known how much work is in flight; `None`: it is known.
    pub fn no_in_flight(self, shared: bool) -> Option<&'static str> {
        match (self, shared) {
            (Layout::BullMq | Layout::Rq, _) | (Layout::Celery, true) => None,
            (Layout::Celery, false) => Some(
                "needs `sharedKeys: true` with `layout: celery`: Celery keeps what is taken by \
                 database, not by queue",
            ),
            (Layout::Sidekiq, _) => Some(
                "is not known with `layout: sidekiq`: Sidekiq keeps what is taken by process, not \
                 by queue",
            ),
        }
    }

    /// The prefix of a library that is left as it is.
    fn prefix(self) -> &'static str {
        match self {
            Layout::BullMq => "bull",
            Layout::Rq => "rq",
            Layout::Celery | Layout::Sidekiq => "",
        }
    }
}

impl Queues {
    /// Checks names and prefix. `None` as the prefix: the library's own.
    pub fn new(
        layout: Layout,
        queue: &NameList,
        prefix: Option<&str>,
        shared: bool,
    ) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let names = problems.keep(names(layout, queue));
        if shared && matches!(layout, Layout::BullMq | Layout::Rq) {
            let reason = format!("is not for `layout: {layout}`, which keeps everything by queue");
            problems.push(Problem::key("sharedKeys", reason));
        }
        problems.into_result()?;
        Ok(Queues {
            layout,
            names: names.expect("missing names are a problem"),
            prefix: prefix.unwrap_or(layout.prefix()).to_owned(),
            shared,
        })
    }

    /// The keys to count.
    pub fn lists(&self) -> Lists {
        let mut lists = Lists {
            name: Some(self.to_string()),
            ..Lists::default()
        };
        for name in &self.names.names {
            self.add(name, &mut lists);
        }
        if self.shared {
            self.add_shared(&mut lists);
        }
        lists
    }

    fn add(&self, name: &str, lists: &mut Lists) {
        let waiting = &mut lists.waiting.names;
        let processing = &mut lists.processing.names;
        match self.layout {
            // `queue-keys.ts` and the scripts moveToActive and promoteDelayedJobs of BullMQ. Jobs
            // that wait for their children count as these children.
            Layout::BullMq => {
                let key = |kind: &str| format!("{}:{name}:{kind}", self.prefix);
                waiting.extend([key("wait"), key("prioritized")]);
                lists.due.insert(key("delayed"), ScoreScale::BullMq);
                lists.paused_by.insert(key("meta"));
                processing.insert(key("active"));
            }
            // `_q_for_pri` of kombu/transport/redis.py. By default it uses the priorities 0, 3, 6
            // and 9 (`priority_steps`); no other application has such keys.
            Layout::Celery => {
                let key = format!("{}{name}", self.prefix);
                waiting.extend((1..=9).map(|priority| format!("{key}\x06\x16{priority}")));
                waiting.insert(key);
            }
            Layout::Sidekiq => {
                waiting.insert(self.in_namespace(&format!("queue:{name}")));
            }
            // `queue.py` and `registry.py` of RQ. A worker takes a job by way of the list
            // `intermediate`, and puts it into `wip` before it leaves that list: counting both would
            // count it twice. What is in `wip` beyond its time still needs a worker, which puts it
            // back or declares it failed.
            Layout::Rq => {
                let key = |kind: &str| format!("{}:{kind}:{name}", self.prefix);
                waiting.insert(key("queue"));
                lists.due.insert(key("scheduled"), ScoreScale::Seconds);
                processing.insert(key("wip"));
            }
        }
    }

    fn add_shared(&self, lists: &mut Lists) {
        match self.layout {
            // `unacked_key` of kombu/transport/redis.py.
            Layout::Celery => {
                let unacked = format!("{}unacked", self.prefix);
                lists.processing.names.insert(unacked);
            }
            // `SETS` of sidekiq/scheduled.rb.
            Layout::Sidekiq => {
                let due = ["schedule", "retry"].map(|set| self.in_namespace(set));
                lists.due.extend(due.map(|key| (key, ScoreScale::Seconds)));
            }
            Layout::BullMq | Layout::Rq => {}
        }
    }

    /// As redis-namespace names a key.
    fn in_namespace(&self, key: &str) -> String {
        match &*self.prefix {
            "" => key.to_owned(),
            namespace => format!("{namespace}:{key}"),
        }
    }
}

impl fmt::Display for Queues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.names.names.len() == 1 { "" } else { "s" };
        write!(f, "{} queue{s} {}", self.layout, self.names)?;
        if self.prefix != self.layout.prefix() {
            write!(f, " with prefix {}", self.prefix)?;
        }
        match self.shared {
            true => f.write_str(" and its shared keys"),
            false => Ok(()),
        }
    }
}

/// Names, and ranges of names.
fn names(layout: Layout, queue: &NameList) -> Result<Patterns, Problem> {
    let problem = |reason: String| Problem::value("queue", queue.0.join(","), reason);
    let patterns = Patterns::parse(queue.0.iter().map(String::as_str)).map_err(problem)?;
    if let Some(glob) = patterns.globs.first() {
        return Err(problem(format!(
            "has `{glob}`, which is a glob; name each queue, or write a range such as \
             jobs-{{0..9}}"
        )));
    }
    // BullMQ refuses to open such a queue.
    let colon = patterns.names.iter().find(|name| name.contains(':'));
    if let Some(name) = colon.filter(|_| layout == Layout::BullMq) {
        return Err(problem(format!(
            "has `{name}`, but no queue of BullMQ has a colon in its name; write what is before \
             the name as `prefix`"
        )));
    }
    let (queues, keys) = (patterns.names.len(), keys_of_a_queue(layout));
    if queues * keys > MOST_NAMES {
        return Err(problem(format!(
            "stands for {queues} queues of {keys} keys; one trigger may sum {MOST_NAMES} keys"
        )));
    }
    Ok(patterns)
}

/// How many keys a queue has.
fn keys_of_a_queue(layout: Layout) -> usize {
    match layout {
        Layout::BullMq => 5,
        Layout::Celery => 10,
        Layout::Sidekiq => 1,
        Layout::Rq => 3,
    }
}

#[cfg(test)]
mod tests;
