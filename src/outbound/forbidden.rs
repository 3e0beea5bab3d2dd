//! Which addresses are no public destinations (IANA special-purpose registries, RFC 6890).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is loopback, private, link-local, carrier-grade NAT, multicast,
/// documentation, benchmarking, unspecified, broadcast, reserved or unique-local, in whatever IPv6
/// form an IPv4 address is wrapped.
#[must_use]
pub fn is_forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_forbidden_v4(address),
        IpAddr::V6(address) => is_forbidden_v6(address),
    }
}

fn is_forbidden_v4(address: Ipv4Addr) -> bool {
    matches!(
        address.octets(),
        [0 | 10 | 127 | 224..=255, ..]
            | [100, 64..=127, ..]
            | [169, 254, ..]
            | [172, 16..=31, ..]
            | [192, 168, ..]
            | [192, 0, 0 | 2, _]
            | [192, 88, 99, _]
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
    )
}

fn is_forbidden_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let wrapped = |at: usize| {
        let [a, b] = segments[at].to_be_bytes();
        let [c, d] = segments[at + 1].to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    // ISATAP, RFC 5214, section 6.1: below whatever prefix, the interface is an IPv4 address.
    if segments[4] & !0x200 == 0 && segments[5] == 0x5efe && is_forbidden_v4(wrapped(6)) {
        return true;
    }
    match segments {
        // IPv4-mapped, IPv4-compatible (the unspecified and the loopback address among them) and
        // NAT64 of RFC 6052.
        [0, 0, 0, 0, 0, 0xffff | 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => {
            is_forbidden_v4(wrapped(6))
        }
        // 6to4, RFC 3056.
        [0x2002, ..] => is_forbidden_v4(wrapped(1)),
        // Teredo, RFC 4380: its server, and its client with every bit turned.
        [0x2001, 0, ..] => {
            is_forbidden_v4(wrapped(2))
                || is_forbidden_v4(Ipv4Addr::from_bits(!wrapped(6).to_bits()))
        }
        // Protocol assignments (benchmarking and ORCHID among them) and documentation.
        [0x2001, ..0x200 | 0xdb8, ..] | [0x3fff, ..0x1000, ..] => true,
        // Nothing else outside of global unicast is anybody's public address; that leaves out
        // local-use NAT64, unique-local, link-local, site-local, multicast and discard-only.
        [first, ..] => first & 0xe000 != 0x2000,
    }
}
