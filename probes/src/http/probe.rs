//! What a probe of an HTTP JSON producer is made of.

use encoding_rs::Encoding;
use http::HeaderMap;

use super::{
    error::SpecError,
    expr::{ANSWER, Expressions},
    item::Reader,
    mask::Secrets,
    spec::Spec,
};
use crate::extract::Path;

/// An HTTP JSON producer.
#[derive(Debug)]
pub struct HttpProbe {
    pub(super) spec: Spec,
    pub(super) reader: Reader,
    pub(super) items: Path,
    /// Of `max_field`.
    pub(super) field: Option<Path>,
    pub(super) rules: Expressions,
    /// What bodies are in, whatever they say.
    pub(super) charset: Option<&'static Encoding>,
    pub(super) headers: HeaderMap,
    pub(super) secrets: Secrets,
    pub(super) config: String,
}

impl HttpProbe {
    /// A probe for what `spec` describes.
    ///
    /// # Errors
    /// Names the field that cannot be used, see [`Spec::check`].
    pub fn new(spec: Spec) -> Result<Self, SpecError> {
        spec.check()?;
        let rules = Expressions::lenient();
        for (field, rule) in [("fail_when", &spec.fail_when), ("wait_when", &spec.wait_when)] {
            if let Some(rule) = rule {
                rules.check(rule, &ANSWER).map_err(|problem| SpecError { field, problem })?;
            }
        }
        Ok(Self {
            reader: Reader::new(&spec)?,
            items: Path::new(&spec.items.path),
            field: spec.cursor.max_field().map(|rule| Path::new(&rule.path)),
            rules,
            charset: charset(&spec)?,
            headers: spec.request_headers()?,
            secrets: Secrets::of(&spec),
            config: spec.fingerprint(),
            spec,
        })
    }
}

/// The encoding that the source names.
fn charset(spec: &Spec) -> Result<Option<&'static Encoding>, SpecError> {
    let Some(label) = &spec.charset else { return Ok(None) };
    let known = Encoding::for_label(label.as_bytes()).ok_or_else(|| SpecError {
        field: "charset",
        problem: format!("`{label}`: expected a name as `windows-1252` or `shift_jis`"),
    });
    known.map(Some)
}
