//! What a producer said, with the secrets hidden in it.

use super::{HttpProbe, excerpt::excerpt};
use crate::{Failure, Next, Page};

/// How much of a body is shown.
const EXCERPT_BYTES: usize = 200;
/// How much of it is looked through before, for a secret must not be cut in two.
const LOOKED_AT_BYTES: usize = 16 << 10;

impl HttpProbe {
    /// The first bytes of what a producer said, for a person.
    pub(super) fn excerpt(&self, bytes: &[u8]) -> String {
        let looked_at = &bytes[..bytes.len().min(LOOKED_AT_BYTES)];
        let masked = self.secrets.hide(&String::from_utf8_lossy(looked_at));
        excerpt(masked.as_bytes(), EXCERPT_BYTES)
    }

    /// With all secrets hidden in what a person may be shown.
    pub(super) fn mask(&self, page: Result<Page, Failure>) -> Result<Page, Failure> {
        let hide = |text: &mut String| *text = self.secrets.hide(text);
        match page {
            Ok(mut page) => {
                page.rejected.iter_mut().for_each(|rejected| hide(&mut rejected.reason));
                page.field_errors.0.values_mut().for_each(|error| hide(&mut error.reason));
                page.others.iter_mut().for_each(|(_, value)| hide(value));
                if let Next::Done(walk) = &mut page.next {
                    walk.warnings.iter_mut().for_each(hide);
                    walk.gap.iter_mut().for_each(|gap| hide(&mut gap.detail));
                }
                Ok(page)
            }
            Err(mut failure) => {
                hide(&mut failure.message);
                failure.help = failure.help.map(|help| self.secrets.hide(&help).into());
                if let Some(gap) = &mut failure.gap {
                    hide(&mut gap.detail);
                }
                Err(failure)
            }
        }
    }
}
