//! Connecting to one of several addresses: the next is tried while the one before still is (RFC
//! 8305), so that an address that drops what it is sent costs a moment and not the deadline.

use std::{
    io::{Error, ErrorKind},
    net::SocketAddr,
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{net::TcpStream, time::timeout};

use super::{kind_of, machine, of_kind, with_address};

/// How long an address is tried alone before the next one is too.
pub(super) const HEAD_START: Duration = Duration::from_millis(300);
/// How long one address is tried.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// The most addresses that are tried.
const ADDRESSES_MAX: usize = 32;

/// Connects to whichever of the addresses takes the connection first; each has so much `patience`.
///
/// # Errors
/// None does; names each with its reason.
pub(super) async fn connect(
    addresses: &[SocketAddr],
    patience: Duration,
) -> Result<TcpStream, Error> {
    let mut waiting = by_turns(addresses).into_iter().take(ADDRESSES_MAX).peekable();
    let mut trying = FuturesUnordered::new();
    let mut failed = Vec::new();
    loop {
        if let Some(address) = waiting.next() {
            trying.push(attempt(address, patience));
        }
        let has_more = waiting.peek().is_some();
        tokio::select! {
            biased;
            ended = trying.next(), if !trying.is_empty() => match ended {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => failed.push(error),
                None => {}
            },
            () = tokio::time::sleep(HEAD_START), if has_more => {}
            else => return Err(together(&failed)),
        }
    }
}

async fn attempt(address: SocketAddr, patience: Duration) -> Result<TcpStream, Error> {
    let connected = timeout(patience, TcpStream::connect(address)).await.unwrap_or_else(|_| {
        let seconds = patience.as_secs_f64();
        Err(Error::new(ErrorKind::TimedOut, format!("no connection within {seconds} s")))
    });
    let stream = connected.map_err(|error| with_address(address, &error))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The families take turns, the one of the first address first; within each the order stays.
fn by_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let of = |is_v6| addresses.iter().copied().filter(move |address| address.is_ipv6() == is_v6);
    let (mut first, mut second) = (of(first_is_v6), of(!first_is_v6));
    let mut turns = Vec::new();
    loop {
        let before = turns.len();
        turns.extend(first.next());
        turns.extend(second.next());
        if turns.len() == before {
            return turns;
        }
    }
}

/// All failures as one, of the kind of the first that tells one; this machine's own is the last to
/// be believed, for one without IPv6 has no port for its addresses either.
fn together(failed: &[Error]) -> Error {
    let kinds = failed.iter().filter_map(kind_of);
    let kind = kinds.clone().find(|kind| *kind != machine::KIND).or(kinds.clone().next());
    let kind = kind.unwrap_or(ErrorKind::Other);
    let texts: Vec<String> = failed.iter().map(Error::to_string).collect();
    of_kind(kind, texts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let all = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect::<Vec<_>>();
        let mixed = all(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]);
        let turns = all(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
        assert_eq!(by_turns(&mixed), turns);
        let one = all(&["2.2.2.2:1", "1.1.1.1:1"]);
        assert_eq!(by_turns(&one), one);
        assert!(by_turns(&[]).is_empty());
    }
}
