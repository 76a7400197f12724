//! What tasks of a test saw, in order.

use std::sync::{Arc, Mutex, PoisonError};

/// Shared by the tasks of a test; clones are the same log.
#[derive(Clone, Default)]
pub struct Log {
    lines: Arc<Mutex<Vec<String>>>,
}

impl Log {
    pub fn note(&self, line: impl Into<String>) {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line.into());
    }

    /// The lines since the last call.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Notes its line when dropped.
#[allow(dead_code, reason = "not every test file looks at drops")]
pub struct NoteOnDrop(pub Log, pub &'static str);

impl Drop for NoteOnDrop {
    fn drop(&mut self) {
        self.0.note(self.1);
    }
}
