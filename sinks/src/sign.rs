//! Signatures as Standard Webhooks has them (specification 1.0.0, "Signature scheme").

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::GeneralPurpose, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// A key that signs; its text never shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// Why a text is not a [`Secret`]; never tells the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// It cannot be decoded.
    #[error("a signing secret is `whsec_` and base64: this one is not valid base64")]
    NotBase64,
    /// It is too short or too long.
    #[error("a signing secret has 24 to 64 bytes: this one has {0}")]
    Length(usize),
}

impl Secret {
    /// What the text of a symmetric secret begins with.
    pub const PREFIX: &'static str = "whsec_";
}

impl FromStr for Secret {
    type Err = SecretError;

    /// Takes `whsec_` and base64, or the base64 alone; padding may be left out.
    fn from_str(text: &str) -> Result<Self, SecretError> {
        let text = text.strip_prefix(Self::PREFIX).unwrap_or(text);
        let key = LENIENT.decode(text).map_err(|_| SecretError::NotBase64)?;
        if (24..=64).contains(&key.len()) {
            Ok(Self(key))
        } else {
            Err(SecretError::Length(key.len()))
        }
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

/// The value of `webhook-signature`: one `v1,…` for each secret, separated by spaces; empty
/// without secrets. `timestamp` is in seconds since 1970.
#[must_use]
pub fn signature(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let mut text = String::with_capacity(secrets.len() * 48);
    let prefix = format!("{id}.{timestamp}.");
    for secret in secrets {
        // HMAC takes a key of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&secret.0) else { continue };
        mac.update(prefix.as_bytes());
        mac.update(body);
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str("v1,");
        BASE64_STANDARD.encode_string(mac.finalize().into_bytes(), &mut text);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    /// The vector that the reference libraries test with.
    #[test]
    fn the_reference_vector_holds() {
        let secrets = [KEY.parse().unwrap()];
        assert_eq!(
            signature(
                &secrets,
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                br#"{"test": 2432232314}"#
            ),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
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
        for (text, error) in [
            ("whsec_!!!", SecretError::NotBase64),
            ("", SecretError::Length(0)),
            ("whsec_c2VjcmV0", SecretError::Length(6)),
        ] {
            assert_eq!(text.parse::<Secret>().unwrap_err(), error);
        }
        assert_eq!(BASE64_STANDARD.encode([1; 65]).parse::<Secret>(), Err(SecretError::Length(65)));
        let shown = format!("{} {:?}", "hunter2hunter2!".parse::<Secret>().unwrap_err(), {
            KEY.parse::<Secret>().unwrap()
        });
        assert!(!shown.contains("hunter2") && !shown.contains("MfKQ"), "{shown}");
    }

    proptest::proptest! {
        #[test]
        fn a_changed_part_changes_the_signature(body: Vec<u8>, at: i64, id in "[a-z0-9-]{1,20}") {
            let secrets = [KEY.parse().unwrap()];
            let given = signature(&secrets, &id, at, &body);
            let mut other = body.clone();
            other.push(0);
            proptest::prop_assert_ne!(&given, &signature(&secrets, &id, at, &other));
            proptest::prop_assert_ne!(&given, &signature(&secrets, &id, at.wrapping_add(1), &body));
        }
    }
}
