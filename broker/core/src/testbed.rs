//! What the clusters of cores under [`replica::cluster`](crate::replica::cluster) need to be explored fast.

#![allow(
    clippy::disallowed_types,
    reason = "copy on write, with a remembered hash: it still compares, hashes and clones as the plain value"
)]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A part of a state that its successors share until one of them changes it. Most of a state is as it was
/// before the last action, so most of the work of cloning and hashing it is saved.
#[derive(Debug, Default)]
pub struct Shared<T>(Arc<Remembered<T>>);

#[derive(Debug, Default)]
struct Remembered<T> {
    value: T,
    /// 0 while not known.
    hash: AtomicU64,
}

impl<T> Shared<T> {
    pub fn new(value: T) -> Shared<T> {
        Shared(Arc::new(Remembered {
            value,
            hash: AtomicU64::new(0),
        }))
    }
}

impl<T: Hash> Shared<T> {
    fn remembered_hash(&self) -> u64 {
        match self.0.hash.load(Ordering::Relaxed) {
            0 => {
                let mut hasher = DefaultHasher::new();
                self.0.value.hash(&mut hasher);
                let hash = hasher.finish();
                self.0.hash.store(hash, Ordering::Relaxed);
                hash
            }
            known => known,
        }
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Shared<T> {
        Shared(self.0.clone())
    }
}

impl<T: Clone> Clone for Remembered<T> {
    fn clone(&self) -> Remembered<T> {
        Remembered {
            value: self.value.clone(),
            hash: AtomicU64::new(0),
        }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0.value
    }
}

/// Copies the value first if another state has it too.
impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        let own = Arc::make_mut(&mut self.0);
        *own.hash.get_mut() = 0;
        &mut own.value
    }
}

impl<T: Hash> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.remembered_hash());
    }
}

impl<T: PartialEq> PartialEq for Shared<T> {
    fn eq(&self, other: &Shared<T>) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.value == other.0.value
    }
}

impl<T: Eq> Eq for Shared<T> {}

impl<T: PartialOrd> PartialOrd for Shared<T> {
    fn partial_cmp(&self, other: &Shared<T>) -> Option<std::cmp::Ordering> {
        self.0.value.partial_cmp(&other.0.value)
    }
}

impl<T: Ord> Ord for Shared<T> {
    fn cmp(&self, other: &Shared<T>) -> std::cmp::Ordering {
        self.0.value.cmp(&other.0.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash<T: Hash>(value: &T) -> u64 {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn a_change_is_seen_by_its_owner_only_and_by_the_hash() {
        let before = Shared::new(vec![1]);
        let first = hash(&before);
        let mut after = before.clone();
        assert_eq!(hash(&after), first);
        after.push(2);
        assert_eq!((before.len(), after.len()), (1, 2));
        assert_ne!(hash(&after), first);
        after.pop();
        assert_eq!((hash(&after), after), (first, before));
    }
}
