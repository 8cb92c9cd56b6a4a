//! Who is logged in. It is in memory: what takes it down logs everybody out.

use super::fail::Fail;
use super::slot::Damage;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) struct Sessions(Mutex<HashMap<u64, u32>>);

/// A session that is there from the start, to tell whether sessions are what they were.
pub(crate) const CANARY: (u64, u32) = (1, 0);

impl Default for Sessions {
    fn default() -> Self {
        Self::with([CANARY])
    }
}

impl Sessions {
    /// Those that were there before.
    pub(crate) fn with(sessions: impl IntoIterator<Item = (u64, u32)>) -> Self {
        Self(Mutex::new(sessions.into_iter().collect()))
    }

    fn users(&self) -> MutexGuard<'_, HashMap<u64, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn all(&self) -> Vec<(u64, u32)> {
        self.users()
            .iter()
            .map(|(token, user)| (*token, *user))
            .collect()
    }

    pub(crate) fn login(&self, user: u32) -> u64 {
        let token = fastrand::u64(..);
        self.users().insert(token, user);
        token
    }

    pub(crate) fn who(&self, token: u64) -> Result<u32, Fail> {
        self.users().get(&token).copied().ok_or(Fail::Unknown)
    }
}

impl Damage for Sessions {
    fn mislead(&self) {
        // Everybody is somebody else.
        self.users().values_mut().for_each(|user| *user ^= 1);
    }
}

/// Takes bids. It keeps nothing: who bids is known to the sessions, what it costs to the fees, and what
/// was bid to the store.
#[derive(Default)]
pub(crate) struct Bidding;

impl Damage for Bidding {}
