//! `milkrun check --store`.

use super::*;

/// Everything that is wrong with a stored file is listed, and nothing is changed.
#[tokio::test]
async fn a_store_is_checked_without_a_relay() {
    use sqlx::Connection as _;
    let directory = tempfile::tempdir().unwrap();
    let (_server, file) = producer_and_file(directory.path()).await;
    let failure = on_file(&file, "check --store").await.unwrap_err();
    assert!(failure.message.contains("there is no such file"), "{failure}");
    let config = crate::config::load(&file, |_| None).unwrap();
    let store =
        crate::store::open(config.store.as_str(), &crate::store::Options::default()).await.unwrap();
    let (topic, now): (crate::event::Topic, _) = ("t".parse().unwrap(), crate::event::Micros(1));
    store.put_topic(&topic, &crate::settings::TopicSettings::default(), now).await.unwrap();
    let event = |id: u64| crate::store::NewEvent {
        source: "/s".into(),
        id: id.to_string(),
        attributes: format!(r#"{{"id":"{id}"}}"#).into(),
        data: crate::event::Data::None,
        deliver_at: None,
    };
    let events = (1..=9).map(event).collect();
    store.append(crate::store::Append { topic, events, progress: None, now }).await.unwrap();
    let failure = on_file(&file, "check --store").await.unwrap_err();
    assert!(failure.message.contains("another relay uses"), "{failure}");
    store.close().await;
    on_file(&file, "check --store").await.unwrap();
    let path = directory.path().join("m.db");
    let mut conn =
        sqlx::SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.unwrap();
    let sql = "UPDATE events SET recorded = 7 WHERE slot & 255 = 2; \
        DELETE FROM events WHERE slot & 255 IN (5, 9)";
    sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    let before = std::fs::read(&path).unwrap();
    let failure = on_file(&file, "check --store").await.unwrap_err();
    assert!(failure.message.contains("3 of what was looked at is wrong"), "{failure}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let found = crate::store::verify(config.store.as_str()).await.unwrap().problems;
    assert_eq!(
        found,
        [
            "topic `t`: version 2: its checksum is wrong",
            "topic `t`: versions 5 to 5 are missing",
            "topic `t`: versions 9 to 9 are missing",
        ]
    );
}
