//! Streams: length, lag and pending entries, with the cases that mislead.

use tonic::Code;

use super::{needs_redis, stream};
use testkit::{redis::Redis, scaler::Scaler};

async fn filled(entries: usize) -> (Redis, Scaler) {
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    for id in 1..=entries {
        redis
            .command(&["XADD", "s", &format!("{id}-0"), "k", "v"])
            .await;
    }
    (redis, scaler)
}

#[tokio::test]
async fn without_a_group_the_length_counts() {
    needs_redis!();
    let (redis, scaler) = filled(8).await;
    let found = scaler.evaluate(&stream(&redis, "s", [])).await.unwrap();
    assert_eq!((found.value, found.target), (8.0, 5.0));
    assert!(
        found.metric.starts_with("redis-streams-s-"),
        "{}",
        found.metric
    );
}

#[tokio::test]
async fn a_missing_stream_is_zero_whatever_is_asked_of_it() {
    needs_redis!();
    let (redis, scaler) = filled(0).await;
    let lag = [("consumerGroup", "g"), ("lagCount", "4")];
    assert_eq!(
        scaler
            .evaluate(&stream(&redis, "s", []))
            .await
            .unwrap()
            .value,
        0.0
    );
    assert_eq!(
        scaler
            .evaluate(&stream(&redis, "s", lag))
            .await
            .unwrap()
            .value,
        0.0
    );
    let pending = [("consumerGroup", "g")];
    assert_eq!(
        scaler
            .evaluate(&stream(&redis, "s", pending))
            .await
            .unwrap()
            .value,
        0.0
    );
}

#[tokio::test]
async fn a_group_has_lag_and_pending_entries() {
    needs_redis!();
    let (redis, scaler) = filled(10).await;
    redis.command(&["XGROUP", "CREATE", "s", "g", "0"]).await;
    redis
        .command(&[
            "XREADGROUP",
            "GROUP",
            "g",
            "c",
            "COUNT",
            "3",
            "STREAMS",
            "s",
            ">",
        ])
        .await;
    redis.command(&["XACK", "s", "g", "1-0"]).await;

    let lag = [
        ("consumerGroup", "g"),
        ("lagCount", "4"),
        ("activationLagCount", "7"),
    ];
    let found = scaler.evaluate(&stream(&redis, "s", lag)).await.unwrap();
    assert_eq!((found.value, found.target, found.active), (7.0, 4.0, false));

    let pending = [("consumerGroup", "g"), ("pendingEntriesCount", "6")];
    let found = scaler
        .evaluate(&stream(&redis, "s", pending))
        .await
        .unwrap();
    assert_eq!((found.value, found.target, found.active), (2.0, 6.0, true));
}

#[tokio::test]
async fn a_group_that_does_not_exist_yet_lags_by_the_whole_stream() {
    needs_redis!();
    let (redis, scaler) = filled(6).await;
    let lag = [("consumerGroup", "new"), ("lagCount", "4")];
    assert_eq!(
        scaler
            .evaluate(&stream(&redis, "s", lag))
            .await
            .unwrap()
            .value,
        6.0
    );

    let error = scaler
        .evaluate(&stream(&redis, "s", [("consumerGroup", "new")]))
        .await;
    let error = error.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert!(
        error.message().contains("stream s has no group new yet"),
        "{}",
        error.message()
    );
    assert!(error.message().contains("lagCount"), "{}", error.message());
}

#[tokio::test]
async fn lag_is_counted_out_where_redis_does_not_know_it() {
    needs_redis!();
    let (redis, scaler) = filled(10).await;
    redis.command(&["XGROUP", "CREATE", "s", "read", "0"]).await;
    redis
        .command(&[
            "XREADGROUP",
            "GROUP",
            "read",
            "c",
            "COUNT",
            "4",
            "STREAMS",
            "s",
            ">",
        ])
        .await;
    redis
        .command(&["XGROUP", "CREATE", "s", "middle", "7-0"])
        .await;
    redis
        .command(&["XGROUP", "CREATE", "s", "fresh", "0"])
        .await;
    // In the unread range of all three.
    redis.command(&["XDEL", "s", "8-0"]).await;

    for (group, lag) in [("read", 5.0), ("middle", 2.0), ("fresh", 9.0)] {
        let keys = [("consumerGroup", group), ("lagCount", "4")];
        let found = scaler.evaluate(&stream(&redis, "s", keys)).await.unwrap();
        assert_eq!(found.value, lag, "{group}");
    }
}

#[tokio::test]
async fn a_long_lag_is_counted_out_over_many_pages() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    let fill = "for i = 1, 3500 do redis.call('XADD', 's', i .. '-0', 'k', 'v') end";
    redis.command(&["EVAL", fill, "0"]).await;
    redis
        .command(&["XGROUP", "CREATE", "s", "g", "500-0"])
        .await;
    redis.command(&["XDEL", "s", "2000-0"]).await;

    let keys = [("consumerGroup", "g"), ("lagCount", "4")];
    let found = scaler.evaluate(&stream(&redis, "s", keys)).await.unwrap();

    assert_eq!(found.value, 2999.0);
}

#[tokio::test]
async fn after_a_trim_lag_is_no_more_than_what_is_left() {
    needs_redis!();
    let (redis, scaler) = filled(10).await;
    redis.command(&["XGROUP", "CREATE", "s", "g", "0"]).await;
    redis
        .command(&[
            "XREADGROUP",
            "GROUP",
            "g",
            "c",
            "COUNT",
            "2",
            "STREAMS",
            "s",
            ">",
        ])
        .await;
    redis.command(&["XTRIM", "s", "MAXLEN", "3"]).await;

    let keys = [("consumerGroup", "g"), ("lagCount", "4")];
    let found = scaler.evaluate(&stream(&redis, "s", keys)).await.unwrap();

    assert_eq!(found.value, 3.0);
}

#[tokio::test]
async fn what_is_no_stream_is_an_error() {
    needs_redis!();
    let (redis, scaler) = filled(0).await;
    redis.rpush("s", 3).await;
    let lag = [("consumerGroup", "g"), ("lagCount", "4")];
    let pending = [("consumerGroup", "g")];
    for trigger in [
        stream(&redis, "s", []),
        stream(&redis, "s", lag),
        stream(&redis, "s", pending),
    ] {
        let error = scaler.evaluate(&trigger).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition);
        assert!(
            error.message().contains("s is not a stream"),
            "{}",
            error.message()
        );
    }
}
