//! Any bytes as a journal.

use crate::any_bytes::check;
use proptest::prelude::*;
use std::fs;
use std::path::Path;

/// The inputs that once failed, or that hold a case, as the fuzz target replays them.
#[test]
fn the_regressions_of_the_fuzz_target_hold() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions/journal_open");
    let mut count = 0;
    for entry in fs::read_dir(dir).unwrap() {
        check(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn jn1d_jn6d_any_bytes_open_or_are_refused(bytes in prop::collection::vec(
        prop_oneof![4 => 0_u8..4, 3 => 0_u8..16, 1 => any::<u8>()],
        0..300,
    )) {
        check(&bytes);
    }
}
