//! A signed request, of options or of a file with what came over the wire.

/// What is signed, and the signature.
#[derive(Debug, Default)]
pub(super) struct Signed {
    pub(super) id: Option<String>,
    pub(super) timestamp: Option<String>,
    pub(super) signature: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Signed {
    /// Of a raw HTTP/1.1 request: its headers, an empty line, its body.
    ///
    /// # Errors
    /// There is no end of the headers, or the body is not as it was signed.
    pub(super) fn read(raw: &[u8]) -> Result<Self, String> {
        let end = |mark: &[u8]| {
            let at = raw.windows(mark.len()).position(|part| part == mark)?;
            Some((at, at + mark.len()))
        };
        let ends = [end(b"\r\n\r\n"), end(b"\n\n")];
        let Some((head, body)) = ends.into_iter().flatten().min() else {
            return Err("expected headers, an empty line and the body".into());
        };
        let mut request = Self { body: raw[body..].to_vec(), ..Self::default() };
        for line in String::from_utf8_lossy(&raw[..head]).lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            let value = value.trim().to_owned();
            match name.trim().to_ascii_lowercase().as_str() {
                "webhook-id" => request.id = Some(value),
                "webhook-timestamp" => request.timestamp = Some(value),
                "webhook-signature" => request.signature = Some(value),
                "content-encoding" | "transfer-encoding" if value != "identity" => {
                    return Err(format!(
                        "the body is `{value}`: what was signed is the body decoded; give that with --body"
                    ));
                }
                _ => {}
            }
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_whatever_its_line_breaks() {
        for end in ["\r\n", "\n"] {
            let lines =
                ["POST /hooks HTTP/1.1", "Webhook-Id: m", "webhook-timestamp:  7 ", "", "{\n\n}"];
            let request = Signed::read(lines.join(end).as_bytes()).unwrap();
            assert_eq!(request.id.as_deref(), Some("m"));
            assert_eq!(request.timestamp.as_deref(), Some("7"));
            assert_eq!((request.signature, request.body), (None, b"{\n\n}".to_vec()));
        }
        assert!(Signed::read(b"POST / HTTP/1.1").is_err());
        assert!(Signed::read(b"content-encoding: gzip\n\nx").unwrap_err().contains("`gzip`"));
    }
}
