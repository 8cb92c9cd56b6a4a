//! Shares of a whole, held exactly.

use crate::kernel::config::ConfigError;
use std::fmt;

/// A share between 0 % and 100 %, in parts per million, so that comparing it is exact.
///
/// In text it is `"50%"`, `"12.5%"` or a number from 0 to 1.
///
/// ```
/// use backstop::kernel::ratio::Ratio;
///
/// let half = Ratio::new(0.5)?;
/// assert!(half.is_reached_by(5, 10));
/// assert!(!half.is_reached_by(499_999, 1_000_000));
/// assert_eq!(half.to_string(), "50%");
/// # Ok::<(), backstop::kernel::config::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ratio(u32);

const WHOLE: u32 = 1_000_000;

impl Ratio {
    /// 50 %.
    pub const HALF: Self = Self(WHOLE / 2);

    /// A share from 0 to 1, rounded to the nearest millionth.
    ///
    /// # Errors
    ///
    /// NaN, and anything below 0 or above 1.
    pub fn new(share: f64) -> Result<Self, ConfigError> {
        Self::from_share(share).ok_or_else(|| ConfigError::new("ratio", share, "from 0 to 1"))
    }

    fn from_share(share: f64) -> Option<Self> {
        // Written so that NaN fails.
        if !(0.0..=1.0).contains(&share) {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 1_000_000 after the check above"
        )]
        let parts = (share * f64::from(WHOLE)).round() as u32;
        Some(Self(parts))
    }

    /// From 0 to `1_000_000`; more is taken for the whole.
    pub(crate) const fn from_parts(parts: u32) -> Self {
        Self(if parts > WHOLE { WHOLE } else { parts })
    }

    /// The share in millionths.
    pub const fn parts_per_million(self) -> u32 {
        self.0
    }

    /// The share as a number from 0 to 1.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / f64::from(WHOLE)
    }

    /// Whether `part` of `whole` is this share or more. Of nothing, no share is reached.
    pub const fn is_reached_by(self, part: u64, whole: u64) -> bool {
        whole > 0 && part as u128 * WHOLE as u128 >= self.0 as u128 * whole as u128
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / f64::from(WHOLE / 100))
    }
}

/// Shares as text: `"50%"`, or a number from 0 to 1.
#[cfg(feature = "serde")]
pub(crate) mod text {
    use super::Ratio;
    use serde::de::{self, Deserialize, Deserializer, Visitor};
    use serde::{Serialize, Serializer};
    use std::fmt;

    impl Serialize for Ratio {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            to.collect_str(self)
        }
    }

    impl<'de> Deserialize<'de> for Ratio {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            from.deserialize_any(ShareText)
        }
    }

    /// A share that may be `"off"`.
    pub(crate) fn share_or_off<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Ratio>, D::Error> {
        from.deserialize_any(OrOff)
    }

    struct ShareText;
    struct OrOff;

    impl Visitor<'_> for OrOff {
        type Value = Option<Ratio>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a share such as \"50%\", a number from 0 to 1, or \"off\"")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<Ratio>, E> {
            match text {
                "off" => Ok(None),
                _ => ShareText.visit_str(text).map(Some),
            }
        }

        fn visit_f64<E: de::Error>(self, share: f64) -> Result<Option<Ratio>, E> {
            ShareText.visit_f64(share).map(Some)
        }

        fn visit_u64<E: de::Error>(self, share: u64) -> Result<Option<Ratio>, E> {
            ShareText.visit_u64(share).map(Some)
        }

        fn visit_i64<E: de::Error>(self, share: i64) -> Result<Option<Ratio>, E> {
            ShareText.visit_i64(share).map(Some)
        }

        fn visit_unit<E: de::Error>(self) -> Result<Option<Ratio>, E> {
            Ok(None)
        }
    }

    impl Visitor<'_> for ShareText {
        type Value = Ratio;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a share such as \"50%\", or a number from 0 to 1")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Ratio, E> {
            text.strip_suffix('%')
                .and_then(|number| number.trim().parse::<f64>().ok())
                .and_then(|percent| Ratio::from_share(percent / 100.0))
                .ok_or_else(|| {
                    E::custom(format_args!(
                        "{text:?} is not a share such as \"50%\"; it must be from \"0%\" to \"100%\""
                    ))
                })
        }

        fn visit_f64<E: de::Error>(self, share: f64) -> Result<Ratio, E> {
            Ratio::new(share).map_err(E::custom)
        }

        #[expect(clippy::cast_precision_loss, reason = "only 0 and 1 are in range")]
        fn visit_u64<E: de::Error>(self, share: u64) -> Result<Ratio, E> {
            self.visit_f64(share as f64)
        }

        #[expect(clippy::cast_precision_loss, reason = "only 0 and 1 are in range")]
        fn visit_i64<E: de::Error>(self, share: i64) -> Result<Ratio, E> {
            self.visit_f64(share as f64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_shares_are_refused_and_named() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.1, 1.000_001] {
            let error = Ratio::new(bad).unwrap_err();
            assert_eq!(error.field(), "ratio");
            assert_eq!(error.value(), bad.to_string());
            assert_eq!(error.allowed(), "from 0 to 1");
        }
    }

    #[test]
    fn comparing_is_exact_at_the_edge() {
        let third = Ratio::new(1.0 / 3.0).unwrap();
        assert_eq!(third.parts_per_million(), 333_333);
        assert!(third.is_reached_by(333_333, 1_000_000));
        assert!(!third.is_reached_by(333_332, 1_000_000));
        assert!(third.is_reached_by(1, 3));
        let half = Ratio::HALF;
        assert!(half.is_reached_by(u64::MAX / 2 + 1, u64::MAX));
        assert!(!half.is_reached_by(u64::MAX / 2, u64::MAX));
        assert!(!half.is_reached_by(0, 0));
        assert!(Ratio::new(0.0).unwrap().is_reached_by(0, 1));
        assert_eq!(Ratio::from_parts(2_000_000), Ratio::new(1.0).unwrap());
        assert!((half.as_f64() - 0.5).abs() < f64::EPSILON);
    }

    #[test]
    fn it_prints_as_percent() {
        assert_eq!(Ratio::HALF.to_string(), "50%");
        assert_eq!(Ratio::new(0.125).unwrap().to_string(), "12.5%");
    }

    #[cfg(feature = "serde")]
    #[test]
    fn text_round_trips_and_bad_text_is_refused() {
        let read = |text: &str| serde_json::from_str::<Ratio>(text);
        assert_eq!(read("\"50%\"").unwrap(), Ratio::HALF);
        assert_eq!(read("0.5").unwrap(), Ratio::HALF);
        assert_eq!(read("1").unwrap(), Ratio::new(1.0).unwrap());
        assert_eq!(read("0").unwrap(), Ratio::new(0.0).unwrap());
        assert_eq!(serde_json::to_string(&Ratio::HALF).unwrap(), "\"50%\"");
        for bad in [
            "\"101%\"", "\"half\"", "\"-1%\"", "\"NaN%\"", "2", "-1", "true",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
