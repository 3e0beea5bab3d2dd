//! What is wrong with what a subscription asks for, told by everyone who knows a part of it: the
//! settings themselves, the guard, the network, the expressions.

use crate::{
    expr::{ExprError, Filter, Transform},
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
    let expressions = [
        ("filter", settings.filter.as_ref().and_then(|filter| Filter::parse(filter).err())),
        (
            "transform",
            settings.transform.as_ref().and_then(|transform| match origin {
                Origin::File => Transform::parse_trusted(transform).err(),
                Origin::Api => Transform::parse(transform).err(),
            }),
        ),
    ];
    for (field, error) in expressions {
        found.extend(error.map(|ExprError { path, problem }| {
            let within = if path.is_empty() || path.starts_with('[') { "" } else { "." };
            Fault::new(format!("{field}{within}{path}"), problem)
        }));
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
