//! Other programs at the file: a lock is waited for shortly, told, and over by itself.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use milkrun::{settings::TopicSettings, store::StoreError};
use sqlx::{Connection as _, SqliteConnection};

use super::{NOW, all, append, name, sqlite::bench, with_topic};

#[tokio::test]
async fn a_lock_of_another_program_is_answered_soon_and_named() {
    let bench = bench().await;
    let (store, topic) = with_topic(&bench, TopicSettings::default()).await;
    append(&store, &topic, [1]).await.unwrap();
    let mut other = SqliteConnection::connect(&format!("sqlite:{}", bench.path())).await.unwrap();
    sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
    let begun = Instant::now();
    let refused = append(&store, &topic, [2]).await;
    assert!(matches!(refused, Err(StoreError::Busy(_))), "{refused:?}");
    // However many wait, and whatever they ask for: nobody waits for the lock once more.
    let (more, settings) = (name("more"), TopicSettings::default());
    let appends = join_all((3..30).map(|id| append(&store, &topic, [id])));
    let puts = join_all((0..30).map(|_| store.put_topic(&more, &settings, NOW)));
    let (appends, puts) = tokio::join!(appends, puts);
    assert!(appends.iter().all(|answer| matches!(answer, Err(StoreError::Busy(_)))), "{appends:?}");
    assert!(puts.iter().all(|answer| matches!(answer, Err(StoreError::Busy(_)))), "{puts:?}");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "they waited for {took:?}");
    let troubles = store.troubles();
    assert!(troubles.len() == 1 && troubles[0].code == "store_locked", "{troubles:?}");
    assert!(troubles[0].detail.contains("another program has locked"), "{troubles:?}");
    // Reading waits for nobody who writes.
    assert_eq!(all(&store, &topic).await.len(), 1);
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    append(&store, &topic, [2]).await.unwrap();
    assert!(store.troubles().is_empty());
    assert_eq!(all(&store, &topic).await, [(1, "1".into()), (2, "2".into())]);
    store.close().await;
}
