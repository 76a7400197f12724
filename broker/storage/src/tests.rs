//! Tests by what they are about; all through the public API.

mod aborted;
mod append;
mod clean;
mod crash;
mod directory;
mod dump;
mod files;
mod flush;
mod mutants;
mod producers;
mod read;
mod recover;
mod retention;
mod snapshot;
mod truncate;
