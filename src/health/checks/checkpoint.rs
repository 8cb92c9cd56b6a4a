//! The age of checkpoints.

use crate::durable::snapshot::{CheckpointStore, StoreError};
use crate::health::check::{Check, Finding, Level};
use crate::kernel::clock::Clock;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A check named `checkpoint_age` that fails if the newest good checkpoint of `key` is older than `most`, and
/// if there is none. Its value is the age in seconds. A store that cannot be read is an error.
///
/// A checkpoint of the future, by a wall clock that was set back, has no age.
pub fn checkpoint_age(
    level: Level,
    store: &Arc<dyn CheckpointStore>,
    key: impl Into<String>,
    most: Duration,
    clock: impl Into<Clock>,
) -> Check {
    let (store, key, clock) = (store.clone(), key.into(), clock.into());
    Check::blocking("checkpoint_age", level, move || {
        let history = store.history(&key)?;
        let mut good = history.iter().filter(|entry| entry.is_good());
        let newest = good.find_map(|entry| entry.about.as_ref().ok());
        Ok::<_, StoreError>(match newest {
            None => Finding::failed(format_args!("there is no good checkpoint of {key}")),
            Some(about) => judge(&key, about.wall, clock.wall(), most),
        })
    })
}

fn judge(key: &str, taken: SystemTime, now: SystemTime, most: Duration) -> Finding {
    let age = now.duration_since(taken).unwrap_or_default();
    let finding = if age > most {
        Finding::failed(format_args!(
            "the newest good checkpoint of {key} is {age:?} old, and {most:?} is allowed"
        ))
    } else {
        Finding::passed()
    };
    finding.observed(age.as_secs_f64(), "s")
}
