//! What survives a crash.
//!
//! *Starting is recovering*: nothing here depends on a clean shutdown, and a start always assumes
//! that there was none.
//!
//! | room | does |
//! |---|---|
//! | [`storage`] | files and directories behind a small blocking trait |
//! | [`codec`] | a state as bytes, with its type and version |
//! | [`journal`] | a log that is appended to, synced in groups, and recovered after a crash |
//! | [`snapshot`] | checkpoints, kept so that a bad one can be passed over |
//!
//! Rooms import along `storage < codec < journal, snapshot`.

pub mod codec;
pub mod journal;
pub mod snapshot;
pub mod storage;
