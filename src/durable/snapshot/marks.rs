//! What is noted about a checkpoint beside it.

use std::fmt;

/// One thing to note about a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mark {
    /// It was taken of a component that is being restarted, and nobody has gone on from it yet.
    Provisional,
    /// Somebody went on from it and was well: neither provisional nor suspect, and its strikes are
    /// forgotten.
    Verified,
    /// Somebody is about to go on from it. Counted, and stored before the attempt is made, so that an
    /// attempt that takes the process down is counted, too.
    Strike,
    /// It is thought to bring down who goes on from it: it is passed over.
    Suspect,
    /// The suspicion is withdrawn: it is no longer suspect, and its strikes are forgotten.
    Cleared,
}

/// What was noted about a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Marks {
    /// Taken of a component that was being restarted, and not verified since.
    pub provisional: bool,
    /// Somebody went on from it and was well.
    pub verified: bool,
    /// It is passed over.
    pub suspect: bool,
    /// Attempts to go on from it since it was last verified or cleared.
    pub strikes: u32,
}

impl Marks {
    /// Nothing noted.
    pub const fn none() -> Self {
        Self {
            provisional: false,
            verified: false,
            suspect: false,
            strikes: 0,
        }
    }

    /// These with one more.
    ///
    /// ```
    /// use backstop::durable::snapshot::{Mark, Marks};
    ///
    /// let tried = Marks::none().with(Mark::Provisional).with(Mark::Strike);
    /// assert_eq!((tried.provisional, tried.strikes), (true, 1));
    /// let well = tried.with(Mark::Verified);
    /// assert_eq!((well.provisional, well.verified, well.strikes), (false, true, 0));
    /// // A suspicion does not undo what was seen before it, so it can be withdrawn.
    /// assert_eq!(well.with(Mark::Suspect).with(Mark::Cleared), well);
    /// ```
    #[must_use]
    pub const fn with(self, mark: Mark) -> Self {
        match mark {
            Mark::Provisional => Self {
                provisional: true,
                verified: false,
                ..self
            },
            Mark::Verified => Self {
                verified: true,
                ..Self::none()
            },
            Mark::Strike => Self {
                strikes: self.strikes.saturating_add(1),
                ..self
            },
            Mark::Suspect => Self {
                suspect: true,
                ..self
            },
            Mark::Cleared => Self {
                suspect: false,
                strikes: 0,
                ..self
            },
        }
    }
}

impl Mark {
    /// In `snake_case`, as in a label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Provisional => "provisional",
            Self::Verified => "verified",
            Self::Strike => "strike",
            Self::Suspect => "suspect",
            Self::Cleared => "cleared",
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
