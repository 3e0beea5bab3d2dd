//! What is wrong with the settings of a source.

/// What in a [`Spec`](super::Spec) does not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {problem}")]
pub struct SpecError {
    /// The field, as `cursor.max_field.path`.
    pub field: &'static str,
    /// What was expected.
    pub problem: String,
}
