//! The pictures of the documentation: with `UPDATE_SCREENSHOTS=1` they are made anew, from a day of load
//! that takes seconds.

use std::{path::Path, time::Duration};

use testkit::{browser::Browser, redis::Value};
use tokio::time::{advance, pause, resume, sleep};

use super::{
    called::{Called, can_run},
    json, of_object,
};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: u64 = 24 * 60;

/// The clock of the server, which runs in this process, goes on by so much. Between two jumps it goes
/// like any other.
async fn jump(time: Duration) {
    pause();
    advance(time).await;
    resume();
}

/// Items of a list at a minute of the day: one wave over the day and another within the hour.
fn length(rate: f64, minute: u64) -> usize {
    let part = |period: u64| minute as f64 / period as f64 * std::f64::consts::TAU;
    let waves = (1.2 - part(DAY).cos()) * (1.3 + part(47).sin());
    (rate * (0.2 + 4.0 * waves)) as usize
}

async fn set_length(called: &Called, list: &str, wanted: usize) {
    let keep = format!("{}", wanted as i64 - 1);
    called.redis.command(&["LTRIM", list, "0", &keep]).await;
    let length = called.redis.command(&["LLEN", list]).await;
    let Value::Int(length) = length else {
        panic!("{length:?}");
    };
    let missing = wanted.saturating_sub(length as usize);
    if missing > 0 {
        called.redis.rpush(list, missing).await;
    }
}

// One thread, so that its clock can jump.
#[tokio::test]
async fn pictures_for_the_documentation() {
    if std::env::var_os("UPDATE_SCREENSHOTS").is_none() || !can_run() {
        return;
    }
    let mut called = Called::once().await;
    let mut minute = 0;
    while minute < DAY {
        for (list, rate) in [("orders", 9.0), ("invoices", 2.0), ("thumbnails", 20.0)] {
            set_length(&called, list, length(rate, minute + DAY / 6)).await;
        }
        if DAY - minute == 4 {
            called.other.kill();
        }
        called.call().await;
        // The last hour is shown by the minute.
        let step = if DAY - minute > 70 { 5 } else { 1 };
        jump(MINUTE * step as u32).await;
        minute += step;
    }
    called.keep_calling().await;
    sleep(Duration::from_secs(3)).await;

    let browser = Browser::start(1180, 900).await;
    let list = json(&called.scaler, "/api/v1/triggers").await;
    let id = of_object(&list, "thumbnails")["id"].as_str().unwrap();
    let pictures = [
        ("overview", "/".to_owned(), "light", (1180, 1000)),
        ("trigger", format!("/triggers/{id}"), "light", (1180, 1260)),
        ("phone", "/".to_owned(), "dark", (390, 780)),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images");
    for (name, path, scheme, (width, height)) in pictures {
        browser.prefer(scheme).await;
        browser.resize(width, height).await;
        browser.goto(&called.address(&path)).await;
        let file = folder.join(format!("status-{name}.png"));
        std::fs::write(file, browser.screenshot().await).unwrap();
    }
    browser.close().await;
}
