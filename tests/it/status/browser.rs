//! The page in a real browser, as a person sees it.

use std::time::Duration;

use testkit::{
    browser::{Browser, Locator},
    process,
    scaler::Scaler,
};
use tokio::time::{Instant, sleep};

use super::{
    called::{Called, can_run},
    json, of_object, on_list, with_a_slip,
};

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
    let killed = Instant::now();
    // Nobody reloads: the page does it by itself.
    browser.until(".attention", "connection lost").await;
    let reason = format!("redis {}", called.other.address());
    browser.until(".attention .what", &reason).await;
    browser.until(".attention .what", "refused").await;
    let affected = "1 of its triggers affected: mail/sender (length of letters)";
    browser.until(".attention .facts", affected).await;
    // The server notices at the next call, and the page refreshes itself every 5 s.
    let elapsed = killed.elapsed();
    assert!(elapsed <= Duration::from_secs(15), "{elapsed:?}");

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
async fn a_dead_redis_is_seen_at_once_among_many_refused_triggers() {
    if !can_run() {
        return;
    }
    let (scaler, browser) = (Scaler::start().await, Browser::start(1280, 900).await);
    let dead = format!("127.0.0.1:{}", process::free_port());
    let work = on_list("mail", "sender", &dead, "letters");
    scaler.evaluate(&work).await.unwrap_err();
    for n in 0..25 {
        let slip = with_a_slip(&format!("team-{n}"), "worker", &dead);
        scaler.evaluate(&slip).await.unwrap_err();
    }
    browser.goto(&format!("http://{}/", scaler.admin)).await;
    // What stands within the window, without scrolling.
    let seen = "return [...document.querySelectorAll('.attention li')]
        .filter(e => e.getBoundingClientRect().bottom <= innerHeight).map(e => e.innerText)";
    let seen = browser.run(seen, Vec::new()).await;
    let seen: Vec<String> = serde_json::from_value(seen).unwrap();
    let lost = seen.iter().find(|card| card.contains("connection lost"));
    let lost = lost.unwrap_or_else(|| panic!("{seen:#?}"));
    for part in [dead.as_str(), "mail/sender (length of letters)", "refused"] {
        assert!(lost.contains(part), "{part}: {lost}");
    }
    let ago = [" s ago)", "just now)", " min ago)"];
    assert!(ago.iter().any(|ago| lost.contains(ago)), "{lost}");

    // Its queue is one click away, and so are the triggers that are not shown.
    for (link, then) in [("mail/sender", "sender"), ("20 more", "Overview")] {
        let client = browser.client();
        client
            .find(Locator::LinkText(link))
            .await
            .unwrap()
            .click()
            .await
            .unwrap();
        browser.until("h1", then).await;
        if then == "sender" {
            client.back().await.unwrap();
            browser.until("h1", "Overview").await;
        }
    }
    browser.until("p[role=status]", "25 of 26 triggers").await;
    assert_eq!(browser.console().await, Vec::<String>::new());
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connections_page_has_its_facts() {
    if !can_run() {
        return;
    }
    let (called, browser) = (Called::start().await, Browser::start(1280, 900).await);
    let name = format!("redis {}/0", called.other.address());
    browser.goto(&called.address("/")).await;
    browser.until("table", "sender").await;
    called.other.kill();
    browser.until(".attention", "connection lost").await;
    browser.goto(&called.address("/connections")).await;
    let client = browser.client();
    client
        .find(Locator::LinkText(&name))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    browser.until("h1", &name).await;
    browser.until("h2", "lost").await;
    browser.until(".error .what", "refused").await;
    browser
        .until(".error .next", "Check that the server runs")
        .await;

    called.other.restart().await;
    browser.until("h2", "up").await;
    browser.until("h3", "Last error").await;
    browser.until(".facts", "1 trigger").await;
    for (fact, then) in [
        ("Written in", "the metadata of triggers"),
        ("Different queries", "1"),
        ("Queries of a batch", "1 on average, 1 in the last"),
        ("Read ahead of requests", "0 queries"),
        ("Waiting for a batch", ""),
    ] {
        browser
            .until(".facts-list div", &format!("{fact}\n{then}"))
            .await;
    }
    browser.until(".facts-list div", " ms on average").await;
    // What was counted since the server started.
    let count = async |fact: &str| {
        let facts = browser.texts(".facts-list div").await;
        let of_fact = facts
            .iter()
            .find_map(|text| text.strip_prefix(&format!("{fact}\n")));
        let number = of_fact.unwrap_or_else(|| panic!("{fact}: {facts:#?}"));
        number.replace(',', "").parse::<u64>().unwrap()
    };
    assert!(count("Batches").await >= 2);
    assert!(count("Reconnects").await >= 1);
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
            "kubectl describe scaledobject,scaledjob thumbnails --namespace shop",
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
    // The page that is not there is reported by the browser itself, once for each visit.
    let missing = called.address("/triggers/0000000000000000");
    let missing = format!(
        "\"{missing} - Failed to load resource: the server responded with a status of 404 (Not Found)\""
    );
    assert_eq!(console, vec![missing; 4]);
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
