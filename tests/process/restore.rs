//! A backup copied back: seen at the start, and announced.

use std::fs;

use serde_json::json;

use crate::support::Place;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_backup_announced_as_a_new_epoch_leaves_no_reader_in_doubt() {
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    relay.api().publish("numbers", 1, 50).await;
    let below = next(&relay.api().get("/v1/topics/numbers/events?limit=30").await.ok());
    assert!(relay.stop().await.success());
    // A stopped relay has one file, checkpointed and closed.
    fs::copy(place.store(), place.path("backup.db")).unwrap();

    let relay = place.start().await;
    relay.api().publish("numbers", 51, 80).await;
    let beyond = next(&relay.api().get("/v1/topics/numbers/events?after=60").await.ok());
    relay.kill().await;

    for ending in ["-wal", "-shm"] {
        let _ = fs::remove_file(place.path(&format!("milkrun.db{ending}")));
    }
    fs::copy(place.path("backup.db"), place.store()).unwrap();
    let relay = place.start().await;
    assert!(place.printed().contains("versions 51 to 80 were given before"), "not told");
    let gaps = relay.api().get("/v1/topics/numbers").await.ok();
    assert_eq!(gaps["head"], 80, "no number is given twice: {gaps}");
    let said = place.run(&["topics", "new-epoch", "numbers", "--reason", "restored"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    // Other events take other numbers than those that were cut.
    relay.api().publish("numbers", 1_001, 1_040).await;

    let path = format!("/v1/topics/numbers/events?after={beyond}");
    let problem = relay.api().get(&path).await.problem(409, "history_changed");
    let last_common = problem["last_common"].as_str().map(str::to_owned);
    let last_common = last_common.unwrap_or_else(|| problem["last_common"].to_string());
    assert!(last_common == "50" || last_common.ends_with("-50"), "{problem}");
    assert_eq!(problem["head"].as_u64(), Some(120), "{problem}");
    assert!(problem["epoch"].is_string(), "{problem}");

    let good = relay.api().get(&format!("/v1/topics/numbers/events?after={below}&limit=100")).await;
    let good = good.ok();
    let versions: Vec<_> =
        good["events"].as_array().unwrap().iter().map(|event| event["version"].clone()).collect();
    assert_eq!(json!(versions), json!((31..=50).chain(81..=120).collect::<Vec<_>>()));
    assert!(relay.stop().await.success());
}

fn next(page: &serde_json::Value) -> String {
    page["next"].as_str().unwrap().to_owned()
}
