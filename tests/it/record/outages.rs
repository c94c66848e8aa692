//! What a running server knows, with a token, over an outage of the backend.

use std::{fs, time::Duration};

use tokio::time::sleep;

use super::{Recorder, assert_near};
use crate::redis::{needs_redis, stream};
use testkit::{
    process,
    redis::Redis,
    scaler::{Scaler, with},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_recorded_over_an_outage_and_what_came_meanwhile_is_counted() {
    needs_redis!();
    let folder = process::directory();
    let token = folder.path().join("token");
    fs::write(&token, "hunter2\n").unwrap();
    let token = token.display().to_string();
    let settings = format!("listen: {{adminTokenFile: {token}}}");
    let (redis, scaler) = (Redis::start().await, Scaler::with(&settings).await);
    let add = async |entries: usize| {
        let fill = "for i = 1, ARGV[1] do redis.call('XADD', 's', '*', 'k', 'v') end";
        redis
            .command(&["EVAL", fill, "0", &entries.to_string()])
            .await;
    };
    add(3).await;
    redis.command(&["XGROUP", "CREATE", "s", "g", "0"]).await;
    let read = ["XREADGROUP", "GROUP", "g", "c", "COUNT", "2"];
    redis
        .command(&[&read[..], &["STREAMS", "s", ">"]].concat())
        .await;
    let trigger = stream(&redis, "s", [("consumerGroup", "g"), ("lagCount", "4")]);
    let trigger = with(with(trigger, "freshFor", "0"), "maxStaleness", "0");
    scaler.evaluate(&trigger).await.unwrap();

    // As KEDA does, and nothing else has the queue read.
    let mut client = scaler.client().await;
    let keda = tokio::spawn(async move {
        loop {
            // An outage is part of the test.
            let _ = testkit::scaler::evaluate(&mut client, &trigger).await;
            sleep(Duration::from_millis(300)).await;
        }
    });
    let server = format!("http://{}", scaler.admin);
    let arguments = ["shop/worker", "--server", &server, "--token-file", &token];
    let recorder = Recorder::start(process::directory(), &arguments).await;
    add(10).await;
    sleep(Duration::from_secs(3)).await;
    redis.pause();
    sleep(Duration::from_secs(6)).await;
    redis.resume();
    add(20).await;
    sleep(Duration::from_secs(5)).await;
    let recorded = recorder.end().await;
    keda.abort();

    assert_eq!(recorded.methods(), ["counted"].into(), "{}", recorded.text);
    assert_near(recorded.items(), 30.0, 0.1, &recorded);
    let longest = recorded.rows.windows(2);
    let longest = longest.map(|pair| pair[1].seconds - pair[0].seconds);
    let longest = longest.fold(0.0, f64::max);
    assert!(longest > 4.0, "the outage is one row:\n{}", recorded.text);
    let gaps = recorded
        .text
        .lines()
        .filter(|line| line.starts_with("# after "));
    let gaps: Vec<_> = gaps.collect();
    assert_eq!(gaps.len(), 1, "{}", recorded.text);
    assert!(gaps[0].contains(&redis.address()), "{}", gaps[0]);
    for note in [
        "no samples from now on",
        "there are samples again",
        "30 items",
    ] {
        assert!(recorded.log.contains(note), "{note}: {}", recorded.log);
    }
    for output in [&recorded.text, &recorded.log] {
        assert!(!output.contains("hunter2"), "{output}");
    }
    assert_near(recorded.simulated().await, 30.0, 1.0, &recorded);
}
