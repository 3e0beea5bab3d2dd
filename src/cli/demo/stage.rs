//! What both demonstrations stand on: ports, a secret, the log read again, the verdict.

use axum::Router;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;
use tokio::net::TcpListener;

use super::{
    super::{Failure, client::Client},
    checks::Check,
    story::{Mark, Story},
};
use crate::clock;

/// Serves on a port of its own for as long as the process lives; answers with the address.
pub(super) async fn serve(router: Router, path: &str) -> Result<String, Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(format!("http://{address}{path}"))
}

/// A signing secret as the relay would make one.
pub(super) fn secret() -> String {
    let random = [clock::fresh_uuid(), clock::fresh_uuid()].map(uuid::Uuid::into_bytes);
    format!("whsec_{}", BASE64_STANDARD.encode(random.concat()))
}

/// The log from version 1 on.
pub(super) async fn replay(client: &Client) -> Result<Vec<Value>, Failure> {
    let query = [("after", "0".to_owned()), ("limit", "1000".to_owned())];
    let page = client.get(&["v1", "topics", "orders", "events"], &query).await?;
    Ok(page["events"].as_array().cloned().unwrap_or_default())
}

/// Tells what was promised and whether it was kept; answers whether all of it was.
pub(super) fn tell(story: &Story, checks: Vec<Check>) -> Result<bool, Failure> {
    let mut kept = true;
    for check in checks {
        kept &= check.broken.is_none();
        match check.broken {
            None => story.tell(Mark::Good, "as said", &check.promise)?,
            Some(how) => story.tell(Mark::Bad, "BROKEN", &format!("{}: {how}", check.promise))?,
        }
    }
    Ok(kept)
}
