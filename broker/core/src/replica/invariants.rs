//! REP-1 … REP-5 over all replicas of a partition.
