use super::*;

/// A function of points, which counts its calls.
struct Function<F> {
    of: F,
    calls: usize,
}

impl<F: Fn(&Point) -> Option<(f64, f64)>> Evaluate for Function<F> {
    fn evaluate(&mut self, points: &[Point]) -> Result<Vec<Option<Score>>> {
        self.calls += points.len();
        let scores = points.iter().map(|point| {
            let (excess, value) = (self.of)(point)?;
            let changed = point.iter().filter(|value| **value != 0).count();
            Some(Score {
                excess,
                value,
                changed,
            })
        });
        Ok(scores.collect())
    }
}

fn found(
    sizes: &[usize],
    budget: usize,
    of: impl Fn(&Point) -> Option<(f64, f64)>,
) -> (Found, usize) {
    let present = vec![0; sizes.len()];
    let space = Space {
        sizes,
        present: &present,
        budget,
    };
    let mut function = Function { of, calls: 0 };
    let found = search(&space, &mut function).unwrap();
    (found, function.calls)
}

/// The distance from a point, a step of each axis counting as much.
fn distance(point: &Point, from: &[usize]) -> f64 {
    let each = point.iter().zip(from);
    each.map(|(a, b)| a.abs_diff(*b).pow(2) as f64).sum()
}

#[test]
fn a_small_space_is_tried_as_a_whole() {
    let (found, calls) = found(&[3, 4], 12, |point| Some((0.0, -distance(point, &[0, 0]))));
    assert!(found.is_complete);
    assert_eq!((found.best, calls), (vec![2, 3], 12));
}

#[test]
fn the_bottom_of_a_valley_is_found_in_a_large_space() {
    let sizes = [30, 9, 20, 20, 9];
    for bottom in [[4, 2, 17, 3, 8], [29, 0, 0, 19, 4], [15, 8, 10, 10, 0]] {
        let (found, calls) = found(&sizes, 200, |point| Some((0.0, distance(point, &bottom))));
        assert!(!found.is_complete);
        assert_eq!(found.best, bottom);
        assert!(calls <= 200, "{calls}");
    }
}

/// The cheapest one lies at the limit, where no single step leads on.
#[test]
fn what_meets_the_objectives_comes_before_what_is_cheap() {
    let of = |point: &Point| {
        let (wait, cost) = (point[0] as f64, (point[1] + 1) as f64);
        let wait = 100.0 * (wait + 1.0) / cost;
        Some(((wait / 50.0 - 1.0).max(0.0), cost - point[0] as f64 / 100.0))
    };
    let (found, _) = found(&[60, 60], 120, of);
    let (excess, value) = of(&found.best).unwrap();
    assert_eq!(excess, 0.0);
    // wait ≤ 50 needs a cost of 2 × (the first + 1) at least: 2 for the first value.
    assert!(value <= 2.0, "{:?}", found.best);
}

#[test]
fn without_any_that_meets_them_the_nearest_is_found() {
    let of = |point: &Point| Some((1.0 + distance(point, &[7, 3]), 0.0));
    let (found, _) = found(&[40, 40], 100, of);
    assert_eq!(found.best, [7, 3]);
}

#[test]
fn a_change_that_hardly_helps_is_left_out() {
    let of = |point: &Point| Some((0.0, 100.0 - 10.0 * point[0] as f64 - 0.1 * point[1] as f64));
    let (found, _) = found(&[3, 3], 9, of);
    assert_eq!(found.best, [2, 0]);
}

#[test]
fn refused_points_are_left_out_and_the_search_ends() {
    let (found, _) = found(&[50, 50], 60, |point| {
        (point[0] <= point[1]).then(|| (0.0, distance(point, &[20, 10])))
    });
    let best = found.best;
    assert!(
        best[0] <= best[1] && distance(&best, &[15, 15]) <= 2.0,
        "{best:?}"
    );

    let (none, calls) = self::found(&[1_000; MOST_AXES], 10, |_| None);
    assert_eq!(none.best, [0; MOST_AXES]);
    assert!(calls <= 10 * REFUSED + 10, "{calls}");
}

#[test]
fn a_huge_space_is_no_overflow() {
    assert_eq!(combinations(&[usize::MAX; MOST_AXES]), u128::MAX);
    let (found, calls) = found(&[usize::MAX / 2; MOST_AXES], 50, |_| Some((0.0, 1.0)));
    assert_eq!(found.best, [0; MOST_AXES]);
    assert!(calls <= 50, "{calls}");
}

#[test]
fn points_are_spread_evenly() {
    let points = spread(&[10, 10], 100);
    for axis in 0..2 {
        for value in 0..10 {
            let count = points.iter().filter(|point| point[axis] == value).count();
            assert!((8..=12).contains(&count), "{axis} {value}: {count}");
        }
    }
}
