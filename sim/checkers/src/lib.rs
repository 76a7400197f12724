//! Histories and cluster views to anomalies. Pure: no I/O, no randomness, no Kafka code.
//!
//! [`history`] is what clients saw, [`client`] judges it (black box), [`reference`](mod@reference) compares it with the
//! smallest specification there is of a partition, [`mod@spared`] leaves out what was lost lawfully,
//! [`edn`] writes it for Jepsen's tools; [`cluster`] judges
//! every state change of every node (white box); [`anomaly`] is what a checker says.

pub mod anomaly;
pub mod client;
pub mod cluster;
pub mod edn;
pub mod history;
pub mod reference;
pub mod spared;
