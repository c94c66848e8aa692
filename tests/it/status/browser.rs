//! The page in a real browser, as a person sees it. With `UPDATE_SCREENSHOTS=1` the pictures of the
//! documentation are made anew, from some minutes of load.

use std::{path::Path, time::Duration};

use testkit::{
    browser::{self, Browser, Locator},
    redis::{self, Redis},
    require,
    scaler::{Scaler, with},
};
use tokio::{task::JoinHandle, time::sleep};

use super::{json, of_object, on_list, with_a_slip};

/// A server that KEDA calls all the time, as far as it notices.
struct Called {
    scaler: Scaler,
    redis: Redis,
    /// Another one, for the triggers of `mail`.
    other: Redis,
    calls: JoinHandle<()>,
}

impl Drop for Called {
    fn drop(&mut self) {
        self.calls.abort();
    }
}

impl Called {
    async fn start() -> Self {
        let (redis, other, scaler) = (
            Redis::start().await,
            Redis::start().await,
            Scaler::start().await,
        );
        for (list, jobs) in [("orders", 42), ("invoices", 7), ("thumbnails", 130)] {
            redis.rpush(list, jobs).await;
        }
        other.rpush("letters", 12).await;
        let address = redis.address();
        let held = on_list("shop", "thumbnails", &address, "thumbnails");
        let triggers = [
            on_list("shop", "orders", &address, "orders"),
            on_list("shop", "invoices", &address, "invoices"),
            with(with(held, "scaleDownBelow", "2"), "smoothing", "max:2m"),
            on_list("reports", "nightly", &address, "empty"),
            on_list("mail", "sender", &other.address(), "letters"),
            with_a_slip("mail", "typo", &other.address()),
        ];
        let mut client = scaler.client().await;
        let calls = tokio::spawn(async move {
            loop {
                for trigger in &triggers {
                    // Some fail, which is what the page is for.
                    let _ = testkit::scaler::evaluate(&mut client, trigger).await;
                }
                sleep(Duration::from_millis(300)).await;
            }
        });
        Called {
            scaler,
            redis,
            other,
            calls,
        }
    }

    fn address(&self, path: &str) -> String {
        format!("http://{}{path}", self.scaler.admin)
    }
}

fn can_run() -> bool {
    require(redis::available(), "redis-server")
        && require(browser::available(), "chromium or axe-core")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_redis_is_on_the_open_page_within_seconds() {
    if !can_run() {
        return;
    }
    let (called, browser) = (Called::start().await, Browser::start(1280, 900).await);
    browser.goto(&called.address("/")).await;
    browser.until("table", "sender").await;
    let before = browser.texts(".attention h3").await;
    assert!(
        before.iter().all(|entry| entry.contains("refused")),
        "{before:?}"
    );

    called.other.kill();
    // Nobody reloads: the page does it by itself.
    browser.until(".attention", "connection lost").await;
    let reason = format!("redis {}", called.other.address());
    browser.until(".attention .what", &reason).await;
    browser.until(".attention .what", "refused").await;
    browser
        .until(".attention .facts", "1 of its triggers affected")
        .await;

    called.other.restart().await;
    browser.until(".counts", "0 failing").await;
    // What can be paused says that it is.
    let button = browser.client().find(Locator::Id("refresh")).await.unwrap();
    button.click().await.unwrap();
    assert_eq!(button.attr("aria-pressed").await.unwrap().unwrap(), "true");
    assert_eq!(browser.console().await, Vec::<String>::new());
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn search_and_order_are_in_the_address_and_work_without_scripts() {
    if !can_run() {
        return;
    }
    let (called, browser) = (Called::start().await, Browser::start(1280, 900).await);
    let rows = "section[aria-labelledby=triggers] tbody tr[id] > th";
    for scripts in [true, false] {
        browser.with_scripts(scripts).await;
        browser.goto(&called.address("/")).await;
        browser.until("table", "sender").await;
        let client = browser.client();
        let search = client.find(Locator::Css("input[name=q]")).await.unwrap();
        search.send_keys("shop").await.unwrap();
        client
            .find(Locator::Css(".filters button"))
            .await
            .unwrap()
            .click()
            .await
            .unwrap();
        browser.until("p[role=status]", "3 of 6 triggers").await;
        assert_eq!(
            browser.texts(rows).await,
            ["invoices", "orders", "thumbnails"]
        );
        client
            .find(Locator::LinkText("Value / target"))
            .await
            .unwrap()
            .click()
            .await
            .unwrap();
        browser.until("th[aria-sort=descending]", "Value").await;
        let sorted = ["shop/thumbnails", "shop/orders", "shop/invoices"];
        assert_eq!(browser.texts(rows).await, sorted);

        // A colleague who gets the address sees the same.
        let address = client.current_url().await.unwrap();
        assert!(address.query().unwrap().contains("sort=value"), "{address}");
        browser.goto(address.as_str()).await;
        assert_eq!(browser.texts(rows).await, sorted);
        let value = client.find(Locator::Css("input[name=q]")).await.unwrap();
        assert_eq!(value.prop("value").await.unwrap().unwrap(), "shop");
    }
    assert_eq!(browser.console().await, Vec::<String>::new());
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_triggers_page_draws_its_values() {
    if !can_run() {
        return;
    }
    let (called, browser) = (Called::start().await, Browser::start(1280, 900).await);
    browser.goto(&called.address("/")).await;
    browser.until("table", "thumbnails").await;
    browser
        .client()
        .find(Locator::LinkText("thumbnails"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    browser.until("h1", "thumbnails").await;
    browser
        .until(".facts-list", "smoothing, scaleDownBelow")
        .await;
    // A line that is seen: it has a length and stands within its frame.
    let script = "const line = document.querySelector('svg path.reported');
        const [inner, frame] = [line, line.closest('svg')].map(e => e.getBoundingClientRect());
        return line.getTotalLength() > 0 && inner.top >= frame.top && inner.bottom <= frame.bottom
            && inner.right <= frame.right + 2 && getComputedStyle(line).stroke !== 'none'";
    assert_eq!(browser.run(script, Vec::new()).await, true);
    let charts = browser.run(
        "return document.querySelectorAll('.chart svg').length",
        Vec::new(),
    );
    assert_eq!(charts.await, 2);
    browser
        .until(
            "pre",
            "kubectl describe scaledobject --namespace shop thumbnails",
        )
        .await;
    // What a reader has opened stays open when the page is refreshed.
    browser
        .client()
        .find(Locator::Css("summary"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    let at = browser.text("#at").await;
    let refreshed = async {
        while browser.text("#at").await == at {
            sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(crate::program::HANGS, refreshed)
        .await
        .expect("is refreshed");
    let open = browser.run("return document.querySelector('details').open", Vec::new());
    assert_eq!(open.await, true);
    assert_eq!(browser.console().await, Vec::<String>::new());
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everyone_can_read_the_pages() {
    if !can_run() {
        return;
    }
    let (called, browser) = (Called::start().await, Browser::start(1280, 900).await);
    called.other.kill();
    browser.goto(&called.address("/")).await;
    browser.until(".attention", "connection lost").await;
    let list = json(&called.scaler, "/api/v1/triggers").await;
    let page_of = |object: &str| {
        let id = of_object(&list, object)["id"].as_str().unwrap();
        format!("/triggers/{id}")
    };
    let connection = of_object(&list, "sender")["connection"]["id"]
        .as_str()
        .unwrap();
    let pages = [
        "/".to_owned(),
        "/?q=nothing".to_owned(),
        "/?sort=value&status=problem".to_owned(),
        page_of("thumbnails"),
        page_of("sender"),
        page_of("typo"),
        "/connections".to_owned(),
        format!("/connections/{connection}"),
        "/help".to_owned(),
        "/triggers/0000000000000000".to_owned(),
    ];
    for (scheme, width) in [
        ("light", 1280),
        ("dark", 1280),
        ("light", 360),
        ("dark", 360),
    ] {
        browser.prefer(scheme).await;
        browser.resize(width, 800).await;
        for page in &pages {
            browser.goto(&called.address(page)).await;
            let found = browser.violations().await;
            assert!(found.is_empty(), "{page}, {scheme}, {width}: {found:#?}");
            // On a phone, a wide table scrolls by itself and the page does not.
            let width_of_page = "return document.documentElement.scrollWidth";
            let wide = browser
                .run(width_of_page, Vec::new())
                .await
                .as_u64()
                .unwrap();
            assert!(wide <= width.into(), "{page} has {wide} pixels of {width}");
        }
    }
    let console = browser.console().await;
    // The page that is not there is reported by the browser itself.
    assert!(
        console.iter().all(|line| line.contains("404")),
        "{console:#?}"
    );
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_rules_of_accessibility_find_is_found() {
    if !can_run() {
        return;
    }
    let (called, browser) = (Called::start().await, Browser::start(1280, 900).await);
    browser.goto(&called.address("/")).await;
    let broken =
        "document.querySelector('main').insertAdjacentHTML('beforeend', '<img src=\"/x\"><input>')";
    browser.run(broken, Vec::new()).await;
    let found = browser.violations().await;
    assert!(
        found.iter().any(|line| line.starts_with("image-alt")),
        "{found:#?}"
    );
    assert!(
        !browser.console().await.is_empty(),
        "the picture is not there"
    );
    browser.close().await;
}

/// How long the load for the pictures takes: a line needs some points.
const LOAD: Duration = Duration::from_secs(150);

#[tokio::test(flavor = "multi_thread")]
async fn pictures_for_the_documentation() {
    if std::env::var_os("UPDATE_SCREENSHOTS").is_none() || !can_run() {
        return;
    }
    let (called, browser) = (Called::start().await, Browser::start(1180, 900).await);
    let lists = [("orders", 9), ("invoices", 2), ("thumbnails", 20)];
    let seconds = LOAD.as_secs();
    for second in 0..seconds {
        for (list, rate) in lists {
            // A morning: more and more comes, then the workers catch up.
            let part = second as f64 / seconds as f64 * std::f64::consts::TAU;
            let wanted = (1.0 - part.cos()) * 10.0 * rate as f64 + rate as f64;
            let wanted = format!("{}", wanted as i64 - 1);
            called.redis.command(&["LTRIM", list, "0", &wanted]).await;
            let length = called.redis.command(&["LLEN", list]).await;
            let redis::Value::Int(length) = length else {
                panic!("{length:?}");
            };
            let missing = wanted.parse::<i64>().unwrap() + 1 - length;
            if missing > 0 {
                called.redis.rpush(list, missing as usize).await;
            }
        }
        if second + 40 == seconds {
            called.other.kill();
        }
        sleep(Duration::from_secs(1)).await;
    }
    let list = json(&called.scaler, "/api/v1/triggers").await;
    let id = of_object(&list, "thumbnails")["id"].as_str().unwrap();
    let pictures = [
        ("overview", "/".to_owned(), "light", (1180, 1000)),
        ("trigger", format!("/triggers/{id}"), "light", (1180, 960)),
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
