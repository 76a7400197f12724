//! The native deterministic world.
