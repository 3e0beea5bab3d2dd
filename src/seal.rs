//! Secrets at rest: what a subscription is set to, sealed under the master key before a store keeps it.
//!
//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha): its nonce of 24 bytes may be drawn at random for each
//! text. The name of the subscription is authenticated along, so that a text that was moved to another
//! row does not open there. A sealed text begins with the id of its key; whatever begins otherwise is in
//! clear, as it is without a master key.

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
    prelude::BASE64_STANDARD,
};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use sha2::{Digest as _, Sha256};

use crate::key::hex;

#[cfg(test)]
mod tests;

/// What a sealed text begins with: what it is, and its form.
const MARK: &str = "sealed:1:";
/// Bytes of a nonce.
const NONCE_BYTES: usize = 24;
/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// A key that secrets are sealed under.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey {
    id: Box<str>,
    bytes: [u8; KEY_BYTES],
}

impl MasterKey {
    fn new(bytes: [u8; KEY_BYTES]) -> Self {
        let hash = Sha256::new().chain_update("milkrun master key").chain_update(bytes).finalize();
        Self { id: hex(&hash[..4]).into(), bytes }
    }

    /// A new one, and its text: 32 bytes in base64.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn fresh() -> Result<(Self, String), SealError> {
        let bytes = drawn()?;
        Ok((Self::new(bytes), BASE64_STANDARD.encode(bytes)))
    }

    /// By what it is known: the beginning of a hash of it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&self.bytes.into())
    }
}

impl FromStr for MasterKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "expected 32 random bytes in base64, as `milkrun secrets new-key` or \
            `openssl rand -base64 32` prints them";
        let padding =
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let bytes = GeneralPurpose::new(&STANDARD, padding).decode(text).map_err(|_| expected)?;
        let bytes = <[u8; KEY_BYTES]>::try_from(bytes).map_err(|_| expected)?;
        if bytes.iter().all(|byte| *byte == bytes[0]) {
            return Err("a byte that is repeated 32 times is no secret");
        }
        Ok(Self::new(bytes))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.id)
    }
}

/// Seals texts under one key, and opens what was sealed under that or another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seal(Arc<Keys>);

#[derive(Debug, Default, PartialEq, Eq)]
struct Keys {
    master: Option<MasterKey>,
    others: Vec<MasterKey>,
}

impl Seal {
    /// Seals under `master`, or not at all; opens what `others` sealed too.
    #[must_use]
    pub fn new(master: Option<MasterKey>, others: Vec<MasterKey>) -> Self {
        Self(Arc::new(Keys { master, others }))
    }

    /// The key that seals; `None`: texts are kept in clear.
    #[must_use]
    pub fn master(&self) -> Option<&MasterKey> {
        self.0.master.as_ref()
    }

    /// The text as it is to be kept for what has this name.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub(crate) fn seal(&self, name: &str, text: String) -> Result<String, SealError> {
        let Some(key) = self.master() else { return Ok(text) };
        let nonce: [u8; NONCE_BYTES] = drawn()?;
        let payload = Payload { msg: text.as_bytes(), aad: name.as_bytes() };
        let sealed = key.cipher().encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.expect("a text of settings is far below 256 GiB");
        let bytes = [&nonce[..], &sealed].concat();
        Ok(format!("{MARK}{}:{}", key.id, BASE64_STANDARD.encode(bytes)))
    }

    /// What was kept for what has this name.
    ///
    /// # Errors
    /// Its key is not here, or it is not what was sealed for this name.
    pub(crate) fn open<'a>(&self, name: &str, kept: &'a str) -> Result<Cow<'a, str>, SealError> {
        let Some(sealed) = kept.strip_prefix(MARK) else { return Ok(kept.into()) };
        let (id, sealed) = sealed.split_once(':').ok_or(SealError::Damaged)?;
        let mut keys = self.0.master.iter().chain(&self.0.others);
        let key = keys.find(|key| &*key.id == id);
        let key = key.ok_or_else(|| SealError::Missing { id: id.to_owned() })?;
        let bytes = BASE64_STANDARD.decode(sealed).map_err(|_| SealError::Damaged)?;
        let (nonce, sealed) = bytes.split_first_chunk().ok_or(SealError::Damaged)?;
        let payload = Payload { msg: sealed, aad: name.as_bytes() };
        let nonce: &[u8; NONCE_BYTES] = nonce;
        let text = key.cipher().decrypt(&XNonce::from(*nonce), payload);
        let text = text.ok().and_then(|text| String::from_utf8(text).ok());
        text.map(Cow::Owned).ok_or(SealError::Damaged)
    }

    /// Whether a text is kept as it would be kept now: sealed under the master key, or in clear.
    pub(crate) fn is_current(&self, kept: &str) -> bool {
        let by =
            kept.strip_prefix(MARK).and_then(|sealed| sealed.split_once(':')).map(|(id, _)| id);
        by == self.master().map(MasterKey::id)
    }
}

/// Why a text is neither sealed nor opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The system gives no random bytes.
    #[error("the system gives no random bytes to seal secrets with")]
    NoChance,
    /// The key is none of those that are configured.
    #[error(
        "sealed under the master key {id}, which is not here: give that key as `secrets.master_key`, \
         or among `secrets.other_keys`"
    )]
    Missing {
        /// By what the key is known.
        id: String,
    },
    /// It was changed, or belongs to something else.
    #[error("sealed, and not as it was written")]
    Damaged,
}

/// Bytes that nobody can guess.
fn drawn<const N: usize>() -> Result<[u8; N], SealError> {
    let mut bytes = [0; N];
    #[expect(clippy::disallowed_methods, reason = "keys and nonces are asked of the system")]
    getrandom::fill(&mut bytes).map_err(|_| SealError::NoChance)?;
    Ok(bytes)
}
