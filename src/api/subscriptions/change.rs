//! What a request asks of one setting: nothing, the default again, or a value.

use serde::{Deserialize, Deserializer};

/// What is asked of one setting. What is left out stays, and null goes back to the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Change<T> {
    #[default]
    Keep,
    Reset,
    Set(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Reset, Self::Set))
    }
}

impl<T> Change<T> {
    /// Changes `setting` as asked.
    pub(super) fn apply(self, setting: &mut T, default: T) {
        match self {
            Self::Keep => {}
            Self::Reset => *setting = default,
            Self::Set(value) => *setting = value,
        }
    }

    /// As [`Change::apply`], for a setting that may be none.
    pub(super) fn apply_some(self, setting: &mut Option<T>) {
        self.map(Some).apply(setting, None);
    }

    pub(super) fn map<U>(self, make: impl FnOnce(T) -> U) -> Change<U> {
        match self {
            Self::Keep => Change::Keep,
            Self::Reset => Change::Reset,
            Self::Set(value) => Change::Set(make(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Body {
        #[serde(default)]
        rate: Change<u32>,
    }

    #[test]
    fn left_out_null_and_a_value_are_told_apart() {
        for (text, change, after) in [
            ("{}", Change::Keep, 5),
            (r#"{"rate":null}"#, Change::Reset, 1),
            (r#"{"rate":7}"#, Change::Set(7), 7),
        ] {
            let body: Body = serde_json::from_str(text).unwrap();
            assert_eq!(body.rate, change);
            let mut rate = 5;
            body.rate.apply(&mut rate, 1);
            assert_eq!(rate, after);
        }
    }
}
