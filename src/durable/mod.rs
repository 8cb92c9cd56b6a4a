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
//! | [`replay`] | the state of a stream of events as it was at a point in time |
//! | [`boot`] | a service's way up, and snapshots of it while it runs |
//!
//! Rooms import along `storage < codec < journal, snapshot < replay < boot`.

pub mod boot;
pub mod codec;
pub mod journal;
pub mod replay;
pub mod snapshot;
pub mod storage;
