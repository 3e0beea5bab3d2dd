//! One request of a browser: who it is, and what the API answers to it.
//!
//! A page asks the API's own routes within the process, as its visitor: so the gate of the API decides,
//! its changes are logged and told with the key's id, and a page cannot disagree with what "as JSON"
//! shows.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::FromRequestParts,
    response::Response,
};
use http::{Method, Request, StatusCode, header, request::Parts};
use http_body_util::BodyExt as _;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tower::ServiceExt as _;

use super::{
    chart::{Chart, Drawn},
    json::Text,
    link::{Links, segment},
    session::{Cookie, Sessions, value},
    shell::{self, Place, Refused, RefusedPage, Shell},
};
use crate::{
    api::{self, ApiState, Caller, problem::Problem},
    event::Micros,
};

/// A call that changes nothing, although it has a body.
const TRIALS: &str = "/v1/trials";
/// The most that one answer of the API may come to: a page of events, and one more.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// What every page is handed.
#[derive(Clone)]
pub(crate) struct Console {
    pub(crate) api: ApiState,
    pub(crate) inside: Router,
    pub(crate) sessions: Sessions,
    pub(crate) link: Links,
    pub(crate) is_read_only: bool,
}

/// Who looks at a page.
pub(crate) struct Visit {
    console: Console,
    caller: Caller,
    /// When the page was asked for.
    pub(crate) now: Micros,
    path: String,
    theme: &'static str,
    times: &'static str,
    refresh: u32,
}

/// What the API said instead of doing it.
#[derive(Debug, Deserialize)]
pub(crate) struct Told {
    #[serde(default)]
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) detail: String,
}

impl Told {
    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl FromRequestParts<Console> for Visit {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Refused> {
        let here = parts.uri.path_and_query().map_or("/console/", |path| path.as_str()).to_owned();
        let cookie = Cookie::of(api::scheme(&parts.headers, &parts.uri));
        let token = cookie.token(&parts.headers);
        let steady = console.api.clock.steady();
        let key = token.as_deref().and_then(|token| console.sessions.key(token, steady));
        let caller = console.api.gate.visitor(console.api.access, key.as_ref());
        let chosen = |name: &str, known: &[&'static str]| {
            let given = value(&parts.headers, name);
            known.iter().copied().find(|known| given.as_deref() == Some(*known))
        };
        let visit = |caller| Self {
            console: console.clone(),
            caller,
            now: console.api.clock.now(),
            path: parts.uri.path().to_owned(),
            theme: chosen("milkrun-theme", &["light", "dark"]).unwrap_or_default(),
            times: chosen("milkrun-times", &["local", "relative"]).unwrap_or("utc"),
            refresh: chosen("milkrun-refresh", &["2", "5", "30", "0"])
                .and_then(|seconds| seconds.parse().ok())
                .unwrap_or(5),
        };
        let login = || {
            let next = if parts.method == Method::GET { &*here } else { "/console/" };
            Refused::Login(format!("/console/login?next={}", segment(next)))
        };
        match caller {
            Ok(Caller::Nobody) => Err(login()),
            Ok(caller) => Ok(visit(caller)),
            Err(problem) if problem.status == StatusCode::UNAUTHORIZED => Err(login()),
            Err(problem) => Err(refused(Shell::bare("Not now", console.link.clone()), problem)),
        }
    }
}

/// A problem as a page.
fn refused(shell: Shell, problem: Problem) -> Refused {
    let told = Told {
        status: problem.status.as_u16(),
        code: problem.code.to_owned(),
        detail: problem.detail,
    };
    page_of(shell, &told)
}

fn page_of(shell: Shell, told: &Told) -> Refused {
    Refused::Page(Box::new(RefusedPage {
        shell,
        status: told.status(),
        code: told.code.clone(),
        detail: Text::new(&told.detail).to_string(),
    }))
}

impl Visit {
    /// Makes URLs.
    pub(crate) fn link(&self) -> &Links {
        &self.console.link
    }

    /// Whether nothing may be changed here, whatever a key is good for.
    pub(crate) fn is_read_only(&self) -> bool {
        self.console.is_read_only
    }

    /// Whether the visitor may do this: a route of the API with the segments of its path.
    pub(crate) async fn may(&self, call: (Method, &str), params: &[(&str, &str)]) -> bool {
        let (method, route) = call;
        let changes = method != Method::GET;
        let is_open = !(changes && self.is_read_only());
        is_open && api::may(&self.console.api, &self.caller, (&method, route), params).await
    }

    /// Asks the API.
    ///
    /// # Errors
    /// What it says instead of doing it.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Bytes, Told> {
        let posts = method != Method::GET;
        if posts && path != TRIALS && self.is_read_only() {
            let detail = "`console.read_only` is set: this console changes nothing";
            let detail = detail.to_owned();
            return Err(Told { status: 403, code: "forbidden".to_owned(), detail });
        }
        let mut request = Request::builder().method(method).uri(path);
        if posts {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let failed = |detail: &str| Told {
            status: 500,
            code: "internal".to_owned(),
            detail: detail.to_owned(),
        };
        let mut request = request.body(body).map_err(|_| failed("this is no path of the API"))?;
        request.extensions_mut().insert(self.caller.clone());
        let Ok(response) = self.console.inside.clone().oneshot(request).await;
        let status = response.status();
        let body = http_body_util::Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        let bytes = body.collect().await.map_err(|_| failed("the answer is too large to show"))?;
        let bytes = bytes.to_bytes();
        if status.is_success() {
            return Ok(bytes);
        }
        let told = serde_json::from_slice(&bytes).unwrap_or_else(|_| failed("the API failed"));
        Err(Told { status: status.as_u16(), ..told })
    }

    /// What the API answers to a GET, as a page needs it.
    ///
    /// # Errors
    /// The page that says why not.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Refused> {
        match self.ask(Method::GET, path, None).await {
            Ok(bytes) => self.read(&bytes).await,
            Err(told) => Err(self.refuse(&told).await),
        }
    }

    /// As [`Visit::get`]; `None` when the visitor's key is not good for it.
    ///
    /// # Errors
    /// As [`Visit::get`].
    pub(crate) async fn glance<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<Option<T>, Refused> {
        match self.ask(Method::GET, path, None).await {
            Ok(bytes) => self.read(&bytes).await.map(Some),
            Err(told) if matches!(told.status, 401 | 403) => Ok(None),
            Err(told) => Err(self.refuse(&told).await),
        }
    }

    /// How metrics went; without those that the visitor's key is not good for.
    ///
    /// # Errors
    /// As [`Visit::get`].
    pub(crate) async fn charts(
        &self,
        all: &[Drawn],
        label: Option<(&str, &str)>,
    ) -> Result<Vec<Chart>, Refused> {
        let mut charts = Vec::new();
        for drawn in all {
            let series = self.glance(&drawn.path(label)).await?;
            charts.extend(series.map(|series| drawn.of(series)));
        }
        Ok(charts)
    }

    /// Leads the visitor to a link of a page.
    pub(crate) fn lead(&self, url: &str) -> Response {
        // What leads elsewhere gets the prefix on its way out, which a link has already.
        let path = url.strip_prefix(&*self.link().to("")).unwrap_or(url);
        shell::redirect(path)
    }

    /// An answer of the API as a page needs it.
    pub(crate) async fn read<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, Refused> {
        match serde_json::from_slice(bytes) {
            Ok(read) => Ok(read),
            Err(error) => {
                tracing::error!(
                    event = "console.answer_unread", %error, path = self.path,
                    "a page of the console does not understand the API"
                );
                let detail = "the console does not understand the API; the log says more";
                let code = "internal".to_owned();
                let told = Told { status: 500, code, detail: detail.to_owned() };
                Err(self.refuse(&told).await)
            }
        }
    }

    /// The page that says why not.
    pub(crate) async fn refuse(&self, told: &Told) -> Refused {
        page_of(self.shell("Not done").await, told)
    }

    /// What stands around a page of this title.
    pub(crate) async fn shell(&self, title: &str) -> Shell {
        let all = [
            ("Overview", "", None),
            ("Subscriptions", "subscriptions", Some("/v1/subscriptions")),
            ("Dead letters", "dead-letters", Some("/v1/subscriptions")),
            ("Topics", "topics", Some("/v1/topics")),
            ("Sources", "sources", Some("/v1/sources")),
            ("Find", "find", Some("/v1/topics")),
            ("System", "system", Some("/v1/cluster")),
        ];
        let mut places = Vec::new();
        for (label, path, needs) in all {
            if let Some(route) = needs
                && !self.may((Method::GET, route), &[]).await
            {
                continue;
            }
            let begins = format!("/console/{path}");
            let is_here =
                if path.is_empty() { self.path == begins } else { self.path.starts_with(&begins) };
            places.push(Place { label, url: self.link().page(path), is_here });
        }
        Shell {
            title: Text::new(title).to_string(),
            link: self.link().clone(),
            places,
            json: None,
            cli: None,
            key: self.key().map(str::to_owned),
            refresh: self.refresh,
            theme: self.theme,
            times: self.times,
            is_read_only: self.is_read_only(),
        }
    }

    fn key(&self) -> Option<&str> {
        match &self.caller {
            Caller::Holder(key) => Some(key.id.as_str()),
            Caller::Anybody | Caller::Nobody => None,
        }
    }
}
