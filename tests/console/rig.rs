//! A relay that has one thing of every kind, and a browser without a script.

use serde_json::json;

use self::page::Page;
use crate::support::{
    Api, Place, Relay, Server, eventually,
    server::{answer, header},
};

/// A relay, and who is asked and pushed to.
pub(crate) struct Rig {
    pub(crate) place: Place,
    relay: Relay,
    _hooks: Server,
}

impl Rig {
    /// With three events of topic `orders`, of which `billing` takes all, `refused` none, while the
    /// endpoint of `held` fails; and a source that fails.
    pub(crate) async fn start(yaml: &str) -> Self {
        let hooks = hooks().await;
        let subscription = |name: &str, more: &str| {
            format!(
                "  - {{ name: {name}, topic: orders, {more}webhook: {{ url: \"{}\" }} }}\n",
                hooks.url(&format!("/{name}"))
            )
        };
        let place = Place::new(&format!(
            "{yaml}topics: {{ orders: {{}} }}\n\
             sources: [{{ name: shop, topic: sales, http: {{ url: \"{}\", id: id }} }}]\n\
             subscriptions:\n{}{}{}",
            hooks.url("/fails"),
            subscription("billing", ""),
            subscription("refused", "retry: { never_retry: [400] }, "),
            subscription("held", ""),
        ));
        let relay = place.start().await;
        relay.api().publish("orders", 1, 3).await;
        let rig = Self { place, relay, _hooks: hooks };
        eventually("all that the pages are about", || async {
            let all = rig.api().get("/v1/subscriptions").await.ok();
            let one = |name: &str| {
                let all = all["subscriptions"].as_array().unwrap();
                all.iter().find(|one| one["name"] == name).unwrap().clone()
            };
            let source = rig.api().get("/v1/sources/shop").await.ok();
            let is_so = one("billing")["positions"][0]["delivered"] == 3
                && one("refused")["dead_letters"] == 3
                && one("held")["positions"][0]["exceptions"] == 3
                && source["report"].to_string().contains("503");
            is_so.then_some(())
        })
        .await;
        rig
    }

    /// The relay's API.
    pub(crate) fn api(&self) -> &Api {
        self.relay.api()
    }

    /// Where the relay is.
    pub(crate) fn base(&self) -> String {
        self.place.base()
    }

    /// A page below `/console/`.
    pub(crate) async fn get(&self, path: &str) -> Page {
        page::get(&self.base(), &format!("/console/{path}"), &[]).await
    }

    /// Sends a form as the relay's own page does.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        page::post(&self.base(), &format!("/console/{path}"), fields, &[]).await
    }

    /// A key of this scope for all topics.
    pub(crate) async fn key(&self, scope: &str, with: Option<&str>) -> String {
        let mut request = self.api().request("POST", "/v1/keys");
        if let Some(admin) = with {
            request = request.bearer_auth(admin);
        }
        let body = json!({ "owner": "team", "scopes": [scope], "topics": ["*"] });
        let request = request.header("content-type", "application/json").body(body.to_string());
        let made = self.api().send(request).await.ok();
        made["key"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
    }

    /// Ends the relay, which is no failure.
    pub(crate) async fn stop(self) {
        assert!(self.relay.stop().await.success());
    }
}

async fn hooks() -> Server {
    Server::start(|request| async move {
        match request.parts.uri.path() {
            "/refused" => answer(400, &[], "no such customer"),
            "/held" | "/fails" => answer(503, &[], "down"),
            _ => answer(204, &[], ""),
        }
    })
    .await
}

/// What a browser gets, which follows nothing by itself here.
pub(crate) mod page {
    use axum::http::HeaderMap;

    use super::header;

    /// An answer.
    #[derive(Debug)]
    pub(crate) struct Page {
        pub(crate) status: u16,
        pub(crate) headers: HeaderMap,
        pub(crate) body: String,
    }

    impl Page {
        /// A header; empty when it is not there.
        pub(crate) fn header(&self, name: &str) -> &str {
            header(&self.headers, name).unwrap_or_default()
        }

        /// The cookie that is set, as it is sent back.
        pub(crate) fn cookie(&self) -> String {
            self.header("set-cookie").split(';').next().unwrap_or_default().to_owned()
        }
    }

    /// A browser that keeps no cookies.
    pub(crate) fn client() -> reqwest::Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let none = reqwest::redirect::Policy::none();
        reqwest::Client::builder().no_proxy().redirect(none).build().unwrap()
    }

    async fn send(mut request: reqwest::RequestBuilder, headers: &[(&str, &str)]) -> Page {
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Page { status, headers, body: response.text().await.unwrap() }
    }

    pub(crate) async fn get(base: &str, path: &str, headers: &[(&str, &str)]) -> Page {
        send(client().get(format!("{base}{path}")), headers).await
    }

    pub(crate) async fn post(
        base: &str,
        path: &str,
        fields: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Page {
        send(form(&client(), &format!("{base}{path}"), fields), headers).await
    }

    /// A form that is sent.
    pub(crate) fn form(
        client: &reqwest::Client,
        url: &str,
        fields: &[(&str, &str)],
    ) -> reqwest::RequestBuilder {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        let request = client.post(url).body(body.extend_pairs(fields).finish());
        request.header("content-type", "application/x-www-form-urlencoded")
    }

    /// What stands from one text to the next.
    pub(crate) fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
        let (_, rest) = page.split_once(from).unwrap_or_else(|| panic!("{from} in {page}"));
        rest.split_once(to).map_or(rest, |(found, _)| found)
    }

    /// Where links, forms and files of the page lead.
    pub(crate) fn links(page: &str) -> Vec<&str> {
        ["href=\"", "src=\"", "action=\""]
            .iter()
            .flat_map(|name| page.split(name).skip(1))
            .filter_map(|rest| rest.split('"').next())
            .collect()
    }
}
