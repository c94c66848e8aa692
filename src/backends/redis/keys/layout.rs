//! The keys of a trigger with a `layout`.

use super::ListKeys;
use crate::{
    backends::redis::{
        layouts::{Layout, Queues},
        query::Query,
    },
    metadata::{
        problem::{Problem, Problems},
        signal::{Needs, Signal},
    },
};

impl ListKeys {
    /// What to count, with the readable part of the metric's name.
    pub(super) fn layout_query(
        &self,
        layout: Layout,
        needs: Needs,
    ) -> Result<(Query, String), Problems> {
        let mut problems = Problems::default();
        for (key, given) in [
            ("listName", self.list_name.is_some()),
            ("lists", self.lists.is_some()),
            ("processingLists", self.processing_lists.is_some()),
            ("scores", self.scores.is_some()),
            ("scoreUnit", self.score_unit.is_some()),
        ] {
            if given {
                problems.push(Problem::exclusive(key, "layout"));
            }
        }
        let supported = needs.supports(&layout.what(), &[Signal::Backlog]);
        problems.keep(supported);
        let queues = match &self.queue {
            Some(queue) => problems.keep(Queues::new(
                layout,
                queue,
                self.prefix.as_deref(),
                self.shared_keys,
            )),
            None => {
                problems.push(Problem::key("queue", "is required with `layout`"));
                None
            }
        };
        if let Some(reason) = layout.no_in_flight(self.shared_keys) {
            problems.keep(needs.no_in_flight(reason));
        }
        problems.into_result()?;
        let queues = queues.expect("missing queues are a problem");
        let names = self.queue.iter().flat_map(|queue| &queue.0);
        let readable = names.fold(layout.to_string(), |text, name| format!("{text}-{name}"));
        Ok((Query::Lists(queues.lists()), readable))
    }

    /// Checks that there are no keys that need a layout.
    pub(super) fn without_layout(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        for (key, given) in [
            ("queue", self.queue.is_some()),
            ("prefix", self.prefix.is_some()),
            ("sharedKeys", self.shared_keys),
        ] {
            if given {
                problems.push(Problem::key(key, "needs `layout`"));
            }
        }
        problems.into_result()
    }
}
