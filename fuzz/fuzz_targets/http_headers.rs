//! Headers of any bytes: reading them never panics, and what is read is what is written there.
#![no_main]

use backstop::policy::http::grpc::{Code, pushback, pushback_of, status};
use backstop::policy::http::retry_after;
use backstop::policy::retry::Hint;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use std::time::{Duration, SystemTime};

// Two values, divided by a line feed, which no header can hold.
fuzz_target!(|bytes: &[u8]| {
    let mut values = bytes.splitn(2, |byte| *byte == b'\n');
    let mut next = || HeaderValue::from_bytes(values.next()?).ok();
    let Some(first) = next() else { return };
    let mut headers = HeaderMap::new();
    for name in ["retry-after", "grpc-status", "grpc-retry-pushback-ms"] {
        headers.insert(name, first.clone());
    }
    if let Some(second) = next() {
        headers.insert("date", second);
    }

    let number = first
        .to_str()
        .ok()
        .map(str::trim_ascii)
        .filter(|text| !text.starts_with('+'));
    let wait = retry_after(&headers, SystemTime::UNIX_EPOCH);
    if let Some(seconds) = number.and_then(|text| text.parse().ok()) {
        assert_eq!(wait, Some(Duration::from_secs(seconds)));
    }
    let number: Option<i32> = number.and_then(|text| text.parse().ok());
    let code = number.map_or(Code::Unknown, Code::from_number);
    assert_eq!(status(&headers), Some(code));
    let hint = match number.map(u64::try_from) {
        Some(Ok(millis)) => Hint::After(Duration::from_millis(millis)),
        _ => Hint::Stop,
    };
    assert_eq!(pushback_of(&headers), Some(hint));
    assert_eq!(pushback(first.as_bytes()), hint);
});
