//! Histories and cluster views to anomalies.
