//! Breaking things on purpose, to see what holds.
//!
//! | room | does |
//! |---|---|
//! | [`fault`] | delays, fails, hangs or panics calls, for tests, examples and experiments |
//!
//! Nothing here is behind a feature: what is not injected costs one load.

pub mod fault;
