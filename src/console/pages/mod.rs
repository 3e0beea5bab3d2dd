//! The pages, one file each.

pub(super) mod act;
pub(super) mod create;
pub(super) mod dead_letters;
pub(super) mod event;
#[expect(
    clippy::inline_always,
    clippy::unused_self,
    clippy::unnecessary_wraps,
    unreachable_pub,
    reason = "the macro of filters writes it so"
)]
mod filters;
pub(super) mod find;
pub(super) mod overview;
mod plan;
mod shown;
pub(super) mod source;
pub(super) mod sources;
pub(super) mod subscription;
pub(super) mod subscriptions;
pub(super) mod system;
pub(super) mod topic;
pub(super) mod topics;
pub(super) mod try_out;
