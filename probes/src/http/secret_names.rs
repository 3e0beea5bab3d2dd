//! Names of parameters and headers that may hold a credential.

/// Query parameters with such words in their names are taken for credentials.
const SECRET_WORDS: [&str; 12] = [
    "token",
    "secret",
    "passw",
    "api_key",
    "apikey",
    "api-key",
    "access_key",
    "accesskey",
    "signature",
    "credential",
    "authorization",
    "session",
];
/// Query parameters of these names too.
const SECRET_NAMES: [&str; 5] = ["key", "sig", "auth", "code", "pwd"];

/// Whether a parameter or header of this name may hold a credential.
pub(super) fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.contains(&name.as_str()) || SECRET_WORDS.iter().any(|word| name.contains(word))
}
