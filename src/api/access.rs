//! Who may talk to the API at all: the rules of a relay that listens on loopback without keys.
//!
//! A page in the operator's browser can send requests to loopback. It cannot forge `Host` (a name
//! that was made to resolve to loopback shows in it) and cannot leave out a foreign `Origin`.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, StatusCode, Uri, header};

use super::problem::Problem;

/// Which requests are let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Only those that name a loopback host and come from no foreign page.
    Loopback,
    /// All: the operator said `--insecure`.
    Open,
}

/// What may be done on `address` when there are no keys.
///
/// # Errors
/// A public address without keys is refused unless `insecure`.
pub fn check_bind(address: SocketAddr, insecure: bool) -> Result<Access, String> {
    if address.ip().to_canonical().is_loopback() {
        Ok(Access::Loopback)
    } else if insecure {
        Ok(Access::Open)
    } else {
        Err(format!(
            "`listen: {address}` is reachable from outside and there are no keys: listen on 127.0.0.1 or [::1], or say --insecure"
        ))
    }
}

/// Refuses what [`Access`] does not let in; runs before anything else looks at a request.
pub async fn guard(
    State(access): State<Access>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if access == Access::Loopback {
        check(request.headers(), request.uri())?;
    }
    Ok(next.run(request).await)
}

fn check(headers: &HeaderMap, uri: &Uri) -> Result<(), Problem> {
    let refuse = |detail: &str| Err(Problem::new(StatusCode::FORBIDDEN, "foreign_host", detail));
    let mut hosts = headers.get_all(header::HOST).iter();
    let named = match (hosts.next(), hosts.next(), uri.authority()) {
        (Some(host), None, _) => host.to_str().ok(),
        // HTTP/2 has no `Host`; its authority is in the address.
        (None, None, Some(authority)) => Some(authority.as_str()),
        _ => None,
    };
    if !named.is_some_and(is_loopback_authority) {
        return refuse(
            "without keys the relay answers only to `Host: localhost`, 127.0.0.1 or [::1]",
        );
    }
    for origin in headers.get_all(header::ORIGIN) {
        let own = origin.to_str().ok().and_then(|text| {
            text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"))
        });
        if !own.is_some_and(is_loopback_authority) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "foreign_origin",
                "without keys the relay answers no page of another origin",
            ));
        }
    }
    Ok(())
}

/// Whether `host[:port]` is `localhost`, a name below it, or a loopback address.
fn is_loopback_authority(text: &str) -> bool {
    let host = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) if port.is_empty() || is_port(port) => address,
        Some(_) => return false,
        None => match text.find(':') {
            Some(at) if is_port(&text[at..]) => &text[..at],
            Some(_) => return false,
            None => text,
        },
    };
    let name = host.to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

fn is_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_own() {
        for own in [
            "localhost",
            "localhost:8080",
            "LOCALHOST:1",
            "api.localhost",
            "127.0.0.1:8080",
            "127.8.9.1",
            "[::1]:8080",
            "[::1]",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(is_loopback_authority(own), "{own}");
        }
        for foreign in [
            "",
            "example.com",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "10.0.0.1",
            "localhost:x",
            "[::1",
            "[::1]x",
            "evil@localhost:80@x",
            "[fe80::1]",
            "0.0.0.0",
        ] {
            assert!(!is_loopback_authority(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_public_address_needs_keys_or_the_word() {
        let public = "0.0.0.0:8080".parse().unwrap();
        assert!(check_bind(public, false).unwrap_err().contains("--insecure"));
        assert_eq!(check_bind(public, true), Ok(Access::Open));
        assert_eq!(check_bind("127.0.0.1:0".parse().unwrap(), true), Ok(Access::Loopback));
        assert_eq!(check_bind("[::1]:0".parse().unwrap(), false), Ok(Access::Loopback));
    }

    #[test]
    fn a_request_must_name_a_host_and_come_from_here() {
        let headers = |list: &[(&'static str, &'static str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in list {
                map.append(*name, value.parse().unwrap());
            }
            map
        };
        let local = Uri::from_static("/v1/topics");
        for (list, good) in [
            (&[("host", "localhost:1")][..], true),
            (&[("host", "localhost"), ("origin", "http://127.0.0.1:3000")], true),
            (&[], false),
            (&[("host", "evil.example")], false),
            (&[("host", "localhost"), ("host", "evil.example")], false),
            (&[("host", "localhost"), ("origin", "https://evil.example")], false),
            (&[("host", "localhost"), ("origin", "null")], false),
        ] {
            assert_eq!(check(&headers(list), &local).is_ok(), good, "{list:?}");
        }
    }
}
