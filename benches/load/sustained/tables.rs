//! What the sustained run prints.

use std::time::Duration;

use super::{
    Options, Runs,
    backlogs::BACKENDS,
    judge::Hpa,
    measure::{Measured, Ours},
};
use crate::report::{Report, Verdict, mib, ms, ratio, us_each};

/// What is counted, before any figure.
pub fn legend(options: &Options) {
    let hpa = match options.hpa {
        Hpa::GetMetrics => {
            "GetMetrics alone. KEDA 2.21 itself then calls\n  GetMetricSpec and IsActive as well, \
             as it does for the operator: HPA=all measures that."
        }
        Hpa::All => "GetMetricSpec, GetMetrics and IsActive, as KEDA 2.21 does.",
    };
    println!(
        "\nThe sustained run. 70 % of the triggers are Redis lists, 20 % Kafka groups, 10 % Temporal \
         queues\nwith a task and no worker; all with defaults, each backend one server. Each \
         trigger is polled by the\noperator every 30 s and by the HPA every 15 s, at a time of its \
         own.\n\
         \x20 Operator's poll: GetMetricSpec, GetMetrics and IsActive, by KEDA's ScalersCache.\n\
         \x20 HPA's poll: {hpa}\n\
         \x20 An evaluation is one poll of either kind. Built-in scalers do the same for both.\n\
         \x20 Counted are polls planned after {:?} of warm-up, for {:?}. An error is one after \
         KEDA's own\n  retry; a wrong value is not what was put into the queue. Skipped polls are \
         those whose time passed\n  while the one before was still under way.\n\
         \x20 CPU is user and system time of the process; ours includes a scrape of /metrics every \
         15 s.\n\
         \x20 Above idle: less what the server used in 30 s before the run, when nobody called it; \
         below zero\n  where that was more.\n\
         \x20 Fresh: GetMetrics and IsActive calls for which no query had to be read, by /metrics.\n\
         \x20 Age returned: of the samples in responses to the HPA's GetMetrics. Oldest: the \
         largest sample\n  age on any scrape of /metrics, which goes on growing until a trigger is \
         polled again.",
        options.warm_up, options.length
    );
}

/// The tables of one number of triggers.
pub fn print(runs: &Runs, options: &Options) {
    let mut sides = vec![("ours", &runs.ours)];
    match &runs.builtin {
        Ok(builtin) => sides.push(("built-in", builtin)),
        Err(reason) => println!(
            "\nKEDA's built-in scalers with {} triggers: {reason}.",
            runs.triggers
        ),
    }
    latencies(runs.triggers, &sides).print(&[]);
    costs(runs.triggers, &sides).print(&[]);
    for (side, run) in &sides {
        let evaluations = run.report.groups[2].evaluations.max(1);
        let inside = run.matching / evaluations as f64;
        println!("  {side}: {inside:.2} requests an evaluation inside Temporal, to matching.");
    }
    freshness(&runs.ours).print(&[]);
    processes(runs.triggers, &sides).print(&[]);
    flat_out(&sides, options).print(&[]);
    if let Some(ours) = &runs.ours.ours {
        let scrape = &ours.scrape;
        println!(
            "\nOne scrape of /metrics: {}, {} of our CPU, {:.2} MiB, {} lines.",
            ms(scrape.took),
            ms(scrape.cpu),
            scrape.bytes as f64 / f64::from(1 << 20),
            scrape.lines
        );
    }
}

fn latencies(triggers: usize, sides: &[(&str, &Measured)]) -> Report {
    let columns = ["calls", "count", "p50", "p99", "p99.9", "slowest"];
    let mut report = Report::new(
        format!("{triggers} triggers: how long calls took"),
        &columns,
    );
    for (side, run) in sides {
        for (backend, group) in BACKENDS.iter().zip(&run.report.groups) {
            let calls = [
                ("GetMetricSpec", &group.get_metric_spec_ms),
                ("GetMetrics (HPA)", &group.get_metrics_ms),
                ("GetMetrics + IsActive", &group.get_metrics_and_is_active_ms),
                ("begun later than planned", &group.late_ms),
            ];
            for (name, tail) in calls.into_iter().filter(|(_, tail)| tail.count > 0) {
                report.row([
                    format!("{side}, {backend}, {name}"),
                    tail.count.to_string(),
                    milliseconds(tail.p50),
                    milliseconds(tail.p99),
                    milliseconds(tail.p999),
                    milliseconds(tail.max),
                ]);
            }
        }
    }
    report
}

fn costs(triggers: usize, sides: &[(&str, &Measured)]) -> Report {
    let columns = [
        "evaluations of",
        "count",
        "a second",
        "server CPU each",
        "above idle",
        "requests each",
        "our sockets",
        "errors",
        "wrong",
        "skipped",
    ];
    let title = format!(
        "{triggers} triggers: what an evaluation cost the backend. Requests are Redis' commands, \
         our\nreads of Kafka, and requests to Temporal's frontend."
    );
    let mut report = Report::new(title, &columns);
    for (side, run) in sides {
        for (i, backend) in BACKENDS.iter().enumerate() {
            let group = &run.report.groups[i];
            let requests = run.requests[i].map(|n| n / group.evaluations.max(1) as f64);
            let sockets = run.ours.as_ref().map(|ours| ours.sockets[i]);
            report.row([
                format!("{side}, {backend}"),
                group.evaluations.to_string(),
                format!("{:.1}", group.evaluations as f64 / run.wall.as_secs_f64()),
                us_each(run.server_cpu[i], group.evaluations),
                microseconds(run.above_idle(i)),
                requests.map_or("-".to_owned(), |each| format!("{each:.3}")),
                sockets.map_or("-".to_owned(), |n| n.to_string()),
                group.errors.to_string(),
                group.wrong.to_string(),
                group.skipped.to_string(),
            ]);
        }
    }
    report
}

fn freshness(run: &Measured) -> Report {
    let columns = [
        "our samples of",
        "fresh",
        "reads a second",
        "age returned, p50",
        "p99",
        "largest",
        "oldest",
        "stale evaluations",
        "stale to the HPA",
    ];
    let mut report = Report::new("Our samples", &columns);
    let Some(ours) = &run.ours else {
        return report;
    };
    for (i, backend) in BACKENDS.iter().enumerate() {
        let group = &run.report.groups[i];
        let age = |value: f64| match group.sample_age_ms.count {
            0 => "-".to_owned(),
            _ => format!("{:.1} s", value / 1e3),
        };
        report.row([
            (*backend).to_owned(),
            format!("{:.1} %", ours.fresh[i] * 100.0),
            format!("{:.1}", ours.reads[i] / run.wall.as_secs_f64()),
            age(group.sample_age_ms.p50),
            age(group.sample_age_ms.p99),
            age(group.sample_age_ms.max),
            format!("{:.1} s", ours.oldest[i]),
            format!("{:.0}", ours.stale[i]),
            group.stale.to_string(),
        ]);
    }
    report
}

fn processes(triggers: usize, sides: &[(&str, &Measured)]) -> Report {
    let columns = [
        "process",
        "evaluations/s",
        "CPU each",
        "RSS idle",
        "RSS, most",
        "RSS, all at once",
        "threads",
        "sockets",
    ];
    let title = format!("{triggers} triggers: what an evaluation cost us and KEDA");
    let mut report = Report::new(title, &columns);
    let none = || "-".to_owned();
    for (side, run) in sides {
        let evaluations = run.report.evaluations;
        let rate = format!("{:.1}", evaluations as f64 / run.wall.as_secs_f64());
        if let Some(ours) = &run.ours {
            report.row([
                "backlog-scaler".to_owned(),
                rate.clone(),
                us_each(ours.cpu, evaluations),
                mib(ours.rss_idle),
                mib(ours.rss),
                mib(ours.rss_flat_out),
                format!("{:.0}", ours.threads),
                ours.sockets.iter().sum::<usize>().to_string(),
            ]);
        }
        report.row([
            match run.ours {
                Some(_) => "KEDA's client, calling us".to_owned(),
                None => format!("KEDA, {side}"),
            },
            rate,
            microseconds(run.report.cpu_us_per_evaluation),
            none(),
            mib(run.report.rss_mib),
            none(),
            none(),
            run.report.sockets.to_string(),
        ]);
    }
    report
}

fn flat_out(sides: &[(&str, &Measured)], options: &Options) -> Report {
    let columns = [
        "all at once",
        "a round, median",
        "slowest round",
        "p50",
        "p99",
        "KEDA CPU each",
        "our CPU each",
        "errors",
        "wrong",
    ];
    let title = format!(
        "Flat out: {} rounds of an operator's poll of every trigger at once. Percentiles are of \
         GetMetrics\nand IsActive; a round's figures and CPU are of all backends together.",
        options.rounds
    );
    let mut report = Report::new(title, &columns);
    for (side, run) in sides {
        let rounds = &run.report.flat_out;
        let all: usize = rounds.groups.iter().map(|group| group.evaluations).sum();
        let ours = run.ours.as_ref();
        for (i, backend) in BACKENDS.iter().enumerate() {
            let group = &rounds.groups[i];
            let tail = &group.get_metrics_and_is_active_ms;
            let first = |cell: String| if i == 0 { cell } else { String::new() };
            report.row([
                format!("{side}, {backend}"),
                first(milliseconds(rounds.wall_ms_per_round.median)),
                first(milliseconds(rounds.wall_ms_per_round.max)),
                milliseconds(tail.p50),
                milliseconds(tail.p99),
                first(microseconds(rounds.cpu_us_per_evaluation)),
                first(ours.map_or("-".to_owned(), |ours| us_each(ours.cpu_flat_out, all))),
                group.errors.to_string(),
                group.wrong.to_string(),
            ]);
        }
    }
    report
}

/// The targets, for the largest number of triggers.
pub fn verdicts(all: &[Runs]) {
    let Some(most) = all.last() else { return };
    let Some(ours) = &most.ours.ours else { return };
    let run = &most.ours;
    println!(
        "\nTargets, which are for 10000 triggers, with {}:",
        most.triggers
    );
    let each = |cpu: Duration, count: usize| cpu.as_secs_f64() * 1e6 / count.max(1) as f64;
    let [_, _, temporal] = &run.report.groups;
    let mut verdicts = vec![
        Verdict::at_most(
            "our CPU of an evaluation, in µs,",
            each(ours.cpu, run.report.evaluations),
            150.0,
        ),
        Verdict::at_most("our largest RSS, in MiB,", ours.rss, 48.0),
    ];
    verdicts.extend(growth(all));
    verdicts.extend([
        Verdict::at_least("the fresh share with Redis", ours.fresh[0], 0.9),
        Verdict::at_least("the fresh share with Kafka", ours.fresh[1], 0.9),
    ]);
    for (i, (server, most)) in [("Redis", 5.0), ("Kafka", 100.0)].into_iter().enumerate() {
        let all = each(run.server_cpu[i], run.report.groups[i].evaluations);
        let what = format!("{server}'s CPU of an evaluation, with what it uses when idle, in µs,");
        verdicts.push(Verdict::at_most(&what, all, most));
        // Below zero nothing is known but that it is little beside what the idle server uses.
        if run.above_idle(i) >= 0.0 {
            let what = format!("{server}'s CPU of an evaluation above idle, in µs,");
            verdicts.push(Verdict::at_most(&what, run.above_idle(i), most));
        }
    }
    for (backend, group) in BACKENDS.iter().zip(&run.report.groups) {
        let (calls, spec) = (
            &group.get_metrics_and_is_active_ms,
            &group.get_metric_spec_ms,
        );
        let ratios = [
            ("p50", ratio(calls.p50, spec.p50)),
            ("p99", ratio(calls.p99, spec.p99)),
        ];
        for (name, ratio) in ratios {
            let what = format!("{backend}: {name} of GetMetrics + IsActive beside GetMetricSpec's");
            verdicts.push(Verdict::at_most(&what, ratio, 2.2));
        }
    }
    verdicts.extend([
        Verdict::at_most("Temporal's errors", temporal.errors as f64, 0.0),
        Verdict::at_most("Temporal's oldest sample, in s,", ours.oldest[2], 60.0),
    ]);
    for (backend, sockets) in BACKENDS.iter().zip(ours.sockets) {
        let what = format!("our number of sockets to {backend}");
        verdicts.push(Verdict::at_most(&what, sockets as f64, 1.0));
    }
    for verdict in &verdicts {
        println!("{verdict}");
    }
}

/// Memory of more triggers, from the smallest run of at least 1,000 to the largest.
fn growth(all: &[Runs]) -> Option<Verdict> {
    let few = all.iter().find(|runs| runs.triggers >= 1_000)?;
    let most = all.last()?;
    let thousands = (most.triggers - few.triggers) as f64 / 1e3;
    let rss = |runs: &Runs| runs.ours.ours.as_ref().map(|ours: &Ours| ours.rss);
    let more = rss(most)? - rss(few)?;
    (thousands > 0.0).then(|| {
        Verdict::at_most(
            "our RSS of each further 1,000 triggers, in MiB,",
            more / thousands,
            2.0,
        )
    })
}

fn milliseconds(value: f64) -> String {
    format!("{value:.2} ms")
}

fn microseconds(value: f64) -> String {
    format!("{value:.1} µs")
}
