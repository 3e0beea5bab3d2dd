//! Whether the hosts of sources and webhooks are known here, may be asked, and have the same time.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt as _, stream};
use http::{Method, Request, header::DATE};
use tower::ServiceExt as _;
use url::{Host, Url};

use super::Finding;
use crate::{
    cli::failure::chain, clock::Clock, config::Config, event::Micros, outbound::Guard,
    settings::Auth,
};

/// How many hosts are asked at the same time.
const TOGETHER: usize = 16;
/// How long one is waited for.
const PATIENCE: Duration = Duration::from_secs(15);
/// Clocks further apart are bad, in seconds.
const SKEW_MAX_S: i64 = 5;

pub(super) async fn checks(config: &Config, online: bool) -> Vec<Finding> {
    let guard = config.outbound.guard();
    let has_proxy = config.outbound.proxy.is_some();
    let judged = stream::iter(hosts(config))
        .map(|(host, users)| {
            let guard = &guard;
            async move { judge(guard, &host, &users.join(", "), has_proxy).await }
        })
        .buffered(TOGETHER);
    let mut checks: Vec<Finding> = judged.collect().await;
    if online && let Ok(network) = guard.network() {
        let asked = stream::iter(producers(config))
            .map(|root| {
                let network = network.clone();
                async move { clock(network, &root).await }
            })
            .buffered(TOGETHER);
        checks.extend(asked.collect::<Vec<_>>().await);
    }
    checks
}

/// Every host that is asked, with who asks it.
fn hosts(config: &Config) -> BTreeMap<String, Vec<String>> {
    let mut hosts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut add = |url: &Url, user: String| {
        let host = url.host_str().unwrap_or_default().to_owned();
        hosts.entry(host).or_default().push(user);
    };
    for source in &config.sources {
        add(source.http.url.base(), format!("source {}", source.name));
    }
    for one in &config.subscriptions {
        let mut urls = vec![&one.settings.url];
        if let Some(Auth::OAuth2 { token_url, .. }) = &one.settings.auth {
            urls.push(token_url);
        }
        // The file was refused if one of them is no URL.
        for url in urls.into_iter().filter_map(|url| Url::parse(url).ok()) {
            add(&url, format!("subscription {}", one.name));
        }
    }
    hosts
}

async fn judge(guard: &Guard, host: &str, users: &str, has_proxy: bool) -> Finding {
    let name = format!("{host} ({users})");
    // An address was vetted with the file.
    let Ok(Host::Domain(domain)) = Host::parse(host) else {
        return Finding::good("host", name, "its address may be asked");
    };
    let found = match tokio::time::timeout(PATIENCE, guard.look_up(&domain)).await {
        Ok(found) => found.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    let found = match found {
        Ok(found) => found,
        Err(why) => {
            let remedy = if has_proxy {
                "a name is looked up here although there is a proxy: let this machine know it"
            } else {
                "correct the name, or the resolver of this machine (/etc/resolv.conf)"
            };
            return Finding::bad("host", name, why, remedy);
        }
    };
    let forbidden: Vec<String> =
        found.iter().filter(|address| !guard.permits(**address)).map(ToString::to_string).collect();
    if forbidden.is_empty() {
        let all: Vec<String> = found.iter().map(ToString::to_string).collect();
        return Finding::good("host", name, format!("may be asked at {}", all.join(", ")));
    }
    let forbidden = forbidden.join(", ");
    let remedy = "if that is meant, add these to `outbound.allow` and start the relay anew";
    Finding::bad("host", name, format!("leads to the forbidden {forbidden}"), remedy)
}

/// The root of every producer's server: nothing of a path or a query is asked for.
fn producers(config: &Config) -> Vec<Url> {
    let mut roots: Vec<Url> =
        config.sources.iter().filter_map(|one| one.http.url.base().join("/").ok()).collect();
    roots.sort();
    roots.dedup();
    roots
}

async fn clock(network: sinks::Network, root: &Url) -> Finding {
    let name = root.as_str().trim_end_matches('/').to_owned();
    let unreachable = |why: String| {
        let remedy = "see whether it runs, and whether this machine may reach it";
        Finding::bad("clock", &name, format!("does not answer: {why}"), remedy)
    };
    let request = Request::builder().method(Method::HEAD).uri(root.as_str());
    let request = match request.body(bytes::Bytes::new()) {
        Ok(request) => request,
        Err(error) => return unreachable(error.to_string()),
    };
    let wall = Clock::system();
    let asked = wall.now();
    let answer = match tokio::time::timeout(PATIENCE, network.oneshot(request)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return unreachable(chain(&error)),
        Err(_) => return unreachable(format!("nothing within {} s", PATIENCE.as_secs())),
    };
    let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok());
    judge_clock(&name, date, (asked, wall.now()))
}

/// By the `Date` of an answer, which was made in between.
fn judge_clock(name: &str, date: Option<&str>, (asked, answered): (Micros, Micros)) -> Finding {
    let Some(date) = date else { return Finding::good("clock", name, "answers, without a `Date`") };
    let Ok(there) = jiff::fmt::rfc2822::parse(date) else {
        return Finding::good("clock", name, "answers, with a `Date` that is no time");
    };
    // It has whole seconds, cut off.
    let (there, second) = (there.timestamp().as_second(), 1_000_000);
    let ahead = there - answered.0.div_euclid(second);
    let behind = asked.0.div_euclid(second) - there;
    let apart = ahead.max(behind);
    if apart <= SKEW_MAX_S {
        return Finding::good("clock", name, "goes like the one of this machine");
    }
    let which = if ahead > behind { "ahead of" } else { "behind" };
    Finding::bad(
        "clock",
        name,
        format!("its clock is {apart} s {which} the one of this machine"),
        "see by `timedatectl` whether this machine's clock is set by NTP; if it is, theirs is wrong",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_compared_with_the_time_of_the_request() {
        let at = |second: i64| Micros((1_790_000_000 + second) * 1_000_000);
        let date = "Mon, 21 Sep 2026 14:13:20 GMT";
        for (asked, answered, good) in
            [(0, 0, true), (-9, 0, true), (-10, -6, false), (5, 6, true), (6, 7, false)]
        {
            let check = judge_clock("https://a", Some(date), (at(asked), at(answered)));
            assert_eq!(check.good, good, "{asked} {answered}: {check:?}");
        }
        assert!(judge_clock("https://a", None, (at(0), at(0))).good);
        let behind = judge_clock("https://a", Some(date), (at(60), at(60))).line();
        assert!(behind.contains("its clock is 60 s behind"), "{behind}");
    }

    #[tokio::test]
    async fn a_forbidden_name_is_told_with_its_addresses() {
        let guard = Guard::new(vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
        assert!(judge(&guard, "localhost", "source a", false).await.good);
        let line = judge(&Guard::new(Vec::new()), "localhost", "source a", false).await.line();
        assert!(line.contains("forbidden") && line.contains("`outbound.allow`"), "{line}");
        assert!(line.contains("127.0.0.1") || line.contains("::1"), "{line}");
    }
}
