//! What is wrong with a journal, where, and what each recovery mode makes of it.

use super::config::RecoveryMode;
use std::fmt;
use std::path::PathBuf;

/// One place where a journal is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Where in it the damage begins, in bytes.
    pub offset: u64,
    /// Where it ends: at the next record that verifies, or at the end of the file.
    pub end: u64,
    /// The sequence of the record that should be there.
    pub sequence: u64,
    /// The sequence of the next record that verifies; `None` if there is none in this segment.
    pub resumes_at: Option<u64>,
    /// What is wrong.
    pub kind: DamageKind,
    /// Whether it looks as a crash leaves it: bytes are missing, or a sector of 512 bytes behind
    /// [`offset`](Self::offset) is all zeros. Looked for at the first damage of a journal only.
    pub is_torn: bool,
}

/// What is wrong in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DamageKind {
    /// A segment's header is not whole.
    SegmentHeader,
    /// A record's header does not verify.
    RecordHeader,
    /// The file ends within a record.
    Incomplete,
    /// A record's payload, its padding or its trailing checksum does not verify.
    Payload,
    /// A record verifies, and is not the one that belongs there.
    Sequence,
    /// A record or a segment verifies, and was written behind another record than the one that
    /// stands before it.
    Link,
    /// Records are missing between two segments.
    Missing,
    /// Records are missing at the front, and no low-water mark says that they were removed.
    MissingFront,
    /// Records are missing at the end that were known to be durable.
    MissingEnd,
    /// A segment begins with sequences that another one of its epoch holds.
    Overlap,
    /// The low-water mark does not verify.
    LowWater,
}

/// What an open does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing is wrong.
    Sound,
    /// Keeps what is before the first damage.
    Cut,
    /// Keeps all that verifies.
    Skip,
    /// Keeps its hands off.
    Refuse(Why),
}

/// Why a mode refuses damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Why {
    /// It is of a record that was durable, so no crash explains it.
    InTheMiddle,
    /// It has not the shape that a crash leaves.
    NotTorn,
    /// The mode refuses any damage.
    Strict,
}

/// What the verdict depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FirstDamage {
    pub(super) sequence: u64,
    pub(super) is_torn: bool,
}

impl From<&Damage> for FirstDamage {
    fn from(damage: &Damage) -> Self {
        Self {
            sequence: damage.sequence,
            is_torn: damage.is_torn,
        }
    }
}

/// What `mode` does about a journal whose first damage this is, and whose records up to
/// `watermark` are known to have been durable.
pub(super) const fn judge(
    mode: RecoveryMode,
    first: Option<FirstDamage>,
    watermark: u64,
) -> Verdict {
    let Some(damage) = first else {
        return Verdict::Sound;
    };
    match mode {
        RecoveryMode::Strict => Verdict::Refuse(Why::Strict),
        RecoveryMode::PointInTime => Verdict::Cut,
        RecoveryMode::SkipDamaged => Verdict::Skip,
        RecoveryMode::TornTail if watermark >= damage.sequence => Verdict::Refuse(Why::InTheMiddle),
        RecoveryMode::TornTail if damage.is_torn => Verdict::Cut,
        RecoveryMode::TornTail => Verdict::Refuse(Why::NotTorn),
    }
}

impl DamageKind {
    /// In words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::SegmentHeader => "the segment's header does not verify",
            Self::RecordHeader => "the record's header does not verify",
            Self::Incomplete => "the file ends within the record",
            Self::Payload => "the record's payload does not verify",
            Self::Sequence => "another record stands where it should be",
            Self::Link => "what follows was written behind another record",
            Self::Missing => "records are missing before the next segment",
            Self::MissingFront => "records are missing at the front",
            Self::MissingEnd => "records are missing at the end that were durable",
            Self::Overlap => "the segment begins with sequences of the one before it",
            Self::LowWater => "the low-water mark does not verify",
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            offset,
            sequence,
            kind,
            ..
        } = self;
        write!(
            f,
            "{} at byte {offset}, record {sequence}: {}",
            path.display(),
            kind.text()
        )?;
        if let Some(next) = self.resumes_at {
            write!(f, "; record {next} verifies again at byte {}", self.end)?;
        }
        Ok(())
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InTheMiddle => {
                "what is damaged was durable, so it is not the end that a crash tore"
            }
            Self::NotTorn => "no crash leaves it so: no byte is missing and no sector is empty",
            Self::Strict => "this mode refuses any damage",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jn5a_jn6a_jn6b_jn6c_jn6d_the_table_of_verdicts() {
        use RecoveryMode::{PointInTime, SkipDamaged, Strict, TornTail};
        use Verdict::{Cut, Refuse, Skip, Sound};
        use Why::{InTheMiddle, NotTorn};
        let refused = Refuse(Why::Strict);
        // Is it torn, and what was durable, when record 7 is damaged?
        for (is_torn, watermark, torn_tail) in [
            (true, 0, Cut),
            (true, 6, Cut),
            (true, 7, Refuse(InTheMiddle)),
            (true, u64::MAX, Refuse(InTheMiddle)),
            (false, 0, Refuse(NotTorn)),
            (false, 6, Refuse(NotTorn)),
            (false, 7, Refuse(InTheMiddle)),
        ] {
            let first = Some(FirstDamage {
                sequence: 7,
                is_torn,
            });
            for (mode, expected) in [
                (TornTail, torn_tail),
                (PointInTime, Cut),
                (SkipDamaged, Skip),
                (Strict, refused),
            ] {
                let judged = judge(mode, first, watermark);
                assert_eq!(judged, expected, "{mode:?} {is_torn} {watermark}");
                assert_eq!(judge(mode, None, watermark), Sound);
            }
        }
    }
}
