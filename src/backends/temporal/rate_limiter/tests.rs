//! How requests are paced and ordered, on a paused clock.

use futures_util::{StreamExt, future::join_all, stream::FuturesUnordered};

use super::*;

/// Takes and ends one request.
async fn one(limiter: &RateLimiter, priority: Priority) -> Priority {
    drop(limiter.acquire(priority, 1).await);
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
    let permits = join_all((0..AT_ONCE).map(|_| limiter.acquire(priority, 1))).await;
    let one_more = tokio::time::timeout(Duration::from_secs(9), limiter.acquire(priority, 1));
    assert!(one_more.await.is_err());
    drop(permits);
    limiter.acquire(priority, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_halves_the_rate_for_a_while() {
    let limiter = RateLimiter::new(100.0);
    assert_eq!(limiter.slow_down(), Some(50.0));
    assert_eq!(limiter.slow_down(), None);
    let start = Instant::now();
    let priority = Priority::Waited(start);
    join_all((0..52).map(|_| one(&limiter, priority))).await;
    let elapsed = start.elapsed().as_secs_f64();
    assert!((0.8..1.2).contains(&elapsed), "{elapsed}");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(
        limiter.state.lock().try_take((priority, 0), 1),
        Turn::WhenNotified
    );
    limiter.state.lock().refill(Instant::now());
    assert_eq!(limiter.state.lock().rate, 100.0);
}

#[tokio::test(start_paused = true)]
async fn a_heavy_request_takes_as_much_as_several() {
    let limiter = RateLimiter::new(10.0);
    let start = Instant::now();
    let priority = Priority::Waited(start);
    for _ in 0..14 {
        drop(limiter.acquire(priority, 5).await);
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
    let cancelled = tokio::time::timeout(Duration::from_millis(1), limiter.acquire(priority, 1));
    assert!(cancelled.await.is_err());
    let start = Instant::now();
    one(&limiter, priority).await;
    assert!(start.elapsed() < Duration::from_millis(1100));
}
