//! An HTTP JSON producer.

mod begin;
mod body;
mod carrier;
mod charset;
mod conditional;
mod contents;
mod cursor;
mod decode;
mod edge;
mod end;
mod error;
mod excerpt;
mod expr;
mod failing;
mod fetch;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod given;
mod identity;
mod item;
mod json;
mod limits;
mod link;
mod lost;
mod mask;
mod masked;
mod order;
mod pace;
mod page;
mod pages;
mod probe;
mod request;
mod rules;
mod rules_read;
#[cfg(test)]
mod rules_tests;
mod secret_names;
mod seen;
mod spec;
mod take;
mod target;
#[cfg(test)]
mod tests;
mod times;
mod unpack;
mod unpacker;
mod walk;

pub use self::{
    cursor::{BodyToken, BodyUrl, CursorRule, HeaderCursor, LastId, LinkUrl, MaxField},
    error::SpecError,
    given::check_cursor,
    limits::Limits,
    order::FieldKind,
    pages::{ItemId, LinkHeader, NextUrl, Offset, PageNumber, Pages, Token},
    probe::HttpProbe,
    rules::{
        Emit, Expression, Flag, IdRule, Items, ItemsOf, ItemsRule, LinkStop, Lost, Made, Missing,
        Of, OnError, Overlap, Start, Stop, TextRule, TimeRule, TimeWritten, Unit, ValidatorsAge,
        ValidatorsRule,
    },
    spec::{Auth, Credential, Param, Secret, Spec},
    target::Target,
    walk::reset,
};
