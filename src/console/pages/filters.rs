//! Filters of the templates.

/// A number with a comma between each three digits.
#[askama::filter_fn]
pub(super) fn grouped(
    value: impl std::borrow::Borrow<u64>,
    _: &dyn askama::Values,
) -> askama::Result<String> {
    Ok(super::shown::grouped(*value.borrow()))
}
