//! What the clones of a retry share: its rules, its budget, its counters. No user code runs in here
//! but a waits' iterator, and that under no lock.

use super::config::{RetryConfig, Rules, WaitsOfACall};
use super::event::{RetryEvent, RetryEventKind};
use super::totals::{Counter, LastWords};
use super::trace::{Crossing, LastTold};
use crate::kernel::budget::RetryBudget;
use crate::kernel::clock::Clock;
use crate::kernel::config::ConfigError;
use crate::kernel::event::Events;
use crate::kernel::instant::{Instant, saturating_nanos};
use crate::kernel::name::Name;
use crate::kernel::rejection::{Rejection, RejectionKind};
use crate::kernel::rng::{Rolls, nth_rolls};
use crate::kernel::stripe::Striped;
use crate::kernel::sync::{AtomicU64, Mutex, Ordering, Published};
use crossbeam_utils::CachePadded;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The policy's type, in errors and metric labels.
pub(super) const POLICY: &str = "retry";

/// Of a deadline: there is none.
pub(super) const NEVER: Instant = Instant::from_nanos(u64::MAX);

/// A budget that changes its shape is another budget, and calls under way keep theirs. So all of
/// them stay, and there is an end to their number.
const MOST_BUDGETS: usize = 16;

pub(crate) struct Machine {
    front: CachePadded<Front>,
    /// The one in use is named by the front's word.
    budgets: [OnceLock<RetryBudget>; MOST_BUDGETS],
    /// Whether the budget was handed over, and is others' as well.
    shares_budget: bool,
    pub(super) totals: Striped<{ Counter::ALL }>,
    rules: Published<Rules>,
    /// How many rolls were drawn.
    drawn: AtomicU64,
    pub(super) crossing: Crossing,
    pub(super) told: LastTold,
    pub(super) events: Events<RetryEvent>,
    /// Made when somebody exports it; filled when it is dropped.
    pub(super) last_words: OnceLock<LastWords>,
    pub(crate) clock: Clock,
    pub(super) name: Name,
    control: Mutex<Control>,
}

/// What every call reads, in a line that is written only when the configuration changes.
struct Front {
    word: AtomicU64,
    /// In nanoseconds; 0 for none.
    deadline: AtomicU64,
}

/// Bits of the front's word; the number of the budget is above them.
const ISOLATED: u64 = 1;
const SINGLE: u64 = 2;
/// The budget has to hear of the begin of a call, and of a success at once.
const ENTERS: u64 = 4;
const PAYS: u64 = 8;
const BUDGET: u32 = 8;

struct Control {
    config: RetryConfig,
    isolations: u32,
    seq: u64,
}

/// A call that was let in.
#[derive(Clone, Copy)]
pub(super) struct Admission {
    pub(super) terms: Terms,
    pub(super) deadline: Instant,
}

/// What the front's word was when a call was let in.
#[derive(Clone, Copy)]
pub(super) struct Terms(u32);

impl Terms {
    /// Of a call that was not let in yet.
    pub(super) const NONE: Self = Self(0);

    /// Only one attempt is allowed.
    #[inline]
    pub(super) fn is_single(self) -> bool {
        u64::from(self.0) & SINGLE != 0
    }

    /// The budget hears of the begin of a call.
    #[inline]
    pub(super) fn enters(self) -> bool {
        u64::from(self.0) & ENTERS != 0
    }

    /// The budget hears of a success at once.
    #[inline]
    fn pays(self) -> bool {
        u64::from(self.0) & PAYS != 0
    }

    fn budget(self) -> usize {
        (self.0 >> BUDGET) as usize % MOST_BUDGETS
    }
}

impl Machine {
    pub(super) fn new(
        name: Name,
        config: RetryConfig,
        clock: Clock,
        shared: Option<RetryBudget>,
    ) -> Result<Self, ConfigError> {
        let rules = config.rules()?;
        let shares_budget = shared.is_some();
        let own = RetryBudget::with_clock(config.own_budget(), clock.clone())?;
        let mut budgets = [const { OnceLock::new() }; MOST_BUDGETS];
        budgets[0] = OnceLock::from(shared.unwrap_or(own));
        let machine = Self {
            front: CachePadded::new(Front {
                word: AtomicU64::new(0),
                deadline: AtomicU64::new(0),
            }),
            budgets,
            shares_budget,
            totals: Striped::wide(),
            rules: Published::empty(),
            drawn: AtomicU64::new(0),
            crossing: Crossing::default(),
            told: LastTold::default(),
            events: Events::new(),
            last_words: OnceLock::new(),
            clock,
            name,
            control: Mutex::new(Control {
                config,
                isolations: 0,
                seq: 0,
            }),
        };
        drop(machine.publish(rules, 0));
        Ok(machine)
    }

    /// Lets a call in: one load, two with a deadline.
    #[inline]
    pub(super) fn admit(&self) -> Option<Admission> {
        let word = self.front.word.load(Ordering::Acquire);
        if word & ISOLATED != 0 {
            return None;
        }
        let deadline = match self.front.deadline.load(Ordering::Relaxed) {
            0 => NEVER,
            nanos => self.clock.now() + Duration::from_nanos(nanos),
        };
        #[expect(clippy::cast_possible_truncation, reason = "it has 12 bits")]
        let terms = Terms(word as u32);
        Some(Admission { terms, deadline })
    }

    /// The refusal of a call.
    #[cold]
    #[inline(never)]
    pub(super) fn reject(&self) -> Rejection {
        self.totals.bump(Counter::Rejected as usize);
        Rejection::new(POLICY, self.name.clone(), RejectionKind::ForcedOpen)
    }

    /// The budget that a call has to do with.
    #[inline]
    pub(super) fn budget(&self, terms: Terms) -> Option<&RetryBudget> {
        self.budgets[terms.budget()].get()
    }

    /// The budget in use.
    pub(super) fn current_budget(&self) -> Option<&RetryBudget> {
        let word = self.front.word.load(Ordering::Acquire);
        #[expect(clippy::cast_possible_truncation, reason = "it has 12 bits")]
        self.budget(Terms(word as u32))
    }

    /// The budgets that nobody else pays into.
    pub(super) fn own_budgets(&self) -> impl Iterator<Item = &RetryBudget> {
        let own = if self.shares_budget {
            &[]
        } else {
            &self.budgets[..]
        };
        own.iter().filter_map(OnceLock::get)
    }

    /// A call succeeded at its first attempt.
    #[inline]
    pub(super) fn succeed_at_once(&self, terms: Terms) {
        let is_counted = terms.pays() && self.budget(terms).is_some_and(RetryBudget::finish_good);
        if !is_counted || self.shares_budget {
            self.totals.bump(Counter::Success as usize);
        }
    }

    pub(super) fn rules(&self) -> Option<Arc<Rules>> {
        self.rules.get()
    }

    /// The wait before attempt `attempt + 1`; `None` if there are no more waits.
    pub(super) fn wait(
        &self,
        rules: &Rules,
        waits: Option<&mut WaitsOfACall>,
        attempt: u32,
        previous: Duration,
    ) -> Option<Duration> {
        match waits {
            Some(waits) => waits.next(),
            None if rules.backoff.is_jittered() => {
                Some(rules.backoff.wait(attempt, previous, &mut self.draw(rules)))
            }
            None => Some(
                rules
                    .backoff
                    .wait(attempt, previous, &mut Rolls::script([])),
            ),
        }
    }

    fn draw(&self, rules: &Rules) -> Rolls {
        let n = self.drawn.fetch_add(1, Ordering::Relaxed);
        match rules.rolls.as_deref() {
            None => nth_rolls(rules.seed, n),
            Some(rolls) => {
                let at = n.checked_rem(rolls.len() as u64).unwrap_or(0);
                let roll = usize::try_from(at).ok().and_then(|at| rolls.get(at));
                Rolls::script(roll.copied())
            }
        }
    }

    /// Puts rules in force; the old ones are for the caller to drop when it holds no lock.
    fn publish(&self, rules: Rules, budget: usize) -> Option<Arc<Rules>> {
        let is_single = if rules.max_attempts == 1 { SINGLE } else { 0 };
        let deadline = rules.deadline.map_or(0, saturating_nanos);
        self.front.deadline.store(deadline, Ordering::Relaxed);
        let before = self.rules.replace(Some(Arc::new(rules)));
        let isolated = self.front.word.load(Ordering::Relaxed) & ISOLATED;
        let hears = self.budgets[budget].get().map_or(0, |budget| {
            let enters = if budget.counts_in_flight() { ENTERS } else { 0 };
            enters | if budget.is_limited() { PAYS } else { 0 }
        });
        let word = (budget as u64) << BUDGET | hears | is_single | isolated;
        self.front.word.store(word, Ordering::Release);
        before
    }

    /// Takes a configuration, from the next call on.
    pub(super) fn take(&self, config: RetryConfig) -> Result<(), ConfigError> {
        let rules = config.rules()?;
        let mut control = self.control.lock();
        let budget = self.number_of_budget(&config)?;
        let old_rules = self.publish(rules, budget);
        let old_config = std::mem::replace(&mut control.config, config);
        drop(control);
        // They hold the user's waits.
        drop((old_rules, old_config));
        self.note(RetryEventKind::Reconfigured);
        Ok(())
    }

    /// The number of the budget that this configuration wants, made if there is none. Under the
    /// lock.
    fn number_of_budget(&self, config: &RetryConfig) -> Result<usize, ConfigError> {
        let wanted = config.own_budget();
        let fresh = RetryBudget::with_clock(wanted, self.clock.clone())?;
        if self.shares_budget {
            return Ok(0);
        }
        for (number, slot) in self.budgets.iter().enumerate() {
            if slot.get_or_init(|| fresh.clone()).config() == wanted {
                return Ok(number);
            }
        }
        Err(ConfigError::new(
            "budget",
            format_args!("{wanted:?}"),
            format!("one of at most {MOST_BUDGETS} different ones in the life of a retry"),
        ))
    }

    /// A copy of the configuration in force.
    pub(super) fn config(&self) -> RetryConfig {
        self.control.lock().config.clone()
    }

    pub(super) fn is_isolated(&self) -> bool {
        self.front.word.load(Ordering::Relaxed) & ISOLATED != 0
    }

    /// One guard more, or one less.
    pub(super) fn isolate(&self, begins: bool) {
        let mut control = self.control.lock();
        let before = control.isolations;
        control.isolations = if begins {
            before.saturating_add(1)
        } else {
            before.saturating_sub(1)
        };
        let is_isolated = control.isolations > 0;
        let has_changed = (before > 0) != is_isolated;
        if is_isolated {
            self.front.word.fetch_or(ISOLATED, Ordering::Release);
        } else {
            self.front.word.fetch_and(!ISOLATED, Ordering::Release);
        }
        drop(control);
        if has_changed {
            self.note(RetryEventKind::Isolated(is_isolated));
        }
    }

    /// Tells a fact.
    pub(super) fn note(&self, kind: RetryEventKind) {
        let at = self.clock.now();
        let mut control = self.control.lock();
        control.seq += 1;
        let event = RetryEvent {
            seq: control.seq,
            at,
            kind,
        };
        let aftermath = self.events.enqueue(&[event]);
        drop(control);
        aftermath.run();
        self.trace(&event);
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("name", &self.name)
            .field("is_isolated", &self.is_isolated())
            .field("budget", &self.current_budget())
            .finish_non_exhaustive()
    }
}
