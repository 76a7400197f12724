//! A value that copies of the image share until one of them changes it.

#![allow(
    clippy::disallowed_types,
    reason = "copy on write: it still compares, hashes and clones as the plain value it holds"
)]

use std::ops::Deref;
use std::sync::Arc;

/// Copy on write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shared<T>(Arc<T>);

impl<T: Clone> Shared<T> {
    pub(super) fn new(value: T) -> Shared<T> {
        Shared(Arc::new(value))
    }

    /// Access for a change; copies the value first if another image still has it.
    pub(super) fn make_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}
