//! The byte budget: what is held for clients, and for how long.

use futures_util::StreamExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::{serving::impatient_with, *};

/// A text event of about so many bytes.
fn large(id: u32, bytes: usize) -> String {
    let mut event = event(id);
    event["data"] = json!("x".repeat(bytes));
    event.to_string()
}

async fn relay(bytes_max: usize) -> Relay {
    Relay::with(Limits { bytes_max, ..Limits::default() }).await
}

#[tokio::test]
async fn bodies_count_until_they_are_answered() {
    let relay = relay(1 << 20).await;
    let publish = |body: Body| {
        let request = request(Method::POST, "/v1/topics/orders/events");
        request.header("content-type", crate::wire::STRUCTURED).body(body).unwrap()
    };
    let begun = futures_util::stream::iter([Ok::<_, std::io::Error>(vec![b' '; 200 << 10])]);
    let never = begun.chain(futures_util::stream::pending());
    let mut slow = Box::pin(relay.call(publish(Body::from_stream(never))));
    assert!(futures_util::poll!(&mut slow).is_pending());
    for _ in 0..1_000 {
        if relay.budget.used() > 0 {
            break;
        }
        tokio::task::yield_now().await;
        assert!(futures_util::poll!(&mut slow).is_pending());
    }
    assert_eq!(relay.budget.used(), 400 << 10, "what was read, and as much for what is made of it");
    let second = relay.send(publish(large(1, 100 << 10).into())).await.problem(503, "busy");
    assert!(second["detail"].as_str().unwrap().contains("`limits.api_bytes_max`"), "{second}");
    let json = Body::from(vec![b' '; 100 << 10]);
    let json = relay.send(typed(Method::PUT, "/v1/topics/new").body(json).unwrap()).await;
    json.problem(503, "busy");
    // A small one has room.
    relay.send(publish(large(2, 1_000).into())).await.ok();
    let metrics = relay.get("/metrics").await;
    assert!(metrics.text().contains("milkrun_api_busy_total 2\n"), "{}", metrics.text());
    assert!(metrics.text().contains("milkrun_api_bytes 409600\n"), "{}", metrics.text());
    drop((slow, metrics));
    relay.send(publish(large(1, 100 << 10).into())).await.ok();
    assert_eq!(relay.budget.used(), 0);
}

#[tokio::test]
async fn answers_count_until_they_are_sent() {
    let relay = relay(4 << 20).await;
    for id in 1..=10 {
        relay.publish(crate::wire::STRUCTURED, large(id, 30_000)).await.ok();
    }
    for (path, accept, least) in [
        ("/v1/topics/orders/events?limit=2", "application/json", 60_000),
        ("/v1/topics/orders/events?limit=2", crate::wire::BATCH, 60_000),
        ("/v1/topics/orders/events/1", "application/json", 30_000),
        ("/openapi.json", "application/json", 10_000),
        ("/metrics", "*/*", 1_025),
    ] {
        let asked = request(Method::GET, path).header("accept", accept);
        let answer = relay.call(asked.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert!(relay.budget.used() >= least, "{path}: {}", relay.budget.used());
        drop(answer);
        assert_eq!(relay.budget.used(), 0, "{path}");
        let asked = request(Method::GET, path).header("accept-encoding", "gzip");
        let zipped = relay.call(asked.body(Body::empty()).unwrap()).await;
        assert_eq!(zipped.headers()["content-encoding"], "gzip", "{path}");
        assert!(relay.budget.used() >= least + (384 << 10), "{path}: {}", relay.budget.used());
        drop(zipped);
        assert_eq!(relay.budget.used(), 0, "{path}");
    }
    assert_eq!(relay.budget.used(), 0);
}

#[tokio::test]
async fn without_room_answers_are_refused_and_the_healthy_get_less() {
    let relay = relay(4 << 20).await;
    for id in 1..=20 {
        relay.publish(crate::wire::STRUCTURED, large(id, 30_000)).await.ok();
    }
    let path = "/v1/topics/orders/events?limit=20";
    let all = relay.get(path).await.ok().json();
    assert!(versions(&all).len() < 20 && all["next"] != Value::Null, "cut to the room there is");
    let mut stuck = Vec::new();
    let refused = loop {
        assert!(stuck.len() < 100);
        let asked = request(Method::GET, path).body(Body::empty()).unwrap();
        let answer = relay.call(asked).await;
        if !answer.status().is_success() {
            break answer;
        }
        stuck.push(answer);
    };
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (503, &"1".parse().unwrap())
    );
    assert!(stuck.len() > 20, "{}", stuck.len());
    assert!(relay.budget.used() <= 4 << 20);
    let rest = relay.budget.fill();
    relay.accept(path, "text/event-stream").await.problem(503, "busy");
    relay.get("/healthz").await.ok();
    drop((stuck, rest));
    relay.get(path).await.ok();
}

type Client = hyper::client::conn::http2::SendRequest<http_body_util::Empty<Bytes>>;

/// An HTTP/2 client that grants each stream so many bytes, and answers pings for ever.
async fn client(
    address: std::net::SocketAddr,
    window: u32,
) -> (Client, tokio::task::JoinHandle<()>) {
    let socket = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(window);
    let (client, connection) = builder.handshake(socket).await.unwrap();
    (client, tokio::spawn(async move { drop(connection.await) }))
}

async fn ask(client: &mut Client, path: &str) -> http::Response<hyper::body::Incoming> {
    client.ready().await.unwrap();
    let request = Request::get(format!("http://localhost{path}"));
    client.send_request(request.body(http_body_util::Empty::new()).unwrap()).await.unwrap()
}

async fn until_free(relay: &Relay) {
    let free = async {
        while relay.budget.used() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, free).await.expect("held for ever");
}

#[tokio::test]
async fn a_stream_whose_client_takes_nothing_is_reset_and_the_others_go_on() {
    let relay = relay(4 << 20).await;
    for id in 1..=4 {
        relay.publish(crate::wire::STRUCTURED, large(id, 1_000)).await.ok();
    }
    let server = impatient_with(relay.router.clone(), relay.budget.clone()).await;
    let (mut client, connection) = client(server.address, 0).await;
    let page = "/v1/topics/orders/events?limit=2";
    let mut stuck = vec![ask(&mut client, page).await, ask(&mut client, page).await];
    // It has told nothing yet but where it stands, and cannot even tell that.
    stuck.push(ask(&mut client, "/openapi.json").await);
    assert!(relay.budget.used() > 4_000);
    until_free(&relay).await;
    for answer in stuck {
        assert_eq!(answer.status(), 200);
        assert!(answer.into_body().collect().await.is_err(), "reset");
    }
    assert!(!connection.is_finished(), "only the streams are lost");
    let full = ask(&mut client, page).await;
    assert_eq!(full.status(), 200);
    let metrics = relay.get("/metrics").await;
    let stalled = metrics.text().lines().find(|line| line.starts_with("milkrun_api_stalled_total"));
    assert_eq!(stalled, Some("milkrun_api_stalled_total 3"));
}

/// What was handed on as a whole waits in the connection, and its stream is over.
#[tokio::test]
async fn a_connection_that_takes_nothing_of_what_it_was_handed_ends() {
    let relay = relay(4 << 20).await;
    for id in 1..=4 {
        relay.publish(crate::wire::STRUCTURED, large(id, 1_000)).await.ok();
    }
    let server = impatient_with(relay.router.clone(), relay.budget.clone()).await;
    let (mut client, connection) = client(server.address, 1).await;
    let stuck = ask(&mut client, "/v1/topics/orders/events?limit=2").await;
    assert_eq!(stuck.status(), 200);
    until_free(&relay).await;
    drop(connection);
    assert!(stuck.into_body().collect().await.is_err());
}

#[tokio::test]
async fn a_connection_has_few_streams_at_once() {
    let relay = Relay::new().await;
    let server = impatient_with(relay.router.clone(), relay.budget.clone()).await;
    let (client, _connection) = client(server.address, 65_535).await;
    let wait = "/v1/topics/orders/events?wait=30s";
    let asked: Vec<_> = (0..40)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { ask(&mut client, wait).await.status() })
        })
        .collect();
    let waiting = async {
        while !relay.get("/metrics").await.text().contains("milkrun_api_waiting 32\n") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.expect("32 at once");
    assert!(relay.get("/metrics").await.text().contains("milkrun_api_waiting 32\n"));
    asked.iter().for_each(tokio::task::JoinHandle::abort);
}
