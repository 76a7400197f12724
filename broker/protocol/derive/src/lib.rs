//! Derive macro of the wire codec.
