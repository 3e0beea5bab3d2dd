//! Names and their addresses: looked up once, vetted, and only then connected to.

use std::{
    fmt,
    io::{Error, ErrorKind},
    net::IpAddr,
    pin::Pin,
    sync::Arc,
};

use super::{Guard, Refused, forbidden, machine};

/// The addresses of a name, to come.
type LookedUp = Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>>;

/// Who knows the addresses of names; tests have one of their own.
#[derive(Clone)]
pub(super) struct Names(pub(super) Arc<dyn Fn(String) -> LookedUp + Send + Sync>);

impl Names {
    /// The system's resolver.
    pub(super) fn of_the_system() -> Self {
        Self(Arc::new(|name| {
            Box::pin(async move {
                let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
                Ok(found.map(|address| address.ip()).collect())
            })
        }))
    }

    /// All addresses of a name, vetted by nobody; at least one.
    pub(super) async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, Error> {
        let none = || Error::new(ErrorKind::HostUnreachable, format!("no address for `{name}`"));
        let found = (self.0)(name.to_owned()).await.map_err(|error| {
            // The resolver does not always say why it could not ask.
            machine::end_of_it(&error).unwrap_or_else(none)
        })?;
        if found.is_empty() { Err(none()) } else { Ok(found) }
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names(…)")
    }
}

impl Guard {
    /// All addresses of a name, whether they may be asked or not; at least one.
    ///
    /// # Errors
    /// There is none, or nobody could be asked for them.
    pub(crate) async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, Error> {
        self.names.look_up(name).await
    }

    /// The addresses of a name, if **all** of them may be asked.
    pub(super) async fn vetted(&self, name: &str) -> Result<Vec<IpAddr>, Error> {
        let found = self.names.look_up(name).await?;
        match found.iter().find(|address| !self.permits(**address)) {
            Some(address) => {
                tracing::warn!(
                    event = "outbound.address_forbidden", host = name, %address,
                    "a name leads to a forbidden address"
                );
                Err(forbidden(Refused::Name { host: name.to_owned() }))
            }
            None => Ok(found),
        }
    }
}
