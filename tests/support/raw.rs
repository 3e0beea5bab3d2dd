//! A producer on loopback whose answers are bytes, for what no HTTP library would send; it keeps
//! every request as it was sent.

use std::{
    fmt,
    future::pending,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Instant,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::{LONG, eventually};

/// One request, byte for byte.
#[derive(Clone)]
pub(crate) struct Sent {
    /// `GET`
    pub method: String,
    /// The target of its request line.
    pub target: String,
    /// Names in their own case, and values.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
    /// When its head had arrived.
    pub at: Instant,
}

impl Sent {
    /// Method, target and body, as expectations have them.
    pub(crate) fn line(&self) -> String {
        format!("{} {} {}", self.method, self.target, self.body).trim_end().to_owned()
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(value)
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line())
    }
}

type Script = dyn Fn(&Sent, &str) -> Option<Vec<u8>> + Send + Sync;

/// Serves until dropped.
pub(crate) struct Raw {
    address: SocketAddr,
    sent: Arc<Mutex<Vec<Sent>>>,
    task: JoinHandle<()>,
}

impl Raw {
    /// Serves what `script` says of a request and of its own origin; a request of which it says
    /// nothing is never answered.
    pub(crate) async fn start<F>(script: F) -> Self
    where
        F: Fn(&Sent, &str) -> Option<Vec<u8>> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script: Arc<Script> = Arc::new(script);
        let sent: Arc<Mutex<Vec<Sent>>> = Arc::default();
        let log = sent.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, script.clone(), log.clone(), address));
            }
        });
        Self { address, sent, task }
    }

    /// The URL of `path` on it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Every request so far.
    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    /// The targets of every request so far.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.sent().into_iter().map(|sent| sent.target).collect()
    }

    /// Waits until there were so many requests.
    pub(crate) async fn until_sent(&self, count: usize) {
        let what = format!("{count} requests within {LONG:?}");
        eventually(&what, || async { (self.sent().len() >= count).then_some(()) }).await;
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers the requests of one connection, until an answer has no length or the client goes.
async fn serve(
    stream: TcpStream,
    script: Arc<Script>,
    log: Arc<Mutex<Vec<Sent>>>,
    address: SocketAddr,
) {
    let mut stream = BufReader::new(stream);
    while let Some(sent) = request(&mut stream).await {
        let answer = script(&sent, &format!("http://{address}"));
        log.lock().unwrap().push(sent);
        let Some(answer) = answer else {
            pending::<()>().await;
            return;
        };
        let ended = stream.get_mut().write_all(&answer).await;
        let head = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(answer.len());
        let head = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
        if ended.is_err() || !head.contains("content-length:") {
            return;
        }
    }
}

async fn request(stream: &mut BufReader<TcpStream>) -> Option<Sent> {
    let mut first = String::new();
    stream.read_line(&mut first).await.ok()?;
    let mut words = first.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut sent = Sent { method, target, headers, body: String::new(), at: Instant::now() };
    let length = sent.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    sent.body = String::from_utf8(body).unwrap();
    Some(sent)
}

/// An answer as it is kept in a file, ready to be sent: `{{BASE}}` is the server's origin, ends of
/// lines in the head become CRLF, and `Content-Length: auto` is filled in.
pub(crate) fn recorded(file: &str, base: &str) -> Vec<u8> {
    let text = file.replace("{{BASE}}", base);
    let (head, body) = text.split_once("\n\n").expect("a head and a body");
    let length = format!("Content-Length: {}", body.len());
    let head = head.replace("Content-Length: auto", &length).replace('\n', "\r\n");
    format!("{head}\r\n\r\n{body}").into_bytes()
}

/// A JSON text as a whole answer, for [`recorded`].
pub(crate) fn json(body: &str) -> String {
    format!("HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: auto\n\n{body}")
}
