//! One small adapter per peer, each used as its own documentation shows it.

mod fjall;
mod okaywal;
mod redb;
mod wal_db;

use crate::suite::Suite;

pub(crate) fn rows(suite: &mut Suite<'_>) {
    okaywal::rows(suite);
    wal_db::rows(suite);
    redb::rows(suite);
    fjall::rows(suite);
}
