//! turmoil as an Env.
