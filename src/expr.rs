//! Filters and transforms: what is sent of an event, and in which form.
//!
//! The one place of this package that knows minijinja. What a subscriber may give (dialects and
//! expressions) is bounded in text, depth, work and memory; a full template is the operator's own.

use std::fmt;

pub use self::{filter::Filter, transform::Transform};
use crate::wire;

mod call;
mod digits;
mod eval;
mod exact;
mod filter;
mod json;
mod names;
mod numeric;
mod order;
mod scope;
mod syntax;
mod template;
#[cfg(test)]
mod tests;
mod transform;
mod tree;
mod write;

/// The most bytes that a transform makes of one event.
pub const TRANSFORMED_BYTES_MAX: usize = wire::EVENT_BYTES_MAX + (64 << 10);
/// The most bytes of an expression's text.
pub const EXPRESSION_BYTES_MAX: usize = syntax::EXPRESSION_BYTES_MAX;

/// Filters or fields within each other.
const DEPTH_MAX: usize = 16;
/// Filters and attributes, or fields and items, of one setting.
const PARTS_MAX: usize = 100;

/// Why a filter or transform is refused, or cannot be applied to an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ExprError {
    /// Where in what was given, as `all[1].prefix`; empty when it is all of it.
    pub path: String,
    /// What is wrong there, and what was expected.
    pub problem: String,
}

impl fmt::Display for ExprError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "`{}`: ", self.path)?;
        }
        f.write_str(&self.problem)
    }
}

impl ExprError {
    fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { path: path.into(), problem: problem.into() }
    }
}

/// Counts the parts of one setting while it is read.
struct Bounds {
    left: usize,
}

impl Bounds {
    const fn new() -> Self {
        Self { left: PARTS_MAX }
    }

    /// One more part, `depth` levels down.
    fn enter(&mut self, path: &str, depth: usize) -> Result<(), ExprError> {
        if depth > DEPTH_MAX {
            return Err(ExprError::new(path, format!("is more than {DEPTH_MAX} levels deep")));
        }
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            ExprError::new(
                "",
                format!("has more than {PARTS_MAX} parts, of which this is one: `{path}`"),
            )
        })?;
        Ok(())
    }
}

/// The path of a field; long names are cut.
fn field(path: &str, name: &str) -> String {
    let name: String = name.chars().take(60).collect();
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

fn index(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

/// Whether CloudEvents 1.0 allows this name for an attribute.
fn is_attribute_name(name: &str) -> bool {
    (1..=100).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}
