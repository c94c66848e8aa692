//! A thousand Redis triggers evaluated by KEDA: by its built-in scaler, and by its external client,
//! which calls us.

use crate::{
    TRIGGERS,
    judge::{self, Judge, Run, most, table},
    report::{Verdict, ratio},
    usage::Process,
};
use testkit::redis::Redis;

/// Measures, and prints; without KEDA's program it says how to get it.
pub async fn run(redis: &Redis) {
    let Some(program) = judge::program() else {
        return;
    };
    let judge = Judge {
        program,
        backend: "redis",
        metadata: vec![
            ("listName", "jobs-{i}".to_owned()),
            ("address", redis.address()),
        ],
        server: Process(redis.pid().expect("redis-server runs")),
        port: redis.port(),
        rounds: 10,
    };
    let measured = async {
        let builtin = judge.builtin().await?;
        let shared = judge.external(&[("freshFor", "1s")]).await?;
        let expired = judge.external(&[("freshFor", "0")]).await?;
        Ok::<_, String>([builtin, shared, expired])
    };
    match measured.await {
        Ok(runs) => print(&judge, &runs),
        Err(error) => println!("\nKEDA's built-in redis scaler is not compared: {error}"),
    }
}

fn print(judge: &Judge, [builtin, shared, expired]: &[Run; 3]) {
    let title = format!(
        "{TRIGGERS} Redis triggers, evaluated by KEDA at once, {} rounds without a pause. \
         An evaluation is three\ncalls to an external scaler. With freshFor 0 each of them that \
         needs a value reads it anew.",
        judge.rounds
    );
    let columns = [
        ("built-in", builtin),
        ("ours, 1s (default)", shared),
        ("ours, freshFor 0", expired),
    ];
    let cpu = ratio(expired.server_cpu, builtin.server_cpu);
    let memory = |run: &Run| run.keda_rss_more + run.ours.as_ref().map_or(0.0, |o| o.rss_more);
    let ours = [shared, expired];
    table(title, "redis", &columns).print(&[
        Verdict::at_most("redis CPU, freshFor 0 beside built-in,", cpu, 1.0),
        Verdict::at_most(
            "memory of KEDA and us, beside KEDA's with built-in scalers,",
            ratio(memory(shared), memory(builtin)),
            1.0,
        ),
        Verdict::at_most(
            "our RSS over idle, in MiB,",
            most(&ours, |o| o.rss_more),
            16.0,
        ),
        Verdict::at_most(
            "our number of sockets to Redis",
            most(&ours, |o| o.sockets as f64),
            1.0,
        ),
    ]);
}
