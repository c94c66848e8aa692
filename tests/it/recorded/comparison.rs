//! Two courses of replicas by the second, and how far they are apart.

/// How two courses compare.
#[derive(Debug)]
pub struct Comparison {
    pub seconds: usize,
    /// Seconds with the same number of replicas.
    pub equal: usize,
    /// The greatest difference in the same second.
    pub greatest: u32,
    /// What is in one course and not in the other, within a second and a replica.
    pub misses: Vec<String>,
}

/// Compares by the second. Each second of one course, and each change in it, is looked for in the
/// other one up to `within` seconds earlier and later.
pub fn compare(real: &[u32], simulated: &[u32], within: usize) -> Comparison {
    assert_eq!(real.len(), simulated.len());
    let pairs = || real.iter().zip(simulated);
    let mut misses = missing("the cluster", real, "the simulation", simulated, within);
    misses.extend(missing(
        "the simulation",
        simulated,
        "the cluster",
        real,
        within,
    ));
    Comparison {
        seconds: real.len(),
        equal: pairs()
            .filter(|(real, simulated)| real == simulated)
            .count(),
        greatest: pairs().map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0),
        misses,
    }
}

fn missing(name: &str, of: &[u32], other_name: &str, other: &[u32], within: usize) -> Vec<String> {
    let mut misses = Vec::new();
    for (second, replicas) in of.iter().enumerate() {
        let near = second.saturating_sub(within)..=(second + within).min(other.len() - 1);
        let before = second.checked_sub(1).map_or(*replicas, |before| of[before]);
        let around = &other[near.clone()];
        if !around.iter().any(|other| other.abs_diff(*replicas) <= 1) {
            misses.push(format!(
                "second {second}: {name} has {replicas} replicas, {other_name} {around:?} around it"
            ));
        } else if before != *replicas {
            // The change has its like: in the same direction, to the same number or the next one.
            let is_like = |at: usize| {
                let (from, to) = (other[at - 1], other[at]);
                (*replicas > before) == (to > from) && from != to && to.abs_diff(*replicas) <= 1
            };
            if !near.filter(|at| *at > 0).any(is_like) {
                misses.push(format!(
                    "second {second}: {name} goes from {before} to {replicas}, \
                     {other_name} has {around:?} around it and no such change"
                ));
            }
        }
    }
    misses
}

#[test]
fn a_course_is_compared_within_a_second_and_a_replica() {
    let base = [0, 0, 1, 3, 3, 3, 5, 5, 5, 5];
    for (given, other, misses) in [
        ("itself", [0, 0, 1, 3, 3, 3, 5, 5, 5, 5], 0),
        ("a second later", [0, 0, 0, 1, 3, 3, 3, 5, 5, 5], 0),
        ("another number", [0, 0, 1, 3, 3, 3, 4, 4, 4, 4], 0),
        // The change to 5 in both.
        ("two seconds later", [0, 0, 1, 3, 3, 3, 3, 3, 5, 5], 2),
        // The change to 3 and second 4 in the first, and in the other the change to 6 and seconds 4
        // and 5, while it never goes from there to 5.
        ("too much", [0, 0, 1, 6, 6, 6, 6, 6, 6, 6], 5),
    ] {
        let found = compare(&base, &other, 1).misses;
        assert_eq!(found.len(), misses, "{given}: {found:#?}");
    }
}
