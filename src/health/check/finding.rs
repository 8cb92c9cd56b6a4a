//! What one run of a check came to.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What a check found when it could be carried out: well or not, and what it measured.
///
/// `()` is a clean one, so a check that has nothing to say ends with `Ok(())`.
///
/// ```
/// use backstop::health::check::{Check, Finding, Level};
///
/// # async fn free_megabytes() -> Result<u32, std::io::Error> { Ok(7) }
/// let disk = Check::new("space", Level::Degraded, || async {
///     let free = free_megabytes().await?;
///     let finding = if free < 100 { Finding::failed("less than 100 MB") } else { Finding::passed() };
///     Ok::<_, std::io::Error>(finding.observed(free, "MB"))
/// });
/// # let _ = disk;
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    failure: Option<Arc<str>>,
    observed: Option<Observed>,
}

/// A value that a check measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The value.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
}

impl Finding {
    /// All is well.
    pub const fn passed() -> Self {
        Self {
            failure: None,
            observed: None,
        }
    }

    /// It is not well, and why. At most 1 KiB of the message is kept.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self {
            failure: Some(bounded(&message)),
            observed: None,
        }
    }

    /// What was measured.
    pub fn observed(self, value: impl Into<f64>, unit: &'static str) -> Self {
        Self {
            observed: Some(Observed {
                value: value.into(),
                unit,
            }),
            ..self
        }
    }
}

impl From<()> for Finding {
    fn from((): ()) -> Self {
        Self::passed()
    }
}

/// How a run of a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum Ending {
    /// It found that all is well.
    Passed,
    /// It found that something is not.
    Failed,
    /// It ended with an error.
    Error,
    /// It took too long.
    TimedOut,
    /// It panicked.
    Panicked,
}

impl Ending {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Passed,
        Self::Failed,
        Self::Error,
        Self::TimedOut,
        Self::Panicked,
    ];

    /// In `snake_case`, as in metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Error => "error",
            Self::TimedOut => "timed_out",
            Self::Panicked => "panicked",
        }
    }

    /// Whether the check could not be carried out.
    pub(crate) const fn is_error(self) -> bool {
        matches!(self, Self::Error | Self::TimedOut | Self::Panicked)
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The last result of a check.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CheckResult {
    /// How it ended.
    pub ending: Ending,
    /// What it said: a failure's message, an error with its sources, what a panic panicked with.
    pub message: Option<Arc<str>>,
    /// What it measured.
    pub observed: Option<Observed>,
    /// How long it ran; `None` if it was reported.
    pub took: Option<Duration>,
    /// The time of day when it ended.
    pub wall: SystemTime,
}

/// What a run came to, before anybody has noted when.
#[derive(Clone, Debug)]
pub(crate) struct RunResult {
    pub(crate) ending: Ending,
    pub(crate) message: Option<Arc<str>>,
    pub(crate) observed: Option<Observed>,
}

impl RunResult {
    pub(crate) fn failed(ending: Ending, message: impl fmt::Display) -> Self {
        Self {
            ending,
            message: Some(bounded(&message)),
            observed: None,
        }
    }

    /// Runs the user's conversions and `Display`; so it is called where their panics are caught.
    pub(crate) fn of<R, E>(result: Result<R, E>) -> Self
    where
        R: Into<Finding>,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        match result {
            Ok(finding) => finding.into().into(),
            Err(error) => Self::failed(Ending::Error, Chain(&*error.into())),
        }
    }
}

impl From<Finding> for RunResult {
    fn from(finding: Finding) -> Self {
        Self {
            ending: if finding.failure.is_some() {
                Ending::Failed
            } else {
                Ending::Passed
            },
            message: finding.failure,
            observed: finding.observed,
        }
    }
}

/// An error and its sources, outermost first.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.0, f)?;
        // Bounded, should the chain bite its own tail.
        let mut source = self.0.source();
        for _ in 0..16 {
            let Some(error) = source else {
                break;
            };
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

/// What a task panicked with, as text.
pub(crate) fn panic_message(payload: Box<dyn Any + Send>) -> Arc<str> {
    let text = payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message = bounded(&text.unwrap_or("a panic without a message"));
    // The payload is the user's, and its drop may panic in turn; what that panics with is let go of
    // without being dropped.
    if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        std::mem::forget(again);
    }
    message
}

/// The most bytes of a message that are kept: they stay in memory for as long as the check fails.
const LONGEST_MESSAGE: usize = 1024;

/// The front of what it displays as.
pub(crate) fn bounded(message: &dyn fmt::Display) -> Arc<str> {
    struct Front(String);
    impl fmt::Write for Front {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let mut left = LONGEST_MESSAGE - self.0.len();
            if text.len() <= left {
                self.0.push_str(text);
                return Ok(());
            }
            while !text.is_char_boundary(left) {
                left -= 1;
            }
            self.0.push_str(&text[..left]);
            // What writes without an end is stopped by the error.
            Err(fmt::Error)
        }
    }
    let mut front = Front(String::new());
    let _ = fmt::write(&mut front, format_args!("{message}"));
    front.0.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_bounded_at_a_character() {
        struct Endless;
        impl fmt::Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("a\u{20ac}\u{20ac}")?;
                }
            }
        }
        let message = bounded(&Endless);
        assert!((1021..=1024).contains(&message.len()), "{}", message.len());
        assert_eq!(&*bounded(&"short"), "short");
        assert!(bounded(&"x".repeat(2000)).len() == LONGEST_MESSAGE);
    }

    #[test]
    fn an_error_tells_its_sources() {
        let inner = std::io::Error::other("refused");
        let outer = std::io::Error::other(inner);
        assert!(Chain(&outer).to_string().contains("refused"));
    }

    #[test]
    fn a_payload_that_panics_in_its_drop_is_survived() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                std::panic::panic_any(Self);
            }
        }
        assert_eq!(&*panic_message(Box::new(Bomb)), "a panic without a message");
    }
}
