//! Scripts (`testdata/replica/*.txt`) and a random driver over three replicas and a small controller.

mod controller;
mod edges;
mod follower_edges;
mod mutants;
mod preferred_replica;
mod random;
mod script;
mod world;
