//! The tasks of `docs/tasks.md`, done with a healthy, a held and a poisoned consumer.

use crate::support::{Answer, Place, Receiver, eventually};

/// Whether a line has the parts between each `…` in order, whatever the blanks.
fn fits(line: &str, expected: &str) -> bool {
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut rest = line.as_str();
    expected.split('…').map(str::trim).all(|part| {
        let found = rest.split_once(part);
        rest = found.map_or("", |(_, behind)| behind);
        found.is_some()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_of_the_tasks_answer_their_questions() {
    let healthy = Receiver::accepting().await;
    let held = Receiver::start(|_| Answer::status(503)).await;
    let poisoned = Receiver::start(|_| Answer::status(400)).await;
    let hook = |one: &Receiver| format!("topic: orders, webhook: {{ url: \"{}\" }}", one.url());
    let place = Place::new(&format!(
        "topics: {{ orders: {{}} }}\n\
         sources: [{{ name: shop, topic: sales, http: {{ url: \"{}\", id: id }} }}]\n\
         subscriptions:\n  - {{ name: billing, {} }}\n  - {{ name: crm, {} }}\n  \
         - {{ name: audit, retry: {{ never_retry: [400] }}, {} }}\n",
        held.url(),
        hook(&healthy),
        hook(&held),
        hook(&poisoned)
    ));
    let relay = place.start().await;
    relay.api().publish("orders", 1, 7).await;
    eventually("all that the tasks are about", || async {
        let dead = relay.api().get("/v1/subscriptions/audit/dead-letters").await.json();
        let crm = relay.api().get("/v1/subscriptions/crm").await.json();
        let source = relay.api().get("/v1/sources/shop").await.json();
        let trace = place.run(&["trace", "orders", "2"]).await.stdout;
        let is_so = dead["dead_letters"].as_array().is_some_and(|all| all.len() == 7)
            && crm["health"]["state"] == "holding"
            && source.to_string().contains("answered 503")
            && trace.matches("delivered").count() == 2
            && trace.contains("503");
        is_so.then_some(())
    })
    .await;
    let blocks = include_str!("../../docs/tasks.md").split("```console\n").skip(1);
    let blocks: String = blocks.filter_map(|block| block.split("```").next()).collect();
    let mut commands = 0;
    for task in blocks.split("$ milkrun ").skip(1) {
        let (command, shown) = task.split_once('\n').unwrap();
        let end = place.run(&command.split(' ').collect::<Vec<_>>()).await;
        assert_eq!(end.code, Some(0), "{command}: {end:?}");
        for expected in shown.lines() {
            let is_there = end.stdout.lines().any(|line| fits(line, expected));
            assert!(is_there, "{command} does not print `{expected}`: {}", end.stdout);
        }
        commands += 1;
    }
    assert!(commands >= 9, "{commands}");
    assert!(relay.stop().await.success());
}
