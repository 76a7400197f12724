//! Faults, their schedule and their budget, used as a runner and an engine use them.

mod budget;
mod clock;
mod data;
mod frames;
mod network;
mod operations;
mod schedule;
mod support;
