//! Signatures as Standard Webhooks has them (specification 1.0.0, "Signature scheme"): `v1` is
//! HMAC-SHA256 with a shared secret, `v1a` is ed25519 with a key pair.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::GeneralPurpose, prelude::BASE64_STANDARD};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// A key that signs; its text never shows.
#[derive(Clone)]
pub struct Secret(Key);

#[derive(Clone)]
enum Key {
    /// A signature that has the key already and nothing to sign yet.
    Shared(Box<Hmac<Sha256>>),
    Pair(Box<SigningKey>),
}

/// Why a text is not a [`Secret`]; never tells the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// It cannot be decoded.
    #[error("a signing secret is `whsec_` or `whsk_` and base64: this one is not valid base64")]
    NotBase64,
    /// A shared secret is too short or too long.
    #[error("a signing secret has 24 to 64 bytes: this one has {0}")]
    Length(usize),
    /// A private key is neither a seed nor a pair.
    #[error("a private key has 32 bytes, or 64 with its public key: this one has {0}")]
    KeyLength(usize),
    /// The halves of a pair do not belong together.
    #[error("the second half of this private key is not the public key of the first")]
    Mismatch,
    /// Only receivers have use for it.
    #[error("a signing secret is `whsec_` or `whsk_` and base64: this one is a public key")]
    Public,
}

impl Secret {
    /// What the text of a shared secret begins with.
    pub const PREFIX: &'static str = "whsec_";
    /// What the text of a private key begins with.
    pub const PRIVATE_PREFIX: &'static str = "whsk_";
    /// What the text of a public key begins with.
    pub const PUBLIC_PREFIX: &'static str = "whpk_";

    /// What verifies the signatures of a private key, as `whpk_…`; a shared secret has none.
    #[must_use]
    pub fn public(&self) -> Option<String> {
        match &self.0 {
            Key::Shared(_) => None,
            Key::Pair(pair) => {
                let key = BASE64_STANDARD.encode(pair.verifying_key().as_bytes());
                Some(format!("{}{key}", Self::PUBLIC_PREFIX))
            }
        }
    }
}

impl FromStr for Secret {
    type Err = SecretError;

    /// Takes `whsec_` and base64, or the base64 alone, for a shared secret; `whsk_` and base64 of
    /// a seed, or of a seed and its public key, for a private one. Padding may be left out.
    fn from_str(text: &str) -> Result<Self, SecretError> {
        let decode = |text| LENIENT.decode(text).map_err(|_| SecretError::NotBase64);
        if text.starts_with(Self::PUBLIC_PREFIX) {
            return Err(SecretError::Public);
        }
        if let Some(text) = text.strip_prefix(Self::PRIVATE_PREFIX) {
            return Ok(Self(Key::Pair(Box::new(pair(&decode(text)?)?))));
        }
        let key = decode(text.strip_prefix(Self::PREFIX).unwrap_or(text))?;
        if (24..=64).contains(&key.len()) {
            // HMAC takes a key of any length.
            let mac = Hmac::new_from_slice(&key).map_err(|_| SecretError::Length(key.len()))?;
            Ok(Self(Key::Shared(Box::new(mac))))
        } else {
            Err(SecretError::Length(key.len()))
        }
    }
}

fn pair(bytes: &[u8]) -> Result<SigningKey, SecretError> {
    let wrong = |_| SecretError::KeyLength(bytes.len());
    if bytes.len() == ed25519_dalek::KEYPAIR_LENGTH {
        let both = bytes.try_into().map_err(wrong)?;
        SigningKey::from_keypair_bytes(both).map_err(|_| SecretError::Mismatch)
    } else {
        Ok(SigningKey::from_bytes(bytes.try_into().map_err(wrong)?))
    }
}

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    base64::engine::GeneralPurposeConfig::new()
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The value of `webhook-signature`: one `v1,…` or `v1a,…` for each secret, separated by spaces;
/// empty without secrets. `timestamp` is in seconds since 1970.
#[must_use]
pub fn signature(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let mut text = String::with_capacity(secrets.len() * 96);
    let prefix = format!("{id}.{timestamp}.");
    // ed25519 wants what it signs in one piece; all pairs share it.
    let mut whole = Vec::new();
    for secret in secrets {
        if !text.is_empty() {
            text.push(' ');
        }
        match &secret.0 {
            Key::Shared(keyed) => {
                let mut mac = Hmac::clone(keyed);
                mac.update(prefix.as_bytes());
                mac.update(body);
                text.push_str("v1,");
                BASE64_STANDARD.encode_string(mac.finalize().into_bytes(), &mut text);
            }
            Key::Pair(pair) => {
                if whole.is_empty() {
                    whole = [prefix.as_bytes(), body].concat();
                }
                text.push_str("v1a,");
                BASE64_STANDARD.encode_string(pair.sign(&whole).to_bytes(), &mut text);
            }
        }
    }
    text
}

/// Whether a `v1a,…` was made with the private key of this public one, `whpk_…`, as receivers find out.
///
/// # Errors
/// The text is no public key.
pub fn is_of_pair(
    public: &str,
    signature: &str,
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> Result<bool, SecretError> {
    let key = public.strip_prefix(Secret::PUBLIC_PREFIX).unwrap_or(public);
    let key = LENIENT.decode(key).map_err(|_| SecretError::NotBase64)?;
    let wrong = SecretError::KeyLength(key.len());
    let key = key.as_slice().try_into().map_err(|_| wrong)?;
    let key = VerifyingKey::from_bytes(key).map_err(|_| wrong)?;
    let given = signature.strip_prefix("v1a,").and_then(|text| LENIENT.decode(text).ok());
    let given = given.and_then(|bytes| Signature::from_slice(&bytes).ok());
    let whole = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
    Ok(given.is_some_and(|given| key.verify_strict(&whole, &given).is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const PAIR: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
    const SEED: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=";

    fn reference(secrets: &[&str]) -> String {
        let secrets: Vec<Secret> = secrets.iter().map(|text| text.parse().unwrap()).collect();
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        signature(&secrets, id, 1_614_265_330, br#"{"test": 2432232314}"#)
    }

    /// The vectors that the reference libraries and the Svix server test with; the second
    /// signature is also the example of the specification.
    #[test]
    fn the_reference_vectors_hold() {
        let shared = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let pair = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";
        assert_eq!(reference(&[KEY]), shared);
        assert_eq!(reference(&[PAIR]), pair);
        assert_eq!(reference(&[SEED]), pair);
        assert_eq!(reference(&[PAIR, KEY, SEED]), format!("{pair} {shared} {pair}"));
        for text in [PAIR, SEED] {
            assert_eq!(
                text.parse::<Secret>().unwrap().public().as_deref(),
                Some("whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=")
            );
        }
        assert_eq!(KEY.parse::<Secret>().unwrap().public(), None);
    }

    #[test]
    fn a_public_key_knows_the_signatures_of_its_pair() {
        let pair: Secret = PAIR.parse().unwrap();
        let (public, given) = (pair.public().unwrap(), signature(&[pair], "m", 1, b"x"));
        assert_eq!(is_of_pair(&public, &given, "m", 1, b"x"), Ok(true));
        for (signature, id, timestamp, body) in [
            (&*given, "m", 1, b"y"),
            (&given, "n", 1, b"x"),
            (&given, "m", 2, b"x"),
            ("v1,x", "m", 1, b"x"),
        ] {
            assert_eq!(is_of_pair(&public, signature, id, timestamp, body), Ok(false));
        }
        assert_eq!(is_of_pair("whpk_!", &given, "m", 1, b"x"), Err(SecretError::NotBase64));
        assert_eq!(is_of_pair("whpk_", &given, "m", 1, b"x"), Err(SecretError::KeyLength(0)));
    }

    #[test]
    fn every_secret_signs() {
        let one: Secret = KEY.parse().unwrap();
        let two: Secret = BASE64_STANDARD.encode([7; 32]).parse().unwrap();
        let both = signature(&[one.clone(), two.clone()], "m", 1, b"x");
        let single = |secret| signature(&[secret], "m", 1, b"x");
        assert_eq!(both, format!("{} {}", single(one), single(two)));
        assert_eq!(signature(&[], "m", 1, b"x"), "");
    }

    #[test]
    fn bad_secrets_are_refused_without_being_shown() {
        let other_half = PAIR.replace("VKIDij2HKpMKkioLlX0dR", "VKIDij2HKpMKkioLlaaaa");
        for (text, error) in [
            ("whsec_!!!", SecretError::NotBase64),
            ("", SecretError::Length(0)),
            ("whsec_c2VjcmV0", SecretError::Length(6)),
            ("whsk_", SecretError::KeyLength(0)),
            ("whsk_c2VjcmV0", SecretError::KeyLength(6)),
            ("whsk_*", SecretError::NotBase64),
            (&other_half, SecretError::Mismatch),
            ("whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=", SecretError::Public),
        ] {
            assert_eq!(text.parse::<Secret>().unwrap_err(), error);
        }
        let long = BASE64_STANDARD.encode([1; 65]);
        assert_eq!(long.parse::<Secret>().unwrap_err(), SecretError::Length(65));
        let shown = format!(
            "{} {:?} {:?}",
            "hunter2hunter2!".parse::<Secret>().unwrap_err(),
            { KEY.parse::<Secret>().unwrap() },
            PAIR.parse::<Secret>().unwrap()
        );
        let hidden = ["hunter2", "MfKQ", "6Xb/"].iter().all(|part| !shown.contains(part));
        assert!(hidden, "{shown}");
    }

    proptest::proptest! {
        #[test]
        fn a_changed_part_changes_the_signature(body: Vec<u8>, at: i64, id in "[a-z0-9-]{1,20}") {
            let mut other = body.clone();
            other.push(0);
            for key in [KEY, PAIR] {
                let secrets = [key.parse().unwrap()];
                let given = signature(&secrets, &id, at, &body);
                let changed = signature(&secrets, &id, at, &other);
                proptest::prop_assert_ne!(&given, &changed);
                let later = signature(&secrets, &id, at.wrapping_add(1), &body);
                proptest::prop_assert_ne!(&given, &later);
            }
        }
    }
}
