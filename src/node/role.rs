//! What a process does.

use crate::{
    config::Config,
    store::{NewMember, Work},
};

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

    /// What it is called on the command line.
    const fn name(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Dispatch => "dispatch",
            Self::Api => "api",
            Self::Janitor => "janitor",
        }
    }

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
pub(super) fn member(roles: &[Role], config: &Config) -> NewMember {
    NewMember {
        name: config.cluster.node.clone().unwrap_or_else(|| name(roles, config.listen.port())),
        roles: Role::ALL.into_iter().filter(|role| roles.contains(role)).map(Role::name).collect(),
        work: roles.iter().flat_map(|role| role.work()).copied().collect(),
    }
}

/// A name that processes of different machines, ports or roles do not share.
fn name(roles: &[Role], port: u16) -> String {
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let some: Vec<&str> =
        Role::ALL.into_iter().filter(|role| roles.contains(role)).map(Role::name).collect();
    if some.len() == Role::ALL.len() {
        format!("{machine}:{port}")
    } else {
        format!("{machine}:{port}/{}", some.join("+"))
    }
}
