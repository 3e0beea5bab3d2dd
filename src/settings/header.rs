//! What a subscription may ask for in the headers of its requests.

/// Whether a text can be sent as a `user-agent` (RFC 9110, 10.1.5).
pub(super) fn check_user_agent(text: &str) -> Result<(), &'static str> {
    let can_be = |c: char| c == ' ' || c.is_ascii_graphic();
    if text.trim() != text || text.is_empty() || !text.chars().all(can_be) {
        return Err("expected visible ASCII characters, as in `partner-hooks/2.1`");
    }
    if text.len() > USER_AGENT_BYTES_MAX { Err("expected at most 256 bytes") } else { Ok(()) }
}

/// Whether a text is a media type with its parameters (RFC 9110, 8.3.1).
pub(super) fn check_content_type(text: &str) -> Result<(), &'static str> {
    const EXPECTED: &str = "expected a media type, as `application/json`";
    let is_token = |text: &str| {
        let can_be = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        !text.is_empty() && text.bytes().all(can_be)
    };
    let mut parts = text.split(';');
    let (kind, subtype) = parts.next().and_then(|t| t.trim().split_once('/')).ok_or(EXPECTED)?;
    let is_parameter = |part: &str| part.split_once('=').is_some_and(|(n, _)| is_token(n.trim()));
    let is_sendable = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if !(is_token(kind) && is_token(subtype) && is_sendable && parts.all(is_parameter)) {
        return Err(EXPECTED);
    }
    if text.len() > CONTENT_TYPE_BYTES_MAX { Err("expected at most 256 bytes") } else { Ok(()) }
}

/// The longest `user_agent` and `content_type`.
const USER_AGENT_BYTES_MAX: usize = 256;
const CONTENT_TYPE_BYTES_MAX: usize = 256;

/// The longest value of an extra header: what most servers take of all headers together.
const HEADER_BYTES_MAX: usize = 8_192;

/// Whether a subscription may ask for this extra header; what is wrong with it.
///
/// # Errors
/// It is none, or HTTP or the relay sets it.
pub fn check_header(name: &str, value: &str) -> Result<(), &'static str> {
    const TAKEN: [&str; 12] = [
        "host",
        "content-length",
        "content-type",
        "content-encoding",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "upgrade",
        "te",
        "trailer",
        "traceparent",
        "user-agent",
    ];
    let parsed = http::HeaderName::try_from(name).map_err(|_| "is not the name of a header")?;
    let text = parsed.as_str();
    if TAKEN.contains(&text)
        || ["webhook-", "milkrun-", "ce-"].iter().any(|prefix| text.starts_with(prefix))
    {
        return Err("is set by the relay itself");
    }
    http::HeaderValue::try_from(value).map_err(|_| "has a character that no header may have")?;
    if value.len() > HEADER_BYTES_MAX {
        return Err("expected at most 8,192 bytes");
    }
    Ok(())
}
