//! madsim as an Env.
