//! A map that keeps what was used last.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

/// At most `max` values; the one that was not used for longest makes room for a new one. Clones
/// share them.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    max: usize,
    inner: Arc<Mutex<Inner<K, V>>>,
}

#[derive(Debug)]
struct Inner<K, V> {
    values: HashMap<K, (V, u64)>,
    uses: u64,
}

impl<K: Clone + Eq + Hash, V: Clone> Recent<K, V> {
    pub(crate) fn new(max: usize) -> Self {
        let inner = Inner { values: HashMap::new(), uses: 0 };
        Self { max, inner: Arc::new(Mutex::new(inner)) }
    }

    /// The value of `key`, made by `make` when there is none; what cannot be made is not kept.
    pub(crate) fn get<E>(&self, key: &K, make: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.uses += 1;
        let now = inner.uses;
        if let Some((value, used)) = inner.values.get_mut(key) {
            *used = now;
            return Ok(value.clone());
        }
        let value = make()?;
        if inner.values.len() >= self.max {
            let oldest = inner.values.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                inner.values.remove(&oldest);
            }
        }
        inner.values.insert(key.clone(), (value.clone(), now));
        Ok(value)
    }
}

impl<K, V> Clone for Recent<K, V> {
    fn clone(&self) -> Self {
        Self { max: self.max, inner: self.inner.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_made_once_and_the_oldest_make_room() {
        let recent = Recent::new(3);
        let made = std::cell::RefCell::new(Vec::new());
        let get = |key| {
            recent.get(&key, || {
                made.borrow_mut().push(key);
                if key == 9 { Err("no") } else { Ok(key * 10) }
            })
        };
        for key in [1, 2, 3, 1, 4, 1, 3, 2] {
            assert_eq!(get(key), Ok(key * 10));
        }
        assert_eq!(*made.borrow(), [1, 2, 3, 4, 2]);
        assert_eq!((get(9), get(9)), (Err("no"), Err("no")));
        assert_eq!(recent.inner.lock().unwrap().values.len(), 3);
    }
}
