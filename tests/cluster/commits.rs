//! Commits whose answers are lost or do not come: nothing is lost or done twice, and what can be
//! known is told.

use std::time::{Duration, Instant};

use crate::support::{
    Place,
    api::ids_of,
    eventually,
    postgres::{Database, Release},
    proxy::Proxy,
    scaled,
};

/// A node whose lanes forget what they did.
const FORGETFUL: &str = "CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    NEW.token := OLD.token; RETURN NEW; END $$;
    CREATE TRIGGER forget BEFORE UPDATE ON commits FOR EACH ROW EXECUTE FUNCTION forget()";

/// Holds a commit up for six seconds, which locks its topic so long.
const SLOW: &str = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.attributes LIKE '%\"slow\"%' THEN PERFORM pg_sleep(6); END IF; RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION slow()";

fn place(url: &str, term: &str) -> Place {
    let (store, cluster) = (format!("\"{url}\""), format!("{{ node: one, term: {term} }}"));
    Place::node(&store, &cluster, "topics: { orders: {} }\n")
}

fn event(id: &str) -> String {
    format!("{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"/shop\",\"type\":\"order\"}}")
}

/// Publishes one event after the other while every third answer to a commit is lost; answers how many
/// publications had to be repeated.
async fn publish(place: &Place, proxy: &Proxy, count: usize) -> usize {
    let relay = place.start().await;
    let (api, mut repeated) = (relay.api(), 0);
    proxy.lose_every(3);
    for n in 1..=count {
        loop {
            let reply = api.send(api.event("orders", event(&n.to_string()))).await;
            if reply.status == 200 {
                assert_eq!(reply.json()["events"][0]["version"], n, "{reply:?}");
                break;
            }
            reply.problem(503, "unknown");
            repeated += 1;
        }
    }
    proxy.lose_every(0);
    let expected: Vec<String> = (1..=count).map(|n| n.to_string()).collect();
    assert_eq!(ids_of(&api.log("orders").await), expected, "lost, or twice in the log");
    assert!(relay.stop().await.success());
    repeated
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_became_of_a_commit_without_an_answer_is_looked_up() {
    let database = Database::new(Release::Oldest).await;
    let (proxy, url) = Proxy::start(&database.url).await;
    let count = scaled(60, 600);
    let repeated = publish(&place(&url, "10s"), &proxy, count).await;
    println!(
        "{} answers to commits lost of {count} events: told as done, all but {repeated}",
        proxy.lost()
    );
    assert!(proxy.lost() >= count / 4, "only {} answers were lost", proxy.lost());
    assert_eq!(repeated, 0, "what could be known was not told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_token_a_commit_without_an_answer_is_unknown() {
    let database = Database::new(Release::Oldest).await;
    let (proxy, url) = Proxy::start(&database.url).await;
    let place = place(&url, "10s");
    assert!(place.start().await.stop().await.success());
    database.run(FORGETFUL.into()).await;
    let repeated = publish(&place, &proxy, 30).await;
    assert!(repeated > 0, "the test above could not fail");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_hangs_is_unknown_at_the_end_of_the_term_and_is_not_cancelled() {
    let database = Database::new(Release::Oldest).await;
    let place = place(&database.url, "2s");
    let relay = place.start().await;
    let api = relay.api();
    database.run(SLOW.into()).await;
    let begun = Instant::now();
    api.send(api.event("orders", event("slow"))).await.problem(503, "unknown");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(4), "answered after {took:?}");
    // Its lock is waited for, no longer than a term; what waits for it is not done.
    let other = api.send(api.event("orders", event("other"))).await;
    assert!(other.status == 503 || begun.elapsed() >= Duration::from_secs(6), "{other:?}");
    let again = eventually("the slow commit's end", || async {
        let reply = api.send(api.event("orders", event("slow"))).await;
        (reply.status == 200).then(|| reply.json())
    })
    .await;
    assert!(begun.elapsed() >= Duration::from_secs(6), "cancelled after {:?}", begun.elapsed());
    assert_eq!(again["events"][0]["duplicate"], true, "{again}");
    assert_eq!(again["events"][0]["version"], 1, "{again}");
    println!("a commit of 6 s at a term of 2 s: unknown after {took:?}, done after all");
    assert!(relay.stop().await.success());
}
