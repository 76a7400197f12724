//! RAFT-1 … RAFT-4 over all nodes of a quorum.
