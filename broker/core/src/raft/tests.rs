//! Tests of the quorum core: random schedules here, scripts with recorded output in `script`.

mod answers;
mod guards;
mod random;
mod refusals;
mod script;
