//! Holds the house: who may name whom, one path per public type, no file that nobody sees.
//!
//! The rooms and floors stand in `house/rooms.rs`, the laws in `house/laws.rs`. The second half of
//! this file shows for each kind of violation that it is caught.

mod house;
mod scan;

use house::laws::{LONGEST_FILE, house, test_files, too_long};
use house::modules::without_tests;
use house::rooms::{Place, may_name, place, rooms};
use scan::{files, tokens};
use std::collections::BTreeSet;

/// What the root re-exports: the paved path, and the only second paths there are.
const PAVED_PATH: &[&str] = &[
    "kernel::config::ConfigError",
    "kernel::rejection::Error",
    "kernel::rejection::Rejection",
    "policy::bulkhead::Bulkhead",
    "policy::bulkhead::BulkheadConfig",
    "policy::bulkhead::BulkheadLayer",
    "policy::circuit_breaker::CircuitBreaker",
    "policy::circuit_breaker::CircuitBreakerConfig",
    "policy::circuit_breaker::CircuitBreakerLayer",
    "kernel::outcome::Outcome",
    "kernel::rejection::PolicyError",
    "kernel::rejection::RejectionKind",
    "policy::pipeline::Pipeline",
    "policy::pipeline::PipelineConfig",
    "policy::retry::Retry",
    "policy::retry::RetryConfig",
    "policy::retry::RetryLayer",
    "kernel::budget::RetryBudget",
    "policy::timeout::Timeout",
    "policy::timeout::TimeoutConfig",
    "policy::timeout::TimeoutLayer",
];

// --- The house as it stands ---

#[track_caller]
fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn the_house_stands() {
    let files = files("src", ".rs");
    assert!(files.len() > 1, "no sources were found");
    assert_none(&house(&files, PAVED_PATH));
}

#[test]
fn every_test_file_is_run() {
    let files = files("tests", ".rs");
    assert!(files.len() > 1, "no tests were found");
    assert_none(&test_files(include_str!("../Cargo.toml"), &files));
}

#[test]
fn no_file_outside_the_house_is_too_long() {
    let files = [
        files("examples", ".rs"),
        files("benches", ".rs"),
        files("fuzz", ".rs"),
    ]
    .concat();
    let wrong: Vec<String> = files
        .iter()
        .filter(|(file, _)| !file.contains("/target/"))
        .filter_map(|(file, text)| too_long(file, &without_tests(&tokens(text))))
        .collect();
    assert_none(&wrong);
}

#[test]
fn no_room_stands_twice() {
    let names: Vec<(&str, &str)> = rooms()
        .filter_map(|place| match place {
            Place::Room(wing, room, ..) => Some((wing, room)),
            Place::Root | Place::Wing(_) => None,
        })
        .collect();
    let once: BTreeSet<_> = names.iter().collect();
    assert_eq!(once.len(), names.len());
    // `mod core` at the root would break every `core::` path.
    assert!(names.iter().all(|(wing, _)| *wing != "core"));
}

// --- Negative controls: each kind of violation is caught ---

/// A small sound house.
fn small_house() -> Vec<(String, String)> {
    [
        (
            "src/lib.rs",
            "pub mod kernel; pub mod policy; pub mod observe;
            pub use policy::timeout::Timeout; pub use kernel::clock::Clock;",
        ),
        (
            "src/kernel/mod.rs",
            "//! The order is `sync` < `clock`.\npub mod clock; pub(crate) mod sync;",
        ),
        (
            "src/kernel/clock.rs",
            "use super::sync::Cell; pub struct Clock;",
        ),
        ("src/kernel/sync.rs", "pub(crate) struct Cell;"),
        ("src/policy/mod.rs", "pub mod retry; pub mod timeout;"),
        (
            "src/policy/retry.rs",
            "use crate::kernel::{clock::Clock, sync};",
        ),
        (
            "src/policy/timeout/mod.rs",
            "mod machine; pub use machine::Timeout;
            #[cfg(test)] mod tests;",
        ),
        (
            "src/policy/timeout/machine.rs",
            "use crate::Clock; pub struct Timeout(crate::kernel::clock::Clock);",
        ),
        ("src/policy/timeout/tests.rs", "use crate::policy::retry;"),
        ("src/observe/mod.rs", "pub mod metrics;"),
        (
            "src/observe/metrics.rs",
            "use crate::Timeout; use crate::policy;",
        ),
    ]
    .into_iter()
    .map(|(file, text)| (file.to_owned(), text.to_owned()))
    .collect()
}

/// The small house with one file replaced or added.
fn with(file: &str, text: &str) -> Vec<(String, String)> {
    let mut files = small_house();
    files.retain(|(path, _)| path != file);
    files.push((file.to_owned(), text.to_owned()));
    files
}

const SMALL_PAVED_PATH: &[&str] = &["kernel::clock::Clock", "policy::timeout::Timeout"];

/// What is wrong with the small house when `file` holds `text`.
fn wrong_with(file: &str, text: &str) -> Vec<String> {
    house(&with(file, text), SMALL_PAVED_PATH)
}

#[track_caller]
fn assert_one(wrong: &[String], about: &str) {
    assert!(
        wrong.len() == 1 && wrong[0].contains(about),
        "one violation was expected, about `{about}`:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn the_small_house_is_sound() {
    assert_none(&house(&small_house(), SMALL_PAVED_PATH));
}

#[test]
fn imports_from_a_higher_floor_are_caught() {
    for text in [
        "use crate::policy::timeout::Timeout;",
        "use crate::{policy::{timeout::{Timeout as T}}};",
        "use crate::{policy::timeout::*};",
        "use {crate::policy::timeout};",
        "fn f() -> Option<crate::policy::timeout::Timeout> { None }",
        "fn f() { crate::policy::timeout::Timeout::new::<u8>(1) }",
        "use super::super::policy::timeout;",
        "use super::super::policy::timeout::{self};",
        "mod inner { use super::super::super::policy::timeout; }",
        "mod inner {} use super::super::policy::timeout;",
        "use self::super::super::policy::timeout;",
        "macro_rules! m { () => { $crate::policy::timeout::f() } }",
        "pub(crate) use crate::policy::timeout;",
        "#[derive(Debug)] struct S { #[cfg(feature = \"x\")] f: crate::policy::timeout::Timeout }",
    ] {
        assert_one(
            &wrong_with("src/kernel/sync.rs", text),
            "is policy::timeout (floor 1)",
        );
    }
}

#[test]
fn each_branch_of_a_nested_import_is_checked() {
    let text = "use crate::{policy::{retry::R, timeout::{T, U as V}}, observe::*};";
    let wrong = wrong_with("src/kernel/sync.rs", text);
    assert_eq!(wrong.len(), 4, "{wrong:?}");
}

#[test]
fn re_exports_through_the_root_are_followed() {
    for text in [
        "use crate::Timeout;",
        "type T = crate::Timeout;",
        "use super::super::Timeout as T;",
    ] {
        assert_one(
            &wrong_with("src/kernel/sync.rs", text),
            "is policy::timeout",
        );
    }
    // Renamed, by way of a wing, and by way of another name of the root.
    let mut files = with(
        "src/policy/mod.rs",
        "pub mod retry; pub mod timeout; pub(crate) use timeout::Timeout as Limit;",
    );
    for (file, text) in &mut files {
        if file == "src/kernel/sync.rs" {
            *text = "use crate::policy::Limit; use crate::Soon;".to_owned();
        } else if file == "src/lib.rs" {
            text.push_str("use crate::policy::Limit as Soon;");
        }
    }
    let wrong = house(&files, SMALL_PAVED_PATH);
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(
        wrong
            .iter()
            .all(|wrong| wrong.contains("is policy::timeout")),
        "{wrong:?}"
    );
}

#[test]
fn the_root_and_a_wing_count_as_all_that_they_hold() {
    for text in [
        "use crate as c;",
        "use crate::*;",
        "use crate::unknown;",
        "use super::super as c;",
        "crate::unknown!();",
    ] {
        assert_one(&wrong_with("src/kernel/sync.rs", text), "is the root");
    }
    for text in [
        "use crate::policy;",
        "use crate::policy::*;",
        "use super::super::policy as p;",
        "use crate::policy::Unknown;",
    ] {
        assert_one(&wrong_with("src/kernel/sync.rs", text), "is all of policy");
    }
    assert_one(
        &wrong_with("src/kernel/clock.rs", "use super::*;"),
        "is all of kernel",
    );
    assert_none(&wrong_with(
        "src/policy/retry.rs",
        "use crate::kernel; use crate::kernel::*;",
    ));
}

#[test]
fn imports_against_the_order_of_a_floor_are_caught() {
    assert_one(
        &wrong_with("src/kernel/sync.rs", "use super::clock;"),
        "is kernel::clock (floor 0)",
    );
    assert_one(
        &wrong_with("src/policy/retry.rs", "use super::timeout::Timeout;"),
        "is policy::timeout (floor 1)",
    );
    assert_one(
        &wrong_with(
            "src/policy/mod.rs",
            "pub mod retry; pub mod timeout; use crate::observe::metrics;",
        ),
        "out of reach for all of policy",
    );
}

#[test]
fn rooms_of_one_floor_in_two_wings_are_strangers() {
    let at = |path: &str| {
        let path: Vec<String> = path.split("::").map(str::to_owned).collect();
        place(&path).unwrap_or_else(|| panic!("{path:?} has no place"))
    };
    assert!(!may_name(at("durable::codec"), at("policy::timeout")));
    assert!(!may_name(at("policy"), at("chaos::fault")));
    assert!(may_name(at("policy::pipeline"), at("chaos::fault")));
    assert!(may_name(at("policy"), at("kernel::clock")));
}

#[test]
fn code_for_tests_may_name_every_room() {
    for text in [
        "#[cfg(test)] mod tests { use crate::policy::timeout; }",
        "#[cfg(all(test, backstop_loom))] mod tests { use crate::policy::timeout; }",
        "#[cfg(any(test, all(loom, test)))] use crate::policy::{timeout};",
        "#[cfg(test)] #[derive(Debug)] pub(crate) struct S { t: crate::policy::timeout::T }",
        "#[cfg(test)] const fn f() { crate::policy::timeout::f() }",
        "#[cfg(test)] const T: crate::policy::timeout::T = crate::policy::timeout::T { a: 1 };",
        "struct S { #[cfg(test)] t: crate::policy::timeout::T, }",
        "#![cfg(test)] fn f() {} use crate::policy::timeout;",
        "mod a { #![cfg(test)] fn f() {} use crate::policy::timeout; }",
        "#[cfg(test)] const A: u8 = if B { 1 } else { crate::policy::timeout::A };",
    ] {
        assert_none(&wrong_with("src/kernel/sync.rs", text));
    }
    // What stands behind it is code again, and what is not only for tests stays code.
    for text in [
        "#[cfg(test)] mod tests { } use crate::policy::timeout;",
        "mod a { #![cfg(test)] fn f() {} } use crate::policy::timeout;",
        "#[cfg(test)] use std::{a, b}; use crate::policy::timeout;",
        "struct S { #[cfg(test)] t: u8, u: crate::policy::timeout::T }",
        "#[cfg(any(test, feature = \"x\"))] use crate::policy::timeout;",
        "#[cfg(not(test))] use crate::policy::timeout;",
        "#[cfg_attr(test, derive(Debug))] struct S(crate::policy::timeout::T);",
    ] {
        assert_one(
            &wrong_with("src/kernel/sync.rs", text),
            "is policy::timeout",
        );
    }
}

#[test]
fn what_names_no_code_is_let_through() {
    for text in [
        "// use crate::policy::timeout;",
        "/// [`T`](crate::policy::timeout::T)\nfn f() {}",
        "const A: &str = \"use crate::policy::timeout;\";",
        "pub(crate) fn f(self) {} pub(super) fn g() {} pub(in crate::kernel) fn h() {}",
        "struct S; impl S { fn f(self: Box<Self>) { self.g() } }",
        "mod a { pub(super) use super::b; } fn b() { self::a::b() }",
        "use std::sync::Arc; use ::std::fmt;",
    ] {
        assert_none(&wrong_with("src/kernel/sync.rs", text));
    }
}

#[test]
fn a_room_without_a_floor_is_caught() {
    let mut files = with(
        "src/kernel/mod.rs",
        "//! sync < clock\npub mod clock; pub mod sync; pub mod cellar;",
    );
    files.push(("src/kernel/cellar.rs".to_owned(), String::new()));
    assert_one(
        &house(&files, SMALL_PAVED_PATH),
        "src/kernel/cellar.rs: the house has no floor",
    );
    let mut files = with(
        "src/lib.rs",
        "pub mod kernel; pub mod policy; pub mod observe; mod core;
        pub use policy::timeout::Timeout; pub use kernel::clock::Clock;",
    );
    files.push(("src/core/mod.rs".to_owned(), String::new()));
    assert_one(
        &house(&files, SMALL_PAVED_PATH),
        "src/core/mod.rs: the house has no floor",
    );
}

#[test]
fn a_source_that_no_module_declares_is_caught() {
    assert_one(
        &wrong_with("src/policy/timeout/spare.rs", ""),
        "no module declares it",
    );
}

#[test]
fn a_long_file_is_caught() {
    let code = "fn f() {}\n".repeat(LONGEST_FILE);
    let text = format!("{code}\n// a comment\n\n#[cfg(test)]\nmod tests {{\n{code}}}\n");
    assert_none(&wrong_with("src/kernel/sync.rs", &text));
    let text = format!("{code}const A: u8 = 1;");
    assert_one(
        &wrong_with("src/kernel/sync.rs", &text),
        "501 lines of code",
    );
}

#[test]
fn tower_and_axum_in_the_kernel_are_caught() {
    for text in [
        "use tower::Service;",
        "use tower_service::Service;",
        "fn f() { axum::serve() }",
    ] {
        assert_one(
            &wrong_with("src/kernel/sync.rs", text),
            "the kernel knows no",
        );
    }
    assert_none(&wrong_with(
        "src/kernel/sync.rs",
        "//! Unlike tower and axum.\nstruct Towers;",
    ));
    assert_none(&wrong_with(
        "src/policy/retry.rs",
        "use tower_service::Service;",
    ));
}

#[test]
fn hidden_code_is_caught() {
    for text in [
        "#[path = \"x.rs\"] mod x;",
        "#[cfg_attr(unix, path = \"x.rs\")] mod x;",
        "include!(\"x.rs\");",
        "extern crate self as backstop;",
    ] {
        assert_eq!(wrong_with("src/policy/retry.rs", text).len(), 1, "{text}");
    }
    let mut files = small_house();
    files.retain(|(file, _)| file.starts_with("src/policy/retry"));
    files.push((
        "tests/it.rs".to_owned(),
        "#[path = \"x.rs\"] mod x;".to_owned(),
    ));
    let wrong = test_files("[[test]]\npath = \"tests/it.rs\"", &files[1..]);
    assert_one(&wrong, "`#[path]` hides");
    // An example that a test runs, too, is not hidden; it is nothing for the crate itself.
    let example = "#[path = \"../examples/x.rs\"] mod x;";
    files[1].1 = example.to_owned();
    assert_none(&test_files("[[test]]\npath = \"tests/it.rs\"", &files[1..]));
    assert_eq!(wrong_with("src/policy/retry.rs", example).len(), 1);
}

#[test]
fn public_paths_beside_the_list_are_caught() {
    let lib = |more: &str| {
        format!(
            "pub mod kernel; pub mod policy; pub mod observe; pub use policy::timeout::Timeout; {more}"
        )
    };
    let longer = [SMALL_PAVED_PATH, &["policy::retry::Retry"]].concat();
    let wrong = house(&small_house(), &longer);
    assert_one(&wrong, "the paved path lacks `policy::retry::Retry`");
    for (more, name) in [
        ("pub use policy::retry::Retry;", "policy::retry::Retry"),
        ("pub use policy::*;", "policy::*"),
        (
            "pub use crate::{policy::retry::{Retry as R}};",
            "policy::retry::Retry as R",
        ),
    ] {
        let text = lib(&format!("pub use kernel::clock::Clock; {more}"));
        assert_one(
            &wrong_with("src/lib.rs", &text),
            &format!("`{name}` is not on the list"),
        );
    }
}

#[test]
fn a_second_path_below_the_root_is_caught() {
    let text = "pub mod retry; pub mod timeout; pub use timeout::Timeout;";
    assert_one(
        &wrong_with("src/policy/mod.rs", text),
        "`policy::timeout::Timeout` is public there already",
    );
    // One that only the crate sees, and one in a private module, add no path.
    let text = "pub mod retry; pub mod timeout; pub(crate) use timeout::Timeout;";
    assert_none(&wrong_with("src/policy/mod.rs", text));
    let text = "pub use crate::kernel::clock::Clock; pub struct Timeout;";
    assert_none(&wrong_with("src/policy/timeout/machine.rs", text));
}

#[test]
fn an_unstated_order_is_caught() {
    let text = "//! No word about it.\npub mod clock; pub mod sync;";
    assert_one(
        &wrong_with("src/kernel/mod.rs", text),
        "the order of its rooms: sync < clock",
    );
}

#[test]
fn test_files_that_nothing_includes_are_caught() {
    let files: Vec<(String, String)> = [
        ("tests/arch.rs", "mod scan;"),
        ("tests/scan/mod.rs", "mod deep { mod er; }"),
        ("tests/scan/deep/er.rs", ""),
        (
            "tests/it/main.rs",
            "mod a; #[cfg(feature = \"x\")] mod b; // mod c;",
        ),
        ("tests/it/a.rs", "mod below;"),
        ("tests/it/a/below.rs", ""),
        ("tests/it/b/mod.rs", ""),
    ]
    .into_iter()
    .map(|(file, text)| (file.to_owned(), text.to_owned()))
    .collect();
    let manifest = "[[test]]\nname = \"arch\"\npath = \"tests/arch.rs\"\n[[ test ]]\npath=\"tests/it/main.rs\" # x\n[lib]\npath = \"src/lib.rs\"\n";
    assert_none(&test_files(manifest, &files));
    let orphan = ("tests/it/c.rs".to_owned(), String::new());
    assert_one(
        &test_files(manifest, &[files.as_slice(), &[orphan]].concat()),
        "tests/it/c.rs: no test binary",
    );
    let commented = manifest.replace("[[ test ]]", "#[[test]]\n[x]");
    assert_eq!(test_files(&commented, &files).len(), 4);
    let by_name = manifest
        .replace("path = \"tests/arch.rs\"", "")
        .replace("path=\"tests/it/main.rs\"", "name = \"it\"");
    assert_none(&test_files(&by_name, &files));
    let missing = format!("{manifest}[[test]]\npath = \"tests/model/main.rs\"\n");
    assert_one(
        &test_files(&missing, &files),
        "tests/model/main.rs has no file",
    );
}
