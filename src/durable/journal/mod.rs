//! A log that is appended to, synced in groups, and recovered after a crash.

pub(crate) mod format;
