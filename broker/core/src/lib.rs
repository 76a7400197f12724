//! Pure protocol state machines (sans-I/O). What every core obeys:
//!
//! - A core is a plain struct deriving Clone, Debug, PartialEq, Eq, Hash; BTree collections; ids as
//!   newtypes; no clock, no random source, no async, no interior mutability. It sees offsets, epochs,
//!   sizes and ids; record bytes stay in the shell.
//! - **Peer cores** ([`raft`], [`replica`], [`producer`], [`consumer`]): `step(&mut self, input, &mut
//!   Vec<Output>)`. Input: message, request(ticket), timer(name), persisted(n). Output: send, reply
//!   (ticket), arm(timer, min..max), disarm, persist(n, …). Nothing is queued inside. Timers are named
//!   inputs and jitter is a range in the output.
//! - **Replicated cores** ([`metadata`], [`group`], [`transaction`]): `Hard`, rebuilt by replay of the log, and `Soft`, lost on
//!   fail-over by design. `decide(&Hard, &mut Soft, input, &mut out)` emits records, replies, timers;
//!   `apply(&mut Hard, record)` is the only writer of `Hard`. Apply at append, reply at commit.
//! - The core owns the persistence order: a message that depends on durable state is released only on
//!   `persisted(n)`.
//! - Protocol error codes are ordinary outputs; only a bug panics, with ids and offsets in the message.
//! - Each core has `invariants.rs` (one property, three drivers: simulator, Stateright, proptest) and
//!   `testdata/*.txt` (interaction scripts with recorded output, one per KIP or paper figure).
//!
//! [`fetch_session`] and [`producer_state`] are no cores of their own: the one is both halves of a bookkeeping
//! that fetches of every kind share, the other what a partition's log says of its producers.
//!
//! The components do not import each other: they meet in the server, in `models/` and in the simulator.

pub mod consumer;
pub mod fetch_session;
pub mod group;
pub mod metadata;
pub mod producer;
pub mod producer_state;
pub mod raft;
pub mod replica;
pub mod replication_quota;
#[cfg(any(test, feature = "testbed"))]
pub mod testbed;
pub mod transaction;

/// Names a request that waits for its answer; given by the shell, never interpreted by a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Names a persistence the shell was asked for; the core's own counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersistId(pub u64);
