//! An HTTP JSON producer.

mod rules;
#[cfg(test)]
mod rules_tests;
mod spec;

pub use self::{
    rules::{
        BodyToken, CursorRule, Emit, Expression, FieldKind, Flag, HeaderCursor, IdRule, ItemId,
        Items, LastId, LinkHeader, LinkUrl, Lost, Made, MaxField, NextUrl, Of, Offset, Overlap,
        PageNumber, Pages, Start, Stop, TextRule, TimeNumber, TimeRule, Token, Unit,
    },
    spec::{Auth, Credential, Limits, Param, Secret, Spec, SpecError},
};
