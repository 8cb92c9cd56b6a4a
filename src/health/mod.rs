//! Is a part well, and what follows if it is not.
//!
//! | room | does |
//! |---|---|
//! | [`check`] | one check: how it is run, when its results make it pass or fail, what is done then |
//! | [`tree`] | components with their checks: what they come to together, and who is told |
//! | [`failure_detector`] | from the silence of what sends heartbeats to a suspicion |
//!
//! Rooms import along `check < tree < failure_detector`: a tree is made of checks.

pub mod check;
pub mod failure_detector;
pub mod tree;
