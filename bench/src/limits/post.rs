//! Signed POSTs over bare hyper connections in a loop.

use std::{
    net::SocketAddr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use sha2::Sha256;
use tokio::{net::TcpStream, runtime::Builder, task::JoinSet};

use crate::{
    event::{Ids, Sheet},
    measure::{Run, Watch},
    relay::SECRET,
};

/// One connection with what is sent over it.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    mac: Hmac<Sha256>,
    address: SocketAddr,
    body: Bytes,
    batch: u64,
    ids: Ids,
}

impl Connection {
    async fn open(address: SocketAddr, batch: u64) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let secret = BASE64_STANDARD.decode(SECRET.trim_start_matches("whsec_"))?;
        let count = usize::try_from(batch)?;
        let mut ids = Ids::fresh();
        let mut sheet = if count == 1 { Sheet::publish_one() } else { Sheet::publish(count) };
        // What the relay adds to an event is sent too.
        let mut body = sheet.fill(&mut ids).to_vec();
        body.resize(body.len() + count * 130, b' ');
        let mac = Hmac::new_from_slice(&secret)?;
        Ok(Self { sender, mac, address, body: body.into(), batch, ids })
    }

    /// Signs and sends one request, and reads its answer.
    async fn post(&mut self) -> Result<()> {
        let id = self.ids.text();
        let timestamp = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let mut mac = self.mac.clone();
        mac.update(id.as_bytes());
        mac.update(format!(".{timestamp}.").as_bytes());
        mac.update(&self.body);
        let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
        let request = Request::post("/hook")
            .header(header::HOST, self.address.to_string())
            .header(header::USER_AGENT, "bench")
            .header(header::CONTENT_TYPE, "application/cloudevents+json; charset=utf-8")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", format!("v1,{signature}"))
            .header("milkrun-topic", "bench")
            .header("milkrun-subscription", "bench")
            .header("milkrun-version", "1234567")
            .header("milkrun-attempt", "1")
            .header("milkrun-previous", "1234566")
            .header("milkrun-count", self.batch)
            .header("traceparent", "00-0123456789abcdef0123456789abcdef-0123456789abcdef-00")
            .body(Full::new(self.body.clone()))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        ensure!(answer.status().is_success(), "{}", answer.status());
        answer.into_body().collect().await?;
        Ok(())
    }
}

/// As many threads as the relay has for deliveries.
fn runtime() -> Result<tokio::runtime::Runtime> {
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get() / 2);
    Ok(match threads {
        0 | 1 => Builder::new_current_thread().enable_all().build()?,
        _ => Builder::new_multi_thread().worker_threads(threads).enable_all().build()?,
    })
}

pub(super) fn run(address: SocketAddr, events: u64, batch: u64, connections: u64) -> Result<Run> {
    runtime()?.block_on(async {
        let mut tasks = JoinSet::new();
        let requests = events / batch;
        let mut open = Vec::new();
        for _ in 0..connections {
            open.push(Connection::open(address, batch).await?);
        }
        let watch = Watch::start(std::process::id())?;
        for (number, mut connection) in (0..).zip(open) {
            let own = requests / connections + u64::from(number < requests % connections);
            tasks.spawn(async move {
                for _ in 0..own {
                    connection.post().await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        watch.stop(requests * batch)
    })
}

/// How long each request took, in seconds.
pub(super) fn pace(address: SocketAddr, events: u64, rate: u64) -> Result<Vec<f64>> {
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut connection = Connection::open(address, 1).await?;
        let mut beat = tokio::time::interval(Duration::from_secs(1) / u32::try_from(rate)?);
        let mut took = Vec::new();
        for _ in 0..events {
            beat.tick().await;
            let began = Instant::now();
            connection.post().await?;
            took.push(began.elapsed().as_secs_f64());
        }
        Ok(took)
    })
}
