//! A webhook consumer that costs next to nothing: bare HTTP/1.1 on kept connections, for thousands
//! of subscriptions at one address.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// One request, as the script sees it.
#[derive(Debug)]
pub(super) struct Hook {
    /// The number that is the path: whose hook it is.
    pub whose: u32,
    /// `milkrun-version`.
    pub version: u64,
    /// `milkrun-attempt`.
    pub attempt: u32,
    /// `milkrun-replay`.
    pub replay: Option<String>,
    /// When it had arrived.
    pub arrived: Instant,
    /// The body.
    pub body: Vec<u8>,
}

/// How a request is answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said {
    /// The status; 0: the connection is closed in the place of an answer.
    pub status: u16,
    /// After so long.
    pub delay: Duration,
    /// `Retry-After`, seconds.
    pub retry_after: Option<u32>,
}

impl Said {
    /// At once, with this status.
    pub(super) const fn status(status: u16) -> Self {
        Self { status, delay: Duration::ZERO, retry_after: None }
    }

    /// With this status after so long.
    pub(super) const fn after(delay: Duration, status: u16) -> Self {
        Self { status, delay, retry_after: None }
    }
}

/// What is kept of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// As in [`Hook`].
    pub whose: u32,
    /// As in [`Hook`].
    pub version: u64,
    /// Whether a replay job sent it.
    pub replayed: bool,
    /// When it had arrived.
    pub arrived: Instant,
    /// When its answer was handed to the connection.
    pub answered: Option<Instant>,
    /// What was answered.
    pub status: u16,
}

impl Seen {
    /// Whether it was accepted, as far as the consumer knows.
    pub(super) fn accepted(&self) -> bool {
        self.answered.is_some() && (200..300).contains(&self.status)
    }
}

/// How much there was so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    /// Requests.
    pub requests: usize,
    /// Requests that were not answered yet.
    pub open: usize,
    /// Versions that were accepted, each counted once for each hook.
    pub accepted: usize,
}

type Script = dyn Fn(&Hook) -> Said + Send + Sync;

#[derive(Default)]
struct Log {
    seen: Vec<Seen>,
    accepted: HashSet<(u32, u64)>,
}

#[derive(Clone)]
struct Shared {
    script: Arc<Script>,
    log: Arc<Mutex<Log>>,
    counts: watch::Sender<Counts>,
}

/// Serves until dropped.
pub(super) struct Hooks {
    address: SocketAddr,
    task: JoinHandle<()>,
    shared: Shared,
}

impl Hooks {
    /// A consumer that answers by `script`.
    pub(super) async fn start(script: impl Fn(&Hook) -> Said + Send + Sync + 'static) -> Self {
        let counts = watch::Sender::new(Counts::default());
        let shared = Shared { script: Arc::new(script), log: Arc::default(), counts };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(accept(listener, shared.clone()));
        Self { address, task, shared }
    }

    /// The address of one hook.
    pub(super) fn url(&self, whose: u32) -> String {
        format!("http://{}/{whose}", self.address)
    }

    /// Every request so far, in order of arrival.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.shared.log.lock().unwrap().seen.clone()
    }

    /// How many there were so far.
    pub(super) fn counts(&self) -> Counts {
        *self.shared.counts.borrow()
    }

    /// Waits until the counts are as wanted.
    pub(super) async fn until(&self, limit: Duration, what: &str, wanted: impl Fn(Counts) -> bool) {
        let mut counts = self.shared.counts.subscribe();
        let wait = async { counts.wait_for(|counts| wanted(*counts)).await.map(|_| ()) };
        let in_time = tokio::time::timeout(limit, wait).await.is_ok();
        assert!(in_time, "not within {limit:?}: {what}; there were {:?}", self.counts());
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Shared) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.unwrap();
                stream.set_nodelay(true).unwrap();
                connections.spawn(serve(stream, shared.clone()));
            }
            Some(ended) = connections.join_next() => ended.unwrap(),
        }
    }
}

/// Answers one request after the other until the peer goes.
async fn serve(mut stream: TcpStream, shared: Shared) {
    let mut buffer = Vec::with_capacity(4 << 10);
    while let Some(hook) = next(&mut stream, &mut buffer).await {
        let said = (shared.script)(&hook);
        let place = shared.arrived(&hook);
        if !said.delay.is_zero() {
            tokio::time::sleep(said.delay).await;
        }
        if said.status == 0 {
            return;
        }
        shared.answered(place, said.status);
        let wait = said.retry_after.map(|wait| format!("retry-after: {wait}\r\n"));
        let wait = wait.as_deref().unwrap_or_default();
        let answer = format!("HTTP/1.1 {} X\r\n{wait}content-length: 0\r\n\r\n", said.status);
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Reads one request; what follows it stays in the buffer.
async fn next(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Hook> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = std::str::from_utf8(&buffer[..end]).unwrap();
            let length: usize = header(head, "content-length").map_or(0, |n| n.parse().unwrap());
            let whole = end + 4 + length;
            if buffer.len() >= whole {
                let body = buffer[end + 4..whole].to_vec();
                let hook = read(head, body);
                buffer.drain(..whole);
                return Some(hook);
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

fn read(head: &str, body: Vec<u8>) -> Hook {
    let path = head.split(' ').nth(1).unwrap();
    let number = |name| header(head, name).map_or(0, |text| text.parse().unwrap());
    Hook {
        whose: path.trim_start_matches('/').parse().unwrap_or(0),
        version: number("milkrun-version"),
        attempt: u32::try_from(number("milkrun-attempt")).unwrap(),
        replay: header(head, "milkrun-replay").map(str::to_owned),
        arrived: Instant::now(),
        body,
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

impl Shared {
    fn arrived(&self, hook: &Hook) -> usize {
        let mut log = self.log.lock().unwrap();
        log.seen.push(Seen {
            whose: hook.whose,
            version: hook.version,
            replayed: hook.replay.is_some(),
            arrived: hook.arrived,
            answered: None,
            status: 0,
        });
        self.counts.send_modify(|counts| {
            counts.requests += 1;
            counts.open += 1;
        });
        log.seen.len() - 1
    }

    fn answered(&self, place: usize, status: u16) {
        let mut log = self.log.lock().unwrap();
        let seen = &mut log.seen[place];
        seen.answered = Some(Instant::now());
        seen.status = status;
        let delivery = (seen.whose, seen.version);
        let fresh = (200..300).contains(&status) && log.accepted.insert(delivery);
        self.counts.send_modify(|counts| {
            counts.open -= 1;
            counts.accepted += usize::from(fresh);
        });
    }
}

/// The value below which so many in a hundred lie; `values` are sorted by this.
pub(super) fn percentile(values: &mut [Duration], percent: usize) -> Duration {
    assert!(!values.is_empty(), "nothing was measured");
    values.sort_unstable();
    values[(values.len() * percent / 100).min(values.len() - 1)]
}
