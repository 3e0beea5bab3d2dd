//! A JSON text with other blanks: what frameworks make of a body that they read and write again.

/// How JSON is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spacing {
    /// Without blanks.
    Compact,
    /// With a blank behind each colon and comma, as Python does.
    Spaced,
    /// On lines, each level indented by so many blanks.
    Pretty(usize),
}

impl Spacing {
    pub(super) const ALL: [Self; 4] =
        [Self::Compact, Self::Spaced, Self::Pretty(2), Self::Pretty(4)];

    /// In words.
    pub(super) fn told(self) -> String {
        match self {
            Self::Compact => "compact JSON, without blanks".into(),
            Self::Spaced => "JSON with a blank behind each colon and comma".into(),
            Self::Pretty(indent) => format!("JSON on lines, indented by {indent}"),
        }
    }

    /// The text as it would be written so; nothing but blanks between values changes.
    pub(super) fn write(self, json: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(json.len() * 2);
        let (mut depth, mut within, mut escaped, mut opened) = (0_usize, false, false, false);
        for &byte in json {
            if within {
                out.push(byte);
                within = byte != b'"' || escaped;
                escaped = byte == b'\\' && !escaped;
                continue;
            }
            if byte.is_ascii_whitespace() {
                continue;
            }
            let closes = matches!(byte, b'}' | b']');
            if closes {
                depth = depth.saturating_sub(1);
            }
            // An empty object or array stays on its line.
            if opened != closes {
                self.line(depth, &mut out);
            }
            opened = matches!(byte, b'{' | b'[');
            depth += usize::from(opened);
            within = byte == b'"';
            out.push(byte);
            match byte {
                b',' if self == Self::Spaced => out.push(b' '),
                b',' => self.line(depth, &mut out),
                b':' if self != Self::Compact => out.push(b' '),
                _ => {}
            }
        }
        out
    }

    fn line(self, depth: usize, out: &mut Vec<u8>) {
        if let Self::Pretty(indent) = self {
            out.push(b'\n');
            out.extend(std::iter::repeat_n(b' ', indent * depth));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_change_and_nothing_else() {
        let compact = r#"{"a":[1.0,{"b":"x, \"y\": {"}],"e":{},"f":[]}"#;
        let spaced = r#"{"a": [1.0, {"b": "x, \"y\": {"}], "e": {}, "f": []}"#;
        let pretty = "{\n  \"a\": [\n    1.0,\n    {\n      \"b\": \"x, \\\"y\\\": {\"\n    }\n  ],\n  \
                      \"e\": {},\n  \"f\": []\n}";
        for text in [compact, spaced, pretty] {
            let written = |how: Spacing| String::from_utf8(how.write(text.as_bytes())).unwrap();
            assert_eq!(written(Spacing::Compact), compact);
            assert_eq!(written(Spacing::Spaced), spaced);
            assert_eq!(written(Spacing::Pretty(2)), pretty);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_taken(text: Vec<u8>) {
            for how in Spacing::ALL {
                how.write(&text);
            }
        }
    }
}
