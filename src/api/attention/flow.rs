//! What needs attention of subscriptions and sources.

use std::{collections::HashMap, time::Duration};

use super::{AttentionView, Code, Looked, Subject};
use crate::{
    api::{ApiState, directory::RECENT, gate::Caller},
    event::{Micros, Topic},
    health::Health,
    key::Scope,
    prober::Report,
    store::{
        Gap, RecentDeaths, SourceState, SourceStatus, Standing, StoreError, Subscription,
        SubscriptionStatus,
    },
    stuck::Stuck,
};

/// How long an event that could be sent may wait.
const BEHIND: Duration = Duration::from_mins(10);
/// Gaps that are looked at.
const GAPS_MAX: usize = 1_000;

fn of_subscription(name: &str, code: Code, sentence: String, remedy: &str) -> AttentionView {
    let subject = Subject { kind: "subscription", name: Some(name.to_owned()) };
    AttentionView::new(code, subject, sentence, remedy.to_owned())
}

/// Adds that of the subscriptions that the caller may see, by name, and tells how all of them do.
pub(super) async fn subscriptions(
    api: &ApiState,
    caller: &Caller,
    found: &mut Vec<AttentionView>,
) -> Result<Option<Looked>, StoreError> {
    if caller.grant().is_some_and(|grant| !grant.has(Scope::Subscribe)) {
        return Ok(None);
    }
    let now = api.clock.now();
    let all = api.directory.look().await?;
    let doing = api.directory.doing().await?;
    let mut deaths: HashMap<i64, Vec<&RecentDeaths>> = HashMap::new();
    for recent in &doing.deaths {
        deaths.entry(recent.subscription).or_default().push(recent);
    }
    let mut looked = Looked::default();
    for one in &doing.standings {
        // One that was deleted in between is not looked at.
        let Some(known) = all.get(one.id).filter(|known| caller.owns(known)) else { continue };
        looked.count += 1;
        looked.owed += one.owed;
        looked.dead_letters += one.dead_letters;
        looked.delivered += one.delivered;
        let health = Health::read(one.health.as_deref());
        found.extend(doing_now(known, one, &health));
        found.extend(behind(one, &health, now));
        found.extend(stopped(known, one));
        found.extend(deaths.get(&one.id).into_iter().flatten().map(|dead| given_up(known, dead)));
    }
    Ok(Some(looked))
}

/// What its status and its endpoint say.
fn doing_now(known: &Subscription, one: &Standing, health: &Health) -> Option<AttentionView> {
    let name = &one.name;
    match one.status {
        SubscriptionStatus::Disabled => {
            let why = known.reason.as_deref().unwrap_or("no reason is known");
            let sentence = format!(
                "subscription `{name}` is disabled: nothing is sent until somebody resumes it ({why})"
            );
            let remedy = format!("milkrun subscriptions resume {name}");
            Some(of_subscription(name.as_str(), Code::Disabled, sentence, &remedy))
        }
        SubscriptionStatus::Active => {
            let hold = health.holding()?;
            let sentence = format!(
                "subscription `{name}` is on hold: {}; nothing but trials is sent, the next at {}",
                hold.reason.text, hold.next_trial
            );
            let remedy = format!("milkrun attempts {name} --failed");
            let line = of_subscription(name.as_str(), Code::OnHold, sentence, &remedy);
            Some(line.since(Some(hold.since.to_string())))
        }
        _ => None,
    }
}

/// Those on hold, disabled or paused have lines of their own, or somebody asked for it.
fn behind(standing: &Standing, health: &Health, now: Micros) -> Option<AttentionView> {
    let waited = standing.waited(now);
    let is_served = standing.status == SubscriptionStatus::Active && !health.is_holding();
    (is_served && waited > BEHIND).then(|| {
        let (name, owed) = (&standing.name, standing.owed);
        let sentence = format!(
            "subscription `{name}` is behind: its oldest event that could be sent has waited {} \
             minutes; {owed} are owed",
            waited.as_secs() / 60
        );
        let remedy = format!("milkrun subscriptions show {name}");
        let line = of_subscription(name.as_str(), Code::Behind, sentence, &remedy);
        line.since(standing.due.map(|due| due.to_string()))
    })
}

/// What keeps it from going on.
fn stopped(known: &Subscription, one: &Standing) -> Vec<AttentionView> {
    let (name, most) = (&one.name, known.settings.max_exceptions);
    let mut found = Vec::new();
    if one.exceptions_most >= most as u64 {
        let sentence = format!(
            "subscription `{name}` starts nothing new: as many events as max_exceptions allows \
             ({most}) wait for another attempt"
        );
        let remedy = format!("milkrun attempts {name} --failed");
        found.push(of_subscription(name.as_str(), Code::ExceptionsFull, sentence, &remedy));
    }
    let keys = one.stopped_keys;
    if keys > 0 {
        let sentence = format!(
            "{keys} keys of subscription `{name}` stand still, each until its dead letter is \
             redriven or deleted"
        );
        let remedy = format!("milkrun dead-letters {name} list");
        found.push(of_subscription(name.as_str(), Code::KeyStopped, sentence, &remedy));
    }
    found
}

/// What it gave up, or lost to retention, within the hour.
fn given_up(one: &Subscription, recent: &RecentDeaths) -> AttentionView {
    let (name, count) = (&one.name, recent.count);
    let (code, sentence, chosen) = if recent.is_expired {
        let sentence = format!(
            "retention removed {count} events that subscription `{name}` was owed, within the last hour"
        );
        (Code::ExpiredWhileOwed, sentence, " --reason expired".to_owned())
    } else {
        let sentence = format!("subscription `{name}` gave {count} events up within the last hour");
        (Code::DeadLettersAdded, sentence, format!(" --since {}", recent.first))
    };
    let remedy = format!("milkrun dead-letters {name} list{chosen}");
    let line = of_subscription(name.as_str(), code, sentence, &remedy);
    line.since(Some(recent.first.to_string()))
}

/// That of the sources whose topics the caller may read, by name.
pub(super) async fn sources(
    api: &ApiState,
    caller: &Caller,
) -> Result<Vec<AttentionView>, StoreError> {
    let since = api.clock.now().minus(RECENT);
    let mut all = api.store.sources().await?;
    all.retain(|one| caller.covers(&one.topic) && one.status != SourceStatus::Removed);
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let gaps = api.store.recent_gaps(since, GAPS_MAX).await?;
    let mut found = Vec::new();
    for one in &all {
        found.extend(troubled(one));
        let gap =
            gaps.iter().find(|(topic, gap)| *topic == one.topic && gap.source == one.name.as_str());
        found.extend(gap.map(|(topic, gap)| missing(one, topic, gap)));
    }
    Ok(found)
}

fn missing(one: &SourceState, topic: &Topic, gap: &Gap) -> AttentionView {
    let sentence = format!(
        "a gap was recorded for source `{}` within the last hour: {} ({})",
        one.name, gap.detail, gap.reason
    );
    let line = of_source(one, Code::GapRecorded, sentence, format!("milkrun topics gaps {topic}"));
    line.since(Some(gap.recorded.to_string()))
}

fn of_source(one: &SourceState, code: Code, sentence: String, remedy: String) -> AttentionView {
    let subject = Subject { kind: "source", name: Some(one.name.to_string()) };
    AttentionView::new(code, subject, sentence, remedy)
}

/// What is wrong with a source, if anything: the first that explains the others.
fn troubled(one: &SourceState) -> Option<AttentionView> {
    let name = &one.name;
    if let Some(stuck) = Stuck::of(one) {
        let remedy = stuck.help.first().cloned().unwrap_or_default();
        let line = of_source(one, Code::SourceStuck, stuck.message, remedy);
        return Some(line.since(stuck.since));
    }
    if one.status != SourceStatus::Active {
        return None;
    }
    let report = Report::last(one)?;
    let show = format!("milkrun sources show {name}");
    if let Some(failing) = report.failing.as_ref().filter(|failing| failing.told) {
        let sentence = format!("source `{name}` fails: {}", failing.message);
        let line = of_source(one, Code::SourceFailing, sentence, show);
        return Some(line.since(Some(failing.since.to_string())));
    }
    report.is_silent().then(|| {
        let sentence =
            format!("source `{name}` has had nothing new for longer than its silent_after");
        let since = report.last_event().map(|since| since.to_string());
        of_source(one, Code::SourceSilent, sentence, show).since(since)
    })
}
