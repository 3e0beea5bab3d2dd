//! What stands around every page: its head, where one can go, and how it refreshes.

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use http::{StatusCode, header};

use super::link::Links;

/// What a page may load and where it may send: nothing but the relay's own.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A place that one can go to.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) label: &'static str,
    pub(crate) url: String,
    pub(crate) is_here: bool,
}

/// What stands around a page.
#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) title: String,
    pub(crate) link: Links,
    pub(crate) places: Vec<Place>,
    /// The call of the API that answers what the page shows.
    pub(crate) json: Option<String>,
    /// The command that shows the same.
    pub(crate) cli: Option<String>,
    /// The id of the key, when there is one.
    pub(crate) key: Option<String>,
    /// Seconds between two looks; 0: never.
    pub(crate) refresh: u32,
    /// `light`, `dark`, or empty: as the system has it.
    pub(crate) theme: &'static str,
    /// `utc`, `local` or `relative`.
    pub(crate) times: &'static str,
    pub(crate) is_read_only: bool,
}

impl Shell {
    /// Around a page that nobody in particular looks at.
    pub(crate) fn bare(title: &str, link: Links) -> Self {
        Self {
            title: title.to_owned(),
            link,
            places: Vec::new(),
            json: None,
            cli: None,
            key: None,
            refresh: 0,
            theme: "",
            times: "utc",
            is_read_only: false,
        }
    }

    /// The same with the API call, as a path, and the command that show as much.
    pub(crate) fn with(mut self, json: impl Into<String>, cli: impl Into<String>) -> Self {
        self.json = Some(self.link.to(&json.into()));
        self.cli = Some(cli.into());
        self
    }

    /// The version of the relay.
    #[expect(clippy::unused_self, reason = "templates have no other way to ask")]
    pub(crate) fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }
}

/// A page as it is answered.
pub(crate) fn answer(status: StatusCode, page: &impl Template) -> Response {
    let Ok(text) = page.render() else {
        tracing::error!(event = "console.page_failed", "a page of the console cannot be written");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let headers = [(header::CONTENT_SECURITY_POLICY, POLICY), (header::CACHE_CONTROL, "no-store")];
    (status, headers, Html(text)).into_response()
}

/// Why there is no page, as a page.
#[derive(Debug, Template)]
#[template(path = "refused.html")]
pub(crate) struct RefusedPage {
    pub(crate) shell: Shell,
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    pub(crate) detail: String,
}

/// Why a page is not shown.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Somebody has to log in first.
    Login(String),
    /// As the API refuses it.
    Page(Box<RefusedPage>),
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Login(place) => redirect(&place),
            Self::Page(page) => answer(page.status, &*page),
        }
    }
}

/// Leads a browser to another page, which it asks for by GET.
pub(crate) fn redirect(place: &str) -> Response {
    let headers = [(header::LOCATION, place), (header::CACHE_CONTROL, "no-store")];
    (StatusCode::SEE_OTHER, headers).into_response()
}
