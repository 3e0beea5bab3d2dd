//! Where something listens: `ADDRESS:PORT`.

use std::net::SocketAddr;

use serde_saphyr::Spanned;

use super::error::Problems;

/// Where a listener is to be.
pub(super) fn address(
    field: &str,
    given: &Spanned<String>,
    problems: &mut Problems<'_>,
) -> Option<SocketAddr> {
    let address = given.value.parse().ok();
    if address.is_none() {
        let message = format!(
            "`{field}: {}`: expected an address and a port, as 127.0.0.1:8080",
            given.value
        );
        problems.add(given.referenced, message);
    }
    address
}

/// Whether two listeners cannot both be had: an address that stands for all takes the port of each.
pub(super) fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let is_port = one.port() == other.port() && one.port() != 0;
    let takes = |all: SocketAddr, one: SocketAddr| {
        all.ip().is_unspecified() && (all.is_ipv6() || one.is_ipv4())
    };
    is_port && (one.ip() == other.ip() || takes(one, other) || takes(other, one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_stands_for_all_takes_the_port_of_each() {
        for (one, other, expected) in [
            ("127.0.0.1:8080", "127.0.0.1:8080", true),
            ("127.0.0.1:8080", "127.0.0.1:9090", false),
            ("127.0.0.1:8080", "127.0.0.2:8080", false),
            ("0.0.0.0:8080", "127.0.0.1:8080", true),
            ("0.0.0.0:8080", "[::1]:8080", false),
            ("[::]:8080", "127.0.0.1:8080", true),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(
                (clash(one, other), clash(other, one)),
                (expected, expected),
                "{one} {other}"
            );
        }
    }
}
