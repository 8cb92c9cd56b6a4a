//! Crashes at every call of a storage, and what opens afterwards.
//!
//! [`harness`] stops a scripted run at each of its storage calls, makes every disk that the crash may
//! leave, and has each of them checked; [`trace`] looks for the sync that stands behind each
//! acknowledgement. Both are tried on a [`toy`] log first, whole and with each of its syncs taken out:
//! a test that a broken log passes is no test.
//!
//! [`kill`] runs the ledger of the examples as a process, and kills it; [`checkpointed`] a child with checkpoints.
//!
//! `BACKSTOP_SOAK=1` runs longer scripts.

mod boot;
mod checkpointed;
mod harness;
mod journal;
mod kill;
mod ledger;
mod stores;
mod toy;
mod trace;
