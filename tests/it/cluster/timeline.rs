//! What happened when: a row a second, printed when the scenario ends.

use std::{
    fmt::Write,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{
    control_plane::{ControlPlane, Replicas, Seen},
    objects::Namespace,
};

/// Observes one ScaledObject while a scenario runs.
pub struct Timeline {
    cluster: Arc<ControlPlane>,
    namespace: String,
    name: String,
    begun: Instant,
    shared: Arc<Shared>,
    sampler: Option<JoinHandle<()>>,
    printed: bool,
}

#[derive(Default)]
struct Shared {
    backlog: AtomicUsize,
    ended: AtomicBool,
    rows: Mutex<Vec<Row>>,
}

#[derive(Clone)]
struct Row {
    second: f64,
    backlog: usize,
    seen: Seen,
    note: String,
}

impl Timeline {
    /// Begins to observe the ScaledObject and its Deployment of the same name.
    pub fn start(namespace: &Namespace, name: &str) -> Self {
        let mut timeline = Timeline {
            cluster: namespace.cluster.clone(),
            namespace: namespace.name.clone(),
            name: name.to_owned(),
            begun: Instant::now(),
            shared: Arc::default(),
            sampler: None,
            printed: true,
        };
        let (cluster, shared) = (timeline.cluster.clone(), timeline.shared.clone());
        let (space, name) = (timeline.namespace.clone(), timeline.name.clone());
        let begun = timeline.begun;
        timeline.sampler = Some(std::thread::spawn(move || {
            while !shared.ended.load(Ordering::Relaxed) {
                shared.add(begun, cluster.seen(&space, &name), "");
                std::thread::sleep(Duration::from_secs(1));
            }
        }));
        timeline
    }

    /// As `start`; it is printed only if the scenario fails.
    pub fn quiet(namespace: &Namespace, name: &str) -> Self {
        let mut timeline = Timeline::start(namespace, name);
        timeline.printed = false;
        timeline
    }

    /// The backlog as the scenario has just made it.
    pub fn backlog(&self, items: usize) {
        self.shared.backlog.store(items, Ordering::Relaxed);
    }

    /// Marks what the scenario does now.
    pub fn note(&self, text: &str) {
        self.shared.add(self.begun, self.seen(), text);
    }

    pub fn seen(&self) -> Seen {
        self.cluster.seen(&self.namespace, &self.name)
    }

    /// Waits until there are so many replicas; returns how long that took.
    pub async fn replicas(&self, wanted: Replicas, within: Duration) -> Duration {
        let what = format!("{wanted} replicas");
        self.until(&what, within, |seen| seen.replicas == wanted)
            .await
    }

    /// Waits until a condition holds; returns how long that took. Panics after `within`.
    pub async fn until(
        &self,
        what: &str,
        within: Duration,
        condition: impl Fn(Seen) -> bool,
    ) -> Duration {
        let begun = Instant::now();
        while !condition(self.seen()) {
            if begun.elapsed() > within {
                self.fail(&format!("no {what} within {within:?}"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.note(&format!("{what} after {:.1?}", begun.elapsed()));
        begun.elapsed()
    }

    /// Checks that there are so many replicas all the time.
    pub async fn held(&self, replicas: Replicas, time: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < time {
            if self.seen().replicas != replicas {
                self.fail(&format!("{replicas} replicas are not held for {time:?}"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.note(&format!("{replicas} replicas held for {time:?}"));
    }

    /// Panics with all that helps.
    pub fn fail(&self, what: &str) -> ! {
        self.note("failed");
        let kubectl = &self.cluster.kubectl;
        let describe = [
            "describe",
            "-n",
            &self.namespace,
            "scaledobject,hpa",
            "--",
            &self.name,
        ];
        let objects = kubectl
            .attempt(&describe[..4], "")
            .unwrap_or_else(|error| error);
        let log = self.cluster.keda_log_tail(&self.namespace);
        panic!("{what}\n{}\n{objects}\nKEDA's log:\n{log}", self.table());
    }

    /// Writes all rows to a file for the picture of them.
    pub fn write(&self, file: &Path) {
        let mut text = "second,backlog,wanted,replicas\n".to_owned();
        for Row {
            second,
            backlog,
            seen,
            ..
        } in self.shared.rows.lock().unwrap().iter()
        {
            let wanted = seen.wanted.unwrap_or(0);
            writeln!(text, "{second:.2},{backlog},{wanted},{}", seen.replicas).expect("text");
        }
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        std::fs::write(file, text).expect("the timeline");
    }

    /// Rows in which something changed.
    fn table(&self) -> String {
        let mut text = "  second backlog wanted replicas\n".to_owned();
        let mut last = None;
        for Row {
            second,
            backlog,
            seen,
            note,
        } in self.shared.rows.lock().unwrap().iter()
        {
            if note.is_empty() && last == Some((*backlog, *seen)) {
                continue;
            }
            last = Some((*backlog, *seen));
            let wanted = seen.wanted.map_or("-".to_owned(), |n| n.to_string());
            let row = format!(
                "{second:8.1} {backlog:7} {wanted:>6} {:8} {note}",
                seen.replicas
            );
            writeln!(text, "{}", row.trim_end()).expect("text");
        }
        text
    }
}

impl Shared {
    fn add(&self, begun: Instant, seen: Seen, note: &str) {
        let row = Row {
            second: begun.elapsed().as_secs_f64(),
            backlog: self.backlog.load(Ordering::Relaxed),
            seen,
            note: note.to_owned(),
        };
        self.rows.lock().unwrap().push(row);
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        if let Some(sampler) = self.sampler.take() {
            let ended = sampler.join();
            assert!(
                ended.is_ok() || std::thread::panicking(),
                "the sampler panicked"
            );
        }
        if self.printed && !std::thread::panicking() {
            println!("{}/{}\n{}", self.namespace, self.name, self.table());
        }
    }
}
