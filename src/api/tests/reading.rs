//! Pages, positions, caching and long polls.

use super::*;

#[tokio::test]
async fn a_page_says_where_it_ends() {
    let relay = Relay::new().await;
    relay.fill(1..=5).await;
    let epoch = relay.epoch().await;
    let page = relay.get("/v1/topics/orders/events").await.ok();
    assert_eq!(page.header("cache-control"), "no-store");
    assert_eq!(page.header("content-type"), "application/json");
    let page = page.json();
    assert_eq!(versions(&page), [1, 2, 3, 4, 5]);
    assert_eq!(page["head"], 5);
    assert_eq!(page["oldest"], 1);
    assert_eq!(page["topic"], "orders");
    assert_eq!(page["epoch"], epoch);
    assert_eq!(page["next"], format!("{epoch}-5"));
    assert_eq!(page["events"][0]["milkrunversion"], "00000000000000000001");
    for (query, expected) in [
        ("after=3", &[4, 5][..]),
        (&format!("after={epoch}-4"), &[5]),
        ("at=2&up_to=3", &[2, 3]),
        ("type=even", &[2, 4]),
        ("key=k1", &[1, 4]),
        ("filter=%7B%22exact%22:%7B%22type%22:%22even%22%7D%7D", &[2, 4]),
        ("filter=version%20%3E%203", &[4, 5]),
        ("filter=version%20%3E%201&type=odd", &[3, 5]),
        ("id=3&source=/shop", &[3]),
        ("id=3&source=/other", &[]),
        ("since=2026-01-31T12:00:00Z", &[1, 2, 3, 4, 5]),
        ("since=2026-01-31T12:00:01Z", &[]),
        ("after=5", &[]),
    ] {
        let page = relay.get(&format!("/v1/topics/orders/events?{query}")).await.ok().json();
        assert_eq!(versions(&page), expected, "{query}");
    }
    for (query, expected) in
        [("filter=version%20%3E", "`filter`"), ("filter=%7B%22exat%22:%7B%7D%7D", "`filter`")]
    {
        let refused = relay.get(&format!("/v1/topics/orders/events?{query}")).await;
        assert_eq!(refused.status, 400, "{query}");
        assert!(refused.text().contains(expected), "{}", refused.text());
    }
    let filtered = relay.get("/v1/topics/orders/events?type=odd&after=5").await.ok().json();
    assert_eq!(filtered["next"], format!("{epoch}-5"));
}

#[tokio::test]
async fn a_full_page_can_be_kept() {
    let relay = Relay::new().await;
    relay.fill(1..=5).await;
    let full = relay.get("/v1/topics/orders/events?limit=2&at=1").await.ok();
    let next = full.json()["next"].as_str().unwrap().to_owned();
    assert!(full.json().get("head").is_none() && full.json().get("oldest").is_none());
    assert_eq!(full.header("cache-control"), "private, max-age=3600");
    assert_eq!(full.header("vary"), "Accept, Accept-Encoding");
    let link = format!("</v1/topics/orders/events?limit=2&after={next}>; rel=\"next\"");
    assert_eq!(full.header("link"), link);
    let tag = full.header("etag").to_owned();
    assert!(tag.starts_with('"'));

    let again = request(Method::GET, "/v1/topics/orders/events?limit=2&at=1")
        .header("if-none-match", format!("\"other\", {tag}"));
    let again = relay.send(again.body(Body::empty()).unwrap()).await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    assert_eq!(again.header("etag"), tag);
    let batch = relay.accept("/v1/topics/orders/events?limit=2", crate::wire::BATCH).await;
    assert_ne!(batch.header("etag"), tag);

    let zipped = request(Method::GET, "/v1/topics/orders/events?limit=2&at=1")
        .header("accept-encoding", "gzip");
    let zipped = relay.send(zipped.body(Body::empty()).unwrap()).await;
    assert_eq!(zipped.header("content-encoding"), "gzip");
    assert_ne!(zipped.header("etag"), tag);
    let known = request(Method::GET, "/v1/topics/orders/events?limit=2&at=1")
        .header("if-none-match", zipped.header("etag"));
    assert_eq!(relay.send(known.body(Body::empty()).unwrap()).await.status.as_u16(), 304);

    let last = relay.get("/v1/topics/orders/events?limit=2&after=4").await.ok();
    assert_eq!((last.header("cache-control"), last.header("etag")), ("no-store", ""));
    let settings = TopicSettings { public: true, ..TopicSettings::default() };
    relay.store.put_topic(&"orders".parse().unwrap(), &settings, NOW).await.unwrap();
    let public = relay.get("/v1/topics/orders/events?limit=2").await.ok();
    assert_eq!(public.header("cache-control"), "public, max-age=3600");
}

#[tokio::test]
async fn following_next_reads_every_event_once() {
    let relay = Relay::new().await;
    relay.fill(1..=57).await;
    let (mut path, mut seen) =
        ("/v1/topics/orders/events?limit=10&type=odd".to_owned(), Vec::new());
    loop {
        let reply = relay.get(&path).await.ok();
        let page = reply.json();
        seen.extend(versions(&page));
        if page.get("head").is_some() {
            break;
        }
        let link = reply.header("link");
        path = link.split(['<', '>']).nth(1).unwrap().to_owned();
    }
    assert_eq!(seen, (1..=57).step_by(2).collect::<Vec<u64>>());
}

#[tokio::test]
async fn positions_of_another_history_are_told() {
    let relay = Relay::new().await;
    relay.fill(1..=5).await;
    let old = relay.epoch().await;
    let ahead = relay.get("/v1/topics/orders/events?after=6").await.problem(409, "history_changed");
    assert_eq!((&ahead["last_common"], &ahead["head"]), (&json!(5), &json!(5)));

    let begun = relay.post("/v1/topics/orders/new-epoch", json!({"reason": "restored"})).await.ok();
    assert_eq!((begun.json()["first"].as_u64(), begun.json()["head"].as_u64()), (Some(6), Some(5)));
    relay.fill(11..=15).await;
    let new = relay.epoch().await;
    assert_ne!(old, new);
    for good in ["3", "9", &format!("{old}-5"), &format!("{new}-6")] {
        relay.get(&format!("/v1/topics/orders/events?after={good}")).await.ok();
    }
    let dead = relay.get(&format!("/v1/topics/orders/events?after={old}-8")).await;
    let dead = dead.problem(409, "history_changed");
    assert_eq!(dead["last_common"], 5);
    assert_eq!(dead["epoch"], new);
    assert_eq!(dead["head"], 10);
    let one = relay.get(&format!("/v1/topics/orders/events/{old}-8")).await;
    one.problem(409, "history_changed");
    relay.get(&format!("/v1/topics/orders/events/{new}-8")).await.ok();
}

#[tokio::test]
async fn trimmed_history_is_gone() {
    let relay = Relay::new().await;
    relay.fill(1..=5).await;
    let settings = TopicSettings { max_count: Some(2), ..TopicSettings::default() };
    relay.store.put_topic(&"orders".parse().unwrap(), &settings, NOW).await.unwrap();
    while relay.store.trim(NOW).await.unwrap().more {}
    for path in ["events?after=1", "events?at=3", "events/2"] {
        let gone = relay.get(&format!("/v1/topics/orders/{path}")).await.problem(410, "gone");
        assert_eq!(gone["oldest"], 4, "{path}");
    }
    let page = relay.get("/v1/topics/orders/events").await.ok().json();
    assert_eq!((versions(&page), page["oldest"].as_u64()), (vec![4, 5], Some(4)));
    assert_eq!(versions(&relay.get("/v1/topics/orders/events?after=3").await.ok().json()), [4, 5]);
}

#[tokio::test]
async fn one_event_has_two_forms() {
    let relay = Relay::new().await;
    relay.fill(1..=1).await;
    let numbered = relay.get("/v1/topics/orders/events/1").await.ok().json();
    assert_eq!((numbered["version"].as_u64(), numbered["id"].as_str()), (Some(1), Some("1")));
    let plain = relay.accept("/v1/topics/orders/events/1", crate::wire::STRUCTURED).await.ok();
    assert_eq!(plain.header("content-type"), crate::wire::STRUCTURED);
    assert!(plain.json().get("version").is_none());
    relay.get("/v1/topics/orders/events/2").await.problem(404, "not_found");
    relay.get("/v1/topics/orders/events/0").await.problem(404, "not_found");
    relay.get("/v1/topics/orders/events/one").await.problem(400, "malformed");
    let trace = relay.get("/v1/topics/orders/events/1/trace").await.ok().json();
    assert_eq!((&trace["attempts"], &trace["subscriptions"]), (&json!([]), &json!([])));
    assert_eq!((&trace["version"], &trace["pending"]), (&json!(1), &Value::Null));
    assert!(trace["recorded"].is_string() && trace["source"].is_string(), "{trace}");
}

#[tokio::test]
async fn a_long_poll_answers_at_the_commit() {
    let relay = Arc::new(Relay::new().await);
    relay.fill(1..=1).await;
    for (id, path) in [(2, "events?after=1&wait=30s"), (4, "events?after=2&wait=30s&type=even")] {
        let poll = tokio::spawn({
            let relay = relay.clone();
            async move { relay.get(&format!("/v1/topics/orders/{path}")).await }
        });
        if id == 4 {
            // An event that does not match wakes it and leaves it waiting.
            relay.fill(3..=3).await;
            assert!(!poll.is_finished());
        }
        relay.fill(id..=id).await;
        let committed = std::time::Instant::now();
        let page = tokio::time::timeout(DEADLINE, poll).await.unwrap().unwrap().ok().json();
        assert!(committed.elapsed() < Duration::from_millis(100), "{:?}", committed.elapsed());
        assert_eq!(versions(&page), [u64::from(id)]);
    }
}

#[tokio::test]
async fn a_long_poll_ends_at_its_time_and_at_the_stop() {
    let relay = Arc::new(Relay::new().await);
    let poll = |relay: &Arc<Relay>| {
        let relay = relay.clone();
        tokio::spawn(async move { relay.get("/v1/topics/orders/events?wait=30s").await })
    };
    let mut timed = poll(&relay);
    let page = loop {
        // The poll may take its deadline from the clock after it was turned.
        relay.clock.advance(Duration::from_secs(31));
        tokio::select! {
            page = &mut timed => break page.unwrap().ok().json(),
            () = tokio::task::yield_now() => {}
        }
    };
    assert_eq!(versions(&page), [0; 0]);
    assert!(page["next"].as_str().unwrap().ends_with("-0"));
    let stopped = poll(&relay);
    relay.stopping.cancel();
    assert_eq!(stopped.await.unwrap().ok().json()["head"], 0);
    relay.get("/readyz").await.problem(503, "closing");
    relay.get("/healthz").await.ok();
}

#[tokio::test]
async fn places_for_waiting_are_bounded() {
    let relay = Relay::with(Limits { waiting_max: 1, ..Limits::default() }).await;
    let stream =
        request(Method::GET, "/v1/topics/orders/events").header("accept", "text/event-stream");
    let held = relay.call(stream.body(Body::empty()).unwrap()).await;
    let refused = relay.get("/v1/topics/orders/events?wait=1s").await;
    let metrics = relay.get("/metrics").await.ok();
    assert!(metrics.text().contains("milkrun_api_waiting 1\n"), "{}", metrics.text());
    refused.problem(503, "too_many_waiting");
    assert_eq!(refused.header("retry-after"), "1");
    drop(held);
    relay.fill(1..=1).await;
    relay.get("/v1/topics/orders/events?wait=1s").await.ok();
}
