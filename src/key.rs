//! Keys: who may use the API, and for what.
//!
//! A key is the text `mk_ID_SECRET`. ID is public and tells keys apart in lists, logs and notices;
//! SECRET is 256 random bits as 64 hex digits. Only the SHA-256 of the whole text is kept: what
//! cannot be guessed needs no slow hash.

use std::{
    fmt::{self, Write as _},
    str::FromStr,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use self::{
    error::KeyError,
    grant::{Grant, Scope},
};
use crate::{clock, event::Micros};

mod error;
mod grant;

/// What every key begins with, so that scanners for leaked secrets find it.
const PREFIX: &str = "mk_";
/// The hex digits of a key's secret.
const SECRET_DIGITS: usize = 64;

/// The public part of a key: 1 to 40 of `a-z`, `0-9` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(Arc<str>);

impl KeyId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyId {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let is_good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=40).contains(&text.len()) && text.bytes().all(is_good) {
            Ok(Self(text.into()))
        } else {
            Err(KeyError::Id(text.chars().take(60).collect()))
        }
    }
}

impl TryFrom<String> for KeyId {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A whole key, which only its owner has.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyText(String);

impl KeyText {
    /// The key of this id and secret.
    #[must_use]
    pub fn new(id: &KeyId, secret: [u8; 32]) -> Self {
        Self(format!("{PREFIX}{id}_{}", hex(&secret)))
    }

    /// The key as it is sent. Shown once, to whoever made it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash(Sha256::digest(&self.0).into())
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText(…)")
    }
}

impl FromStr for KeyText {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let parts = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_'));
        let (id, secret) = parts.ok_or(KeyError::Text)?;
        let is_secret = secret.len() == SECRET_DIGITS && secret.bytes().all(is_hex);
        if is_secret && id.parse::<KeyId>().is_ok() {
            Ok(Self(text.to_owned()))
        } else {
            Err(KeyError::Text)
        }
    }
}

/// The SHA-256 of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

impl FromStr for KeyHash {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.len() != SECRET_DIGITS || !text.bytes().all(is_hex) {
            return Err(KeyError::Hash);
        }
        let mut hash = [0; 32];
        for (byte, at) in hash.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| KeyError::Hash)?;
        }
        Ok(Self(hash))
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

fn is_hex(b: u8) -> bool {
    b.is_ascii_digit() || (b'a'..=b'f').contains(&b)
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether a key for this may be made beside those that are known: somebody must be able to make
/// others.
///
/// # Errors
/// None of them is good and has the scope `admin`.
pub fn check_first<'a>(
    known: impl IntoIterator<Item = &'a AccessKey>,
    grant: &Grant,
    now: Micros,
) -> Result<(), KeyError> {
    if grant.is_admin() || known.into_iter().any(|key| key.is_good_admin(now)) {
        return Ok(());
    }
    let problem = "the first key needs `admin`, for it makes the others";
    Err(KeyError::Grant { field: "scopes", problem })
}

/// A key as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// Its public part.
    pub id: KeyId,
    /// The SHA-256 of the whole.
    pub hash: KeyHash,
    /// What may be done with it.
    pub grant: Grant,
    /// From when on it is good for nothing; `None`: never.
    pub expires: Option<Micros>,
    /// When it was made; `None`: it stands in the configuration file.
    pub created: Option<Micros>,
}

impl AccessKey {
    /// A new key and its text, of a secret that the system drew. Without an id it gets one at random.
    ///
    /// # Errors
    /// What is wrong with the grant.
    pub fn fresh(
        id: Option<KeyId>,
        grant: Grant,
        expires: Option<Micros>,
        now: Micros,
    ) -> Result<(Self, KeyText), KeyError> {
        grant.check()?;
        let id = id.unwrap_or_else(|| {
            let (drawn, _) = clock::fresh_uuid().as_u64_pair();
            KeyId(format!("{drawn:016x}")[..10].into())
        });
        let mut secret = [0; 32];
        #[expect(clippy::disallowed_methods, reason = "a secret is asked of the system")]
        getrandom::fill(&mut secret).map_err(|_| KeyError::NoChance)?;
        let text = KeyText::new(&id, secret);
        Ok((Self { id, hash: text.hash(), grant, expires, created: Some(now) }, text))
    }

    /// Whether everything may be done with it now.
    #[must_use]
    pub fn is_good_admin(&self, now: Micros) -> bool {
        self.grant.is_admin() && !self.has_expired(now)
    }

    /// Whether its time has passed.
    #[must_use]
    pub fn has_expired(&self, now: Micros) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written() {
        let id: KeyId = "billing-2026".parse().unwrap();
        let text = KeyText::new(&id, [0xab; 32]);
        assert_eq!(text.reveal(), format!("mk_billing-2026_{}", "ab".repeat(32)));
        assert_eq!(text.reveal().parse::<KeyText>().unwrap(), text);
        assert_eq!(text.hash().to_string().parse::<KeyHash>().unwrap(), text.hash());
        assert!(!format!("{text:?}").contains("abab"));
        for bad in ["", "mk_", "mk_a", "mk_a_", "mk__ab", "a_b", &text.reveal()[..40], "mk_A_b"] {
            assert!(bad.parse::<KeyText>().is_err(), "{bad}");
        }
        for bad in ["", "A", "a_b", "ä", &"a".repeat(41)] {
            assert!(bad.parse::<KeyId>().is_err(), "{bad}");
        }
    }

    /// As `printf %s KEY | sha256sum` tells it.
    #[test]
    fn a_hash_is_that_of_the_whole_text() {
        let text: KeyText = format!("mk_a_{}", "0".repeat(64)).parse().unwrap();
        let expected = "b797ae1e10012f2e3e1a73f112d5e1bcb9cfd775dc1bc2cd0b28cc56e5332a42";
        assert_eq!(text.hash().to_string(), expected);
    }
}
