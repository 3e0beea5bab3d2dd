//! What is wrong with what a subscription asks for, told by everyone who knows a part of it: the
//! settings themselves, the guard, the network, the expressions.

use serde_json::Value;

use crate::{
    outbound::check_tls,
    settings::{Auth, Fault, SubscriptionSettings},
    store::Origin,
};

/// Everything that is wrong, as asked for by the file or over the API; the file may say more in
/// expressions. `check_url` says why an address is not asked.
#[must_use]
pub fn faults(
    settings: &SubscriptionSettings,
    origin: Origin,
    check_url: &dyn Fn(&str) -> Result<(), String>,
) -> Vec<Fault> {
    let mut found = settings.check();
    let mut url = |field: &str, url: &str| {
        if let Err(refused) = check_url(url) {
            let problem = refused.strip_prefix("`url`: ").unwrap_or(&refused);
            found.push(Fault::new(field, problem));
        }
    };
    url("webhook.url", &settings.url);
    if let Some(Auth::OAuth2 { token_url, .. }) = &settings.auth {
        url("webhook.auth.oauth2.token_url", token_url);
    }
    found.extend(check_tls(&settings.tls).err().map(|told| tls_fault(&told)));
    for (field, value, check) in [
        ("filter", &settings.filter, check_filter as fn(&Value, Origin) -> Result<(), String>),
        ("transform", &settings.transform, check_transform),
    ] {
        let wrong = value.as_ref().and_then(|value| check(value, origin).err());
        found.extend(wrong.map(|problem| Fault::new(field, problem)));
    }
    found
}

/// What the network tells begins with a field, as `tls.key`.
fn tls_fault(told: &str) -> Fault {
    match told.strip_prefix('`').and_then(|rest| rest.split_once("`: ")) {
        Some((field, problem)) => Fault::new(format!("webhook.{field}"), problem),
        None => Fault::new("webhook.tls", told),
    }
}

fn check_filter(filter: &Value, _: Origin) -> Result<(), String> {
    expression(filter)
}

fn check_transform(transform: &Value, _: Origin) -> Result<(), String> {
    expression(transform)
}

fn expression(value: &Value) -> Result<(), String> {
    let good = value.is_object() || value.is_string();
    if good { Ok(()) } else { Err("expected an object or a text".into()) }
}
