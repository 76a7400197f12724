//! Faults as data.
