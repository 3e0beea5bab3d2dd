//! A wire between a node and its database that loses the answers to commits, or is cut.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// Which ways a wire is cut. What is under way then is lost, and so is its connection once the wire is
/// whole again; until then nobody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    No,
    Both,
    /// To the server.
    There,
    /// To the client.
    Back,
}

/// Forwards until dropped.
pub(crate) struct Proxy {
    counts: Arc<Counts>,
    cut: watch::Sender<Cut>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Counts {
    /// The answer to every so manieth commit is lost, with its connection; 0: none is.
    every: AtomicUsize,
    commits: AtomicUsize,
    lost: AtomicUsize,
}

impl Proxy {
    /// A wire to the database at `url`; answers the URL that leads through it.
    pub(crate) async fn start(url: &str) -> (Self, String) {
        let (user, rest) = url.split_once('@').expect("a user");
        let (server, database) = rest.split_once('/').expect("a database");
        let server: SocketAddr = server.parse().expect("an address");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let counts = Arc::<Counts>::default();
        let (seen, cut) = (counts.clone(), watch::Sender::new(Cut::No));
        let cuts = cut.subscribe();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, server, seen.clone(), cuts.clone()));
            }
        });
        (Self { counts, cut, task }, format!("{user}@{address}/{database}"))
    }

    /// Cuts the wire, or makes it whole.
    pub(crate) fn cut(&self, cut: Cut) {
        self.cut.send_replace(cut);
    }

    /// Loses the answer to every so manieth commit from now on; 0: to none.
    pub(crate) fn lose_every(&self, every: usize) {
        self.counts.every.store(every, SeqCst);
    }

    /// How many answers were lost.
    pub(crate) fn lost(&self) -> usize {
        self.counts.lost.load(SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection; both ways end together.
async fn forward(
    client: TcpStream,
    server: SocketAddr,
    counts: Arc<Counts>,
    cut: watch::Receiver<Cut>,
) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let losing = AtomicBool::new(false);
    let asking = async {
        let (mut said, mut bytes) = (Said::default(), [0; 16 << 10]);
        while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
            if said.has_commit(&bytes[..read]) && is_due(&counts) {
                losing.store(true, SeqCst);
            }
            if is_lost(&cut, Cut::There).await || to_server.write_all(&bytes[..read]).await.is_err()
            {
                return;
            }
        }
    };
    let answering = async {
        let mut answer = [0; 16 << 10];
        while let Ok(read @ 1..) = from_server.read(&mut answer).await {
            if losing.load(SeqCst) {
                counts.lost.fetch_add(1, SeqCst);
                return;
            }
            if is_lost(&cut, Cut::Back).await || to_client.write_all(&answer[..read]).await.is_err()
            {
                return;
            }
        }
    };
    tokio::select! { () = asking => {} () = answering => {} }
}

/// Whether what goes this way is lost; told only when the wire is whole again.
async fn is_lost(cut: &watch::Receiver<Cut>, way: Cut) -> bool {
    let mut cut = cut.clone();
    let is_cut = |cut: &Cut| *cut == Cut::Both || *cut == way;
    let is_lost = is_cut(&cut.borrow());
    if is_lost {
        let _ = cut.wait_for(|cut| !is_cut(cut)).await;
    }
    is_lost
}

fn is_due(counts: &Counts) -> bool {
    let (number, every) = (counts.commits.fetch_add(1, SeqCst) + 1, counts.every.load(SeqCst));
    every > 0 && number.is_multiple_of(every)
}

/// What a client has said, as far as it is needed to know a commit: a statement that was prepared as
/// one is bound. (PostgreSQL, "Frontend/Backend Protocol", message formats.)
#[derive(Default)]
struct Said {
    left: Vec<u8>,
    commits: HashSet<Vec<u8>>,
}

impl Said {
    fn has_commit(&mut self, bytes: &[u8]) -> bool {
        self.left.extend_from_slice(bytes);
        let mut found = false;
        loop {
            // Only what comes before a session begins has no letter, and its length begins with 0.
            let typed = usize::from(self.left.first().is_some_and(|first| *first != 0));
            let Some(length) = self.left.get(typed..typed + 4) else { return found };
            let length = u32::from_be_bytes(length.try_into().expect("four bytes"));
            let end = typed + usize::try_from(length).expect("a length");
            if self.left.len() < end {
                return found;
            }
            let message: Vec<u8> = self.left.drain(..end).collect();
            let mut texts = message[(typed + 4).min(end)..].split(|byte| *byte == 0);
            let two = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
            match message.first() {
                Some(b'P') if two.1 == b"COMMIT" => {
                    self.commits.insert(two.0.to_vec());
                }
                Some(b'B') => found |= self.commits.contains(two.1),
                _ => {}
            }
        }
    }
}
