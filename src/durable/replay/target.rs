//! The point in time to replay to.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::SystemTime;

/// The point that a replay goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Target {
    /// The last event that there is when the replay begins.
    #[default]
    Latest,
    /// The event of that sequence; 0 is the state before the first event.
    Sequence(u64),
    /// The last event that was written at that time or before it: all of several written at one time.
    ///
    /// Where the last event of the stream is older than that, nothing says whether later ones are
    /// missing, so it is beyond the end.
    Time(SystemTime),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("the latest event"),
            Self::Sequence(sequence) => write!(f, "event {sequence}"),
            Self::Time(time) => humantime::format_rfc3339(*time).fmt(f),
        }
    }
}
