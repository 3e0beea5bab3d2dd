//! Which of several hosts is the primary: it is not in recovery, and has the highest timeline.
//!
//! A primary that was cut off and failed over still answers as one; its timeline is lower. So none
//! is taken whose timeline is below what this node, or the store itself, has seen.

use std::{str::FromStr, time::Duration};

use sqlx::{ConnectOptions as _, Row as _, postgres::PgConnectOptions};

use crate::store::StoreError;

/// How long a host is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// The hosts of a store's address.
#[derive(Debug, Clone)]
pub(super) struct Hosts(Vec<PgConnectOptions>);

/// A primary, and the history that it is in.
#[derive(Debug, Clone)]
pub(super) struct Primary {
    pub(super) connect: PgConnectOptions,
    /// Rises with every promotion; 0: the server does not tell.
    pub(super) timeline: u32,
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

    /// The primary among them, of this timeline or a later one.
    ///
    /// # Errors
    /// `Busy` when none of them is one now; what each answered is logged.
    pub(super) async fn primary(&self, timeline_min: u32) -> Result<Primary, StoreError> {
        let asked = self.0.iter().map(|connect| async move { (connect, ask(connect).await) });
        let mut found: Option<Primary> = None;
        for (connect, answer) in futures_util::future::join_all(asked).await {
            let host = connect.get_host();
            match answer {
                Err(problem) => tracing::warn!(host, problem, "not a primary"),
                Ok(timeline) if timeline < timeline_min => tracing::error!(
                    host,
                    timeline,
                    timeline_min,
                    "a former primary, which was failed over: nothing is written to it"
                ),
                Ok(timeline) => {
                    if found.as_ref().is_none_or(|found| found.timeline < timeline) {
                        found = Some(Primary { connect: connect.clone(), timeline });
                    }
                }
            }
        }
        found.ok_or(StoreError::Busy(
            "no primary of the database can be reached; it is safe to repeat",
        ))
    }
}

/// The timeline of a primary; else why it is none.
async fn ask(connect: &PgConnectOptions) -> Result<u32, String> {
    let asked = async {
        let mut conn = connect.connect().await?;
        let sql = "-- primary\nSELECT pg_is_in_recovery() AS standby, CASE WHEN pg_is_in_recovery() \
            THEN NULL ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END AS timeline";
        sqlx::query(sql).fetch_one(&mut conn).await
    };
    let row = match tokio::time::timeout(PATIENCE, asked).await {
        Err(_) => return Err(format!("it did not answer within {} s", PATIENCE.as_secs())),
        Ok(Err(error)) => return Err(error.to_string()),
        Ok(Ok(row)) => row,
    };
    let told = |error: sqlx::Error| error.to_string();
    if row.try_get::<bool, _>("standby").map_err(told)? {
        return Err("it is a standby".into());
    }
    let timeline: Option<String> = row.try_get("timeline").map_err(told)?;
    Ok(timeline.and_then(|hex| u32::from_str_radix(&hex, 16).ok()).unwrap_or(0))
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
