//! The results that no other one beats.

/// Of points of two numbers, less of each being better: those of which no other has less of one and no
/// more of the other, by the first number.
pub fn frontier<T>(all: impl IntoIterator<Item = (f64, f64, T)>) -> Vec<(f64, f64, T)> {
    let mut sorted: Vec<_> = all.into_iter().collect();
    // Stable: of equal ones, the first stays.
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut frontier: Vec<(f64, f64, T)> = Vec::new();
    for point in sorted {
        if frontier.last().is_none_or(|last| point.1 < last.1) {
            frontier.push(point);
        }
    }
    frontier
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_one_beats_is_not_on_it() {
        let all = [
            (3.0, 5.0, 'a'),
            (1.0, 9.0, 'b'),
            (2.0, 9.0, 'c'),
            (3.0, 4.0, 'd'),
            (3.0, 4.0, 'e'),
            (8.0, 1.0, 'f'),
            (9.0, 1.0, 'g'),
        ];
        let names: String = frontier(all).iter().map(|point| point.2).collect();
        assert_eq!(names, "bdf");
        assert!(frontier::<char>([]).is_empty());
    }
}
