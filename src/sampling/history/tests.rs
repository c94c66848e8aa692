use super::*;
use crate::sampling::{backend::Reading, evaluation::Shaped};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn value(value: f64) -> Result<Evaluation> {
    let active = value > 0.0;
    Ok(Evaluation {
        reading: Reading { value, active },
        in_flight: 0,
        shaped: None,
        age: Duration::ZERO,
        stale: None,
        most_consumers: None,
        arrivals: None,
    })
}

fn down() -> Error {
    Error::new(Kind::Unreachable, "redis: connection refused", "")
}

/// The numbers of a line, without what is missing.
fn reported(points: &[Point]) -> Vec<f32> {
    points.iter().filter_map(|point| point.reported).collect()
}

#[test]
fn ten_thousand_triggers_take_less_than_eight_mebibytes_over_a_day() {
    let start = Instant::now();
    let mut all = Vec::with_capacity(10_000);
    let measured = allocation_counter::measure(|| {
        for _ in 0..10_000 {
            all.extend(History::new(DAY, start));
        }
    });
    let bytes = measured.bytes_current;
    assert!(bytes > 0 && bytes <= 8 << 20, "{bytes} bytes");
    // A day of calls takes no more.
    let measured = allocation_counter::measure(|| {
        let history = &mut all[0];
        for second in (0..24 * 60 * 60).step_by(15) {
            let now = start + Duration::from_secs(second);
            let outcome = match second % 7 {
                0 => Err(down()),
                rest => value((second * rest) as f64),
            };
            history.record(&outcome, now);
        }
    });
    assert_eq!(measured.bytes_current, 0);
    assert_eq!(all.len(), 10_000);
}

#[test]
fn an_hour_takes_less_than_a_day_and_nothing_takes_nothing() {
    let size = |length| {
        let mut kept = None;
        let made = || kept = History::new(length, Instant::now());
        allocation_counter::measure(made).bytes_current
    };
    assert_eq!(size(Duration::ZERO), 0);
    assert!(size(HOUR) < size(DAY));
}

#[test]
fn a_minute_keeps_its_highest_value_and_an_hour_is_forgotten() {
    let start = Instant::now();
    let mut history = History::new(DAY, start).expect("is kept");
    for (second, then) in [(0, 5.0), (10, 9.0), (59, 1.0), (60, 2.0), (200, 7.0)] {
        history.record(&value(then), start + Duration::from_secs(second));
    }
    let past = history.past(start + Duration::from_secs(260));
    assert_eq!(past.hour.len(), 5);
    let line: Vec<_> = past.hour.iter().map(|point| point.reported).collect();
    assert_eq!(line, [Some(9.0), Some(2.0), None, Some(7.0), None]);
    // The first minute leaves as the sixty-first comes, whether or not there is a call in it.
    let past = history.past(start + Duration::from_secs(3600));
    assert_eq!(
        (past.hour.len(), reported(&past.hour)),
        (60, vec![2.0, 7.0])
    );
    let past = history.past(start + 2 * HOUR);
    assert_eq!(reported(&past.hour), Vec::<f32>::new());
    assert_eq!(reported(&past.day), [9.0]);
    assert_eq!(history.past(start + 2 * DAY).day.len(), HALF_HOURS);
    assert_eq!(
        reported(&history.past(start + 2 * DAY).day),
        Vec::<f32>::new()
    );
    // A call after a long silence finds no old cells in its way.
    history.record(&value(3.0), start + 2 * DAY);
    let past = history.past(start + 2 * DAY);
    assert_eq!(
        (reported(&past.hour), reported(&past.day)),
        (vec![3.0], vec![3.0])
    );
}

#[test]
fn a_sample_and_what_is_made_of_it_are_kept_apart() {
    let start = Instant::now();
    let mut history = History::new(HOUR, start).expect("is kept");
    let mut held = value(500.0).expect("is a value");
    held.shaped = Some(Shaped {
        raw_value: Some(110.0),
        by: vec!["scaleDownBelow"],
    });
    history.record(&Ok(held.clone()), start);
    held.stale = Some(down());
    history.record(&Ok(held), start + MINUTE);
    history.record(&Err(down()), start + 2 * MINUTE);
    let past = history.past(start + 2 * MINUTE);
    let lines: Vec<_> = past.hour.iter().map(|p| (p.measured, p.reported)).collect();
    let stale = (None, Some(500.0));
    assert_eq!(lines, [(Some(110.0), Some(500.0)), stale, (None, None)]);
    assert!(past.day.is_empty());
}

#[test]
fn equal_replies_are_one_and_the_oldest_are_forgotten() {
    let start = Instant::now();
    let at = |second| start + Duration::from_secs(second);
    let mut history = History::new(HOUR, start).expect("is kept");
    history.record(&value(0.0), at(0));
    history.record(&value(0.0), at(15));
    history.record(&Err(down()), at(30));
    history.record(&Err(down()), at(45));
    let first = Replied {
        since: at(0),
        until: at(30),
        value: Some(0.0),
        active: false,
        kind: None,
    };
    let second = Replied {
        since: at(30),
        until: at(45),
        value: None,
        kind: Some(Kind::Unreachable),
        ..first
    };
    assert_eq!(history.past(at(50)).replies, [first, second]);
    for second in 100..200 {
        history.record(&value(second as f64), at(second));
    }
    let values: Vec<_> = history.past(at(200)).replies;
    let values: Vec<_> = values.iter().filter_map(|reply| reply.value).collect();
    let last: Vec<f32> = (192..200_u8).map(f32::from).collect();
    assert_eq!(values, last);
}

#[test]
fn coarse_values_are_right_to_three_digits() {
    for value in [0.0, 1.0, 7.0, 255.0, 1_234.0, 98_765.0, 1.5e9, 0.25] {
        let coarse = Coarse::of(value).exact();
        assert!((coarse - value).abs() <= value / 256.0, "{value}: {coarse}");
    }
    assert!(Coarse::of(f32::MAX).exact() >= f32::MAX / 2.0);
    assert!(Coarse::NAN.exact().is_nan());
    assert_eq!(
        Coarse::of(f32::NAN).exact().to_bits(),
        Coarse::NAN.exact().to_bits()
    );
}
