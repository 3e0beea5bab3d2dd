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
