//! The simulated disk, used as a broker and an engine use it.

mod faults;
mod names;
mod power;
mod process;
mod support;
