//! Secrets of every kind, each to be found again by a text that stands nowhere else, and a
//! configuration that gives them in every way there is.

use std::fmt::Write as _;

use crate::support::Place;

/// Each by how it is given; all are letters and digits, so that no encoding of a URL changes them.
pub(super) const PLANTED: [(&str, &str); 15] = [
    ("SOURCE_BEARER", "plantedSourceBearer7Qx1"),
    ("SOURCE_PASSWORD", "plantedSourcePassword7Qx2"),
    ("SOURCE_KEY", "plantedSourceKey7Qx3"),
    ("SOURCE_HEADER", "plantedSourceHeader7Qx4"),
    ("SOURCE_QUERY", "plantedSourceQuery7Qx5"),
    ("HOOK_SIGNING", "whsec_cGxhbnRlZFNpZ25pbmdTZWNyZXRPbmUxMjM0NTY3"),
    ("HOOK_BEARER", "plantedHookBearer7Qx7"),
    ("HOOK_HEADER", "plantedHookHeader7Qx8"),
    ("HOOK_PASSWORD", "plantedHookPassword7Qx9"),
    ("HOOK_CLIENT", "plantedClientSecret7Qxa"),
    // Those that the API is given in a request, as they are.
    ("API_SIGNING", "whsec_cGxhbnRlZFNpZ25pbmdTZWNyZXRUd28xMjM0NTY3"),
    ("API_BEARER", "plantedApiBearer7Qxc"),
    ("API_HEADER", "plantedApiHeader7Qxd"),
    ("MASTER_KEY", "cGxhbnRlZE1hc3RlcktleTdReGhwbGFudGVkTWFzdGU="),
    // As a key that no relay has.
    ("WRONG_KEY", "mk_wrongkey_plantedWrongKey7QxePlantedWrongKey7QxePlanted"),
];

/// Of the rest, what is only in the second relay.
pub(super) const STORE: (&str, &str) = ("STORE_PASSWORD", "plantedStorePassword7Qxf");
pub(super) const PROXY: (&str, &str) = ("PROXY_PASSWORD", "plantedProxyPassword7Qxg");

/// The value that was planted under a name.
pub(super) fn planted(name: &str) -> &'static str {
    PLANTED.iter().find(|(known, _)| *known == name).unwrap().1
}

/// Every text by which a secret shows: as it is, and with a user in the way of `Basic`.
pub(super) fn shapes() -> Vec<(&'static str, String)> {
    let plain =
        PLANTED.iter().chain([&STORE, &PROXY]).map(|(name, value)| (*name, (*value).to_owned()));
    // base64 of `me:…`, which a header has, is told by its part that stands for the password.
    let basic = [
        ("SOURCE_PASSWORD", "bWU6cGxhbnRlZFNvdXJjZVBhc3N3b3JkN1F4"),
        ("HOOK_PASSWORD", "bWU6cGxhbnRlZEhvb2tQYXNzd29yZDdReD"),
    ];
    plain.chain(basic.map(|(name, value)| (name, value.to_owned()))).collect()
}

/// Gives them: one half by the environment, the other by files.
pub(super) fn give(place: &mut Place) {
    for (name, value) in PLANTED {
        place.env(name, value);
        std::fs::write(place.path(name), value).unwrap();
    }
}

/// Sources and subscriptions that fail in every way: `ends` are name and URL, without a query.
pub(super) fn yaml(ends: &[(String, String)], token_url: &str) -> String {
    let auths = [
        "auth: { bearer: { env: SOURCE_BEARER } }",
        "auth: { basic: { user: me, password: { file: SOURCE_PASSWORD } } }",
        "auth: { api_key: { query: api_key, value: { env: SOURCE_KEY } } }",
    ];
    let mut yaml = "topics: { orders: {} }\nsources:\n".to_owned();
    for (end, url) in ends {
        for (at, auth) in auths.iter().enumerate() {
            writeln!(
                yaml,
                "  - {{ name: {end}-{at}, topic: {end}-{at}, interval: 1s, http: {{ url: \"{url}\", id: id, \
                 items: items, timeout: 1s, {auth}, headers: {{ x-key: {{ file: SOURCE_HEADER }} }}, \
                 query: {{ sig: {{ env: SOURCE_QUERY }} }} }} }}"
            )
            .unwrap();
        }
    }
    yaml.push_str("subscriptions:\n");
    let auths = [
        "auth: { bearer: { file: HOOK_BEARER } }".to_owned(),
        "auth: { basic: { username: me, password: { env: HOOK_PASSWORD } } }".to_owned(),
        format!(
            "auth: {{ oauth2: {{ token_url: \"{token_url}\", client_id: me, client_secret: {{ file: HOOK_CLIENT }} }} }}"
        ),
    ];
    for (end, url) in ends {
        for (at, auth) in auths.iter().enumerate() {
            writeln!(
                yaml,
                "  - {{ name: {end}-{at}, topic: orders, retry: {{ schedule: [200ms] }}, webhook: {{ url: \"{url}\", \
                 timeout: 1s, secret: {{ env: HOOK_SIGNING }}, headers: {{ x-key: {{ file: HOOK_HEADER }} }}, {auth} }} }}"
            )
            .unwrap();
        }
    }
    yaml
}
