//! What a process does.

use crate::store::{NewMember, Work};

/// What a process does. Roles know nothing of each other and meet only in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Role {
    /// Asks producers.
    Probe,
    /// Pushes to consumers.
    Dispatch,
    /// Serves the API.
    Api,
    /// Keeps tables within their bounds.
    Janitor,
}

impl Role {
    /// All of them: what one process does by default.
    pub const ALL: [Self; 4] = [Self::Probe, Self::Dispatch, Self::Api, Self::Janitor];

    /// The kinds of work that are done by one node at a time.
    const fn work(self) -> &'static [Work] {
        match self {
            Self::Probe => &[Work::Source],
            Self::Dispatch => &[Work::Subscription],
            Self::Api => &[],
            Self::Janitor => &[Work::Retention, Work::Pending],
        }
    }
}

/// What a node with these roles is to the others on its store.
pub(super) fn member(roles: &[Role]) -> NewMember {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    NewMember { name, work: roles.iter().flat_map(|role| role.work()).copied().collect() }
}
