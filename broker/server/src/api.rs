//! One handler per API: wire to core and back.

pub mod raft_wire;
