//! Servers that do the least: a route that stores nothing, and pages straight from the file.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context as _, Result};
use axum::{Router, routing::post};
use bytes::Bytes;
use sqlx::{ConnectOptions as _, Row as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{
    file::{PAGE, PAGE_SQL, TOPIC_BITS},
    tell,
};

/// As a publish of one event is answered.
const PLACED: &str =
    r#"{"events":[{"version":1234567,"epoch":"0123abcd","duplicate":false}],"durability":"disk"}"#;

pub(super) fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

pub(super) async fn listen() -> Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address: SocketAddr = listener.local_addr()?;
    tell(&address)?;
    Ok(listener)
}

/// Reads a body, stores nothing.
pub(super) fn route() -> Result<()> {
    runtime()?.block_on(async {
        let placed = async |body: Bytes| {
            let head = [("content-type", "application/json")];
            (head, if body.is_empty() { "" } else { PLACED })
        };
        let router = Router::new().route("/v1/topics/{topic}/events", post(placed));
        axum::serve(listen().await?, router).await?;
        Ok(())
    })
}

/// Answers `GET …?after=VERSION…` with a page of rows, their columns one after the other.
pub(super) fn pages(path: &Path) -> Result<()> {
    runtime()?.block_on(async {
        let listener = listen().await?;
        loop {
            let (stream, _) = listener.accept().await?;
            let options = SqliteConnectOptions::new().filename(path).read_only(true);
            let mut conn = options.disable_statement_logging().connect().await?;
            let row = sqlx::query("SELECT max(slot) FROM events").fetch_one(&mut conn).await?;
            let file = File { conn, topic: row.get::<i64, _>(0) >> TOPIC_BITS };
            // A client that breaks off is no concern of the server.
            tokio::spawn(async move { serve(stream, file).await.ok() });
        }
    })
}

/// Where pages come from.
pub(super) trait Pages: Send {
    /// The page behind a version.
    fn page(&mut self, after: i64) -> impl Future<Output = Result<Vec<u8>>> + Send;
}

/// The relay's file.
struct File {
    conn: SqliteConnection,
    topic: i64,
}

impl Pages for File {
    async fn page(&mut self, after: i64) -> Result<Vec<u8>> {
        let slot = |version: i64| (self.topic << TOPIC_BITS) | version;
        let rows = sqlx::query(PAGE_SQL);
        let rows = rows.bind(slot(after + 1)).bind(slot((1 << TOPIC_BITS) - 1)).bind(PAGE);
        let rows = rows.fetch_all(&mut self.conn).await?;
        let mut body: Vec<u8> = Vec::with_capacity(rows.len() * 1_200);
        for row in &rows {
            body.extend_from_slice(row.get::<&str, _>(2).as_bytes());
            body.extend_from_slice(row.get::<&[u8], _>(4));
            body.push(b'\n');
        }
        Ok(body)
    }
}

/// Answers each request of a connection with the page behind what it names.
pub(super) async fn serve(mut stream: TcpStream, mut pages: impl Pages) -> Result<()> {
    stream.set_nodelay(true)?;
    let (mut read, mut filled) = (vec![0; 8 << 10], 0);
    loop {
        while memchr::memmem::find(&read[..filled], b"\r\n\r\n").is_none() {
            let count = stream.read(&mut read[filled..]).await?;
            anyhow::ensure!(count > 0, "the end");
            filled += count;
        }
        let head = std::str::from_utf8(&read[..filled])?;
        let after = head.split("after=").nth(1).context("after")?;
        let after: i64 = after.split(['&', ' ']).next().unwrap_or_default().parse()?;
        filled = 0;
        let body = pages.page(after).await?;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body).await?;
    }
}
