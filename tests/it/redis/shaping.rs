//! Values that are shaped: held replicas, and an outage.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{list, needs_redis};
use testkit::{
    redis::Redis,
    scaler::{Scaler, with},
};

#[tokio::test]
async fn replicas_go_up_and_down_at_two_thresholds_and_stay_in_an_outage() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    let keys = [
        ("freshFor", "0"),
        ("maxStaleness", "0"),
        ("listLength", "50"),
        ("scaleDownBelow", "10"),
        ("onOutage", "hold"),
    ];
    let work = keys
        .into_iter()
        .fold(list(&redis, "jobs"), |work, (key, value)| {
            with(work, key, value)
        });
    for (given, backlog, value) in [
        ("one worker", 50, 50.0),
        ("up at 51 for one", 51, 51.0),
        ("held at 49 for each of two", 98, 98.0),
        ("held at 25 for each", 50, 100.0),
        ("held at 11 for each", 22, 100.0),
        ("down below 10 for each", 19, 19.0),
        ("up at 51 for one again", 51, 51.0),
        ("held at 10 for each", 20, 100.0),
    ] {
        redis.command(&["DEL", "jobs"]).await;
        redis.rpush("jobs", backlog).await;
        let found = scaler.evaluate(&work).await.unwrap();
        assert_eq!((found.value, found.active), (value, true), "{given}");
        assert_eq!(found.stale, None);
    }
    let (_, page) = scaler.page("/metrics").await;
    let value = |name: &str| {
        let mut lines = page.lines();
        let line = lines.find(|line| line.starts_with(&format!("{name}{{")));
        line.and_then(|line| Some(line.rsplit_once(' ')?.1.to_owned()))
    };
    assert_eq!(
        value("backlog_scaler_trigger_value").as_deref(),
        Some("100")
    );
    assert_eq!(
        value("backlog_scaler_trigger_raw_value").as_deref(),
        Some("20")
    );

    redis.kill();
    let found = scaler.evaluate(&work).await.unwrap();
    assert_eq!(
        (found.value, found.stale.as_deref()),
        (100.0, Some("unreachable"))
    );
    // Without the key it is an error.
    let strict = with(work.clone(), "onOutage", "error");
    assert!(scaler.evaluate(&strict).await.is_err());

    redis.restart().await;
    redis.rpush("jobs", 3).await;
    let started = Instant::now();
    loop {
        match scaler.evaluate(&work).await.unwrap() {
            found if found.stale.is_none() => {
                assert_eq!(found.value, 3.0);
                break;
            }
            stale if started.elapsed() > Duration::from_secs(15) => panic!("still {stale:?}"),
            _ => sleep(Duration::from_millis(100)).await,
        }
    }
}
