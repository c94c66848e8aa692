//! What the engine knows at one moment, and the JSON of it.

use std::{collections::HashMap, sync::Arc};

use super::{
    attention,
    clock::Clock,
    convert::{connection, instance, limit, status_of, trigger_of},
    id_text,
    list_query::ListQuery,
    model::{ConnectionCounts, Connections, Counts, Overview, TriggerStatus, Triggers},
};
use crate::sampling::{Engine, Health, Inspected, InspectedConnection, Usage};

/// What the engine knows at one moment.
pub struct Snapshot {
    pub(super) clock: Clock,
    pub(super) triggers: Vec<Inspected>,
    pub(super) connections: Vec<InspectedConnection>,
    pub(super) usage: Vec<Usage>,
}

impl Snapshot {
    /// Takes it. With ten thousand triggers this takes some milliseconds.
    pub fn take(engine: &Arc<Engine>) -> Self {
        Snapshot {
            clock: Clock::now(),
            triggers: engine.inspect_triggers(),
            connections: engine.inspect_connections(),
            usage: engine.usage(),
        }
    }

    /// The overview.
    pub fn overview(&self) -> Overview {
        let (attention, more_attention) = attention::of(self);
        Overview {
            version: env!("CARGO_PKG_VERSION"),
            at: self.at(),
            triggers: self.counts(),
            connections: self.connection_counts(),
            limits: self.usage.iter().map(limit).collect(),
            attention,
            more_attention,
        }
    }

    /// The triggers that a query selects.
    pub fn triggers(&self, query: &ListQuery) -> Triggers {
        let (selected, list) = self.page(query);
        Triggers {
            at: self.at(),
            selected,
            all: self.triggers.len(),
            page: query.page,
            pages: selected.div_ceil(query.per_page).max(1),
            triggers: list
                .into_iter()
                .map(|found| trigger_of(found, &self.clock))
                .collect(),
        }
    }

    /// Every connection.
    pub fn connections(&self) -> Connections {
        let mut triggers = HashMap::<usize, usize>::new();
        for instance in self.triggers.iter().filter_map(instance) {
            *triggers.entry(instance).or_default() += 1;
        }
        let count = |instance| triggers.get(&instance).copied().unwrap_or(0);
        let all = self.connections.iter();
        let all = all.map(|found| connection(found, count(found.instance), &self.clock));
        Connections {
            at: self.at(),
            connections: all.collect(),
        }
    }

    /// The connections of one id.
    pub fn connections_of(&self, id: u64) -> Option<Connections> {
        let mut found = self.connections();
        let id = id_text(id);
        found.connections.retain(|connection| connection.id == id);
        (!found.connections.is_empty()).then_some(found)
    }

    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts {
            all: self.triggers.len(),
            ..Counts::default()
        };
        for found in &self.triggers {
            *match status_of(found) {
                TriggerStatus::Good => &mut counts.good,
                TriggerStatus::Stale => &mut counts.stale,
                TriggerStatus::Failing => &mut counts.failing,
                TriggerStatus::Refused => &mut counts.refused,
                TriggerStatus::Waiting => &mut counts.waiting,
            } += 1;
        }
        counts
    }

    fn connection_counts(&self) -> ConnectionCounts {
        let count = |wanted: fn(&Health) -> bool| {
            let all = self.connections.iter();
            all.filter(|found| wanted(&found.figures.health)).count()
        };
        ConnectionCounts {
            all: self.connections.len(),
            up: count(|health| *health == Health::Up),
            lost: count(|health| matches!(health, Health::Lost(_))),
            unused: count(|health| *health == Health::Unused),
        }
    }

    pub(super) fn at(&self) -> String {
        self.clock.text(self.clock.now)
    }
}
