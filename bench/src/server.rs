//! The cheapest HTTP/1.1 server that is still one: what receivers and producers are made of.
//!
//! One thread, no parsing beyond what is asked for, one write an answer.

use std::{net::SocketAddr, sync::Arc, thread};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::Builder,
};

/// What answers requests.
pub(crate) trait Answer: Send + Sync + 'static {
    /// Appends a whole response to `out`.
    fn answer(&self, request: Request<'_>, out: &mut Vec<u8>) -> impl Future<Output = ()> + Send;
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    /// The request line and the headers.
    pub head: &'a [u8],
    /// The body.
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// The value of a header, by its name in lower case and as HTTP/1 senders write it here.
    #[must_use]
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        let mut lines = self.head.split(|byte| *byte == b'\n');
        let value = lines.find_map(|line| {
            let (own, value) = line.split_at_checked(name.len())?;
            own.eq_ignore_ascii_case(name.as_bytes()).then(|| value.strip_prefix(b":")).flatten()
        })?;
        std::str::from_utf8(value).ok().map(str::trim)
    }

    /// The value of a parameter of the query.
    #[must_use]
    pub(crate) fn query(&self, name: &str) -> Option<&'a str> {
        let line = self.head.split(|byte| *byte == b'\r').next()?;
        let target = std::str::from_utf8(line).ok()?.split(' ').nth(1)?;
        let (_, query) = target.split_once('?')?;
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }
}

/// Serves on ports of its own and a thread of its own, as long as the process lives.
///
/// # Errors
/// No port or no thread is to be had.
pub(crate) fn start(service: impl Answer, ports: usize) -> Result<Vec<SocketAddr>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let service = Arc::new(service);
    let mut addresses = Vec::new();
    for _ in 0..ports {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        addresses.push(listener.local_addr()?);
        runtime.spawn(accept(listener, service.clone()));
    }
    thread::Builder::new()
        .name("server".into())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(addresses)
}

async fn accept(listener: std::net::TcpListener, service: Arc<impl Answer>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    while let Ok((stream, _)) = listener.accept().await {
        let service = service.clone();
        // A client that breaks off is no concern of the server.
        tokio::spawn(async move { serve(stream, &*service).await.ok() });
    }
}

async fn serve(mut stream: TcpStream, service: &impl Answer) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut read = vec![0; 64 << 10];
    let mut filled = 0;
    let mut out = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = memchr::memmem::find(&read[..filled], b"\r\n\r\n") {
                break end + 4;
            }
            filled += some(stream.read(&mut read[filled..]).await?)?;
        };
        let length = Request { head: &read[..head], body: &[] }.header("content-length");
        let whole = head + length.map_or(Ok(0), str::parse)?;
        if read.len() < whole {
            read.resize(whole, 0);
        }
        while filled < whole {
            filled += some(stream.read(&mut read[filled..]).await?)?;
        }
        out.clear();
        service.answer(Request { head: &read[..head], body: &read[head..whole] }, &mut out).await;
        stream.write_all(&out).await?;
        read.copy_within(whole..filled, 0);
        filled -= whole;
    }
}

fn some(count: usize) -> Result<usize> {
    (count > 0).then_some(count).context("the connection ended")
}

/// Appends a response with a JSON body.
pub(crate) fn json(out: &mut Vec<u8>, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(body);
}
