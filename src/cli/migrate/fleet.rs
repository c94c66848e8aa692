//! What a whole fleet would save: its triggers by kind, at measured figures, and who shares which
//! connection.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Value, json};

use super::{
    figures::{self, FULL_METADATA, Figures, PAGE},
    report::Counts,
    rewrite::Migration,
    site::Outcome,
};
use crate::cli::table;

/// How often the HPA evaluates a trigger, in seconds (`--horizontal-pod-autoscaler-sync-period`).
const HPA_PERIOD: f64 = 15.0;

/// All triggers that would move.
pub struct Fleet {
    counts: Counts,
    kinds: Vec<Kind>,
    /// What is connected to, with the triggers that would share it.
    connections: BTreeMap<String, Vec<String>>,
    /// `shop/worker, trigger 0`, with the reason.
    stay: Vec<(String, String)>,
}

/// The triggers of one kind.
struct Kind {
    figures: Figures,
    triggers: usize,
    /// `kafka` triggers with KEDA's own setting that saves memory.
    frugal: usize,
    connections: usize,
    evaluations_per_second: f64,
}

impl Fleet {
    /// Adds up what was moved.
    pub fn of(migration: &Migration) -> Self {
        let mut fleet = Fleet {
            counts: Counts::of(migration),
            kinds: Vec::new(),
            connections: BTreeMap::new(),
            stay: Vec::new(),
        };
        let triggers = migration.files.iter().flat_map(|file| &file.triggers);
        for trigger in triggers {
            fleet.add(trigger);
        }
        fleet
    }

    fn add(&mut self, trigger: &Outcome) {
        let id = format!("{}, trigger {}", trigger.object, trigger.index);
        if let Some((_, why)) = trigger.refused.first() {
            self.stay.push((id, why.clone()));
            return;
        }
        let figures = figures::of(trigger.was);
        let at = self.kinds.iter().position(|kind| kind.figures == figures);
        let at = at.unwrap_or_else(|| {
            self.kinds.push(Kind {
                figures,
                triggers: 0,
                frugal: 0,
                connections: 0,
                evaluations_per_second: 0.0,
            });
            self.kinds.len() - 1
        });
        let kind = &mut self.kinds[at];
        kind.triggers += 1;
        kind.frugal += usize::from(trigger.was == "kafka" && !trigger.full_metadata);
        kind.evaluations_per_second += 1.0 / trigger.polling_interval as f64 + 1.0 / HPA_PERIOD;
        let users = self
            .connections
            .entry(trigger.connection.clone())
            .or_default();
        kind.connections += usize::from(users.is_empty());
        users.push(id);
    }

    /// For people.
    pub fn text(&self) -> String {
        let Counts {
            moved,
            stay,
            others,
        } = self.counts;
        let mut text = format!(
            "{moved} of KEDA's own triggers would move, {stay} cannot; {others} are of other types.\n\n"
        );
        let header = [
            "TRIGGERS",
            "",
            "CONNECTIONS",
            "THEN",
            "MEMORY",
            "THEN",
            "REQUESTS/S",
            "SERVER CPU",
            "THEN",
            "KEDA'S CPU",
            "THEN",
        ];
        let rows = self.kinds.iter().map(|kind| {
            let (memory, server, cpu) = (kind.memory(), kind.server_cpu(), kind.cpu());
            vec![
                kind.figures.name.to_owned(),
                kind.triggers.to_string(),
                kind.sockets().to_string(),
                kind.connections.to_string(),
                mebibytes(memory.0),
                mebibytes(memory.1),
                format!("{:.1}", kind.requests()),
                percent(server.0),
                percent(server.1),
                percent(cpu.0),
                percent(cpu.1),
            ]
        });
        text += &table::unwrapped(&header, rows);
        text += &self.explained();
        text += "\nConnections, with the triggers that would share each:\n";
        for (connection, users) in &self.connections {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {connection}: {}", listed(users));
        }
        if !self.stay.is_empty() {
            text += "\nCannot move:\n";
        }
        for (trigger, why) in &self.stay {
            let _ = writeln!(text, "  {trigger}: {why}");
        }
        text
    }

    fn explained(&self) -> String {
        let page = PAGE;
        format!(
            "\nWith KEDA's own scalers, and then with this one, at what was measured with 1,000 triggers \
             on one server, all evaluated at once ({page}); yours differ. Connections are those of \
             KEDA to servers of one node, and then one to each node. Memory is what these triggers add to \
             KEDA's, and then to KEDA's and this server's together. An evaluation is KEDA's poll (each \
             pollingInterval) or the HPA's (every {HPA_PERIOD} s, while there are replicas). CPU is of one \
             core; KEDA's includes this server's. This server sends batches: in KEDA's rhythm 9 a second \
             for 7,000 Redis lists, and 1 for 2,000 Kafka groups.\n"
        )
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let kinds = self.kinds.iter().map(|kind| {
            let (memory, server, cpu) = (kind.memory(), kind.server_cpu(), kind.cpu());
            json!({
                "kind": kind.figures.name,
                "triggers": kind.triggers,
                "evaluationsPerSecond": kind.evaluations_per_second,
                "kedasRequestsPerSecond": kind.requests(),
                "connections": {"now": kind.sockets(), "then": kind.connections},
                "memoryMiB": {"now": memory.0, "then": memory.1},
                "serverCpu": {"now": server.0, "then": server.1},
                "kedasCpu": {"now": cpu.0, "then": cpu.1},
            })
        });
        let stay = self.stay.iter();
        let stay = stay.map(|(trigger, why)| json!({"trigger": trigger, "why": why}));
        json!({
            "moved": self.counts.moved,
            "cannotMove": self.counts.stay,
            "others": self.counts.others,
            "source": PAGE,
            "kinds": kinds.collect::<Vec<_>>(),
            "connections": self.connections,
            "stay": stay.collect::<Vec<_>>(),
        })
    }
}

impl Kind {
    fn thousands(&self) -> f64 {
        self.triggers as f64 / 1000.0
    }

    fn sockets(&self) -> u64 {
        (self.thousands() * f64::from(self.figures.sockets)).round() as u64
    }

    /// In MiB.
    fn memory(&self) -> (f64, f64) {
        let (now, then) = self.figures.memory;
        let (full, frugal) = FULL_METADATA;
        let saved = 1.0 - f64::from(frugal) / f64::from(full);
        let counted = self.triggers as f64 - saved * self.frugal as f64;
        (
            counted / 1000.0 * f64::from(now),
            self.thousands() * f64::from(then),
        )
    }

    /// Of one core.
    fn server_cpu(&self) -> (f64, f64) {
        self.share(self.figures.server_cpu)
    }

    fn cpu(&self) -> (f64, f64) {
        self.share(self.figures.cpu)
    }

    fn share(&self, (now, then): (f64, f64)) -> (f64, f64) {
        let of = |micros: f64| micros / 1e6 * self.evaluations_per_second;
        (of(now), of(then))
    }

    fn requests(&self) -> f64 {
        self.evaluations_per_second * f64::from(self.figures.requests)
    }
}

fn mebibytes(value: f64) -> String {
    match value {
        ..10.0 => format!("{value:.1} MiB"),
        _ => format!("{value:.0} MiB"),
    }
}

fn percent(share: f64) -> String {
    match share * 100.0 {
        value @ ..1.0 => format!("{value:.2} %"),
        value @ ..10.0 => format!("{value:.1} %"),
        value => format!("{value:.0} %"),
    }
}

/// So many are named; the others are counted.
const NAMED: usize = 5;

fn listed(users: &[String]) -> String {
    let named = users
        .iter()
        .take(NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    match users.len().checked_sub(NAMED) {
        None | Some(0) => named,
        Some(more) => format!("{named}; and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    fn page() -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
        fs::read_to_string(path).expect("is there")
    }

    /// Every figure is in the row of the page that it is from.
    #[test]
    fn the_figures_are_those_of_the_page() {
        use figures::{APACHE_KAFKA, KAFKA, REDIS, TEMPORAL};
        let page = page();
        let number = |number: u32| match number {
            1000.. => format!("{},{:03}", number / 1000, number % 1000),
            _ => number.to_string(),
        };
        let ms = |micros: f64| format!("{:.1} ms", micros / 1000.0);
        let [r, k, a, t] = [REDIS, KAFKA, APACHE_KAFKA, TEMPORAL];
        let rows = [
            format!(
                "| memory over one trigger, KEDA's and ours | {} MiB | 52 MiB | {} MiB |",
                r.memory.0, r.memory.1
            ),
            format!(
                "| memory over one trigger, KEDA's and ours | {} MiB | {} MiB | {} MiB |",
                k.memory.0,
                number(a.memory.0),
                k.memory.1
            ),
            format!(
                "| memory over one trigger, KEDA's and ours | {} MiB | {} MiB |",
                t.memory.0, t.memory.1
            ),
            format!(
                "| redis-server's CPU | {} µs | under 0.1 µs | {} µs |",
                r.server_cpu.0, r.server_cpu.1
            ),
            format!(
                "| the broker's CPU | {} µs | {} | {} µs |",
                k.server_cpu.0,
                ms(a.server_cpu.0),
                k.server_cpu.1
            ),
            format!(
                "| the server's CPU | {} | {} |",
                ms(t.server_cpu.0),
                ms(t.server_cpu.1)
            ),
            format!(
                "| KEDA's CPU | {} µs | 161 µs | {} µs |",
                r.cpu.0,
                r.cpu.1 - 81.0
            ),
            "| our CPU | | 76 µs | 81 µs |".to_owned(),
            format!(
                "| KEDA's CPU | {} µs | {} | {} µs |",
                k.cpu.0,
                ms(a.cpu.0),
                k.cpu.1 - 108.0
            ),
            "| our CPU | | | 108 µs |".to_owned(),
            format!("| KEDA's CPU | {} | {} |", ms(t.cpu.0), ms(t.cpu.1 - 700.0)),
            "| our CPU | | 0.7 ms |".to_owned(),
            format!(
                "| sockets to the broker | {} | {} | 1 |",
                number(k.sockets),
                number(a.sockets)
            ),
            format!(
                "| its connections, of 1,000 triggers | {} | {} | {} | {} |",
                number(r.sockets),
                number(k.sockets),
                number(a.sockets),
                number(t.sockets)
            ),
            format!(
                "| requests of an evaluation | {} (EVAL, of 3 commands) | {} | {} | {} (",
                r.requests, k.requests, a.requests, t.requests
            ),
            format!("{} MiB instead of {}", FULL_METADATA.1, FULL_METADATA.0),
            "| reads a second: Redis, Kafka, Temporal | 9, 1, 2 batches (105 requests) |"
                .to_owned(),
        ];
        for row in rows {
            assert!(page.contains(&row), "{PAGE} has no longer {row}");
        }
        assert_eq!(
            (a.cpu.1, a.memory.1, a.server_cpu.1),
            (k.cpu.1, k.memory.1, k.server_cpu.1)
        );
    }
}
