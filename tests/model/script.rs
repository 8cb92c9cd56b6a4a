//! Steps and settings out of small numbers, so that whoever makes the numbers (a seed, proptest, a
//! fuzzer) can make them smaller too.

use crate::naive::{Dropped, How, Mode, Settings, State, Window};
use crate::pair::Op;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// Takes a number apart, choice by choice.
struct Choices(u64);

impl Choices {
    fn below(&mut self, n: u64) -> u64 {
        let chosen = self.0 % n;
        self.0 /= n;
        chosen
    }

    fn of<T: Copy, const N: usize>(&mut self, choices: [T; N]) -> T {
        let n = self.below(N as u64);
        choices[usize::try_from(n).unwrap_or(0)]
    }
}

const WINDOWS: [Window; 10] = [
    Window::Count(20),
    time(SECOND, 10),
    Window::None,
    Window::Count(1),
    Window::Count(100),
    time(10 * MS, 1),
    time(MS, 60),
    time(7 * MS, 3),
    Window::Count(65),
    time(3_600 * SECOND, 2),
];

const fn time(width: u64, buckets: u64) -> Window {
    Window::Time { width, buckets }
}

const RATES: [u64; 5] = [500_000, 1, 250_000, 333_333, 1_000_000];

/// One setting after the other.
const FIELDS: u64 = 14;

/// What every number means as settings.
pub(crate) fn settings(number: u64) -> Settings {
    let mut settings = Settings {
        window: WINDOWS[0],
        consecutive: None,
        failure_rate: Some(500_000),
        slow: None,
        minimum: 10,
        failures_only: false,
        base: SECOND,
        factor: 2,
        cap: 60 * SECOND,
        max_hint: 60 * SECOND,
        probes: 3,
        judge_when_all_are_in: false,
        probe_max_wait: None,
        half_open_limit: None,
        dropped: Dropped::Ignored,
        auto_half_open: false,
    };
    let mut choices = Choices(number);
    for field in 0..FIELDS {
        set(&mut settings, field, &mut choices);
    }
    mend(settings)
}

/// The same settings but for one.
pub(crate) fn changed(settings: &Settings, number: u64) -> Settings {
    let mut settings = settings.clone();
    let mut choices = Choices(number);
    let field = choices.below(FIELDS);
    set(&mut settings, field, &mut choices);
    mend(settings)
}

fn set(settings: &mut Settings, field: u64, choices: &mut Choices) {
    match field {
        0 => settings.window = choices.of(WINDOWS),
        1 => settings.minimum = choices.of([10, 1, 4, 20, 100]),
        2 => {
            let rate = choices.below(1 + RATES.len() as u64);
            settings.failure_rate = RATES.get(usize::try_from(rate).unwrap_or(0)).copied();
        }
        3 => settings.consecutive = choices.of([None, Some(3), Some(1), Some(10)]),
        4 => {
            let limit = choices.of([None, Some(50 * MS), Some(SECOND), Some(1)]);
            settings.slow = limit.map(|limit| (limit, choices.of(RATES)));
        }
        5 => settings.failures_only = choices.below(2) == 1,
        6 => settings.probes = choices.of([3, 1, 2, 5, 10]),
        7 => settings.judge_when_all_are_in = choices.below(2) == 1,
        8 => settings.probe_max_wait = choices.of([None, Some(500 * MS), Some(5 * SECOND)]),
        9 => settings.half_open_limit = choices.of([None, Some(30 * SECOND), Some(MS)]),
        10 => {
            settings.dropped =
                choices.of([Dropped::Ignored, Dropped::Failure, Dropped::FailureIfSlow]);
        }
        11 => settings.auto_half_open = choices.below(2) == 1,
        12 => settings.max_hint = choices.of([60 * SECOND, 1, 7 * SECOND]),
        _ => {
            (settings.base, settings.factor, settings.cap) = choices.of([
                (SECOND, 2, 60 * SECOND),
                (5 * SECOND, 1, 5 * SECOND),
                (MS, 10, SECOND),
                (20 * MS, 3, 3_600 * SECOND),
            ]);
        }
    }
}

/// The nearest settings that can be.
fn mend(mut settings: Settings) -> Settings {
    if let Window::Count(size) = settings.window {
        settings.minimum = settings.minimum.min(size as u64);
    }
    let has_rate = settings.failure_rate.is_some() || settings.slow.is_some();
    if settings.consecutive.is_none() && (settings.window == Window::None || !has_rate) {
        settings.consecutive = Some(5);
    }
    if settings.dropped == Dropped::FailureIfSlow && settings.slow.is_none() {
        settings.dropped = Dropped::Ignored;
    }
    settings
}

/// A span of time: mostly a multiple of one that the settings name, or one nanosecond beside it.
pub(crate) fn span(settings: &Settings, number: u64) -> u64 {
    let mut choices = Choices(number);
    let (width, buckets) = match settings.window {
        Window::Time { width, buckets } => (width, buckets),
        Window::None | Window::Count(_) => (SECOND, 10),
    };
    let unit = choices.of([
        MS,
        width,
        settings.base,
        width * buckets,
        settings.slow.map_or(MS, |(limit, _)| limit),
        settings.probe_max_wait.unwrap_or(settings.base),
        settings.half_open_limit.unwrap_or(settings.cap),
        width * buckets * 100,
    ]);
    let times = choices.of([1, 0, 2, 3, 9, 10, 11, 59]);
    let exact = unit.saturating_mul(times);
    match choices.below(4) {
        0 => exact,
        1 => exact.saturating_sub(1),
        2 => exact + 1,
        _ => exact + choices.below(1_000_000_000),
    }
}

fn how(choices: &mut Choices) -> How {
    match choices.below(6) {
        0 => How::Success,
        1 | 2 => How::Failure { hint: None },
        3 => How::Ignored,
        4 => How::Dropped,
        _ => How::Failure {
            hint: Some(choices.of([3 * SECOND, 0, 1, 90 * SECOND])),
        },
    }
}

/// Whether a step of this kind needs the number.
pub(crate) fn has_number(kind: u8) -> bool {
    !matches!(kind, 0..=139 | 190..=214 | 232 | 238..=243 | 245 | 246)
}

/// What any two numbers mean as a step of a breaker with these settings. The smaller `kind`, the
/// plainer the step.
pub(crate) fn op(settings: &Settings, kind: u8, number: u64) -> Op {
    let mut choices = Choices(number);
    match kind {
        0..=79 => Op::Call {
            how: How::Success,
            takes: 0,
        },
        80..=139 => Op::Call {
            how: How::Failure { hint: None },
            takes: 0,
        },
        140..=169 => Op::Call {
            how: how(&mut choices),
            takes: span(settings, choices.0),
        },
        170..=189 => Op::Advance(span(settings, number)),
        190..=199 => Op::WaitAsTold,
        200..=214 => Op::Acquire,
        215..=231 => Op::Finish {
            how: how(&mut choices),
            which: usize::try_from(choices.below(16)).unwrap_or(0),
        },
        232 => Op::Reset,
        233..=235 => Op::StepBack(span(settings, number)),
        236 | 237 => Op::Wobble(span(settings, number)),
        238 => Op::Force(true),
        239 | 240 => Op::Force(false),
        241 => Op::Isolate,
        242 | 243 => Op::LetGo,
        244 => Op::SetMode(choices.of([Mode::MetricsOnly, Mode::Disabled, Mode::Normal])),
        245 | 246 => Op::SetMode(Mode::Normal),
        247..=249 => {
            Op::MoveTo(choices.of([State::Closed, State::Open, State::HalfOpen, State::Disabled]))
        }
        _ => Op::Reconfigure(changed(settings, number)),
    }
}
