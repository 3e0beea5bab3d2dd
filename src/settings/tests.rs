//! Tests of what settings are refused, and of what follows from others.

use std::time::Duration;

use super::*;

fn settings() -> SubscriptionSettings {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned();
    SubscriptionSettings::new("https://a.example/".into(), vec![secret])
}

#[test]
fn the_defaults_are_good() {
    assert_eq!(settings().check(), []);
}

type Change = fn(&mut SubscriptionSettings);

#[test]
fn each_fault_names_its_field() {
    let changes: [(&str, Change); 31] = [
        ("webhook.secret", |s| s.secrets = vec!["whsec_c2hvcnQ=".into()]),
        ("webhook.secrets", |s| s.secrets = vec![s.secrets[0].clone(); 11]),
        ("webhook.headers", |s| {
            s.headers = (0..51).map(|n| (format!("x-{n}"), n.to_string())).collect();
        }),
        ("webhook.headers.ce-id", |s| s.headers = vec![("ce-id".into(), "x".into())]),
        ("webhook.headers.X-A", |s| {
            s.headers = vec![("x-a".into(), "x".into()), ("X-A".into(), "y".into())];
        }),
        ("webhook.timeout", |s| s.timeout = Duration::ZERO),
        ("webhook.timeout", |s| s.timeout = Duration::from_secs(301)),
        ("webhook.auth.bearer", |s| s.auth = Some(Auth::Bearer("a\nb".into()))),
        ("webhook.auth.basic.username", |s| {
            s.auth = Some(Auth::Basic { username: "a:b".into(), password: String::new() });
        }),
        ("webhook.auth.oauth2.client_id", |s| s.auth = Some(oauth2("", None))),
        ("webhook.auth.oauth2.scope", |s| s.auth = Some(oauth2("id", Some("a\"b")))),
        ("webhook.auth", |s| {
            s.auth = Some(Auth::Bearer("x".into()));
            s.headers = vec![("Authorization".into(), "y".into())];
        }),
        ("batch.max_events", |s| {
            s.batch = Some(BatchPolicy { max_events: 0, ..BatchPolicy::default() });
        }),
        ("batch.max_wait", |s| {
            s.batch = Some(BatchPolicy { max_wait: days(1), ..BatchPolicy::default() });
        }),
        ("batch", |s| s.batch = Some(BatchPolicy::default())),
        ("format", |s| s.format = Format::Batch),
        ("transform", |s| s.transform = Some("x".into())),
        ("on_dead", |s| s.on_dead = OnDead::StopKey),
        ("read_ahead", |s| s.priority.read_ahead = 0),
        ("priority_max_wait", |s| s.priority.max_wait = days(2)),
        ("read_ahead", |s| (s.order, s.priority.read_ahead) = (Order::Key, 1)),
        ("priority_max_wait", |s| (s.order, s.priority.max_wait) = (Order::Strict, Duration::ZERO)),
        ("concurrency", |s| s.concurrency = 1_025),
        ("max_exceptions", |s| s.max_exceptions = 0),
        ("retry.max_attempts", |s| s.retry.max_attempts = Some(0)),
        ("retry.never_retry", |s| s.retry.never_retry = vec![200]),
        ("retry.schedule", |s| {
            s.retry.delays = Delays::Schedule { delays: vec![days(31)], jitter: 0.0 };
        }),
        ("retry.jitter", |s| {
            s.retry.delays = Delays::Schedule { delays: vec![], jitter: f64::NAN };
        }),
        ("retry.exponential.multiplier", |s| s.retry.delays = growing(0.5)),
        ("hold.after", |s| s.hold.after = 0),
        ("hold.interval", |s| s.hold.interval = days(1)),
    ];
    for (field, change) in changes {
        let mut settings = settings();
        change(&mut settings);
        let faults = settings.check();
        assert!(faults.iter().any(|fault| fault.field == field), "{field}: {faults:?}");
        assert!(faults.iter().all(|fault| !fault.problem.is_empty()));
    }
}

fn oauth2(client_id: &str, scope: Option<&str>) -> Auth {
    Auth::OAuth2 {
        token_url: "https://a.example/token".into(),
        client_id: client_id.into(),
        client_secret: "x".into(),
        scope: scope.map(Into::into),
    }
}

fn growing(multiplier: f64) -> Delays {
    let (initial, max) = (Duration::from_secs(1), Duration::from_secs(2));
    Delays::Exponential { initial, multiplier, max, jitter: 0.0 }
}

#[test]
fn the_format_follows_from_batches_and_transforms() {
    let format = |change: Change, said| {
        let mut settings = settings();
        change(&mut settings);
        settings.set_format(said);
        (settings.format, settings.batch.is_some(), settings.check().is_empty())
    };
    let batch: Change = |s| s.batch = Some(BatchPolicy::default());
    let transform: Change = |s| s.transform = Some("x".into());
    for (change, said, expected) in [
        (batch, None, (Format::Batch, true, true)),
        (batch, Some(Format::Data), (Format::Data, true, false)),
        (transform, None, (Format::Data, false, true)),
        (transform, Some(Format::Binary), (Format::Binary, false, true)),
        (transform, Some(Format::Structured), (Format::Structured, false, false)),
        (|s| s.format = Format::Batch, None, (Format::Structured, false, true)),
        (|_| {}, Some(Format::Batch), (Format::Batch, true, true)),
        (|s| s.format = Format::Binary, None, (Format::Binary, false, true)),
    ] {
        assert_eq!(format(change, said), expected, "{said:?}");
    }
}

#[test]
fn policies_are_written_as_they_are_read() {
    for policy in [
        RetryPolicy::default(),
        RetryPolicy { delays: growing(2.0), max_age: Some(days(1)), ..RetryPolicy::default() },
    ] {
        assert_eq!(written::Retry::from(&policy).policy().unwrap(), policy);
    }
    let both = written::Retry {
        schedule: Some(Vec::new()),
        exponential: Some(written::Exponential::default()),
        ..written::Retry::default()
    };
    assert_eq!(both.policy().unwrap_err().field, "retry");
    assert_eq!(HoldPolicy::from(written::Hold::default()), HoldPolicy::default());
    assert_eq!(BatchPolicy::from(written::Batch::default()), BatchPolicy::default());
}
