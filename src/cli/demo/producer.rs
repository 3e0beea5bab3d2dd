//! The producer of the demo: a shop that lists its orders, oldest first, in pages, with an `ETag`.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde_json::{Value, json};

use crate::clock::Clock;

/// What the shop knows.
#[derive(Debug, Clone)]
pub(super) struct Shop {
    orders: Arc<std::sync::Mutex<Vec<Value>>>,
    /// Requests answered so far.
    pub(super) requests: Arc<AtomicUsize>,
    /// Those answered with 304.
    pub(super) unchanged: Arc<AtomicUsize>,
}

/// Orders on one page.
const PAGE: usize = 4;
const CUSTOMERS: [&str; 4] = ["ada", "grace", "edsger", "barbara"];

#[derive(serde::Deserialize)]
struct After {
    after: Option<String>,
}

impl Shop {
    pub(super) fn new() -> Self {
        Self { orders: Arc::default(), requests: Arc::default(), unchanged: Arc::default() }
    }

    /// Takes the next order.
    pub(super) fn order(&self, clock: &Clock) {
        if let Ok(mut orders) = self.orders.lock() {
            let number = orders.len() + 1;
            orders.push(json!({
                "id": format!("order-{number:03}"),
                "customer": CUSTOMERS[number % CUSTOMERS.len()],
                "cents": 1_000 + number * 77 % 5_000,
                "placed": clock.now().to_string(),
            }));
        }
    }

    /// How many orders there are.
    pub(super) fn count(&self) -> usize {
        self.orders.lock().map_or(0, |orders| orders.len())
    }

    /// The ids of its orders, the oldest first.
    pub(super) fn ids(&self) -> Vec<String> {
        let orders = self.orders.lock().map(|orders| orders.clone()).unwrap_or_default();
        orders.iter().filter_map(|order| order["id"].as_str()).map(str::to_owned).collect()
    }

    pub(super) fn router(&self) -> Router {
        Router::new().route("/orders", get(list)).with_state(self.clone())
    }
}

async fn list(
    State(shop): State<Shop>,
    Query(query): Query<After>,
    headers: HeaderMap,
) -> Response {
    shop.requests.fetch_add(1, Ordering::Relaxed);
    let orders = shop.orders.lock().map(|orders| orders.clone()).unwrap_or_default();
    let first = query.after.as_ref().and_then(|id| orders.iter().position(|one| one["id"] == **id));
    let first = first.map_or(0, |index| index + 1);
    let page: Vec<&Value> = orders.iter().skip(first).take(PAGE).collect();
    let etag = format!("\"{first}-{}\"", orders.len());
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == etag.as_str()) {
        shop.unchanged.fetch_add(1, Ordering::Relaxed);
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response();
    }
    let more = first + page.len() < orders.len();
    let next = page.last().filter(|_| more).and_then(|last| last["id"].as_str());
    let next = next.map(|id| format!("/orders?after={id}"));
    ([(header::ETAG, etag)], Json(json!({ "orders": page, "next": next }))).into_response()
}
