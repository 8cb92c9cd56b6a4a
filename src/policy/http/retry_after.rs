//! When a server asks to be called again.

use http::HeaderMap;
use http::header::{DATE, HeaderName, RETRY_AFTER};
use std::time::{Duration, SystemTime};

/// How long the response's `Retry-After` asks to wait, from `now` on; `None` without one that can
/// be read (RFC 9110, section 10.2.3).
///
/// It is a number of seconds, or a date in any of HTTP's three forms. A date is compared with the
/// response's own `Date`, if it has one, so that it does not matter how far the callee's clock is
/// from ours, and else with `now`. A date that has passed is zero. Seconds beyond `u64::MAX` are as
/// many.
///
/// ```
/// use backstop::policy::http::retry_after;
/// use http::{HeaderMap, HeaderValue};
/// use std::time::{Duration, SystemTime};
///
/// let mut headers = HeaderMap::new();
/// headers.insert("retry-after", HeaderValue::from_static("120"));
/// let wait = retry_after(&headers, SystemTime::UNIX_EPOCH);
/// assert_eq!(wait, Some(Duration::from_secs(120)));
/// ```
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    read(headers, || now)
}

/// The same; the time is asked for only if it is needed.
pub(super) fn read(headers: &HeaderMap, now: impl FnOnce() -> SystemTime) -> Option<Duration> {
    let value = text(headers, &RETRY_AFTER)?;
    // `u64` would read a sign, too.
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let from = text(headers, &DATE).and_then(|date| httpdate::parse_http_date(date).ok());
    let wait = until.duration_since(from.unwrap_or_else(now));
    Some(wait.unwrap_or_default())
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const DAY: Duration = Duration::from_secs(86_400);

    fn headers(pairs: &[(HeaderName, &[u8])]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_bytes(value).unwrap()))
            .collect()
    }

    fn wait(value: &[u8]) -> Option<Duration> {
        // 1994-11-06 08:49:37, the time of the examples in RFC 9110.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        retry_after(&headers(&[(RETRY_AFTER, value)]), now)
    }

    #[test]
    fn ht1b_seconds_are_read_and_saturate() {
        for (value, seconds) in [
            (&b"0"[..], 0),
            (b"1", 1),
            (b"120", 120),
            (b" 120\t", 120),
            (b"007", 7),
            (b"18446744073709551615", u64::MAX),
            (b"18446744073709551616", u64::MAX),
            (b"99999999999999999999999999999999999999999999", u64::MAX),
        ] {
            assert_eq!(wait(value), Some(Duration::from_secs(seconds)), "{value:?}");
        }
    }

    #[test]
    fn ht1b_dates_are_read_in_all_three_forms() {
        for value in [
            "Sun, 06 Nov 1994 08:50:37 GMT",
            "Sunday, 06-Nov-94 08:50:37 GMT",
            "Sun Nov  6 08:50:37 1994",
        ] {
            let wait = wait(value.as_bytes());
            assert_eq!(wait, Some(Duration::from_secs(60)), "{value}");
        }
        let far = wait(b"Fri, 31 Dec 9999 23:59:59 GMT").unwrap();
        assert!(far > 8_000 * 365 * DAY);
        for passed in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Thu, 01 Jan 1970 00:00:00 GMT",
        ] {
            assert_eq!(wait(passed.as_bytes()), Some(Duration::ZERO), "{passed}");
        }
    }

    #[test]
    fn ht1b_a_date_is_compared_with_the_callees_own_clock() {
        let mut both = headers(&[
            (RETRY_AFTER, b"Sun, 06 Nov 1994 08:50:07 GMT"),
            (DATE, b"Sun, 06 Nov 1994 08:49:37 GMT"),
        ]);
        let ours = SystemTime::UNIX_EPOCH;
        assert_eq!(retry_after(&both, ours), Some(Duration::from_secs(30)));
        both.insert(DATE, HeaderValue::from_static("yesterday"));
        assert!(retry_after(&both, ours) > Some(8_000 * DAY));
        assert_eq!(
            retry_after(&both, ours + 20_000 * DAY),
            Some(Duration::ZERO)
        );
    }

    #[test]
    fn ht1b_what_cannot_be_read_is_no_hint() {
        for value in [
            &b""[..],
            b" ",
            b"-1",
            b"+1",
            b"1.5",
            b"1e3",
            b"0x10",
            b"1 2",
            b"12s",
            b"soon",
            b"\xd9\xa1\xd9\xa2",
            b"Mon, 06 Nov 1994 08:50:37 GMT",
            b"Sun, 31 Feb 1994 08:50:37 GMT",
            b"Sun, 06 Nov 1994 25:50:37 GMT",
            b"Sun, 06 Nov 19940 08:50:37 GMT",
            b"1994-11-06T08:50:37Z",
        ] {
            assert_eq!(wait(value), None, "{}", value.escape_ascii());
        }
        assert_eq!(retry_after(&HeaderMap::new(), SystemTime::UNIX_EPOCH), None);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic() {
        let mut rng = fastrand::Rng::with_seed(7);
        let template = b"Sun, 06 Nov 1994 08:50:37 GMT";
        for _ in 0..20_000 {
            let mut value = template.to_vec();
            for _ in 0..rng.usize(0..6) {
                let at = rng.usize(..value.len());
                value[at] = rng.u8(b' '..=b'~');
            }
            value.truncate(rng.usize(..=template.len()));
            let _ = wait(&value);
        }
    }
}
