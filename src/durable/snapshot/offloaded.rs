//! The asynchronous forms: each hands the blocking one to tokio's threads for blocking work.

use super::error::StoreError;
use super::marks::{Mark, Marks};
use super::store::Saved;
use super::typed::{Checkpoints, Recovered, RestoreError, Restored, SaveError};
use crate::durable::codec::{Codec, State};
use crate::durable::storage::{Offload, offload};
use std::borrow::Borrow;

/// Asynchronous forms. They run through [`offload`], under any clock; what it says of its errors,
/// of panics and of dropping the future holds for each of them: the work is under way at once, and a
/// dropped future does not stop it.
impl<S: State + Send + 'static, C: Codec> Checkpoints<S, C> {
    /// [`save`](Self::save) of a state by value, or in an `Arc`; encoding is done off the async thread,
    /// too.
    pub fn save_async<T>(&self, sequence: u64, state: T) -> Offload<Result<Saved, SaveError>>
    where
        T: Borrow<S> + Send + 'static,
    {
        self.save_with_async(sequence, state, None, Marks::none())
    }

    /// [`save_with`](Self::save_with).
    pub fn save_with_async<T>(
        &self,
        sequence: u64,
        state: T,
        digest: Option<u64>,
        marks: Marks,
    ) -> Offload<Result<Saved, SaveError>>
    where
        T: Borrow<S> + Send + 'static,
    {
        let this = self.clone();
        offload(move || this.save_with(sequence, state.borrow(), digest, marks))
    }

    /// [`latest`](Self::latest).
    pub fn latest_async(&self) -> Offload<Result<Recovered<S>, StoreError>> {
        let this = self.clone();
        offload(move || this.latest())
    }

    /// [`load`](Self::load).
    pub fn load_async(&self, sequence: u64) -> Offload<Result<Option<Restored<S>>, RestoreError>> {
        let this = self.clone();
        offload(move || this.load(sequence))
    }

    /// [`mark`](Self::mark).
    pub fn mark_async(&self, sequence: u64, mark: Mark) -> Offload<Result<Marks, StoreError>> {
        let this = self.clone();
        offload(move || this.mark(sequence, mark))
    }

    /// [`oldest_retained`](Self::oldest_retained).
    pub fn oldest_retained_async(&self) -> Offload<Result<Option<u64>, StoreError>> {
        let this = self.clone();
        offload(move || this.oldest_retained())
    }

    /// [`next_sequence`](Self::next_sequence).
    pub fn next_sequence_async(&self) -> Offload<Result<u64, StoreError>> {
        let this = self.clone();
        offload(move || this.next_sequence())
    }
}
