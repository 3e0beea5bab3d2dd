//! The last so many values, each for a slot of time.

/// Values of slots that follow each other; the oldest go as new ones come.
#[derive(Debug, Clone)]
pub(super) struct Ring {
    /// Not a number where nothing is known.
    values: Box<[f32]>,
    /// The slot of the newest value.
    newest: i64,
}

impl Ring {
    /// So many slots without a value.
    pub(super) fn new(slots: usize) -> Self {
        Self { values: vec![f32::NAN; slots].into(), newest: i64::MIN }
    }

    /// Keeps the value of a slot; those that were passed over since the last one have none.
    pub(super) fn put(&mut self, slot: i64, value: f32) {
        let passed = slot.saturating_sub(self.newest).saturating_sub(1);
        if passed >= self.length() {
            self.values.fill(f32::NAN);
        } else {
            for missed in slot - passed..slot {
                let place = self.place(missed);
                self.values[place] = f32::NAN;
            }
        }
        let place = self.place(slot);
        self.values[place] = value;
        self.newest = slot;
    }

    /// The value of a slot.
    pub(super) fn get(&self, slot: i64) -> Option<f32> {
        let age = self.newest.saturating_sub(slot);
        let is_kept = (0..self.length()).contains(&age);
        is_kept.then(|| self.values[self.place(slot)]).filter(|value| !value.is_nan())
    }

    fn place(&self, slot: i64) -> usize {
        usize::try_from(slot.rem_euclid(self.length())).unwrap_or_default()
    }

    fn length(&self) -> i64 {
        i64::try_from(self.values.len()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_passed_over_has_no_value() {
        let mut ring = Ring::new(4);
        ring.put(10, 1.0);
        ring.put(12, 2.0);
        let all: Vec<_> = (8..14).map(|slot| ring.get(slot)).collect();
        assert_eq!(all, [None, None, Some(1.0), None, Some(2.0), None]);
        ring.put(14, 3.0);
        assert_eq!((ring.get(10), ring.get(12)), (None, Some(2.0)), "the oldest went");
        ring.put(100, 4.0);
        assert_eq!((ring.get(98), ring.get(12), ring.get(100)), (None, None, Some(4.0)));
    }
}
