//! Scenarios in, verdicts out.
