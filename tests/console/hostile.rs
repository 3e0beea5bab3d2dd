//! Foreign text in every place where it can come: it is shown, and it is text.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::support::{
    Place, Relay, Server, eventually,
    server::{answer, json as json_answer},
};

use super::rig::page;

/// Twenty payloads; each comes as it is, as the value of an attribute, and behind an end of a tag.
const BASE: [&str; 20] = [
    "<script>pwned('1')</script>",
    "<img src=x onerror=pwned(2)>",
    "<svg onload=pwned(3)>",
    "<svg><script>pwned(4)</script></svg>",
    "<iframe srcdoc='<script>parent.pwned(5)</script>'>",
    "<a href=javascript:pwned(6)>x</a>",
    "<form action=//evil.example><button id=b>go",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<base href=//evil.example/>",
    "<link rel=stylesheet href=//evil.example/a.css>",
    "<style>*{display:none}</style>",
    "<details open ontoggle=pwned(7)>",
    "<input autofocus onfocus=pwned(8)>",
    "<!--><script>pwned(9)</script>-->",
    "<template><script>pwned(10)</script></template>",
    "<object data=data:text/html,x>",
    "<math><mi xlink:href=javascript:pwned(11)>",
    "{{ 7 * 7 }}${7*7}#{7*7}",
    "&lt;script&gt;pwned(12)&lt;/script&gt;",
    "<div data-live id=attention>gone</div>",
];

/// The payloads.
pub(crate) fn payloads() -> Vec<String> {
    let forms = |base: &str| {
        [base.to_owned(), format!("\"'>{base}"), format!("</pre></textarea></title>{base}")]
    };
    BASE.iter().flat_map(|base| forms(base)).collect()
}

/// A relay to which everybody is hostile.
pub(crate) struct Hostile {
    pub(crate) place: Place,
    relay: Relay,
    _server: Server,
    /// Versions of topic `orders`, one a payload.
    pub(crate) count: u64,
}

impl Hostile {
    pub(crate) async fn start() -> Self {
        let all = payloads();
        let server = server(all.clone()).await;
        let place = Place::new(&format!(
            "topics: {{ orders: {{ dedupe: {{ age: 0s }} }} }}\n\
             sources: [{{ name: shop, topic: sales, http: {{ url: \"{}\", id: id, key: id, type: id }} }}]\n\
             subscriptions:\n  - {{ name: hook, topic: orders, retry: {{ never_retry: [400] }}, \
             webhook: {{ url: \"{}\" }} }}\n",
            server.url("/list"),
            server.url("/refuse"),
        ));
        let relay = place.start().await;
        for (at, text) in all.iter().enumerate() {
            let event = json!({ "specversion": "1.0", "id": format!("{text}{at}"), "source": "/x",
                "type": text, "subject": text, "partitionkey": text, "traceparent": text,
                "data": { text: text, "list": [text, at] } });
            let sent = relay.api().event("orders", event.to_string());
            relay.api().send(sent).await.ok();
        }
        let count = all.len() as u64;
        eventually("everything is refused", || async {
            let hook = relay.api().get("/v1/subscriptions/hook").await.ok();
            let source = relay.api().get("/v1/topics/sales").await.ok();
            (hook["dead_letters"] == count && source["head"] == count).then_some(())
        })
        .await;
        Self { place, relay, _server: server, count }
    }

    pub(crate) async fn stop(self) {
        assert!(self.relay.stop().await.success());
    }

    /// The pages that have foreign text.
    pub(crate) fn pages(&self) -> Vec<String> {
        let listed = [
            "",
            "subscriptions/hook",
            "topics/orders",
            "topics/sales",
            "sources/shop",
            "dead-letters?of=hook",
        ];
        let mut pages: Vec<String> = listed.map(str::to_owned).to_vec();
        pages.extend((1..=self.count).map(|version| format!("topics/orders/events/{version}")));
        pages
    }
}

async fn server(all: Vec<String>) -> Server {
    let items: Vec<Value> = all.iter().map(|text| json!({ "id": text, "text": text })).collect();
    let items = Value::from(items).to_string();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let next = std::sync::Arc::new(next);
    Server::start(move |request| {
        let (all, items, next) = (all.clone(), items.clone(), next.clone());
        async move {
            if request.parts.uri.path() == "/list" {
                return json_answer(items);
            }
            let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            answer(400, &[("content-type", "text/html")], all[at % all.len()].clone())
        }
    })
    .await
}

/// The text of a page as a reader sees it: without its tags, entities as what they mean.
fn text_of(body: &str) -> String {
    let mut text = String::new();
    for part in body.split('<') {
        let _ = write!(text, "{}", part.split_once('>').map_or("", |(_, text)| text));
    }
    let entities = [
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
    ];
    let plain = entities.iter().fold(text, |text, (entity, plain)| text.replace(entity, plain));
    plain.replace("&#38;", "&").replace("&amp;", "&")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_text_is_shown_as_text() {
    let hostile = Hostile::start().await;
    let all = payloads();
    for path in hostile.pages() {
        let shown = page::get(&hostile.place.base(), &format!("/console/{path}"), &[]).await;
        assert_eq!(shown.status, 200, "{path}: {shown:?}");
        for text in all.iter().filter(|text| text.contains('<')) {
            assert!(!shown.body.contains(text.as_str()), "{path} has {text} as it is");
        }
        if let Some(version) = path.strip_prefix("topics/orders/events/") {
            let text = &all[version.parse::<usize>().unwrap() - 1];
            let seen = text_of(&shown.body);
            let times =
                seen.matches(&**text).count() + seen.matches(&text.replace('"', "\\\"")).count();
            assert!(times >= 5, "{path} shows {text} {times} times: {seen}");
        }
    }
    hostile.stop().await;
}
