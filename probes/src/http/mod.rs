//! An HTTP JSON producer.

mod end;
mod expr;
mod fetch;
mod identity;
mod item;
mod link;
mod order;
mod probe;
mod request;
mod rules;
mod rules_read;
#[cfg(test)]
mod rules_tests;
mod sheet;
mod spec;
#[cfg(test)]
mod tests;
mod turn;
mod walk;

pub use self::{
    probe::HttpProbe,
    rules::{
        BodyToken, CursorRule, Emit, Expression, FieldKind, Flag, HeaderCursor, IdRule, ItemId,
        Items, LastId, LinkHeader, LinkUrl, Lost, Made, MaxField, NextUrl, Of, Offset, Overlap,
        PageNumber, Pages, Start, Stop, TextRule, TimeNumber, TimeRule, Token, Unit,
    },
    spec::{Auth, Credential, Limits, Param, Secret, Spec, SpecError},
};
