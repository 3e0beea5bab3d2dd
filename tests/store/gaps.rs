//! What a source could not give, recorded in its topic.

use milkrun::{
    settings::TopicSettings,
    store::{Append, NewGap, SourceProgress},
};

use super::{Bench, NOW, later, source, with_topic};

pub(super) async fn gaps_of_late_are_found_in_all_topics(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    let state = store.put_source(&source(&topic), NOW).await.unwrap();
    for (seconds, reason) in [(1, "cursor_lost"), (60, "bound_reached")] {
        let progress = SourceProgress {
            source: state.id,
            fence: state.fence,
            gap: Some(NewGap { reason: reason.into(), detail: "gone".into() }),
            ..SourceProgress::default()
        };
        let append = Append {
            topic: topic.clone(),
            events: Vec::new(),
            progress: Some(progress),
            now: later(seconds),
        };
        store.append(append).await.unwrap();
    }
    let found = async |since: u64, limit: usize| {
        let recent = store.recent_gaps(later(since), limit).await.unwrap();
        let short = |(of, gap): (_, milkrun::store::Gap)| {
            assert_eq!((of, &*gap.source, &*gap.detail), (topic.clone(), "shop", "gone"));
            gap.reason
        };
        recent.into_iter().map(short).collect::<Vec<_>>()
    };
    assert_eq!(found(0, 9).await, ["bound_reached", "cursor_lost"]);
    assert_eq!(found(0, 1).await, ["bound_reached"]);
    assert_eq!(found(2, 9).await, ["bound_reached"]);
    assert!(found(61, 9).await.is_empty());
}
