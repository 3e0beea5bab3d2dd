//! Sessions: a browser shows a key once and holds a cookie from then on.
//!
//! A session is kept in the memory of the node that made it, by the SHA-256 of its token, and knows
//! only the hash of its key: it ends with the key, after 12 hours without a page, when somebody logs
//! out, and when the relay ends.

use std::{collections::HashMap, sync::Arc, time::Duration};

use http::{HeaderMap, header};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use crate::{
    event::Micros,
    key::{KeyHash, hex},
};

/// How long a session lasts without a page.
const IDLE: Duration = Duration::from_hours(12);
/// The most sessions; beyond them the one that was used least lately ends.
const SESSIONS_MAX: usize = 10_000;

/// What is open, by the SHA-256 of its token.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sessions(Arc<Mutex<HashMap<[u8; 32], Session>>>);

#[derive(Debug)]
struct Session {
    key: KeyHash,
    /// By the steady reading.
    used: Micros,
}

impl Sessions {
    /// Begins one for the holder of `key`; answers its token. `None`: the system gives no chance.
    pub(crate) fn begin(&self, key: KeyHash, now: Micros) -> Option<String> {
        let mut token = [0; 32];
        #[expect(clippy::disallowed_methods, reason = "a secret is asked of the system")]
        getrandom::fill(&mut token).ok()?;
        let token = hex(&token);
        let mut open = self.0.lock();
        open.retain(|_, session| now.since(session.used) < IDLE);
        if open.len() >= SESSIONS_MAX
            && let Some(oldest) = open.iter().min_by_key(|(_, one)| one.used).map(|(id, _)| *id)
        {
            open.remove(&oldest);
        }
        open.insert(id(&token), Session { key, used: now });
        Some(token)
    }

    /// The key of a session that is open, which is used now.
    pub(crate) fn key(&self, token: &str, now: Micros) -> Option<KeyHash> {
        let mut open = self.0.lock();
        let session = open.get_mut(&id(token))?;
        if now.since(session.used) >= IDLE {
            open.remove(&id(token));
            return None;
        }
        session.used = now;
        Some(session.key)
    }

    /// Ends one.
    pub(crate) fn end(&self, token: &str) {
        self.0.lock().remove(&id(token));
    }
}

fn id(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// The cookie of a session: its name, and how it is set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cookie {
    is_secure: bool,
}

impl Cookie {
    /// That of a connection by this scheme.
    pub(crate) fn of(scheme: &str) -> Self {
        Self { is_secure: scheme == "https" }
    }

    fn name(self) -> &'static str {
        if self.is_secure { "__Host-milkrun" } else { "milkrun" }
    }

    /// The token that came with a request.
    pub(crate) fn token(self, headers: &HeaderMap) -> Option<String> {
        value(headers, self.name())
    }

    /// The header that sets it; below `path` where the name lets it be.
    pub(crate) fn set(self, token: &str, path: &str) -> String {
        let (name, rest) = (self.name(), "HttpOnly; SameSite=Lax");
        if self.is_secure {
            format!("{name}={token}; Path=/; Secure; {rest}")
        } else {
            format!("{name}={token}; Path={path}; {rest}")
        }
    }

    /// The header that takes it away.
    pub(crate) fn unset(self, path: &str) -> String {
        format!("{}; Max-Age=0", self.set("", path))
    }
}

/// The cookie of this name.
pub(crate) fn value(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|all| all.split(';')).filter_map(|one| one.trim().split_once('='));
    pairs.find(|(given, _)| *given == name).map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_nobody_uses_it() {
        let (sessions, key) = (Sessions::default(), KeyHash([7; 32]));
        let at = |hours: u64| Micros(0).plus(Duration::from_hours(hours));
        let token = sessions.begin(key, at(0)).unwrap();
        assert_eq!(token.len(), 64);
        assert_eq!(sessions.key("other", at(0)), None);
        for hours in [11, 22, 33] {
            assert_eq!(sessions.key(&token, at(hours)), Some(key));
        }
        assert_eq!(sessions.key(&token, at(45)), None);
        assert_eq!(sessions.key(&token, at(33)), None, "what has ended stays so");
        let token = sessions.begin(key, at(50)).unwrap();
        sessions.end(&token);
        assert_eq!(sessions.key(&token, at(50)), None);
    }

    #[test]
    fn sessions_are_bounded() {
        let sessions = Sessions::default();
        let first = sessions.begin(KeyHash([0; 32]), Micros(0)).unwrap();
        for n in 1..=SESSIONS_MAX {
            let n = i64::try_from(n).unwrap();
            sessions.begin(KeyHash([1; 32]), Micros(n)).unwrap();
        }
        assert_eq!(sessions.0.lock().len(), SESSIONS_MAX);
        assert_eq!(sessions.key(&first, Micros(1)), None);
    }

    #[test]
    fn a_cookie_is_strict_where_it_can_be() {
        let set = Cookie::of("https").set("t", "/x/");
        assert_eq!(set, "__Host-milkrun=t; Path=/; Secure; HttpOnly; SameSite=Lax");
        let set = Cookie::of("http").set("t", "/x/");
        assert_eq!(set, "milkrun=t; Path=/x/; HttpOnly; SameSite=Lax");
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "a=b; __Host-milkrun=t".parse().unwrap());
        assert_eq!(Cookie::of("https").token(&headers).as_deref(), Some("t"));
        assert_eq!(Cookie::of("http").token(&headers), None);
    }
}
