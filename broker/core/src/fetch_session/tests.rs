//! Scripts (`testdata/fetch_session/*.txt`; `RECORD=1 cargo test` writes them anew) and a random driver that
//! holds the two halves against each other.

mod random;
mod script;
