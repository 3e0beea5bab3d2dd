//! The list of shapes, read: one line each, as `shapes.txt` says.

use std::{fmt::Write as _, io::Write as _};

use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};

/// The events of a list.
pub(super) const LIST: &str = r#"[{"id":"a1"},{"id":"a2"},{"id":"a3"}]"#;

/// One odd answer.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub name: String,
    pub then: Then,
    /// What it is to a webhook: a word, and words of the error.
    pub pushed: (String, String),
    /// What it is to a source: a word, and words of the message.
    pub polled: (String, String),
    pub bytes: Vec<u8>,
}

/// What the server does behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Keep,
    Close,
    Reset,
    Stall,
    Drip,
    Early,
}

/// The shapes of a list.
pub(super) fn listed(text: &str) -> Vec<Shape> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(shape).collect()
}

fn shape(line: &str) -> Shape {
    let cells: Vec<&str> = line.splitn(5, '|').collect();
    let [name, then, pushed, polled, bytes] = cells[..] else { panic!("five cells: {line}") };
    let then = match then.trim() {
        "keep" => Then::Keep,
        "close" => Then::Close,
        "reset" => Then::Reset,
        "stall" => Then::Stall,
        "drip" => Then::Drip,
        "early" => Then::Early,
        other => panic!("`{other}`: {line}"),
    };
    let expected = |cell: &str| {
        let (word, rest) = cell.trim().split_once(' ').unwrap_or((cell.trim(), ""));
        (word.to_owned(), rest.to_owned())
    };
    Shape {
        name: name.trim().to_owned(),
        then,
        pushed: expected(pushed),
        polled: expected(polled),
        bytes: wire(bytes.strip_prefix(' ').unwrap_or(bytes)),
    }
}

/// The bytes that a text stands for.
fn wire(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        match letter {
            '%' => bytes.extend(b"HTTP/1.1 200 OK\r\n"),
            '@' => bytes.extend(LIST.as_bytes()),
            '$' => bytes.extend(format!("Content-Length: 37\r\n\r\n{LIST}").as_bytes()),
            '\\' => rest = escaped(rest, &mut bytes),
            '<' => rest = made(rest, &mut bytes),
            letter => bytes.push(u8::try_from(letter).expect("a letter of ASCII")),
        }
    }
    bytes
}

/// What follows on a backslash; gives what is left.
fn escaped<'a>(rest: &'a str, bytes: &mut Vec<u8>) -> &'a str {
    match &rest[..1] {
        "n" => bytes.extend(b"\r\n"),
        "l" => bytes.push(b'\n'),
        "r" => bytes.push(b'\r'),
        "t" => bytes.push(b'\t'),
        "x" => {
            bytes.push(u8::from_str_radix(&rest[1..3], 16).expect("two digits"));
            return &rest[3..];
        }
        other => panic!("\\{other}"),
    }
    &rest[1..]
}

/// What stands between `<` and `>`, or the `<` itself; gives what is left.
fn made<'a>(rest: &'a str, bytes: &mut Vec<u8>) -> &'a str {
    let (inside, behind) = rest.split_once('>').unwrap_or((rest, ""));
    let (word, count) = inside.split_once(' ').unwrap_or((inside, "0"));
    let count: usize = count.parse().unwrap_or(0);
    let made = match word {
        "x" => vec![b'x'; count],
        "fields" => fields(count).into_bytes(),
        "continue" => b"HTTP/1.1 100 Continue\r\n\r\n".repeat(count),
        "chunked" => chunked(LIST.as_bytes(), count),
        "chunked-gzip" => chunked(&gzip(LIST.as_bytes()), 1 << 10),
        "gzip-cut" => {
            let whole = gzip(LIST.as_bytes());
            whole[..whole.len() - 12].to_vec()
        }
        "gzip-spoilt" => {
            let mut whole = gzip(LIST.as_bytes());
            // The sum, which stands before the length.
            let sum = whole.len() - 8;
            whole[sum] ^= 1;
            whole
        }
        "gzip-twice" => gzip(&gzip(LIST.as_bytes())),
        "zlib" => {
            let mut coder = ZlibEncoder::new(Vec::new(), Compression::fast());
            coder.write_all(LIST.as_bytes()).unwrap();
            coder.finish().unwrap()
        }
        "deflate" => {
            let mut coder = DeflateEncoder::new(Vec::new(), Compression::fast());
            coder.write_all(LIST.as_bytes()).unwrap();
            coder.finish().unwrap()
        }
        _ => {
            bytes.push(b'<');
            return rest;
        }
    };
    bytes.extend(made);
    behind
}

fn fields(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, n| {
        write!(text, "X-{n}: {n}\r\n").unwrap();
        text
    })
}

/// A body in chunks of so many bytes, to its end.
fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in body.chunks(size) {
        write!(bytes, "{:X}\r\n", chunk.len()).unwrap();
        bytes.extend(chunk);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut coder = GzEncoder::new(Vec::new(), Compression::fast());
    coder.write_all(body).unwrap();
    coder.finish().unwrap()
}
