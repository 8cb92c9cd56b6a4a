//! A journal on a disk that fails, fills up and loses what was not synced: after every crash and open what was
//! durable is there, what is there was given, and nothing is there twice or in another order.
#![no_main]

#[path = "../../tests/durable/journal_ops.rs"]
mod journal_ops;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // Salts at random would make a run another one the next time.
    fastrand::seed(7);
    journal_ops::check(bytes);
});
