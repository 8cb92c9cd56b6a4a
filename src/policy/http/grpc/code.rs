//! The codes of gRPC, and what each says of the callee.

use crate::kernel::outcome::Outcome;
use http::StatusCode;

/// The status of a gRPC call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Code {
    /// Success.
    Ok = 0,
    /// Cancelled, usually by its caller.
    Cancelled = 1,
    /// An error that says no more.
    Unknown = 2,
    /// The request cannot be.
    InvalidArgument = 3,
    /// It took longer than its deadline.
    DeadlineExceeded = 4,
    /// What was asked for is not there.
    NotFound = 5,
    /// What was to be made is there.
    AlreadyExists = 6,
    /// The caller may not.
    PermissionDenied = 7,
    /// A quota or a resource is used up.
    ResourceExhausted = 8,
    /// The system is not in the state that the call needs.
    FailedPrecondition = 9,
    /// It clashed with another one.
    Aborted = 10,
    /// Past the end.
    OutOfRange = 11,
    /// The callee does not do this.
    Unimplemented = 12,
    /// Something is broken.
    Internal = 13,
    /// The callee is not there at present.
    Unavailable = 14,
    /// Data are lost or corrupt.
    DataLoss = 15,
    /// The caller has not said who it is.
    Unauthenticated = 16,
}

impl Code {
    /// All of them, by their number.
    pub const ALL: [Self; 17] = [
        Self::Ok,
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// The code of this number; a number that is none is [`Unknown`](Self::Unknown), as gRPC says.
    ///
    /// With tonic: `Code::from_number(status.code() as i32)`.
    pub const fn from_number(number: i32) -> Self {
        if number >= 0 && number < 17 {
            #[expect(clippy::cast_sign_loss, reason = "checked in the line above")]
            let at = number as usize;
            Self::ALL[at]
        } else {
            Self::Unknown
        }
    }

    /// Its number.
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// What a response without any `grpc-status` comes to, by its HTTP status, as gRPC's document
    /// "HTTP to gRPC Status Code Mapping" says.
    pub const fn of_http(status: StatusCode) -> Self {
        match status.as_u16() {
            400 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::Unimplemented,
            429 | 502..=504 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }

    /// What a call with this code counts as, for a circuit breaker.
    ///
    /// | code | |
    /// |---|---|
    /// | `Unknown`, `DeadlineExceeded`, `ResourceExhausted`, `Internal`, `Unavailable`, `DataLoss` | a failure: the callee is not well, or cannot keep up |
    /// | `Cancelled` | ignored: its caller gave it up |
    /// | all others | a success: the callee did its work, and the answer is a refusal |
    ///
    /// These are the codes that gRPC-gateways map to 5xx and 429, but for `Unimplemented` (501).
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Unknown
            | Self::DeadlineExceeded
            | Self::ResourceExhausted
            | Self::Internal
            | Self::Unavailable
            | Self::DataLoss => Outcome::Failure,
            Self::Cancelled => Outcome::Ignored,
            _ => Outcome::Success,
        }
    }
}

/// A set of codes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CodeSet(u32);

impl CodeSet {
    /// None at all.
    pub const NONE: Self = Self(0);

    /// What is worth another attempt, by default: [`Code::Unavailable`], the one code of which gRPC
    /// says so for every call. Which others are is for each service to say.
    pub const TRANSIENT: Self = Self::NONE.with(Code::Unavailable);

    /// Adds a code.
    pub const fn with(self, code: Code) -> Self {
        Self(self.0 | 1 << code as u8)
    }

    /// Takes a code out.
    pub const fn without(self, code: Code) -> Self {
        Self(self.0 & !(1 << code as u8))
    }

    /// Whether it has this code.
    pub const fn contains(self, code: Code) -> bool {
        self.0 >> code as u8 & 1 == 1
    }
}

impl std::fmt::Debug for CodeSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = Code::ALL.into_iter().filter(|code| self.contains(*code));
        f.debug_set().entries(all).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ht4a_each_code_counts_as_the_table_says() {
        use Outcome::{Failure, Ignored, Success};
        let table = [
            Success, Ignored, Failure, Success, Failure, Success, Success, Success, Failure,
            Success, Success, Success, Success, Failure, Failure, Failure, Success,
        ];
        for (number, (code, outcome)) in (0..).zip(Code::ALL.into_iter().zip(table)) {
            assert_eq!(code.number(), number);
            assert_eq!(Code::from_number(number), code);
            assert_eq!(code.outcome(), outcome, "{code:?}");
            let is_transient = CodeSet::TRANSIENT.contains(code);
            assert_eq!(is_transient, number == 14, "{code:?}");
        }
        for number in [-1, 17, 255, 256, 270, i32::MIN, i32::MAX] {
            assert_eq!(Code::from_number(number), Code::Unknown, "{number}");
        }
    }

    #[test]
    fn ht4b_http_statuses_are_mapped_as_grpc_says() {
        for status in 100..=999 {
            let code = match status {
                400 => Code::Internal,
                401 => Code::Unauthenticated,
                403 => Code::PermissionDenied,
                404 => Code::Unimplemented,
                429 | 502 | 503 | 504 => Code::Unavailable,
                _ => Code::Unknown,
            };
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(Code::of_http(status), code, "{status}");
        }
    }

    #[test]
    fn a_set_changes_by_one_code_at_a_time() {
        for code in Code::ALL {
            let only = CodeSet::NONE.with(code);
            for other in Code::ALL {
                assert_eq!(only.contains(other), code == other);
            }
            assert_eq!(only.without(code), CodeSet::NONE);
        }
        let two = CodeSet::TRANSIENT.with(Code::Aborted);
        assert_eq!(format!("{two:?}"), "{Aborted, Unavailable}");
    }
}
