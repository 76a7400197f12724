//! Histories and cluster views to anomalies. Pure: no I/O, no randomness, no Kafka code.
//!
//! [`history`] is what clients saw, [`client`] judges it (black box); [`anomaly`] is what a checker says.

pub mod anomaly;
pub mod client;
pub mod history;
