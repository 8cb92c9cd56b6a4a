//! Why a component gave no answer.

use axum::http::StatusCode;
use backstop::Rejection;
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fail {
    /// There is nothing of that name.
    Missing(&'static str),
    /// Nobody is logged in under that token.
    Unknown,
    /// It cannot be done.
    Refused(&'static str),
    /// The component is not up. With `Some`, another attempt after that many milliseconds makes sense.
    Down(Option<u64>),
    /// The component is up and did not do it.
    Broken(String),
}

impl Fail {
    pub(crate) fn broken(why: impl fmt::Display) -> Self {
        Self::Broken(why.to_string())
    }

    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::Missing(_) => StatusCode::NOT_FOUND,
            Self::Unknown => StatusCode::UNAUTHORIZED,
            Self::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Down(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(what) => write!(f, "there is no such {what}"),
            Self::Unknown => f.write_str("nobody is logged in under that token"),
            Self::Refused(why) => f.write_str(why),
            Self::Down(_) => f.write_str("the component is being restarted"),
            Self::Broken(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Fail {}

impl From<Rejection> for Fail {
    fn from(rejection: Rejection) -> Self {
        let after = rejection.retry_after().map(|after| after.as_millis());
        Self::Down(after.map(|millis| u64::try_from(millis).unwrap_or(u64::MAX)))
    }
}
