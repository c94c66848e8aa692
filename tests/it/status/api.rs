//! What programs read, and what bounds the pages.

use std::time::Duration;

use testkit::{
    redis::{self, Redis},
    require,
    scaler::{Scaler, settings, trigger, with},
};
use tokio::time::{Instant, sleep, timeout};

use super::{json, of_object, on_list, with_a_slip};
use crate::program::HANGS;

#[tokio::test]
async fn a_trigger_is_shown_with_what_it_reports_and_its_connection() {
    if !require(redis::available(), "redis-server") {
        return;
    }
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    redis.rpush("jobs", 36).await;
    let work = on_list("shop", "worker", &redis.address(), "jobs");
    let evaluation = scaler.evaluate(&work).await.unwrap();

    let list = json(&scaler, "/api/v1/triggers").await;
    let shown = of_object(&list, "worker");
    assert_eq!((&list["selected"], &list["pages"]), (&1.into(), &1.into()));
    assert_eq!(shown["status"], "good");
    assert_eq!(shown["metric"], evaluation.metric.as_str());
    assert_eq!(
        (&shown["value"], &shown["target"]),
        (&36.0.into(), &5.0.into())
    );
    assert_eq!(
        (&shown["replicas"], &shown["active"]),
        (&8.0.into(), &true.into())
    );

    let id = shown["id"].as_str().unwrap();
    let detail = json(&scaler, &format!("/api/v1/triggers/{id}")).await;
    let reply = detail["replies"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&reply["value"], &reply["active"]),
        (&36.0.into(), &true.into())
    );
    let newest = detail["hour"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&newest["measured"], &newest["value"]),
        (&36.0.into(), &36.0.into())
    );
    let key = |name: &str| {
        let mut keys = detail["metadata"].as_array().unwrap().iter();
        keys.find(|key| key["name"] == name).unwrap()["value"].clone()
    };
    assert_eq!(key("listName"), "jobs");

    let id = shown["connection"]["id"].as_str().unwrap();
    let found = json(&scaler, &format!("/api/v1/connections/{id}")).await;
    let connection = &found["connections"][0];
    assert_eq!(
        (&connection["health"], &connection["triggers"]),
        (&"up".into(), &1.into())
    );
    assert!(
        connection["batches"].as_u64().unwrap() >= 1,
        "{connection:#}"
    );

    redis.kill();
    scaler.evaluate(&work).await.unwrap_err();
    redis.restart().await;
    let back = async {
        while scaler.evaluate(&work).await.is_err() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(HANGS, back).await.expect("reconnects");
    let found = json(&scaler, &format!("/api/v1/connections/{id}")).await;
    let connection = &found["connections"][0];
    assert!(
        connection["reconnects"].as_u64().unwrap() >= 1,
        "{connection:#}"
    );
    assert_eq!(connection["lastError"]["error"]["kind"], "unreachable");
}

#[tokio::test]
async fn a_trigger_keeps_its_last_different_errors() {
    if !require(redis::available(), "redis-server") {
        return;
    }
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    let work = on_list("shop", "worker", &redis.address(), "jobs");
    scaler.evaluate(&work).await.unwrap();
    redis.command(&["SET", "jobs", "no list"]).await;
    for _ in 0..2 {
        scaler.evaluate(&work).await.unwrap_err();
    }
    redis.kill();
    scaler.evaluate(&work).await.unwrap_err();

    let list = json(&scaler, "/api/v1/triggers").await;
    let id = of_object(&list, "worker")["id"].as_str().unwrap();
    let detail = json(&scaler, &format!("/api/v1/triggers/{id}")).await;
    let errors = detail["lastErrors"].as_array().unwrap();
    let kinds: Vec<_> = errors.iter().map(|met| &met["error"]["kind"]).collect();
    assert_eq!(kinds, ["unreachable", "unreadable"], "{detail:#}");
    assert_eq!(
        (&errors[0]["calls"], &errors[1]["calls"]),
        (&1.into(), &2.into())
    );
    assert!(errors[1]["first"].as_str() <= errors[1]["last"].as_str());
    assert_eq!(detail["lastError"]["error"], errors[0]["error"]);
    let page = scaler.page(&format!("/triggers/{id}")).await.1;
    let (_, last) = page.split_once("Last errors").unwrap();
    let places =
        ["1 call, the last at", "2 calls, the last at", "string"].map(|text| last.find(text));
    assert!(
        places.is_sorted() && places[0].is_some(),
        "{places:?}: {last}"
    );
}

#[tokio::test]
async fn periodic_calls_find_what_was_read_ahead() {
    if !require(redis::available(), "redis-server") {
        return;
    }
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    let works: Vec<_> = (0..12)
        .map(|n| {
            on_list(
                "shop",
                &format!("worker-{n}"),
                &redis.address(),
                &format!("jobs-{n}"),
            )
        })
        .map(|work| with(work, "freshFor", "1s"))
        .collect();
    let mut client = scaler.client().await;
    let mut ticks = tokio::time::interval(Duration::from_millis(1_500));
    let started = Instant::now();
    loop {
        ticks.tick().await;
        for work in &works {
            testkit::scaler::evaluate(&mut client, work).await.unwrap();
            sleep(Duration::from_millis(20)).await;
        }
        let found = json(&scaler, "/api/v1/connections").await;
        let connection = &found["connections"][0];
        let [ahead, hits] = ["lookAhead", "lookAheadHits"].map(|key| connection[key].as_u64());
        assert!(hits <= ahead, "{connection:#}");
        if hits > Some(0) {
            break;
        }
        assert!(started.elapsed() < HANGS, "{connection:#}");
    }
}

#[tokio::test]
async fn a_list_is_searched_filtered_sorted_and_paged_by_its_address() {
    if !require(redis::available(), "redis-server") {
        return;
    }
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    for (namespace, object, list, jobs) in [
        ("shop", "orders", "orders", 3),
        ("shop", "mails", "mails", 70),
        ("mail", "orders", "letters", 20),
    ] {
        redis.rpush(list, jobs).await;
        let work = on_list(namespace, object, &redis.address(), list);
        scaler.evaluate(&work).await.unwrap();
    }
    scaler
        .evaluate(&with_a_slip("shop", "typo", "127.0.0.1:1"))
        .await
        .unwrap_err();
    let listed = async |query: &str| {
        let found = json(&scaler, &format!("/api/v1/triggers?{query}")).await;
        let all = found["triggers"].as_array().unwrap().iter();
        let names = all.map(|t| format!("{}/{}", t["namespace"], t["object"]).replace('"', ""));
        names.collect::<Vec<_>>()
    };
    let all = ["mail/orders", "shop/mails", "shop/orders", "shop/typo"];
    assert_eq!(listed("").await, all);
    for (query, then) in [
        ("q=ORDERS", &["mail/orders", "shop/orders"][..]),
        ("q=letters", &["mail/orders"]),
        ("q=shop+mails", &["shop/mails"]),
        ("q=lenght", &["shop/typo"]),
        ("namespace=mail", &["mail/orders"]),
        ("status=problem", &["shop/typo"]),
        (
            "status=good&sort=value",
            &["shop/mails", "mail/orders", "shop/orders"],
        ),
        (
            "sort=value&order=ascending&namespace=shop",
            &["shop/orders", "shop/mails", "shop/typo"],
        ),
        ("sort=status&perPage=1", &["shop/typo"]),
        ("perPage=3&page=2", &["shop/typo"]),
        ("perPage=3&page=3", &[]),
        ("q=nothing+has+this+name", &[]),
    ] {
        assert_eq!(listed(query).await, then, "{query}");
        // The page shows the same, and has a link to each.
        let (status, page) = scaler.page(&format!("/?{query}")).await;
        assert_eq!(
            (status, page.matches("<tr id=\"trigger-").count()),
            (200, then.len()),
            "{query}"
        );
    }
    let (status, page) = scaler.page("/?sort=size").await;
    assert_eq!(status, 400);
    assert!(page.contains("must be one of object, value"), "{page}");
    assert_eq!(scaler.page("/triggers/00000000000000aa").await.0, 404);
    assert_eq!(scaler.page("/api/v1/triggers/..%2f..%2fetc").await.0, 404);
}

#[tokio::test]
async fn text_of_callers_stays_text() {
    let scaler = Scaler::start().await;
    let script = "<script>alert(1)</script>\"'&";
    let work = on_list(script, script, "127.0.0.1:1", script);
    scaler.evaluate(&work).await.unwrap_err();
    let slip = with(work, script, script);
    scaler.evaluate(&slip).await.unwrap_err();
    let list = json(&scaler, "/api/v1/triggers").await;
    let ids = list["triggers"].as_array().unwrap().iter();
    let pages = ids.map(|t| format!("/triggers/{}", t["id"].as_str().unwrap()));
    let query = format!("/?q={}", script.replace('&', "%26"));
    let pages = pages.chain([
        "/".to_owned(),
        "/connections".to_owned(),
        query.replace(' ', "+"),
    ]);
    for path in pages {
        let page = scaler.page(&path).await.1;
        assert!(!page.contains("<script>alert"), "{path}: {page}");
    }
}

#[tokio::test]
async fn the_pages_require_the_token_and_let_nothing_in_from_elsewhere() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "t0ken\n").unwrap();
    let path = file.path().display();
    let scaler = Scaler::with(&format!("listen: {{adminTokenFile: '{path}'}}")).await;
    let client = reqwest::Client::new();
    let get = |path: &str| client.get(format!("http://{}{path}", scaler.admin));
    let paths = [
        "/",
        "/connections",
        "/help",
        "/api/v1/overview",
        "/api/v1/triggers",
        "/api/v1/connections",
        "/triggers/0000000000000000",
        "/assets/status.js",
    ];
    for path in paths {
        let refused = get(path).send().await.unwrap();
        assert_eq!(refused.status(), 401, "{path}");
        let challenges = refused.headers().get_all("www-authenticate").iter();
        let challenges: Vec<_> = challenges.map(|value| value.to_str().unwrap()).collect();
        assert!(
            challenges.iter().any(|text| text.starts_with("Basic ")),
            "{challenges:?}"
        );
        for (user, password) in [("any", "t0ke"), ("t0ken", ""), ("", "")] {
            let refused = get(path)
                .basic_auth(user, Some(password))
                .send()
                .await
                .unwrap();
            assert_eq!(refused.status(), 401, "{path} as {user}");
        }
        for allowed in [
            get(path).bearer_auth("t0ken"),
            get(path).basic_auth("any", Some("t0ken")),
        ] {
            let response = allowed.send().await.unwrap();
            assert_ne!(response.status(), 401, "{path}");
            let policy = response.headers()["content-security-policy"]
                .to_str()
                .unwrap();
            assert!(policy.starts_with("default-src 'none'"), "{policy}");
            assert!(!policy.contains("unsafe"), "{policy}");
        }
    }
    assert_eq!(get("/livez").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn without_a_history_nothing_is_kept_and_the_page_says_so() {
    if !require(redis::available(), "redis-server") {
        return;
    }
    let redis = Redis::start().await;
    let scaler = Scaler::with("admin: {history: 0}").await;
    let work = on_list("shop", "worker", &redis.address(), "jobs");
    scaler.evaluate(&work).await.unwrap();
    let list = json(&scaler, "/api/v1/triggers").await;
    let id = of_object(&list, "worker")["id"].as_str().unwrap();
    let detail = json(&scaler, &format!("/api/v1/triggers/{id}")).await;
    for part in ["hour", "day", "replies"] {
        assert_eq!(detail[part].as_array().unwrap().len(), 0, "{part}");
    }
    let page = scaler.page(&format!("/triggers/{id}")).await.1;
    assert!(page.contains("admin.history"), "{page}");
    let hour = settings("admin: {history: 1h}");
    assert_eq!(hour.admin.history().unwrap(), Duration::from_secs(3600));
    let error = settings("admin: {history: 25h}")
        .admin
        .history()
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("admin.history: must be at most 24h"),
        "{error}"
    );
}

/// How fast is for `make bench`: here that a page has bounds, and that calls go on beside it.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_triggers_are_pages_of_some_and_calls_go_on() {
    let scaler = Scaler::start().await;
    let mut client = scaler.client().await;
    for n in 0..10_000 {
        let list = format!("jobs-{n}");
        let mut work = trigger([
            ("backend", "redis"),
            ("address", "127.0.0.1:1"),
            ("listName", &list),
        ]);
        work.name = format!("worker-{n:05}");
        work.namespace = format!("team-{}", n % 100);
        client.get_metric_spec(work).await.unwrap();
    }
    let (status, page) = timeout(HANGS, scaler.page("/?sort=value")).await.unwrap();
    assert_eq!(
        (status, page.matches("<tr id=\"trigger-").count()),
        (200, 100)
    );
    assert!(page.len() < 1 << 20, "{} bytes", page.len());
    let list = json(&scaler, "/api/v1/triggers?perPage=1000&page=10&q=worker").await;
    assert_eq!(list["triggers"].as_array().unwrap().len(), 1000);
    assert_eq!(
        (&list["selected"], &list["pages"]),
        (&10_000.into(), &10.into())
    );

    // Forty readers at once wait for their turn, and KEDA does not wait for them.
    let readers = (0..40).map(|_| {
        let admin = scaler.admin.clone();
        tokio::spawn(async move { testkit::scaler::page(&admin, "/?q=worker").await.0 })
    });
    let readers: Vec<_> = readers.collect();
    let mut calls = 0;
    while !readers.iter().all(|reader| reader.is_finished()) {
        let work = on_list("shop", "worker", "127.0.0.1:1", "jobs");
        let call = timeout(HANGS, client.get_metric_spec(work)).await;
        call.expect("a call goes on").unwrap();
        calls += 1;
    }
    assert!(calls > 40, "{calls} calls beside 40 pages");
    for reader in readers {
        assert_eq!(reader.await.unwrap(), 200);
    }
}
