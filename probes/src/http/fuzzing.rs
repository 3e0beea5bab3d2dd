//! The parts of the HTTP probe that the fuzz targets call.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tower::util::BoxCloneSyncService;

use super::{
    body::{Body, clean},
    fetch,
    limits::Limits,
    link::Links,
    rules::ItemsRule,
    target::Target,
};
use crate::{Budget, extract::Path};

/// Labels that a body may come under.
const LABELS: [(&str, &str); 10] = [
    ("content-encoding", "gzip"),
    ("content-encoding", "br"),
    ("content-encoding", "zstd"),
    ("content-encoding", "deflate"),
    ("content-encoding", "gzip, br"),
    ("content-encoding", "UTF-8"),
    ("content-type", "application/json; charset=utf-16"),
    ("content-type", "application/json; charset=shift_jis"),
    ("content-type", "text/html; charset=windows-1252"),
    ("x-none", "x"),
];

pub(crate) fn links(header: &str) {
    let page = Target::parse("https://a.example/v1/list?page=1").expect("a URL");
    for link in Links::read(header).links {
        // Only these are ever asked.
        let asked = |target: &Target| matches!(target.base().scheme(), "http" | "https");
        if let Some(target) = page.join(link.target).ok().filter(asked) {
            let sent = target.to_string();
            assert!(sent.is_ascii() && !sent.contains(' '), "{sent}");
        }
    }
}

pub(crate) async fn fetch(label: u8, body: Bytes, budget: &Budget, timeout: Duration) {
    let (name, value) = LABELS[usize::from(label) % LABELS.len()];
    let network = BoxCloneSyncService::new(tower::service_fn(move |_: Request<Bytes>| {
        let body = Full::new(body.clone()).map_err(|never| match never {}).boxed_unsync();
        let answer = Response::builder().header(name, value).body(body);
        async move { answer.map_err(std::io::Error::other) }
    }));
    let request = Request::new(Bytes::new());
    let limits = Limits { decoded_bytes_max: 4 << 20, ..Limits::default() };
    let answer = fetch::fetch(&network, budget, request, &limits, None, timeout).await;
    let Ok(mut answer) = answer else { return };
    answer.text = clean(&answer.text);
    let items = Body::read(&answer).items(&ItemsRule::default(), &Path::new(""), 1_000);
    assert!(items.is_err() || items.is_ok_and(|items| items.len() <= 1_000));
}
