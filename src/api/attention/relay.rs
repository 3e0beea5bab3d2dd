//! What needs attention of the relay itself, and of its topics.

use super::{AttentionView, Code, Subject};
use crate::{
    api::{ApiState, gate::Caller},
    event::{Name, TopicPattern},
    store::{StoreError, TopicState},
};

/// What must be free on the disk of the store.
const DISK_FREE_BYTES_MIN: f64 = 1_073_741_824.0;
/// The part of its cap above which a topic is told of, in percent.
const CAP_PERCENT: u64 = 80;

fn of_relay(code: Code, sentence: String, remedy: &str) -> AttentionView {
    AttentionView::new(code, Subject { kind: "relay", name: None }, sentence, remedy.to_owned())
}

/// That of the relay, for who may read everything, and of the topics that the caller may read.
pub(super) async fn attention(
    api: &ApiState,
    caller: &Caller,
) -> Result<Vec<AttentionView>, StoreError> {
    let mut found = Vec::new();
    if caller.covers_all(&TopicPattern::any()) {
        found.extend(store(api).await);
        if api.metrics.reload_successful.get() == 0 {
            let sentence = "the configuration file that was last asked for was refused; the relay \
                            runs by the one before";
            found.push(of_relay(Code::ReloadRefused, sentence.into(), "milkrun check"));
        }
        let dropped = api.metrics.notices_dropped.get();
        if dropped > 0 {
            let sentence = format!("{dropped} notices were dropped since the relay started");
            let line = of_relay(Code::NoticesDropped, sentence, "milkrun doctor");
            found.push(line.since(Some(api.started.to_string())));
        }
    }
    let topics = api.store.topics().await?;
    // The cap of the relay's own topic is not to be changed, so nothing could be done about it.
    let capped = topics.iter().filter(|topic| topic.topic != Name::notices());
    found
        .extend(capped.filter(|topic| caller.covers(&topic.topic)).filter_map(|one| near_cap(one)));
    Ok(found)
}

async fn store(api: &ApiState) -> Vec<AttentionView> {
    let troubles = api.store.troubles();
    let is_full = troubles.iter().any(|trouble| trouble.code == "disk_full");
    let free = api.store.gauges().await.into_iter();
    let free = free.into_iter().find(|(name, _)| *name == "store_disk_free_bytes");
    let free = free.map(|(_, bytes)| bytes);
    let mut found = Vec::new();
    if is_full || free.is_some_and(|free| free < DISK_FREE_BYTES_MIN) {
        let left = free.map_or_else(String::new, |free| {
            format!(": {:.0} MiB are free", free / f64::from(1 << 20))
        });
        let sentence = format!("the disk of the store is full, or soon will be{left}");
        found.push(of_relay(Code::DiskLow, sentence, "milkrun topics list"));
    }
    let others = troubles.into_iter().filter(|trouble| trouble.code != "disk_full");
    found.extend(others.map(|trouble| {
        let sentence = format!("{}: {}", trouble.code, trouble.detail);
        of_relay(Code::StoreDegraded, sentence, "milkrun doctor")
    }));
    found
}

fn near_cap(topic: &TopicState) -> Option<AttentionView> {
    let cap = topic.settings.max_bytes?;
    let percent = topic.bytes.saturating_mul(100) / cap.max(1);
    (percent > CAP_PERCENT).then(|| {
        let name = &topic.topic;
        let sentence = format!(
            "topic `{name}` holds {percent} % of its max_bytes; at the cap even events that a \
             subscription is owed are removed"
        );
        let subject = Subject { kind: "topic", name: Some(name.to_string()) };
        let remedy = format!("milkrun topics show {name}");
        AttentionView::new(Code::TopicNearCap, subject, sentence, remedy)
    })
}
