//! The server that this node works with: looked at on every new connection, and looked for anew
//! while connected, for a primary that was cut off answers as if it were one.

use std::{sync::Arc, time::Duration};

use parking_lot::RwLock;
use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    history,
    primary::{About, Hosts, Primary, ask},
};
use crate::{
    clock,
    store::{Durability, Options, StoreError, Troubles, trouble::NOT_REPLICATED},
};

/// How often the primary is looked for among several hosts.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A connection that nobody used for so long is asked first whether it is alive.
const IDLE: Duration = Duration::from_secs(1);
/// How long a free connection is waited for.
const ACQUIRE: Duration = Duration::from_secs(5);
/// The trouble of a server that is not what it should be.
const REFUSED: &str = "database_refused";

/// Of connections that write. No statement is cancelled, for a cancelled commit may end with success
/// without being on a second machine; who waits for a lock gives up, and a node that is cut off loses
/// its locks.
pub(super) const WRITES: [(&str, &str); 6] = [
    ("client_min_messages", "warning"),
    ("lock_timeout", "5s"),
    ("statement_timeout", "0"),
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
];

/// The server that this node works with.
pub(super) struct Server {
    hosts: Hosts,
    durability: Durability,
    term: Duration,
    now: RwLock<Target>,
    /// Somebody found that it is not the primary any more.
    doubted: Notify,
    pub(super) troubles: Troubles,
}

/// Where connections lead at present.
#[derive(Clone)]
struct Target {
    connect: PgConnectOptions,
    timeline: i64,
    /// Connections from before lead elsewhere.
    since: Instant,
    /// What the server said of itself last.
    about: Option<About>,
}

impl Server {
    pub(super) fn new(hosts: Hosts, primary: Primary, options: &Options) -> Arc<Self> {
        let Primary { connect, about } = primary;
        let now =
            Target { connect, timeline: about.timeline, since: clock::instant(), about: None };
        Arc::new(Self {
            hosts,
            durability: options.durability,
            term: options.term,
            now: RwLock::new(now),
            doubted: Notify::new(),
            troubles: Troubles::default(),
        })
    }

    /// Connections for everything but the lanes and the trace.
    pub(super) fn pool(self: &Arc<Self>, connections: u32) -> PgPool {
        let (before, after) = (self.clone(), self.clone());
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE)
            .test_before_acquire(false)
            .before_acquire(move |conn, meta| {
                let is_current = before.opened_since(meta.age);
                Box::pin(async move {
                    Ok(is_current && (meta.idle_for < IDLE || conn.ping().await.is_ok()))
                })
            })
            .after_connect(move |conn, _| {
                let server = after.clone();
                Box::pin(async move {
                    let greeted = server.greet(conn).await;
                    greeted.map_err(|error| sqlx::Error::Configuration(error.into()))
                })
            })
            .connect_lazy_with(self.writing(&self.now.read().connect))
    }

    /// A connection of its own, and when it was opened.
    pub(super) async fn connect(&self) -> Result<(PgConnection, Instant), StoreError> {
        let (connect, opened) = (self.now.read().connect.clone(), clock::instant());
        let connect = self.writing(&connect);
        let mut conn = match connect.connect().await {
            Ok(conn) => conn,
            Err(error) => {
                self.doubted.notify_one();
                return Err(error.into());
            }
        };
        self.greet(&mut conn).await?;
        Ok((conn, opened))
    }

    /// With the settings of connections that write; a session that stands still within a transaction
    /// ends with the term.
    fn writing(&self, connect: &PgConnectOptions) -> PgConnectOptions {
        let idle = format!("{}ms", self.term.as_millis());
        connect.clone().options(WRITES).options([("idle_in_transaction_session_timeout", idle)])
    }

    /// Whether a connection leads where connections lead now.
    pub(super) fn is_current(&self, opened: Instant) -> bool {
        opened >= self.now.read().since
    }

    fn opened_since(&self, age: Duration) -> bool {
        age <= self.now.read().since.elapsed()
    }

    /// Whether the server of a new connection may be worked with.
    async fn greet(&self, conn: &mut PgConnection) -> Result<(), StoreError> {
        // A role or a database may say `off`: then what was acknowledged is not on a disk yet.
        let sql = "-- durable\nSELECT set_config('synchronous_commit', 'on', false) \
            WHERE current_setting('synchronous_commit') = 'off'";
        sqlx::query(sql).execute(&mut *conn).await?;
        let about = ask(conn).await?;
        let (timeline, known) = {
            let now = self.now.read();
            (now.timeline, now.about.clone())
        };
        let problem = if about.is_standby {
            Some("it is a standby".to_owned())
        } else if about.timeline != 0 && about.timeline < timeline {
            Some(format!(
                "it is a former primary: its timeline is {}, and {timeline} was seen",
                about.timeline
            ))
        } else if self.durability == Durability::Replicated && !about.is_replicated {
            Some(
                "`store.durability: replicated` wants `synchronous_standby_names` to be set and \
                 `synchronous_commit` to be `on` or `remote_apply`"
                    .to_owned(),
            )
        } else {
            None
        };
        if let Some(problem) = problem {
            self.doubted.notify_one();
            let detail = format!("the database is not worked with: {problem}");
            self.troubles.began(REFUSED, detail.clone());
            return Err(StoreError::Refused(detail));
        }
        if known.as_ref() != Some(&about) {
            history::enter(conn, &about, &self.troubles).await?;
            self.warn(&about);
            let mut now = self.now.write();
            now.timeline = about.timeline.max(now.timeline);
            now.about = Some(about);
        }
        self.troubles.ended(REFUSED, "the database is worked with again");
        Ok(())
    }

    /// Tells of a standby that no commit waits for.
    fn warn(&self, about: &About) {
        if about.standbys > 0 && !about.is_replicated {
            self.troubles.began(
                NOT_REPLICATED,
                "a standby follows the database, and commits do not wait for it: a failover may lose \
                 events that were acknowledged; set `synchronous_standby_names`, and \
                 `store.durability: replicated` to insist on it"
                    .to_owned(),
            );
        } else {
            self.troubles.ended(NOT_REPLICATED, "commits wait for a standby, or there is none");
        }
    }

    /// Looks for the primary until `stop`.
    pub(super) async fn follow(self: Arc<Self>, pools: [PgPool; 2], stop: CancellationToken) {
        let following = async {
            loop {
                let _ = tokio::time::timeout(LOOK_EVERY, self.doubted.notified()).await;
                if self.hosts.are_several() {
                    self.look(&pools).await;
                }
                // Nobody is asked all the time.
                tokio::time::sleep(IDLE).await;
            }
        };
        stop.run_until_cancelled(following).await;
    }

    async fn look(&self, pools: &[PgPool]) {
        let (timeline, host) = {
            let now = self.now.read();
            (now.timeline, place(&now.connect))
        };
        match self.hosts.primary(timeline).await {
            Err(error) => tracing::debug!(%error, "no primary was found"),
            Ok(found) if place(&found.connect) == host && found.about.timeline == timeline => {}
            Ok(Primary { connect, about }) => {
                let (host, port) = place(&connect);
                tracing::warn!(
                    event = "store.primary_changed",
                    host,
                    port,
                    timeline = about.timeline,
                    "the primary is another one"
                );
                for pool in pools {
                    pool.set_connect_options(self.writing(&connect));
                }
                let timeline = about.timeline.max(timeline);
                *self.now.write() =
                    Target { connect, timeline, since: clock::instant(), about: None };
            }
        }
    }
}

fn place(connect: &PgConnectOptions) -> (String, u16) {
    (connect.get_host().to_owned(), connect.get_port())
}
