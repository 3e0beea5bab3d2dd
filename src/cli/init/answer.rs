//! What a producer answered, to be looked at.

use std::time::Duration;

use http::{HeaderMap, header};
use serde_json::Value;
use url::Url;

use super::{super::output::text, unusable};
use crate::cli::{Failure, client::builder};

/// The longest answer that is looked at.
const BYTES_MAX: usize = 64 << 20;
/// What of it is shown.
const SHOWN_CHARS: usize = 200;

/// A first page.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
    text: String,
}

impl Answer {
    /// Asks once; once more where the producer is not ready.
    pub(super) async fn get(url: &Url, headers: &[(String, String)]) -> Result<Self, Failure> {
        let mut again = 1;
        loop {
            let client = builder()
                .timeout(Duration::from_secs(30))
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .map_err(|error| unusable(url, &error))?;
            let mut request = client.get(url.clone()).header(header::ACCEPT, "application/json");
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let mut answer = request.send().await.map_err(|error| unusable(url, &error))?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            let mut bytes = Vec::new();
            while let Some(part) = answer.chunk().await.map_err(|error| unusable(url, &error))? {
                bytes.extend_from_slice(&part);
                if bytes.len() > BYTES_MAX {
                    return Err(Failure::new(format!("{url} answers more than {BYTES_MAX} bytes")));
                }
            }
            let is_late = status.as_u16() == 202 || status.as_u16() == 429;
            if is_late && again > 0 {
                again -= 1;
                tokio::time::sleep(Duration::from_secs(2)).await;
                continue;
            }
            let text = String::from_utf8_lossy(&bytes).into_owned();
            return Self::read(url, status, headers, text);
        }
    }

    fn read(
        url: &Url,
        status: http::StatusCode,
        headers: HeaderMap,
        text: String,
    ) -> Result<Self, Failure> {
        let made = Self { url: url.clone(), headers, body: Value::Null, text };
        let said = made.beginning();
        if !status.is_success() {
            let to = made.headers.get(header::LOCATION).and_then(|to| to.to_str().ok());
            let helps = match (status.as_u16(), to) {
                (_, Some(to)) => format!("; it leads to {to}: name that"),
                (401 | 403, _) => "; give it credentials by -H 'authorization: …'".to_owned(),
                _ => String::new(),
            };
            return Err(Failure::new(format!("{url} answers {status}{helps}: {said}")));
        }
        let json = made.text.trim_start_matches('\u{feff}');
        let body = probes::lenient(json).ok_or_else(|| {
            let why = serde_json::from_str::<Value>(json).err();
            let why = why.map_or_else(|| "it is too deep".to_owned(), |error| error.to_string());
            Failure::new(format!(
                "{url} answers no JSON, which is all that is polled ({why}): {said}"
            ))
        })?;
        Ok(Self { body, ..made })
    }

    /// Its first characters, for a person.
    pub(super) fn beginning(&self) -> String {
        text(&self.text.chars().take(SHOWN_CHARS).collect::<String>().into())
    }
}
