//! A map that keeps what was used last.

use std::{hash::Hash, sync::Arc};

use hashlink::LruCache;
use parking_lot::Mutex;

/// At most `max` values; the one that was not used for longest makes room for a new one. Clones
/// share them.
#[derive(Debug)]
pub(crate) struct Recent<K, V>(Arc<Mutex<LruCache<K, V>>>);

impl<K: Clone + Eq + Hash, V: Clone> Recent<K, V> {
    pub(crate) fn new(max: usize) -> Self {
        Self(Arc::new(Mutex::new(LruCache::new(max))))
    }

    /// The value of `key`, made by `make` when there is none; what cannot be made is not kept.
    pub(crate) fn get<E>(&self, key: &K, make: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        let mut values = self.0.lock();
        if let Some(value) = values.get(key) {
            return Ok(value.clone());
        }
        let value = make()?;
        values.insert(key.clone(), value.clone());
        Ok(value)
    }
}

impl<K, V> Clone for Recent<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
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
        assert_eq!(recent.0.lock().len(), 3);
    }
}
