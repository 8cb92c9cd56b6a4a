//! A journal out of any bytes: opening it never panics, a refusal changes nothing, each mode keeps what
//! its line promises, the next open is clean, and memory stays within what the files justify.
#![no_main]

#[path = "../../tests/durable/any_bytes.rs"]
mod any_bytes;

use libfuzzer_sys::fuzz_target;

/// Buffers, and copies of the files for each mode: a length in a header adds nothing to that.
const MOST: u64 = 16 << 20;

fuzz_target!(|bytes: &[u8]| {
    // Salts at random would make a run another one the next time.
    fastrand::seed(7);
    let used = allocation_counter::measure(|| any_bytes::check(bytes));
    assert!(used.bytes_max < MOST, "{} bytes", used.bytes_max);
});
