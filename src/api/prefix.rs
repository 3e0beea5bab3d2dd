//! A path that a proxy puts before every path of the API.

use axum::{Router, extract::Request};
use http::{HeaderValue, Response, Uri, header, uri::PathAndQuery};
use tower::ServiceBuilder;

use super::access::Public;

/// The API as it is reached by its public address: the prefix is taken off a path, where a proxy has
/// left it, and put before the paths that an answer leads to.
pub(super) fn behind(public: &Public, router: Router) -> Router {
    let prefix = public.prefix().to_owned();
    if prefix.is_empty() {
        return router;
    }
    let put = prefix.clone();
    let stripped = ServiceBuilder::new()
        .map_request(move |request: Request| strip(request, &prefix))
        .map_response(move |response| lead(response, &put))
        .service(router);
    Router::new().fallback_service(stripped)
}

fn strip(mut request: Request, prefix: &str) -> Request {
    let asked = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    let rest =
        asked.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    let Some(rest) = rest else { return request };
    let rest = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = rest.parse().ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

fn lead<B>(mut response: Response<B>, prefix: &str) -> Response<B> {
    for (name, begin) in [(header::LOCATION, "/"), (header::LINK, "</")] {
        let given = response.headers().get(&name).and_then(|value| value.to_str().ok());
        let Some(rest) = given.and_then(|given| given.strip_prefix(begin)) else { continue };
        let led = format!("{}{prefix}/{rest}", begin.trim_end_matches('/'));
        if let Ok(led) = HeaderValue::from_str(&led) {
            response.headers_mut().insert(name, led);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn a_prefix_is_taken_off_whole() {
        for (asked, left) in [
            ("/milkrun/v1/topics?limit=1", "/v1/topics?limit=1"),
            ("/milkrun", "/"),
            ("/milkrun?a=1", "/?a=1"),
            ("/milkrun/", "/"),
            // A proxy has taken it off.
            ("/v1/topics", "/v1/topics"),
            ("/milkruns/v1", "/milkruns/v1"),
        ] {
            let request = Request::builder().uri(asked).body(Body::empty()).unwrap();
            assert_eq!(strip(request, "/milkrun").uri().to_string(), left, "{asked}");
        }
    }

    #[test]
    fn an_answer_leads_behind_the_prefix() {
        let response = Response::builder()
            .header("location", "/v1/subscriptions/a")
            .header("link", "</v1/topics?after=a>; rel=\"next\"")
            .body(())
            .unwrap();
        let led = lead(response, "/milkrun");
        assert_eq!(led.headers()["location"], "/milkrun/v1/subscriptions/a");
        assert_eq!(led.headers()["link"], "</milkrun/v1/topics?after=a>; rel=\"next\"");
        let elsewhere =
            Response::builder().header("location", "https://a.example/").body(()).unwrap();
        assert_eq!(lead(elsewhere, "/milkrun").headers()["location"], "https://a.example/");
    }
}
