//! The store contract: one suite of cases, held against every backend.
//!
//! A case knows a [`Bench`] and the `Store` trait only. A second backend adds an implementation of
//! [`Bench`] and one line at the end of [`contract`].

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use milkrun::{
    event::{Data, Event, Micros, Name, Topic, Version},
    seal::Seal,
    settings::{SubscriptionSettings, TopicSettings},
    store::{
        Append, EventSource, Expired, NewEvent, NewSource, NewSubscription, Origin, Placed, Read,
        StartFrom, Store, StoreError, Subscription,
    },
};

mod access_keys;
mod columns;
mod damage;
mod dead;
mod earlier;
mod fences;
mod gaps;
mod held;
mod holding;
mod locks;
mod log;
mod migrate;
mod outside;
mod pending;
mod positions;
mod postgres;
mod replays;
mod retention;
mod secrets;
mod shrinking;
mod sqlite;
mod standings;
mod states;
mod topics;
mod trace;
mod waiting;

/// A backend under test: opened, broken and opened again.
#[async_trait::async_trait]
pub(crate) trait Bench: Send + Sync {
    /// Opens the store, the second time with what the first left; it keeps 20,000 dedupe keys,
    /// 3,000 pending events and 100 positions.
    async fn open(&self) -> Arc<dyn Store> {
        self.open_sealed(Seal::default()).await.expect("a store")
    }
    /// The same, by whoever has these keys to its secrets.
    async fn open_sealed(&self, seal: Seal) -> Result<Arc<dyn Store>, StoreError>;
    /// What a second node on the store has, beside the first one's.
    async fn beside(&self, first: &Arc<dyn Store>) -> Arc<dyn Store>;
    /// From now on storing an event whose attributes contain `text` fails.
    async fn refuse_events_with(&self, text: &str);
    /// From now on every COMMIT of a transaction that stored an event fails (or no longer).
    async fn fail_commits(&self, fail: bool);
}

/// Every case, on each backend that is named with what makes its [`Bench`]: a module of its name.
macro_rules! contract {
    ($($backend:ident: $bench:path,)+) => { $( mod $backend { contract!(@cases $bench:
        access_keys::a_key_is_kept_until_it_is_removed,
        access_keys::a_changed_key_wakes_every_node,
        log::versions_have_no_gap_however_many_write,
        log::recorded_never_falls,
        log::a_known_event_answers_with_its_version,
        log::equal_events_in_one_group_are_one,
        log::a_failing_operation_fails_alone,
        log::a_failed_commit_is_unknown_and_safe_to_repeat,
        log::reads_stop_at_their_limits,
        log::a_reader_is_woken,
        log::what_was_stored_is_there_after_a_restart,
        log::a_new_epoch_begins_behind_the_head,
        log::a_moment_is_found,
        log::a_topic_in_use_is_not_deleted,
        log::data_comes_back_byte_for_byte,
        fences::a_stale_source_changes_nothing,
        fences::progress_and_events_are_one,
        fences::the_journal_gives_the_last_listed_first,
        fences::an_abandoned_journal_is_empty,
        fences::a_changed_contract_wants_a_cursor,
        fences::a_cursor_set_by_hand_goes_with_any_contract,
        fences::a_contract_of_an_earlier_release_is_taken_over,
        fences::a_source_keeps_what_its_events_are_known_by,
        fences::a_source_takes_what_it_has_to_another_topic,
        fences::rejected_items_are_bounded,
        fences::steering_raises_the_fence,
        pending::a_due_event_goes_once_and_not_before,
        pending::due_events_go_in_their_order,
        pending::a_pending_event_is_known,
        pending::pending_and_logged_in_one_append_are_all_or_nothing,
        pending::pending_events_are_bounded,
        pending::a_pending_event_is_changed_and_cancelled,
        pending::a_prepared_event_waits_for_its_commit,
        pending::what_was_committed_is_not_taken_back,
        pending::what_fails_to_go_stays_pending,
        pending::the_next_due_time_is_told,
        pending::a_deleted_topic_takes_its_pending_events_along,
        pending::a_page_of_pending_events_is_bounded,
        positions::a_settlement_is_kept,
        positions::many_are_taken_up_at_once_and_each_is_its_own,
        standings::those_that_are_named_are_read_alone,
        standings::what_has_waited_longest_is_told,
        positions::a_stale_settlement_changes_nothing,
        positions::settlements_in_one_group_keep_their_order,
        positions::dead_letters_are_redriven,
        positions::a_rewind_drops_what_is_open,
        positions::a_delivery_clears_its_dead_letter,
        positions::a_deleted_subscription_lets_go,
        positions::names_are_taken_once,
        positions::a_subscription_of_the_file_keeps_its_place,
        positions::changes_are_listed_by_their_number,
        positions::settings_read_before_another_change_are_not_written,
        positions::attempts_are_found,
        dead::a_key_stands_still_until_its_letter_is_redriven,
        dead::a_key_goes_on_when_its_letter_is_deleted,
        dead::a_key_goes_on_when_its_letter_is_trimmed,
        dead::what_stands_still_is_redriven_however_full_it_is,
        dead::letters_are_chosen,
        dead::letters_of_all_are_listed,
        dead::what_was_given_up_of_late_is_counted,
        dead::letters_are_redriven_one_after_the_other,
        replays::a_replay_is_one_more_position,
        secrets::settings_are_sealed_under_the_master_key,
        states::an_event_stands_somewhere_at_every_subscription,
        states::what_came_before_a_subscription_was_never_owed,
        replays::a_replay_ends_once,
        replays::replays_are_bounded,
        replays::a_replay_out_of_range_is_refused,
        replays::what_steers_live_delivery_leaves_replays_alone,
        replays::dead_letters_of_a_replay_outlive_it,
        replays::what_a_replay_needs_is_kept_and_its_loss_is_said,
        gaps::gaps_of_late_are_found_in_all_topics,
        topics::a_pattern_takes_every_topic_that_matches,
        topics::a_topic_that_appears_later_is_joined,
        topics::a_topic_goes_unless_it_is_named,
        topics::a_file_changes_what_a_subscription_is_in,
        topics::positions_are_bounded,
        retention::age_and_count_let_go,
        retention::what_is_owed_stays,
        retention::the_cap_lets_go_of_what_is_owed_and_says_so,
        retention::owed_has_an_end,
        retention::nothing_is_owed_when_that_is_turned_off,
        retention::known_events_are_bounded_over_all_topics,
        retention::a_redriven_event_outlives_the_log,
        retention::a_dead_letter_keeps_its_event,
        retention::known_events_are_forgotten_after_the_window,
        retention::a_deleted_topic_is_cleared,
        holding::each_piece_of_work_has_one_holder,
        holding::what_is_given_back_goes_to_the_next,
        holding::an_earlier_incarnation_holds_nothing,
    ); } )+ };
    (@cases $bench:path: $($module:ident :: $case:ident,)+) => { $(
        #[tokio::test]
        async fn $case() {
            crate::store::$module::$case(&$bench().await).await;
        }
    )+ };
}

contract! {
    on_sqlite: crate::store::sqlite::bench,
    on_postgres_15: crate::store::postgres::oldest,
    on_postgres_18: crate::store::postgres::newest,
}

/// A moment that all cases start from.
pub(crate) const NOW: Micros = Micros(1_800_000_000_000_000);

/// A name.
pub(crate) fn name(text: &str) -> Name {
    text.parse().expect("a valid name")
}

/// The events with these ids.
pub(crate) fn events(ids: impl IntoIterator<Item = u64>) -> Vec<NewEvent> {
    let event = |id: u64| NewEvent {
        source: "/test".into(),
        id: id.to_string(),
        attributes: format!(r#"{{"id":"{id}","source":"/test","type":"t"}}"#).into(),
        data: Data::Json(Bytes::from(format!("{{\"n\": {id}}}"))),
        deliver_at: None,
    };
    ids.into_iter().map(event).collect()
}

/// Appends events with these ids at `NOW`.
pub(crate) async fn append(
    store: &Arc<dyn Store>,
    topic: &Topic,
    ids: impl IntoIterator<Item = u64>,
) -> Result<Vec<Placed>, StoreError> {
    append_at(store, topic, ids, NOW).await
}

/// Appends events with these ids at a moment.
pub(crate) async fn append_at(
    store: &Arc<dyn Store>,
    topic: &Topic,
    ids: impl IntoIterator<Item = u64>,
    now: Micros,
) -> Result<Vec<Placed>, StoreError> {
    let events = events(ids);
    store.append(Append { topic: topic.clone(), events, progress: None, now }).await
}

/// A store with one topic.
pub(crate) async fn with_topic(
    bench: &dyn Bench,
    settings: TopicSettings,
) -> (Arc<dyn Store>, Topic) {
    let store = bench.open().await;
    let topic = name("orders");
    store.put_topic(&topic, &settings, NOW).await.expect("a topic");
    (store, topic)
}

/// All versions and ids of a topic, read page by page from the start.
pub(crate) async fn all(store: &Arc<dyn Store>, topic: &Topic) -> Vec<(u64, String)> {
    let mut found: Vec<(u64, String)> = Vec::new();
    loop {
        let after = Version(found.last().map_or(0, |(version, _)| *version));
        let page = store.read(topic, Read::after(after)).await.expect("a page");
        if page.events.is_empty() {
            return found;
        }
        found.extend(page.events.iter().map(|event| (event.version.0, id_of(event))));
    }
}

/// The id of an event.
pub(crate) fn id_of(event: &Event) -> String {
    event.attributes.get("id").expect("an id")
}

/// A subscription from the start of a topic.
pub(crate) async fn subscribe(store: &Arc<dyn Store>, who: &str, topic: &Topic) -> Subscription {
    let new = NewSubscription {
        name: name(who),
        origin: Origin::Api,
        topics: vec![topic.clone().into()],
        from: StartFrom::Earliest,
        settings: SubscriptionSettings::new("https://example.com/hook".into(), Vec::new()),
    };
    store.put_subscription(&new, NOW).await.expect("a subscription")
}

/// A source of a topic.
pub(crate) fn source(topic: &Topic) -> NewSource {
    NewSource {
        name: name("shop"),
        topic: topic.clone(),
        contract: "http https://shop.example last_id".into(),
        contract_before: None,
        event_source: EventSource::fixed("https://shop.example"),
        config_hash: "1".into(),
    }
}

/// `NOW` and some seconds.
pub(crate) fn later(seconds: u64) -> Micros {
    NOW.plus(Duration::from_secs(seconds))
}

/// Trims until there is nothing more; every step is one piece. Answers what was owed and went.
pub(crate) async fn trim_all(store: &Arc<dyn Store>, now: Micros) -> Vec<Expired> {
    let mut expired = Vec::new();
    for _ in 0..1_000 {
        let trimmed = store.trim(now).await.expect("a trim");
        expired.extend(trimmed.expired);
        if !trimmed.more {
            return expired;
        }
    }
    panic!("trimming does not end");
}
