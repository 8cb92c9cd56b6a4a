//! Is a part well, and what follows.

pub mod failure_detector;
