//! A budget and a naive model of it take the same steps and must agree after each.
//!
//! The model keeps every deposit and every withdrawal with the time it was made at, and counts
//! them anew each time it is asked.

use backstop::kernel::budget::{BudgetConfig, BudgetedCall, RetryBudget, Withdrawal};
use backstop::kernel::clock::{Clock, ManualClock};
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Milliseconds of ttl, per second, millionths.
    Bucket(u64, u64, u64),
    /// Millionths, at least.
    InFlight(u64, u64),
    /// Tokens, thousandths.
    Tokens(u64, u64),
}

impl Kind {
    fn any(rng: &mut fastrand::Rng) -> Self {
        match rng.u8(..3) {
            0 => Self::Bucket(
                [1_000, 1_500, 10_000, 60_000][rng.usize(..4)],
                rng.u64(1..5),
                [1, 70_000, 200_000, 333_333, 1_000_000, 2_500_000][rng.usize(..6)],
            ),
            1 => Self::InFlight(
                [10_000, 200_000, 500_000, 1_500_000][rng.usize(..4)],
                rng.u64(1..5),
            ),
            _ => Self::Tokens(rng.u64(3..20), [1, 100, 333, 1_000, 2_500][rng.usize(..5)]),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn config(self) -> BudgetConfig {
        let small = |number: u64| u32::try_from(number).expect("a small number");
        match self {
            Self::Bucket(ttl, per_second, share) => BudgetConfig::token_bucket(
                Duration::from_millis(ttl),
                small(per_second),
                share as f64 / 1e6,
            ),
            Self::InFlight(share, at_least) => {
                BudgetConfig::in_flight(share as f64 / 1e6, small(at_least))
            }
            Self::Tokens(max, ratio) => BudgetConfig::tokens(small(max), ratio as f64 / 1e3),
        }
    }
}

/// What was done, and when: by the newest time that was ever seen.
struct Naive {
    kind: Kind,
    /// In milliseconds of the test.
    now: u64,
    newest: u64,
    /// The first use, which slots are aligned to.
    origin: Option<u64>,
    deposits: Vec<u64>,
    /// When, and under which number.
    taken: Vec<(u64, u64)>,
    calls: u64,
    retries: u64,
    tokens: u64,
}

impl Naive {
    fn new(kind: Kind) -> Self {
        let tokens = match kind {
            Kind::Tokens(max, _) => max * 1_000,
            _ => 0,
        };
        Self {
            kind,
            now: 0,
            newest: 0,
            origin: None,
            deposits: Vec::new(),
            taken: Vec::new(),
            calls: 0,
            retries: 0,
            tokens,
        }
    }

    /// The time that things happen at: a clock that stepped back shows the newest slot.
    fn time(&mut self) -> u64 {
        self.origin.get_or_insert(self.now);
        self.newest = self.newest.max(self.now);
        self.newest
    }

    fn slot(&self, at: u64) -> u64 {
        match self.kind {
            Kind::Bucket(ttl, ..) => (at - self.origin.unwrap_or(at)) / (ttl / 10),
            _ => 0,
        }
    }

    fn balance(&mut self) -> u64 {
        let now = self.time();
        let slot = self.slot(now);
        let is_in = |at: u64| slot - self.slot(at) < 10;
        match self.kind {
            Kind::Bucket(ttl, per_second, share) => {
                let deposits = self.deposits.iter().filter(|at| is_in(**at)).count() as u64;
                let taken = self.taken.iter().filter(|(at, _)| is_in(*at)).count() as u64;
                let allowed = per_second * ttl / 1_000 + deposits * share / 1_000_000;
                allowed.saturating_sub(taken)
            }
            Kind::InFlight(share, at_least) => {
                let limit = (self.calls * share / 1_000_000).max(at_least);
                limit.saturating_sub(self.retries)
            }
            Kind::Tokens(max, _) => {
                let mut more = 0;
                while self.tokens >= (more + 1) * 1_000
                    && 2 * (self.tokens - (more + 1) * 1_000) > max * 1_000
                {
                    more += 1;
                }
                more
            }
        }
    }

    fn allows(&mut self) -> bool {
        match self.kind {
            Kind::Tokens(max, _) => 2 * self.tokens > max * 1_000,
            _ => self.balance() > 0,
        }
    }

    fn deposit(&mut self) {
        let now = self.time();
        self.deposits.push(now);
    }

    fn reset(&mut self) {
        self.deposits.clear();
        self.taken.clear();
        if let Kind::Tokens(max, _) = self.kind {
            self.tokens = max * 1_000;
        }
    }
}

/// A call under way, and whether it has paid.
type Call<'a> = (BudgetedCall<'a>, bool);

struct Pair<'a> {
    real: &'a RetryBudget,
    clock: &'a ManualClock,
    naive: Naive,
    calls: Vec<Call<'a>>,
    /// With their numbers, and whether they are spent.
    withdrawals: Vec<(Withdrawal, u64, bool)>,
    number: u64,
    log: Vec<String>,
}

impl<'a> Pair<'a> {
    fn step(&mut self, rng: &mut fastrand::Rng) {
        let said = match rng.u8(..20) {
            0..4 => {
                self.calls.push((self.real.begin(), false));
                self.naive.calls += 1;
                "begin".to_owned()
            }
            4..6 => self.fail(rng),
            6..9 => self.succeed(rng),
            9..10 => self.give_up(rng),
            10..14 => self.withdraw(),
            14..16 => self.end_withdrawal(rng),
            16..19 => {
                let by = [0, 1, 99, 100, 150, 999, 1_000, 5_000, 9_999, 70_000][rng.usize(..10)];
                self.clock.advance(Duration::from_millis(by));
                self.naive.now += by;
                format!("advance {by}")
            }
            _ if rng.u8(..4) == 0 => {
                self.real.reset();
                self.naive.reset();
                // What was taken before is not given back after.
                for (_, number, _) in &mut self.withdrawals {
                    *number = 0;
                }
                "reset".to_owned()
            }
            _ => {
                let by = rng.u64(..3_000).min(self.naive.now);
                self.clock.step_back(Duration::from_millis(by));
                self.naive.now -= by;
                format!("step back {by}")
            }
        };
        self.log.push(said);
    }

    fn any_call(&mut self, rng: &mut fastrand::Rng) -> Option<Call<'a>> {
        let count = self.calls.len();
        (count > 0).then(|| self.calls.swap_remove(rng.usize(..count)))
    }

    fn fail(&mut self, rng: &mut fastrand::Rng) -> String {
        if let Some((mut call, paid)) = self.any_call(rng) {
            call.failure();
            if !paid {
                self.naive.deposit();
            }
            self.naive.tokens = self.naive.tokens.saturating_sub(1_000);
            self.calls.push((call, true));
        }
        "fail".to_owned()
    }

    fn succeed(&mut self, rng: &mut fastrand::Rng) -> String {
        if let Some((call, paid)) = self.any_call(rng) {
            call.success();
            if !paid {
                self.naive.deposit();
            }
            if let Kind::Tokens(max, ratio) = self.naive.kind {
                self.naive.tokens = (self.naive.tokens + ratio).min(max * 1_000);
            }
            self.naive.calls -= 1;
        }
        "succeed".to_owned()
    }

    fn give_up(&mut self, rng: &mut fastrand::Rng) -> String {
        if let Some((call, paid)) = self.any_call(rng) {
            drop(call);
            if !paid {
                self.naive.deposit();
            }
            self.naive.calls -= 1;
        }
        "give up".to_owned()
    }

    fn withdraw(&mut self) -> String {
        let expected = self.naive.allows();
        let withdrawal = self.real.try_withdraw();
        assert_eq!(withdrawal.is_some(), expected, "{}", self.story());
        if let Some(withdrawal) = withdrawal {
            self.number += 1;
            let now = self.naive.time();
            self.naive.taken.push((now, self.number));
            self.naive.retries += 1;
            self.withdrawals.push((withdrawal, self.number, false));
        }
        format!("withdraw {expected}")
    }

    fn end_withdrawal(&mut self, rng: &mut fastrand::Rng) -> String {
        let count = self.withdrawals.len();
        if count > 0 {
            let (mut withdrawal, number, spent) = self.withdrawals.swap_remove(rng.usize(..count));
            if !spent && rng.bool() {
                withdrawal.spend();
                self.withdrawals.push((withdrawal, number, true));
                return "spend".to_owned();
            }
            drop(withdrawal);
            if !spent {
                self.naive.taken.retain(|(_, taken)| *taken != number);
            }
            self.naive.retries -= 1;
        }
        "end".to_owned()
    }

    fn story(&self) -> String {
        let from = self.log.len().saturating_sub(30);
        format!(
            "{:?}, after ... {}",
            self.naive.kind,
            self.log[from..].join(", ")
        )
    }
}

fn run(seed: u64, steps: usize) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let kind = Kind::any(&mut rng);
    let clock = Clock::manual();
    let real = RetryBudget::with_clock(kind.config(), &clock).expect("a valid configuration");
    let mut pair = Pair {
        real: &real,
        clock: &clock,
        naive: Naive::new(kind),
        calls: Vec::new(),
        withdrawals: Vec::new(),
        number: 0,
        log: Vec::new(),
    };
    // To ask for the balance is to look at all deposits. A budget that is asked seldom has to come to
    // the same by what it knew before.
    let asked_in = [1, 20][rng.usize(..2)];
    for _ in 0..steps {
        pair.step(&mut rng);
        if rng.u8(..asked_in) > 0 {
            continue;
        }
        let (real, naive) = (real.balance(), pair.naive.balance());
        assert_eq!(real, Some(naive), "seed {seed}: {}", pair.story());
    }
}

#[test]
fn rt5a_rt5b_rt5c_rt5d_rt5g_rt5h_a_budget_agrees_with_its_model_after_every_step() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    for run_number in 0..300 * crate::soak() {
        run(seed.wrapping_add(run_number), 300);
    }
}
