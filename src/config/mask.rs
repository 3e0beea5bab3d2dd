//! What of a refused file may be shown: not what stands where a secret does, and no value that came
//! from a variable or a reference.

use crate::nearest::nearest;

/// A shorter value is no secret, and would hide ordinary words.
pub(crate) const SECRET_BYTES_MIN: usize = 6;

/// Words in names of what holds a secret.
const WORDS: [&str; 11] = [
    "pass",
    "secret",
    "token",
    "bearer",
    "credential",
    "api_key",
    "api-key",
    "apikey",
    "authorization",
    "cookie",
    "signature",
];
/// Names that are meant when they are misspelt.
const NAMES: [&str; 5] = ["password", "secret", "secrets", "bearer", "client_secret"];

/// Whether a key of this name, or of one that was meant, may have a secret behind it.
pub(crate) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let is_address = key.ends_with("url");
    !is_address && (WORDS.iter().any(|word| key.contains(word)) || nearest(&key, NAMES).is_some())
}

/// Whether the value of a variable may be a secret: its name says so, or it has a part that nobody
/// would choose as a name. What is none stays as it is, for events are known by it.
pub(crate) fn is_token(name: &str, value: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_said = ["key", "auth", "pwd"].iter().any(|word| name.contains(word)) || is_secret(&name);
    let has = |part: &str, is: fn(&char) -> bool| part.chars().any(|c| is(&c));
    let is_random = |part: &str| {
        let is_mixed = has(part, char::is_ascii_digit) && has(part, char::is_ascii_alphabetic);
        (part.len() >= 8 && is_mixed)
            || (part.len() >= 16 && part.chars().all(|c| c.is_ascii_alphanumeric()))
    };
    value.len() >= SECRET_BYTES_MIN && (is_said || value.split(['/', '?', '&', '=']).any(is_random))
}

/// A line of the file, of the same width, without what may be a secret in it.
pub(crate) fn line(line: &str) -> String {
    let mut shown = line.to_owned();
    hide_users(&mut shown, blank);
    for prefix in ["whsec_", "whsk_"] {
        while let Some(start) = shown.find(prefix) {
            let rest = &shown[start..];
            let is_end = |c: char| c.is_whitespace() || ",]}\"'".contains(c);
            let end = start + rest.find(is_end).unwrap_or(rest.len());
            blank(&mut shown, start, end);
        }
    }
    let mut from = 0;
    while let Some(colon) = shown[from..].find(": ").map(|at| from + at) {
        from = colon + 1;
        let before = shown[..colon].trim_end_matches(['"', '\'']);
        let is_name = |c: char| c.is_alphanumeric() || "_-.".contains(c);
        let key = before.rfind(|c: char| !is_name(c)).map_or(before, |at| {
            &before[at + before[at..].chars().next().map_or(1, char::len_utf8)..]
        });
        let value = &shown[from..];
        let start = from + value.len() - value.trim_start().len();
        let is_secret = is_secret(key) || key == "auth";
        if is_secret && !shown[start..].starts_with(['{', '[', '$', '&', '*', '|', '>']) {
            let end = start + end_of_value(&shown[start..]);
            blank(&mut shown, start, end);
        }
    }
    shown
}

/// How long the value is that begins here.
fn end_of_value(text: &str) -> usize {
    if let Some(quote @ ('"' | '\'')) = text.chars().next() {
        return text[1..].find(quote).map_or(text.len(), |end| end + 2);
    }
    let ends = [",", "}", "]", " #"].into_iter().filter_map(|end| text.find(end));
    ends.min().unwrap_or(text.len())
}

/// Puts `***` and blanks in the place of a text, so that a mark below still points to its place.
fn blank(line: &mut String, start: usize, end: usize) {
    let hidden = line[start..end].trim_end();
    let (width, end) = (hidden.chars().count(), start + hidden.len());
    line.replace_range(start..end, &format!("{:<width$}", "***"));
}

/// A text without the users and passwords of URLs in it.
pub(crate) fn user_info(text: &str) -> String {
    let mut shown = text.to_owned();
    hide_users(&mut shown, |text, start, end| text.replace_range(start..end, "***"));
    shown
}

fn hide_users(shown: &mut String, hide: impl Fn(&mut String, usize, usize)) {
    let mut from = 0;
    while let Some(start) = shown[from..].find("://").map(|at| from + at + 3) {
        from = start;
        let rest = &shown[start..];
        let is_end = |c: char| c.is_whitespace() || "/?#\"'".contains(c);
        let authority = &rest[..rest.find(is_end).unwrap_or(rest.len())];
        if let Some(at) = authority.rfind('@') {
            hide(shown, start, start + at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_told_from_names() {
        for (name, value, is) in [
            ("TOKEN", "abcdef", true),
            ("SLACK_KEY", "abcdef", true),
            ("PART", "T00/B00/a1b2c3d4", true),
            ("PART", "abcdefghijklmnop", true),
            ("REPO", "rust-lang/rust", false),
            ("TENANT", "acme-corporation-of-europe", false),
            ("TOKEN", "abc", false),
        ] {
            assert_eq!(is_token(name, value), is, "{name} {value}");
        }
    }

    #[test]
    fn what_may_be_a_secret_is_not_shown() {
        for (text, shown) in [
            ("    intervall: 60s", "    intervall: 60s"),
            (
                "  auth: { basic: { user: u, passwrd: hunter2 } }",
                "  auth: { basic: { user: u, passwrd: ***     } }",
            ),
            ("  url: https://u:hunter2@a.example/x@y", "  url: https://***      @a.example/x@y"),
            ("- { secret: 'hunter2: x', key: id }", "- { secret: ***         , key: id }"),
            ("  secrets: [whsec_abc, \"whsk_de\"]", "  secrets: [***      , \"***    \"]"),
            ("  \"X-Api-Key\": hunter2 # x", "  \"X-Api-Key\": ***     # x"),
            ("  tokens: { token: { path: next } }", "  tokens: { token: { path: next } }"),
            ("  token_url: https://a.example", "  token_url: https://a.example"),
            ("  secret: { env: NAME }", "  secret: { env: NAME }"),
        ] {
            assert_eq!(line(text), shown);
        }
    }
}
