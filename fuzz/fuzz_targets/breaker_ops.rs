//! Any sequence of operations: the breaker agrees with the naive model of `tests/model` after each.
//!
//! An input is the settings and the grain of the clock, then one operation after the other: a byte
//! for its kind and, where the kind has one, eight for its number.
#![no_main]

#[path = "../../tests/model/naive.rs"]
mod naive;
#[expect(dead_code, reason = "the tests also count what a run went through")]
#[path = "../../tests/model/pair.rs"]
mod pair;
#[path = "../../tests/model/script.rs"]
mod script;

use libfuzzer_sys::fuzz_target;
use pair::{Op, Pair};
use std::time::Duration;

/// The model keeps every call, so a long run is a slow one.
const MOST_STEPS: usize = 2_000;

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// Up to eight bytes, the missing ones zero.
    fn number(&mut self) -> u64 {
        (0..8).fold(0, |number, place| {
            number | u64::from(self.byte().unwrap_or(0)) << (8 * place)
        })
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let mut settings = script::settings(input.number());
    let grain = Duration::from_millis(4 * u64::from(input.byte().unwrap_or(0) % 2));
    let mut pair = Pair::new(settings.clone(), grain);
    let mut steps = 0;
    while let Some(kind) = input.byte() {
        let number = if script::has_number(kind) {
            input.number()
        } else {
            0
        };
        let op = script::op(&settings, kind, number);
        if let Op::Reconfigure(changed) = &op {
            settings = changed.clone();
        }
        let spelled = format!("{op:?}");
        if let Err(disagreement) = pair.step(op) {
            panic!("{disagreement}\nat step {steps}: {spelled}\n{settings:?}");
        }
        steps += 1;
        if steps == MOST_STEPS {
            return;
        }
    }
});
