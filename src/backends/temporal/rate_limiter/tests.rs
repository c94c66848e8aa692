//! How requests are paced and ordered, on a paused clock.

use futures_util::{StreamExt, future::join_all, stream::FuturesUnordered};

use super::*;

/// Takes and ends one request.
async fn one(limiter: &RateLimiter, priority: Priority) -> Priority {
    drop(limiter.acquire(priority, "shop", 1).await);
    priority
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_free_and_the_rest_is_paced() {
    let limiter = RateLimiter::new(100.0);
    let start = Instant::now();
    let all = (0..500).map(|_| one(&limiter, Priority::Waited(start)));
    join_all(all).await;
    let elapsed = start.elapsed().as_secs_f64();
    assert!(
        (2.9..3.5).contains(&elapsed),
        "200 saved, 300 paced: {elapsed}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_oldest_sample_is_renewed_first_and_idle_requests_come_last() {
    let limiter = RateLimiter::new(1.0);
    let now = Instant::now();
    let old = |seconds| Priority::Waited(now - Duration::from_secs(seconds));
    join_all([one(&limiter, old(0)), one(&limiter, old(0))]).await;
    let order = [Priority::Idle, old(5), old(30), old(10)];
    let served: FuturesUnordered<_> = order.map(|u| one(&limiter, u)).into_iter().collect();
    let served: Vec<Priority> = served.collect().await;
    assert_eq!(served, [old(30), old(10), old(5), Priority::Idle]);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_are_in_flight() {
    let limiter = RateLimiter::new(1000.0);
    let priority = Priority::Waited(Instant::now());
    let permits = join_all((0..AT_ONCE).map(|_| limiter.acquire(priority, "shop", 1))).await;
    let one_more =
        tokio::time::timeout(Duration::from_secs(9), limiter.acquire(priority, "shop", 1));
    assert!(one_more.await.is_err());
    drop(permits);
    limiter.acquire(priority, "shop", 1).await;
}

/// A server that serves so many requests a second, and refuses some for other reasons, for so many
/// seconds. Returns how many were served and refused in the last half of them.
async fn overload(limiter: &RateLimiter, serves: f64, refuses: f64, seconds: u64) -> (u32, u32) {
    let start = Instant::now();
    let (mut tokens, mut refilled, mut sent) = (serves, start, 0_u32);
    let (mut served, mut refused) = (0, 0);
    while start.elapsed() < Duration::from_secs(seconds) {
        drop(limiter.acquire(Priority::Waited(start), "shop", 1).await);
        let now = Instant::now();
        tokens = (tokens + (now - refilled).as_secs_f64() * serves).min(serves);
        refilled = now;
        sent += 1;
        let by_chance = (f64::from(sent) * refuses).fract() < refuses;
        let is_refused = tokens < 1.0 || by_chance;
        match is_refused {
            true => drop(limiter.refused()),
            false => {
                tokens -= 1.0;
                limiter.accepted();
            }
        }
        if start.elapsed() > Duration::from_secs(seconds / 2) {
            match is_refused {
                true => refused += 1,
                false => served += 1,
            }
        }
    }
    (served, refused)
}

#[tokio::test(start_paused = true)]
async fn a_few_refusals_leave_the_rate_as_it_is() {
    let limiter = RateLimiter::new(100.0);
    let (served, refused) = overload(&limiter, 1_000.0, 0.03, 60).await;
    assert!(served > 2_850 && refused > 60, "{served} and {refused}");
}

#[tokio::test(start_paused = true)]
async fn the_rate_follows_what_the_server_serves() {
    let limiter = RateLimiter::new(100.0);
    let (served, refused) = overload(&limiter, 30.0, 0.0, 60).await;
    assert!((800..=910).contains(&served), "{served}");
    assert!(f64::from(refused) < 0.3 * f64::from(served), "{refused}");
    // It grows back within seconds.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(limiter.budget().allowed, 100.0);
}

#[tokio::test(start_paused = true)]
async fn the_budget_says_how_long_the_line_is() {
    let limiter = RateLimiter::new(100.0);
    assert_eq!(limiter.budget().expected_wait, Duration::ZERO);
    let start = Instant::now();
    let all = (0..400).map(|_| one(&limiter, Priority::Waited(start)));
    let all = join_all(all);
    tokio::pin!(all);
    let _ = tokio::time::timeout(Duration::from_millis(1), all.as_mut()).await;
    let Budget {
        waiting,
        expected_wait,
        sent,
        ..
    } = limiter.budget();
    assert_eq!((waiting, sent), (200, 200));
    let seconds = expected_wait.as_secs_f64();
    assert!((1.9..2.1).contains(&seconds), "{seconds}");
    all.await;
    assert_eq!(limiter.budget().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn requests_that_take_long_count_as_a_wait() {
    let limiter = RateLimiter::new(1000.0);
    let priority = Priority::Waited(Instant::now());
    for _ in 0..4 {
        let permits = join_all((0..AT_ONCE).map(|_| limiter.acquire(priority, "shop", 1))).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(permits);
    }
    let _permits = join_all((0..AT_ONCE).map(|_| limiter.acquire(priority, "shop", 1))).await;
    let waiting = join_all((0..240).map(|_| one(&limiter, priority)));
    tokio::pin!(waiting);
    let _ = tokio::time::timeout(Duration::from_millis(1), waiting.as_mut()).await;
    let seconds = limiter.budget().expected_wait.as_secs_f64();
    assert!((8.0..11.0).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn a_heavy_request_takes_as_much_as_several() {
    let limiter = RateLimiter::new(10.0);
    let start = Instant::now();
    let priority = Priority::Waited(start);
    for _ in 0..14 {
        drop(limiter.acquire(priority, "shop", 5).await);
    }
    let elapsed = start.elapsed().as_secs_f64();
    assert!(
        (4.4..5.2).contains(&elapsed),
        "20 saved, 70 taken: {elapsed}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_request_leaves_the_queue() {
    let limiter = RateLimiter::new(1.0);
    let priority = Priority::Waited(Instant::now());
    join_all([one(&limiter, priority), one(&limiter, priority)]).await;
    let cancelled = tokio::time::timeout(
        Duration::from_millis(1),
        limiter.acquire(priority, "shop", 1),
    );
    assert!(cancelled.await.is_err());
    let start = Instant::now();
    one(&limiter, priority).await;
    assert!(start.elapsed() < Duration::from_millis(1100));
}
