//! A producer's pages fetched with reqwest, split, and put into a raw SQLite file.

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::file::Log;
use crate::{
    measure::{Run, Watch},
    relay::place,
};

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Item<'a> {
    id: &'a str,
}

pub(super) fn run(url: &str) -> Result<Run> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(fetch(url))
}

async fn fetch(url: &str) -> Result<Run> {
    // A second call finds one installed, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build()?;
    let dir = place()?;
    let mut log = Log::create(&dir.path().join("limit.db"))?;
    let watch = Watch::start(std::process::id())?;
    let (mut after, mut events) = (String::new(), 0);
    loop {
        let answer = client.get(format!("{url}?after={after}")).send().await?;
        let body = answer.error_for_status()?.bytes().await?;
        let page: Page<'_> = serde_json::from_slice(&body)?;
        if page.items.is_empty() {
            return watch.stop(events);
        }
        let mut rows = Vec::with_capacity(page.items.len());
        for item in &page.items {
            let id = serde_json::from_str::<Item<'_>>(item.get())?.id;
            rows.push(format!(
                r#"{{"id":"{id}","source":"/bench","type":"bench.line","datacontenttype":"application/json"}}"#
            ));
            id.clone_into(&mut after);
        }
        let data = page.items.iter().map(|item| item.get().as_bytes());
        log.append(rows.iter().map(String::as_str).zip(data)).context("the file")?;
        events += rows.len() as u64;
    }
}
