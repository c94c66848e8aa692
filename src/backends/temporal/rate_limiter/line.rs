//! The requests that wait for their turn: each namespace gets its share, and within it the most
//! urgent goes first.
//!
//! Shares are kept by start-time fair queueing: each namespace has a virtual time, which its
//! requests move on by their weight, and the one that is least far has the next turn.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::Notify;

use super::Priority;

/// The requests that wait.
#[derive(Default)]
pub struct Line {
    lanes: BTreeMap<Arc<str>, Lane>,
    /// That of the last namespace that had a turn: where one begins that comes now.
    virtual_time: f64,
    waiting: usize,
    arrivals: u64,
}

struct Lane {
    virtual_time: f64,
    requests: BTreeMap<(Priority, u64), Arc<Notify>>,
}

/// The place of a request in the line.
pub struct Place {
    namespace: Arc<str>,
    key: (Priority, u64),
}

impl Place {
    pub fn priority(&self) -> Priority {
        self.key.0
    }
}

impl Line {
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Adds a request, which is notified when it may be its turn.
    pub fn join(&mut self, priority: Priority, namespace: &str, turn: &Arc<Notify>) -> Place {
        self.arrivals += 1;
        self.waiting += 1;
        let namespace = match self.lanes.get_key_value(namespace) {
            Some((namespace, _)) => namespace.clone(),
            None => namespace.into(),
        };
        let place = Place {
            namespace,
            key: (priority, self.arrivals),
        };
        let lane = self.lanes.entry(place.namespace.clone());
        let lane = lane.or_insert_with(|| Lane {
            virtual_time: self.virtual_time,
            requests: BTreeMap::new(),
        });
        lane.requests.insert(place.key, turn.clone());
        place
    }

    /// Whether it is this request's turn.
    pub fn is_first(&self, place: &Place) -> bool {
        let first = self.first();
        first.is_some_and(|(lane, _)| lane.requests.keys().next() == Some(&place.key))
    }

    /// Takes out a request whose turn it is.
    pub fn serve(&mut self, place: &Place, weight: u32) {
        if let Some(lane) = self.lanes.get_mut(&place.namespace) {
            self.virtual_time = self.virtual_time.max(lane.virtual_time);
            lane.virtual_time += f64::from(weight);
        }
        self.leave(place);
    }

    /// Takes out a request that no longer waits. `false`: it did not.
    pub fn leave(&mut self, place: &Place) -> bool {
        let Some(lane) = self.lanes.get_mut(&place.namespace) else {
            return false;
        };
        let waited = lane.requests.remove(&place.key).is_some();
        if lane.requests.is_empty() {
            self.lanes.remove(&place.namespace);
        }
        self.waiting -= usize::from(waited);
        waited
    }

    /// Lets the first know that it may be its turn.
    pub fn notify_first(&self) {
        if let Some((_, turn)) = self.first() {
            turn.notify_one();
        }
    }

    /// The next turn, and its lane. Idle requests come after all others, whatever their namespace.
    fn first(&self) -> Option<(&Lane, &Arc<Notify>)> {
        let lanes = self.lanes.values();
        let lanes = lanes.filter_map(|lane| Some((lane, lane.requests.first_key_value()?)));
        let first = lanes.min_by(|(a, (first_a, _)), (b, (first_b, _))| {
            let idle = |(priority, _): &(Priority, u64)| *priority == Priority::Idle;
            let order = idle(first_a).cmp(&idle(first_b));
            order.then(a.virtual_time.total_cmp(&b.virtual_time))
        });
        first.map(|(lane, (_, turn))| (lane, turn))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Duration, Instant};

    use super::*;

    fn serve_all(line: &mut Line, places: Vec<(&'static str, Place)>) -> Vec<&'static str> {
        let mut places = places;
        let mut served = Vec::new();
        while let Some(at) = places.iter().position(|(_, place)| line.is_first(place)) {
            let (name, place) = places.remove(at);
            line.serve(&place, 1);
            served.push(name);
        }
        assert!(places.is_empty() && line.len() == 0 && line.lanes.is_empty());
        served
    }

    fn join(line: &mut Line, namespace: &str, age: u64, now: Instant) -> Place {
        let measured = Priority::Waited(now - Duration::from_secs(age));
        line.join(measured, namespace, &Arc::default())
    }

    #[tokio::test]
    async fn each_namespace_has_its_turn_and_its_oldest_goes_first() {
        let now = Instant::now() + Duration::from_secs(1000);
        let mut line = Line::default();
        let places = vec![
            ("big 40", join(&mut line, "big", 40, now)),
            ("big 30", join(&mut line, "big", 30, now)),
            ("big 50", join(&mut line, "big", 50, now)),
            ("small 1", join(&mut line, "small", 1, now)),
            ("small 2", join(&mut line, "small", 2, now)),
            ("idle", line.join(Priority::Idle, "other", &Arc::default())),
        ];
        let served = serve_all(&mut line, places);
        let expected = ["big 50", "small 2", "big 40", "small 1", "big 30", "idle"];
        assert_eq!(served, expected);
    }

    #[tokio::test]
    async fn a_namespace_that_comes_later_catches_up_on_nothing() {
        let now = Instant::now() + Duration::from_secs(1000);
        let mut line = Line::default();
        for _ in 0..100 {
            let place = join(&mut line, "early", 5, now);
            line.serve(&place, 1);
        }
        let places = vec![
            ("early", join(&mut line, "early", 5, now)),
            ("late", join(&mut line, "late", 5, now)),
            ("late", join(&mut line, "late", 5, now)),
            ("early", join(&mut line, "early", 5, now)),
        ];
        let served = serve_all(&mut line, places);
        let turns = served
            .iter()
            .take(2)
            .collect::<std::collections::BTreeSet<_>>();
        assert_eq!(turns.len(), 2, "{served:?}");
    }
}
