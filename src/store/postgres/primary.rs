//! Which of several hosts is the primary: it is not in recovery, and has the highest timeline.
//!
//! A primary that was cut off and failed over still answers as one; its timeline is lower. So none
//! is taken whose timeline is below what this node, or the store itself, has seen.

use std::{str::FromStr, time::Duration};

use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, Row as _, postgres::PgConnectOptions,
};

use crate::store::StoreError;

/// How long a host is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// The hosts of a store's address.
#[derive(Debug, Clone)]
pub(super) struct Hosts(Vec<PgConnectOptions>);

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct About {
    pub(super) is_standby: bool,
    /// Which database cluster it is a copy of; 0: it does not tell.
    pub(super) system: i64,
    /// Which database of the server it is, and which table of it; 0: it has no tables of ours.
    pub(super) place: i64,
    /// Rises with every promotion; 0: it does not tell.
    pub(super) timeline: i64,
    /// Whether a commit waits for a standby.
    pub(super) is_replicated: bool,
    /// How many standbys follow it.
    pub(super) standbys: i64,
}

/// A primary, and what it says of itself.
#[derive(Debug, Clone)]
pub(super) struct Primary {
    pub(super) connect: PgConnectOptions,
    pub(super) about: About,
}

impl Hosts {
    /// Those of `postgres://USER@HOST,HOST:PORT,…/DATABASE?…`.
    ///
    /// # Errors
    /// `Refused` when it cannot be read; the password is not repeated.
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let refused = |why: &str| StoreError::Refused(format!("`store`: {why}"));
        let (scheme, rest) = url.split_once("://").ok_or_else(|| refused("expected a URL"))?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, behind) = rest.split_at(end);
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (format!("{user}@"), hosts),
            None => (String::new(), authority),
        };
        let options = hosts.split(',').map(|host| {
            let one = format!("{scheme}://{user}{host}{behind}");
            let options = PgConnectOptions::from_str(&one);
            options.map(|options| options.application_name("milkrun")).map_err(|_| {
                refused(&format!(
                    "the host `{host}`, or what follows it, cannot be read: expected \
                     postgres://USER:PASSWORD@HOST:PORT/DATABASE"
                ))
            })
        });
        Ok(Self(options.collect::<Result<_, _>>()?))
    }

    /// Whether there is a choice.
    pub(super) const fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// The primary among them, of this timeline or a later one.
    ///
    /// # Errors
    /// `Refused` when none of them is one now, with what each answered.
    pub(super) async fn primary(&self, timeline_min: i64) -> Result<Primary, StoreError> {
        let asked = self.0.iter().map(|connect| async move { (connect, visit(connect).await) });
        let (mut found, mut problems) = (None::<Primary>, Vec::new());
        for (connect, answer) in futures_util::future::join_all(asked).await {
            let problem = match answer {
                Err(problem) => problem,
                Ok(about) if about.is_standby => "is a standby".to_owned(),
                Ok(about) if about.timeline != 0 && about.timeline < timeline_min => format!(
                    "is a former primary: its timeline is {}, and {timeline_min} was seen; nothing is \
                     written to it",
                    about.timeline
                ),
                Ok(about) => {
                    let other = found.as_ref().map(|found| found.about.timeline);
                    if other.is_none_or(|other| other < about.timeline) {
                        found = Some(Primary { connect: connect.clone(), about });
                    }
                    continue;
                }
            };
            problems.push(format!("{}:{} {problem}", connect.get_host(), connect.get_port()));
        }
        found.ok_or_else(|| {
            StoreError::Refused(format!("no primary of the database: {}", problems.join("; ")))
        })
    }
}

/// What a server says of itself; else why it says nothing.
async fn visit(connect: &PgConnectOptions) -> Result<About, String> {
    let visited = async {
        let mut conn = connect.connect().await?;
        let about = ask(&mut conn).await?;
        conn.close().await?;
        Ok::<_, sqlx::Error>(about)
    };
    match tokio::time::timeout(PATIENCE, visited).await {
        Err(_) => Err(format!("did not answer within {} s", PATIENCE.as_secs())),
        Ok(Err(error)) => Err(format!("cannot be reached: {error}")),
        Ok(Ok(about)) => Ok(about),
    }
}

/// What the server of a connection says of itself.
pub(super) async fn ask(conn: &mut PgConnection) -> Result<About, sqlx::Error> {
    // After a promotion `pg_control_checkpoint()` says the old timeline for a while.
    let sql = "-- about\nSELECT pg_is_in_recovery() AS standby, \
        (SELECT system_identifier FROM pg_control_system()) AS system, \
        (SELECT coalesce(d.oid::bigint << 32 | to_regclass('history')::oid::bigint, 0) \
        FROM pg_database d WHERE datname = current_database()) AS place, \
        CASE WHEN pg_is_in_recovery() THEN '0' \
        ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END AS timeline, \
        current_setting('synchronous_standby_names') AS names, \
        current_setting('synchronous_commit') AS waits, \
        (SELECT count(*) FROM pg_stat_replication) AS standbys";
    let row = sqlx::query(sql).fetch_one(conn).await?;
    let names: &str = row.try_get("names")?;
    let waits: &str = row.try_get("waits")?;
    let timeline: &str = row.try_get("timeline")?;
    Ok(About {
        is_standby: row.try_get("standby")?,
        system: row.try_get("system")?,
        place: row.try_get("place")?,
        timeline: i64::from_str_radix(timeline, 16).unwrap_or_default(),
        // `local` and `off` wait for no standby, `remote_write` not for its disk.
        is_replicated: !names.trim().is_empty() && matches!(waits, "on" | "remote_apply"),
        standbys: row.try_get("standbys")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_hosts_are_one_address() {
        let hosts = Hosts::parse("postgres://me:se%40cret@a,b:5433,[::1]:5434/log?sslmode=disable");
        let hosts = hosts.unwrap().0;
        let told: Vec<_> = hosts.iter().map(|one| (one.get_host(), one.get_port())).collect();
        assert_eq!(told, [("a", 5432), ("b", 5433), ("[::1]", 5434)]);
        assert!(hosts.iter().all(|one| one.get_database() == Some("log")));
        let refused = Hosts::parse("postgres://me:secret@a:x/log").unwrap_err().to_string();
        assert!(refused.contains("`a:x`") && !refused.contains("secret"), "{refused}");
    }
}
