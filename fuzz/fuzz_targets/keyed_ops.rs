//! Any sequence of operations on a keyed set: it stays bounded, loses no count, and forgets no
//! circuit that is open before its time or has a permit out.
#![no_main]

use backstop::kernel::clock::Clock;
use backstop::kernel::keyed::Keyed;
use backstop::policy::circuit_breaker::{OwnedPermit, State};
use backstop::{CircuitBreaker, CircuitBreakerConfig};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use std::time::Duration;

enum Op {
    Succeed(u8),
    Fail(u8),
    Acquire(u8),
    Finish { which: u8, well: bool },
    Peek(u8),
    Advance(u8),
}

/// Two bytes are one operation.
fn op(kind: u8, argument: u8) -> Op {
    let key = argument % KEYS;
    match kind % 8 {
        0 | 1 => Op::Succeed(key),
        2 | 3 => Op::Fail(key),
        4 => Op::Acquire(key),
        5 => Op::Finish {
            which: argument / 2,
            well: argument % 2 == 0,
        },
        6 => Op::Peek(key),
        _ => Op::Advance(argument % 16),
    }
}

const CAPACITY: usize = 4;
const KEYS: u8 = 12;
const WAIT: Duration = Duration::from_secs(10);

/// What must not be forgotten of a key: until when it is open, and the permits that are out.
#[derive(Default)]
struct Kept {
    open_until: Option<Duration>,
    permits: u32,
}

fn run(bytes: &[u8]) {
    let manual = Clock::manual();
    let config = CircuitBreakerConfig::default()
        .consecutive_failures(2)
        .open_wait(WAIT, 1.0, WAIT)
        .open_wait_jitter(0.0);
    let set = Keyed::<u8, CircuitBreaker>::with_clock("fuzz", CAPACITY, config, &manual)
        .expect("a valid configuration");
    let mut kept: BTreeMap<u8, Kept> = BTreeMap::new();
    let mut out: Vec<(u8, OwnedPermit, bool)> = Vec::new();
    let (mut now, mut ended, mut rejected) = (Duration::ZERO, 0_u64, 0_u64);

    for pair in bytes.chunks_exact(2) {
        match op(pair[0], pair[1]) {
            op @ (Op::Succeed(key) | Op::Fail(key)) => {
                let breaker = set.get(&key);
                let shared = set.peek(&key).is_none();
                match breaker.try_acquire() {
                    Ok(permit) if matches!(op, Op::Fail(_)) => {
                        permit.failure();
                        ended += 1;
                    }
                    Ok(permit) => {
                        permit.success();
                        ended += 1;
                    }
                    Err(_) => rejected += 1,
                }
                note_state(&mut kept, key, shared, &breaker, now);
            }
            Op::Acquire(key) if out.len() < 8 => {
                let breaker = set.get(&key);
                let shared = set.peek(&key).is_none();
                match breaker.try_acquire_owned() {
                    Ok(permit) => {
                        if !shared {
                            kept.entry(key).or_default().permits += 1;
                        }
                        out.push((key, permit, shared));
                    }
                    Err(_) => rejected += 1,
                }
                note_state(&mut kept, key, shared, &breaker, now);
            }
            Op::Acquire(_) => {}
            Op::Finish { which, well } if !out.is_empty() => {
                let (key, permit, shared) = out.swap_remove(usize::from(which) % out.len());
                if well {
                    permit.success();
                } else {
                    permit.failure();
                }
                ended += 1;
                if !shared {
                    let breaker = set.peek(&key).expect("a permit was out");
                    note_state(&mut kept, key, shared, &breaker, now);
                    kept.entry(key).or_default().permits -= 1;
                }
            }
            Op::Finish { .. } => {}
            Op::Peek(key) => drop(set.peek(&key)),
            Op::Advance(seconds) => {
                let by = Duration::from_secs(u64::from(seconds));
                manual.advance(by);
                now += by;
            }
        }
        assert!(set.len() <= CAPACITY, "{} entries", set.len());
        for (key, kept) in &kept {
            let is_open = kept.open_until.is_some_and(|until| now < until);
            if is_open || kept.permits > 0 {
                let breaker = set
                    .peek(key)
                    .unwrap_or_else(|| panic!("{key} was forgotten"));
                assert!(
                    !is_open || breaker.state() == State::Open,
                    "{key} lost its state"
                );
            }
        }
        let totals = set.totals();
        assert_eq!((totals.admitted(), totals.rejected()), (ended, rejected));
    }
}

fn note_state(
    kept: &mut BTreeMap<u8, Kept>,
    key: u8,
    shared: bool,
    breaker: &CircuitBreaker,
    now: Duration,
) {
    if !shared {
        let remaining = breaker.snapshot().remaining;
        kept.entry(key).or_default().open_until = remaining.map(|remaining| now + remaining);
    }
}

fuzz_target!(|bytes: &[u8]| {
    run(bytes);
});
