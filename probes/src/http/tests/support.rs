//! A producer that is a function, and a walk over it.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use jiff::Timestamp;
use serde_json::{Value, json};
use tower::util::BoxCloneSyncService;
use url::Url;

use crate::{
    Ask, Budget, Failure, FieldErrors, Network, Next, Page, Probe as _, Rejected, Walk,
    http::{HttpProbe, Spec},
};

/// What a test asks of a producer, and what it answers.
pub(super) type Asked = Request<Bytes>;

/// A producer: what it was asked, in order.
#[derive(Clone)]
pub(super) struct Producer {
    pub(super) network: Network,
    pub(super) asked: Arc<Mutex<Vec<Asked>>>,
}

impl Producer {
    pub(super) fn new(answer: impl Fn(&Asked) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (Arc::new(answer), asked.clone());
        let service = tower::service_fn(move |request: Asked| {
            log.lock().unwrap().push(request.clone());
            let answer = answer(&request);
            async move {
                let body = |bytes| Full::new(bytes).map_err(|never| match never {}).boxed_unsync();
                Ok::<_, std::io::Error>(answer.map(body))
            }
        });
        Self { network: BoxCloneSyncService::new(service), asked }
    }

    /// The queries asked so far; forgets them.
    pub(super) fn queries(&self) -> Vec<String> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.iter().map(|request| request.uri().query().unwrap_or("").to_owned()).collect()
    }
}

/// A whole walk.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) ids: Vec<String>,
    pub(super) rejected: Vec<Rejected>,
    pub(super) errors: FieldErrors,
    pub(super) end: Option<Walk>,
}

impl Walked {
    pub(super) fn stopped_by(&self) -> &'static str {
        self.end.as_ref().unwrap().stopped_by
    }

    /// Whether a warning of the walk says so.
    pub(super) fn warns(&self, text: &str) -> bool {
        self.end.as_ref().unwrap().warnings.iter().any(|warning| warning.contains(text))
    }

    pub(super) fn cursor(&self) -> String {
        self.end.as_ref().unwrap().cursor.clone()
    }

    pub(super) fn value(&self) -> Option<String> {
        let cursor: Value = serde_json::from_str(&self.cursor()).unwrap();
        cursor["value"].as_str().map(str::to_owned)
    }

    pub(super) fn gap(&self) -> Option<&'static str> {
        self.end.as_ref().unwrap().gap.as_ref().map(|gap| gap.reason)
    }
}

pub(super) fn now() -> Timestamp {
    "2026-01-31T12:00:00Z".parse().unwrap()
}

pub(super) fn spec() -> Spec {
    Spec::new(Url::parse("https://api.example.com/v1/orders?fixed=1").unwrap())
}

pub(super) fn probe(change: impl FnOnce(&mut Spec)) -> HttpProbe {
    let mut spec = spec();
    change(&mut spec);
    HttpProbe::new(spec).unwrap()
}

pub(super) async fn page(
    probe: &HttpProbe,
    producer: &Producer,
    cursor: Option<&String>,
    mark: Option<&String>,
) -> Result<Page, Failure> {
    let budget = Budget::new(64 << 20);
    probe.page(&producer.network, &budget, Ask::new(cursor, mark, now())).await
}

/// Page after page until the walk is complete.
pub(super) async fn walk(
    probe: &HttpProbe,
    producer: &Producer,
    cursor: Option<&String>,
) -> Result<Walked, Failure> {
    let (mut walked, mut mark) = (Walked::default(), None);
    for _ in 0..50 {
        let page = page(probe, producer, cursor, mark.as_ref()).await?;
        for draft in &page.drafts {
            // As the journal is numbered: an item that is listed again has its last place.
            if probe.listed() == crate::Listed::NewestFirst {
                walked.ids.retain(|id| *id != draft.id);
            }
            walked.ids.push(draft.id.clone());
        }
        walked.rejected.extend(page.rejected);
        walked.errors.join(page.field_errors);
        match page.next {
            Next::Page(next) => mark = Some(next),
            Next::Done(end) => {
                walked.end = Some(end);
                return Ok(walked);
            }
        }
    }
    panic!("the walk does not end");
}

pub(super) fn ok(body: &Value) -> Response<Bytes> {
    raw(&body.to_string())
}

pub(super) fn raw(body: &str) -> Response<Bytes> {
    let body = Bytes::copy_from_slice(body.as_bytes());
    Response::builder().header("content-type", "application/json").body(body).unwrap()
}

pub(super) fn status(code: u16) -> Response<Bytes> {
    Response::builder().status(code).body(Bytes::new()).unwrap()
}

/// Items with the given ids.
pub(super) fn items(ids: impl IntoIterator<Item = u64>) -> Value {
    ids.into_iter().map(|id| json!({ "id": id })).collect()
}

pub(super) fn query(request: &Asked, name: &str) -> Option<String> {
    let url = Url::parse(&format!("http://x/?{}", request.uri().query().unwrap_or(""))).unwrap();
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
