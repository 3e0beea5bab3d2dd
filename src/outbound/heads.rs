//! How far an answer has come, told from its bytes: whether any is there, what its status is, and
//! whether too much was said before it.

use std::io::Error;

/// The most informational answers (1xx, RFC 9110, section 15.2) before the one that counts.
pub(super) const INTERIM_MAX: u32 = 16;
/// The most bytes of them.
pub(super) const INTERIM_BYTES_MAX: usize = 64 << 10;
/// What is said of more; a test holds that the numbers are those above.
pub(super) const FLOOD: &str =
    "more than 16 informational answers (1xx), or 65,536 bytes of them, and no final one";

/// `HTTP/1.1 200`
const LINE_BYTES: usize = 12;

/// Where in the answer to a request a connection is.
#[derive(Debug, Default)]
pub(super) struct Heads {
    at: At,
    /// Informational answers to this request, and their bytes.
    interim: u32,
    interim_bytes: usize,
}

#[derive(Debug)]
enum At {
    /// In the beginning of a status line: the bytes so far.
    Line([u8; LINE_BYTES], usize),
    /// In an informational answer; whether at the beginning of a line.
    Interim(bool),
    /// In the answer that counts, with its status; 0: it has none.
    Final(u16),
}

impl Default for At {
    fn default() -> Self {
        Self::Line([0; LINE_BYTES], 0)
    }
}

impl Heads {
    /// Whether nothing has come since the request.
    pub(super) const fn is_silent(&self) -> bool {
        matches!(self.at, At::Line(_, 0)) && self.interim == 0
    }

    /// The status of the answer that counts, once that has begun; 0: it has none.
    pub(super) const fn answered(&self) -> Option<u16> {
        match self.at {
            At::Final(status) => Some(status),
            _ => None,
        }
    }

    /// Takes note of what came.
    ///
    /// # Errors
    /// Too much came before the answer that counts.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(), Error> {
        for byte in bytes {
            match &mut self.at {
                At::Final(_) => break,
                // Ends of lines before the first are passed over, as the parser does.
                At::Line(_, 0) if matches!(byte, b'\r' | b'\n') => {}
                At::Line(line, length) => {
                    line[*length] = *byte;
                    *length += 1;
                    if *length == LINE_BYTES {
                        self.at = after(line);
                        self.interim += u32::from(matches!(self.at, At::Interim(_)));
                    }
                }
                At::Interim(at_start) => {
                    self.interim_bytes += 1;
                    match (byte, *at_start) {
                        (b'\n', true) => self.at = At::default(),
                        (b'\r', _) => {}
                        (byte, _) => *at_start = *byte == b'\n',
                    }
                }
            }
            if self.interim > INTERIM_MAX || self.interim_bytes > INTERIM_BYTES_MAX {
                return Err(Error::other(FLOOD));
            }
        }
        Ok(())
    }
}

/// What follows on the beginning of a status line. Other protocols (101) begin with an answer that
/// counts.
fn after(line: &[u8; LINE_BYTES]) -> At {
    let digits = std::str::from_utf8(&line[9..]).ok();
    let status = digits.and_then(|text| text.parse::<u16>().ok());
    match status {
        Some(100 | 102..200) => At::Interim(false),
        status => At::Final(status.unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

    /// Feeds all of it in pieces of every size; each has to come to the same.
    fn fed(bytes: &[u8]) -> Result<(bool, Option<u16>), String> {
        let by = |size: usize| {
            let mut heads = Heads::default();
            for piece in bytes.chunks(size) {
                heads.feed(piece).map_err(|error| error.to_string())?;
            }
            Ok((heads.is_silent(), heads.answered()))
        };
        let whole = by(bytes.len().max(1));
        for size in 1..40 {
            assert_eq!(by(size), whole, "in pieces of {size}");
        }
        whole
    }

    #[test]
    fn the_answer_that_counts_is_found_behind_others() {
        assert_eq!(fed(b""), Ok((true, None)));
        assert_eq!(fed(b"\r\n"), Ok((true, None)));
        assert_eq!(fed(b"H"), Ok((false, None)));
        assert_eq!(fed(b"HTTP/1.1 20"), Ok((false, None)));
        assert_eq!(fed(b"HTTP/1.1 204 No Content\r\n\r\n"), Ok((false, Some(204))));
        assert_eq!(fed(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"), Ok((false, Some(0))));
        assert_eq!(fed(CONTINUE), Ok((false, None)));
        assert_eq!(fed(b"HTTP/1.1 101 Other\r\n\r\n"), Ok((false, Some(101))));
        let hints =
            b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nlink: </b>\r\n\r\nHTTP/1.0 503 No\r\n";
        assert_eq!(fed(hints), Ok((false, Some(503))));
        assert_eq!(fed(b"HTTP/1.1 102 On\nx: y\n\nHTTP/1.1 200 OK\n\n"), Ok((false, Some(200))));
    }

    #[test]
    fn what_comes_before_it_is_bounded() {
        assert!(FLOOD.contains("than 16 inf") && INTERIM_MAX == 16);
        assert!(FLOOD.contains("65,536 bytes") && INTERIM_BYTES_MAX == 65_536);
        let mut some = CONTINUE.repeat(16);
        some.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        assert_eq!(fed(&some), Ok((false, Some(200))));
        assert_eq!(fed(&CONTINUE.repeat(17)), Err(FLOOD.to_owned()));
        let long = |bytes| format!("HTTP/1.1 103 E\r\nlink: {}\r\n\r\n", "x".repeat(bytes));
        assert_eq!(fed(long(60_000).as_bytes()), Ok((false, None)));
        assert_eq!(fed(long(66_000).as_bytes()), Err(FLOOD.to_owned()));
        assert_eq!(fed(long(10_000).repeat(7).as_bytes()), Err(FLOOD.to_owned()));
    }

    #[test]
    fn the_body_of_an_answer_is_not_looked_at() {
        let mut answer = b"HTTP/1.1 200 OK\r\ncontent-length: 999999\r\n\r\n".to_vec();
        answer.extend(CONTINUE.repeat(9_999));
        assert_eq!(fed(&answer[..10_000]), Ok((false, Some(200))));
    }
}
