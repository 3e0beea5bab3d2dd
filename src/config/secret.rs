//! Secrets by reference: `{ env: NAME }` or `{ file: PATH }`. Only the file has these forms.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_saphyr::Spanned;

use super::{
    error::{Problems, SECRET_EXPECTED as EXPECTED, SECRET_WRITTEN},
    written::token,
};
use crate::regular;

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecretRef {
    /// In this environment variable.
    Env(String),
    /// In this regular file, relative to where the configuration is; blanks and line breaks at its ends do
    /// not count.
    File(PathBuf),
}

/// A value that may be shown, or a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Value {
    /// As it is; a number and `true` are the texts that the file has.
    #[schemars(schema_with = "super::forms::scalar")]
    Plain(String),
    /// By reference.
    Secret(SecretRef),
    /// A number or `true`, until its text as it stands in the file is here.
    #[serde(skip)]
    #[schemars(skip)]
    Unread,
}

impl Value {
    /// Where it is, when it is not given as it is.
    pub(crate) fn reference(&self) -> Option<&SecretRef> {
        match self {
            Self::Secret(reference) => Some(reference),
            Self::Plain(_) | Self::Unread => None,
        }
    }

    /// Takes the text of a number or `true` from the file.
    pub(crate) fn as_written(value: &mut Spanned<Self>, file: &str) {
        if value.value == Self::Unread
            && let Some(text) = token(file, value.defined)
        {
            value.value = Self::Plain(text.to_owned());
        }
    }
}

/// What environment variables hold.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What surrounds the file.
#[derive(Clone, Copy)]
pub(crate) struct Env<'a> {
    /// What environment variables hold.
    pub(crate) variables: Variables<'a>,
    /// Where the file is: relative paths in it begin there, wherever the command is started.
    pub(crate) folder: &'a Path,
}

impl<'a> Env<'a> {
    /// Of the file of this name.
    pub(crate) fn of(name: &'a str, variables: Variables<'a>) -> Self {
        Self { variables, folder: Path::new(name).parent().unwrap_or(Path::new("")) }
    }
}

/// The longest secret.
const SECRET_BYTES_MAX: u64 = 64 << 10;

impl SecretRef {
    /// What it leads to.
    ///
    /// # Errors
    /// It cannot be had, is empty, or has invisible characters in it.
    pub(crate) fn read(&self, env: Env<'_>) -> Result<String, String> {
        let value = match self {
            Self::Env(name) => (env.variables)(name).ok_or_else(|| format!("{self} is not set"))?,
            Self::File(path) => {
                let path = env.folder.join(path);
                let cannot = |why: String| format!("cannot read `{}`: {why}", path.display());
                regular::read_text(&path, SECRET_BYTES_MAX)
                    .map_err(|error| cannot(error.to_string()))?
            }
        };
        // What an editor or a shell adds at the ends is not meant.
        let value = value.trim_matches(|c: char| c.is_whitespace() || is_invisible(c));
        if value.is_empty() {
            return Err(format!("{self}: the secret is empty"));
        }
        if let Some(c) = value.chars().find(|c| is_invisible(*c)) {
            return Err(format!(
                "{self}: the secret has the invisible character U+{:04X} in it: type it anew",
                u32::from(c)
            ));
        }
        Ok(value.to_owned())
    }
}

impl SecretRef {
    /// The same, wherever it is read.
    pub(crate) fn rooted(&self, env: Env<'_>) -> Self {
        match self {
            Self::Env(name) => Self::Env(name.clone()),
            Self::File(path) => Self::File(env.folder.join(path)),
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable `{name}`"),
            Self::File(path) => write!(f, "the file `{}`", path.display()),
        }
    }
}

/// Whether nobody sees a character, who copies it along from a page or a chat: hard blanks, marks of
/// byte order and direction, and what has no width.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{a0}' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202f}'
        | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{0}')
}

/// The text of a secret; an empty one and a problem when it cannot be had.
pub(crate) fn resolve(
    secret: &Spanned<SecretRef>,
    env: Env<'_>,
    problems: &mut Problems<'_>,
) -> String {
    match secret.value.read(env) {
        Ok(text) => {
            problems.hide(&text, "***");
            text
        }
        Err(problem) => {
            problems.add_unread(secret.referenced, problem);
            String::new()
        }
    }
}

/// The text of a value, and whether it is a secret.
pub(crate) fn resolve_value(
    value: &Spanned<Value>,
    env: Env<'_>,
    problems: &mut Problems<'_>,
) -> (String, bool) {
    match &value.value {
        Value::Plain(text) => (text.clone(), false),
        Value::Unread => {
            problems.add(value.referenced, "expected a text: write it in quotes");
            (String::new(), false)
        }
        Value::Secret(secret) => match secret.read(env) {
            Ok(text) => {
                problems.hide(&text, "***");
                (text, true)
            }
            Err(problem) => {
                problems.add_unread(value.referenced, problem);
                (String::new(), true)
            }
        },
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reference {
    Env(String),
    File(PathBuf),
}

impl From<Reference> for SecretRef {
    fn from(reference: Reference) -> Self {
        match reference {
            Reference::Env(name) => Self::Env(name),
            Reference::File(path) => Self::File(path),
        }
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_any(ValueVisitor { plain: false })? {
            Value::Secret(secret) => Ok(secret),
            Value::Plain(_) | Value::Unread => Err(de::Error::custom(EXPECTED)),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor { plain: true })
    }
}

struct ValueVisitor {
    plain: bool,
}

impl ValueVisitor {
    const fn expected(&self) -> &'static str {
        if self.plain {
            "a text, { env: NAME } or { file: PATH }"
        } else {
            "{ env: NAME } or { file: PATH }"
        }
    }

    fn plain<E: de::Error>(&self, value: Value) -> Result<Value, E> {
        debug_assert!(EXPECTED.starts_with(SECRET_WRITTEN));
        if self.plain { Ok(value) } else { Err(E::custom(EXPECTED)) }
    }
}

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        self.plain(Value::Plain(text.to_owned()))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Err(E::custom(format_args!(
            "nothing is there: expected {}; `\"\"` is the empty text, `\"null\"` the word",
            self.expected()
        )))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Value, E> {
        self.plain(Value::Unread)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Value, E> {
        self.plain(Value::Unread)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Value, E> {
        self.plain(Value::Unread)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Value, E> {
        self.plain(Value::Unread)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        Reference::deserialize(MapAccessDeserializer::new(map)).map(|r| Value::Secret(r.into()))
    }
}
