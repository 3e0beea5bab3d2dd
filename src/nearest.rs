//! The name that was probably meant.

/// The candidate nearest to `given`, if one is near enough to be meant.
#[must_use]
pub fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(given, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len().min(given.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["interval", "topic", "name", "http"];
        assert_eq!(nearest("intervall", names), Some("interval"));
        assert_eq!(nearest("tpoic", names), Some("topic"));
        assert_eq!(nearest("nam", names), Some("name"));
        assert_eq!(nearest("schedule", names), None);
        assert_eq!(nearest("", names), None);
    }
}
