//! What is wrong with a key.

/// Why a text is no part of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// An id.
    #[error("`{0}` is no id of a key: expected 1 to 40 of a-z, 0-9 and `-`, as `billing-2026`")]
    Id(String),
    /// A hash.
    #[error("expected the SHA-256 of a key as 64 hex digits, as `milkrun keys create` prints it")]
    Hash,
    /// A whole key, which is not repeated.
    #[error("expected a key as `mk_ID_SECRET`")]
    Text,
    /// What a key may do, by the field that says it.
    #[error("`{field}`: {problem}")]
    Grant {
        /// The field.
        field: &'static str,
        /// What is wrong with it, or expected.
        problem: &'static str,
    },
    /// No secret can be drawn.
    #[error("the system gives no random bytes")]
    NoChance,
}
