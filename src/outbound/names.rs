//! Names and their addresses: looked up once, vetted, and only then connected to.

use std::{
    fmt,
    io::{Error, ErrorKind},
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{Guard, Refused, forbidden};

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

    async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, Error> {
        let none = || Error::new(ErrorKind::HostUnreachable, format!("no address for `{name}`"));
        let found = (self.0)(name.to_owned()).await.map_err(|_| none())?;
        if found.is_empty() { Err(none()) } else { Ok(found) }
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names(…)")
    }
}

impl Guard {
    /// The addresses of a name, if **all** of them may be asked.
    pub(super) async fn vetted(&self, name: &str) -> Result<Vec<IpAddr>, Error> {
        let found = self.names.look_up(name).await?;
        match found.iter().find(|address| !self.permits(**address)) {
            Some(address) => {
                Err(forbidden(Refused::Address { host: name.to_owned(), address: *address }))
            }
            None => Ok(found),
        }
    }
}

/// What the client asks for the addresses that it then connects to: there is no second look-up
/// whose answer could be another.
impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = match guard.proxy {
                // Behind a proxy only the proxy's own name is looked up here, and the operator
                // says where that is.
                Some(_) => guard.names.look_up(name.as_str()).await?,
                None => guard.vetted(name.as_str()).await?,
            };
            let found = found.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(found) as Addrs)
        })
    }
}
