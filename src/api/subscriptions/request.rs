//! What a subscriber sends: plain values only, for a reference to the server's environment or
//! files would let a subscriber read them.

use probes::period::Period;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{change::Change, place::Place, webhook::WebhookBody};
use crate::{
    api::{
        VetUrl,
        gate::{self, Caller},
        problem::Problem,
    },
    event::{Name, TopicPattern},
    key::Scope,
    settings::{
        Fault, Format, HoldPolicy, OnDead, Order, PriorityPolicy, Rate, SubscriptionSettings,
        forms::PeriodText, written,
    },
    store::Origin,
    vet,
};

const TOPICS_MAX: usize = 100;

/// A subscription to be made, or changes to one: what is left out stays, and null goes back to the
/// default.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubscriptionBody {
    /// Its name; required when it is made, and cannot be changed.
    name: Option<Name>,
    /// Its topic, or a pattern as `billing.*`; or `topics`. Cannot be changed.
    topic: Option<TopicPattern>,
    /// Its topics, or patterns as `billing.*`; or `topic`. Cannot be changed.
    #[schema(min_items = 1, max_items = 100)]
    topics: Option<Vec<TopicPattern>>,
    /// Whose it is: keys of this owner with the scope `subscribe` see and change it. Default: the
    /// owner of the key that makes it; only an admin names another.
    #[serde(default)]
    #[schema(value_type = Option<Name>)]
    owner: Change<Name>,
    /// Where it begins: `latest` (default), `earliest`, a version, a cursor or a time; later, it
    /// is rewound.
    from: Option<Place>,
    /// Where to push, and how; what is left out of it stays too. Required when it is made.
    webhook: Option<WebhookBody>,
    /// Which events are sent: CloudEvents dialects, as `{"prefix": {"type": "Push"}}`, or an
    /// expression as a text. Default: all.
    #[serde(default)]
    #[schema(value_type = Option<Value>)]
    filter: Change<Value>,
    /// What is sent in the place of the event: JSON whose texts are expressions. Goes with the
    /// formats `data` (then the default) and `binary`.
    #[serde(default)]
    #[schema(value_type = Option<Value>)]
    transform: Change<Value>,
    /// How an event is put into a request. Default `structured`.
    #[serde(default)]
    #[schema(value_type = Option<Format>)]
    format: Change<Format>,
    /// Several events in one request; format `batch`. Default: one by one.
    #[serde(default)]
    #[schema(value_type = Option<written::Batch>)]
    batch: Change<written::Batch>,
    /// Whether large bodies are compressed; the signature is over what they were before. Default
    /// false.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    gzip: Change<bool>,
    /// In which order events are tried. Default `none`.
    #[serde(default)]
    #[schema(value_type = Option<Order>)]
    order: Change<Order>,
    /// What becomes of a key whose event died; with an order only. Default `continue`.
    #[serde(default)]
    #[schema(value_type = Option<OnDead>)]
    on_dead: Change<OnDead>,
    /// So many events are looked at ahead for those of a higher priority; without an order only.
    /// Default 4096.
    #[serde(default)]
    #[schema(value_type = Option<usize>, minimum = 1, maximum = 100_000)]
    read_ahead: Change<usize>,
    /// The longest that an event is overtaken by those of a higher priority. Default `1m`.
    #[serde(default)]
    #[schema(value_type = Option<PeriodText>)]
    priority_max_wait: Change<Period>,
    /// The most events started in a time, as `100/s`, `20/m` or `5/h`. Default: as fast as they
    /// are taken.
    #[serde(default)]
    #[schema(value_type = Option<Rate>)]
    rate: Change<Rate>,
    /// The most deliveries under way at once in each topic, 1 to 1024. Default 16.
    #[serde(default)]
    #[schema(value_type = Option<usize>, minimum = 1, maximum = 1_024)]
    concurrency: Change<usize>,
    /// When a failed event is tried again; the whole policy is replaced.
    #[serde(default)]
    #[schema(value_type = Option<written::Retry>)]
    retry: Change<written::Retry>,
    /// When the endpoint is left alone; the whole policy is replaced.
    #[serde(default)]
    #[schema(value_type = Option<written::Hold>)]
    hold: Change<written::Hold>,
    /// The most exceptions of one position. Default 100,000.
    #[serde(default)]
    #[schema(value_type = Option<usize>, minimum = 1, maximum = 1_000_000)]
    max_exceptions: Change<usize>,
}

/// A subscription that can be made.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) name: Name,
    pub(super) topics: Vec<TopicPattern>,
    pub(super) from: Place,
    pub(super) settings: SubscriptionSettings,
    /// The secret that was made for it.
    pub(super) secret: Option<String>,
}

impl SubscriptionBody {
    /// A new subscription.
    pub(super) fn make(self, caller: &Caller, vet: &VetUrl) -> Result<Made, Problem> {
        let name = self.name.clone().ok_or_else(|| missing("name"))?;
        if name.is_reserved() {
            let detail =
                format!("`name`: those beginning `{}` are reserved", Name::RESERVED_PREFIX);
            return Err(Problem::field("name", detail));
        }
        let topics = self.topics()?;
        if let Some(beyond) = topics.iter().find(|topic| !caller.covers_all(topic)) {
            return Err(gate::beyond(Scope::Subscribe, beyond.as_str()));
        }
        let from = self.from.unwrap_or(Place::Latest);
        if self.webhook.as_ref().is_none_or(WebhookBody::has_no_url) {
            return Err(missing("webhook.url"));
        }
        let mut settings = SubscriptionSettings::new(String::new(), Vec::new());
        settings.owner = caller.owner().cloned();
        let secret = self.webhook.as_ref().map_or(Ok(None), WebhookBody::make_secret)?;
        self.put(&mut settings, caller)?;
        settings.secrets.extend(secret.clone());
        check(&settings, vet)?;
        Ok(Made { name, topics, from, settings, secret })
    }

    /// Puts what is said of the settings of a draft; its name, topics and place are nothing yet.
    pub(in crate::api) fn draft(
        self,
        settings: &mut SubscriptionSettings,
        caller: &Caller,
    ) -> Result<(), Problem> {
        self.put(settings, caller)
    }

    /// Changes `settings` as asked.
    pub(super) fn change(
        self,
        settings: &mut SubscriptionSettings,
        caller: &Caller,
        vet: &VetUrl,
    ) -> Result<(), Problem> {
        let later = self.webhook.as_ref().is_some_and(WebhookBody::has_secret_kind);
        for (field, said, instead) in [
            ("name", self.name.is_some(), "make another subscription"),
            ("topic", self.topic.is_some(), "make another subscription"),
            ("topics", self.topics.is_some(), "make another subscription"),
            ("from", self.from.is_some(), "rewind or resume it"),
            ("webhook.secret_kind", later, "rotate its secrets"),
        ] {
            if said {
                let detail = format!("`{field}` is said when a subscription is made: {instead}");
                return Err(Problem::field(field, detail));
            }
        }
        self.put(settings, caller)?;
        check(settings, vet)
    }

    /// Its topics, one or more, each once.
    fn topics(&self) -> Result<Vec<TopicPattern>, Problem> {
        let mut topics = match (&self.topic, &self.topics) {
            (Some(topic), None) => vec![topic.clone()],
            (None, Some(topics)) => topics.clone(),
            _ => return Err(Problem::field("topic", "expected either `topic` or `topics`")),
        };
        topics.sort();
        topics.dedup();
        if topics.is_empty() || topics.len() > TOPICS_MAX {
            let detail = format!("`topics`: expected 1 to {TOPICS_MAX} topics");
            return Err(Problem::field("topics", detail));
        }
        Ok(topics)
    }

    fn put(self, settings: &mut SubscriptionSettings, caller: &Caller) -> Result<(), Problem> {
        let before = settings.owner.clone();
        self.owner.apply_some(&mut settings.owner);
        if settings.owner != before && !caller.is_admin() {
            let detail = "`owner`: only a key with the scope `admin` names another owner";
            return Err(Problem::field("owner", detail));
        }
        let usual = SubscriptionSettings::new(String::new(), Vec::new());
        if let Some(webhook) = self.webhook {
            webhook.put(settings, &usual)?;
        }
        self.filter.apply_some(&mut settings.filter);
        self.transform.apply_some(&mut settings.transform);
        self.batch.map(Into::into).apply_some(&mut settings.batch);
        let said = match self.format {
            Change::Set(format) => Some(format),
            change => {
                change.apply(&mut settings.format, usual.format);
                None
            }
        };
        settings.set_format(said);
        self.gzip.apply(&mut settings.gzip, usual.gzip);
        self.order.apply(&mut settings.order, usual.order);
        self.on_dead.apply(&mut settings.on_dead, usual.on_dead);
        let PriorityPolicy { read_ahead, max_wait } = &mut settings.priority;
        self.read_ahead.apply(read_ahead, usual.priority.read_ahead);
        self.priority_max_wait.map(Into::into).apply(max_wait, usual.priority.max_wait);
        self.rate.apply_some(&mut settings.rate);
        self.concurrency.apply(&mut settings.concurrency, usual.concurrency);
        match self.retry {
            Change::Keep => {}
            Change::Reset => settings.retry = usual.retry,
            Change::Set(retry) => {
                settings.retry = retry.policy().map_err(|fault| refuse(&fault))?;
            }
        }
        self.hold.map(HoldPolicy::from).apply(&mut settings.hold, usual.hold);
        self.max_exceptions.apply(&mut settings.max_exceptions, usual.max_exceptions);
        Ok(())
    }
}

/// Refuses the first thing that is wrong.
pub(super) fn check(settings: &SubscriptionSettings, vet: &VetUrl) -> Result<(), Problem> {
    match vet::faults(settings, Origin::Api, &**vet).first() {
        Some(fault) => Err(refuse(fault)),
        None => Ok(()),
    }
}

fn refuse(fault: &Fault) -> Problem {
    Problem::field(&fault.field, fault.to_string())
}

fn missing(field: &str) -> Problem {
    Problem::field(field, format!("`{field}` is missing"))
}
