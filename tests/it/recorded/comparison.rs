//! Two courses of replicas by the second, and how far they are apart.

use std::ops::RangeInclusive;

/// How two courses compare.
#[derive(Debug)]
pub struct Comparison {
    pub seconds: usize,
    /// Seconds with the same number of replicas.
    pub equal: usize,
    /// The greatest difference of a second of one course to the nearest of the other one around it.
    pub greatest: u32,
    /// What is in one course and not in the other, within a second and a replica.
    pub misses: Vec<String>,
}

/// Compares by the second. Each second of one course, and each change in it, is looked for in the
/// other one up to `within` seconds earlier and later.
pub fn compare(real: &[u32], simulated: &[u32], within: usize) -> Comparison {
    assert_eq!(real.len(), simulated.len());
    let pairs = real.iter().zip(simulated);
    let there = Course("the cluster", real);
    let here = Course("the simulation", simulated);
    let mut misses = there.missing_in(&here, within);
    misses.extend(here.missing_in(&there, within));
    Comparison {
        seconds: real.len(),
        equal: pairs.filter(|(real, simulated)| real == simulated).count(),
        greatest: there
            .greatest_to(&here, within)
            .max(here.greatest_to(&there, within)),
        misses,
    }
}

/// Replicas by the second, under the name of what had them.
struct Course<'a>(&'a str, &'a [u32]);

impl Course<'_> {
    fn around(&self, second: usize, within: usize) -> RangeInclusive<usize> {
        second.saturating_sub(within)..=(second + within).min(self.1.len() - 1)
    }

    /// The number around a second that is nearest to another one: how far it is.
    fn distance(&self, second: usize, within: usize, replicas: u32) -> u32 {
        let around = &self.1[self.around(second, within)];
        let distances = around.iter().map(|other| other.abs_diff(replicas));
        distances.min().unwrap_or(u32::MAX)
    }

    fn greatest_to(&self, other: &Self, within: usize) -> u32 {
        let seconds = self.1.iter().enumerate();
        let distances = seconds.map(|(second, replicas)| other.distance(second, within, *replicas));
        distances.max().unwrap_or(0)
    }

    fn missing_in(&self, other: &Self, within: usize) -> Vec<String> {
        let Course(name, replicas) = self;
        let Course(other_name, others) = other;
        let mut misses = Vec::new();
        for (second, to) in replicas.iter().enumerate() {
            let from = replicas[second.saturating_sub(1)];
            let around = other.around(second, within);
            let shown = &others[around.clone()];
            if other.distance(second, within, *to) > 1 {
                misses.push(format!(
                    "second {second}: {name} has {to} replicas, {other_name} has {shown:?} around it"
                ));
            } else if from != *to && !around.clone().any(|at| other.is_like(at, from, *to)) {
                misses.push(format!(
                    "second {second}: {name} goes from {from} to {to}, {other_name} has {shown:?} \
                     around it, and no such change"
                ));
            }
        }
        misses
    }

    /// Whether it changes at a second in the same direction, to the same number or the next one.
    fn is_like(&self, second: usize, from: u32, to: u32) -> bool {
        let Some(before) = second.checked_sub(1) else {
            return false;
        };
        let (own_from, own_to) = (self.1[before], self.1[second]);
        own_from != own_to && (own_to > own_from) == (to > from) && own_to.abs_diff(to) <= 1
    }
}

#[test]
fn a_course_is_compared_within_a_second_and_a_replica() {
    let base = [0, 0, 1, 3, 3, 3, 5, 5, 5, 5];
    for (given, other, misses) in [
        ("itself", [0, 0, 1, 3, 3, 3, 5, 5, 5, 5], 0),
        ("a second later", [0, 0, 0, 1, 3, 3, 3, 5, 5, 5], 0),
        ("another number", [0, 0, 1, 3, 3, 3, 4, 4, 4, 4], 0),
        // Second 6 of the first, second 7 and the late change of the other.
        ("two seconds later", [0, 0, 1, 3, 3, 3, 3, 3, 5, 5], 3),
        // Seconds 3 to 5 of the first and its change to 5, seconds 3 and 4 of the other.
        ("too much", [0, 0, 1, 6, 6, 6, 6, 6, 6, 6], 6),
    ] {
        let found = compare(&base, &other, 1).misses;
        assert_eq!(found.len(), misses, "{given}: {found:#?}");
    }
}
