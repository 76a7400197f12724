//! Stateright models that wrap broker/core as it is.
