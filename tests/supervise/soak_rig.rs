//! A thousand children that fail in every way, and what must never be seen of them.

use backstop::kernel::clock::Clock;
use backstop::kernel::instant::Instant;
use backstop::supervise::budget::{RestartBackoff, RestartBudget};
use backstop::supervise::child::{ChildContext, ChildSpec, Readiness, Restart, Stop};
use backstop::supervise::supervisor::{Strategy, Supervisor, SupervisorBuilder};
use fastrand::Rng;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::future::pending;
use std::hash::{Hash, Hasher};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Work on a thread of its own that goes on until `_holds` is dropped, some time after the signal.
struct Lingering {
    token: CancellationToken,
    until: Option<Instant>,
    _holds: Sender<()>,
}

/// How fast everything goes: milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// A child fails after so long at most, if it fails by itself.
    pub(crate) life: u64,
    /// A slow stop takes so long at most.
    pub(crate) slow: u64,
    pub(crate) stop_timeout: u64,
    /// The longest wait before a restart.
    pub(crate) backoff: u64,
    pub(crate) window: u64,
    /// How far a time that is read here may be from that of the decision.
    pub(crate) slack: u64,
    /// Whether children block their threads at times, for some of their stop timeout.
    pub(crate) blocks: bool,
    /// One of so many incarnations leaves work behind that no abort ends; 0 for none.
    pub(crate) lingers: u64,
}

/// A supervisor under the root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub(crate) strategy: Strategy,
    pub(crate) children: usize,
    pub(crate) budget: u32,
}

/// 1,000 children in 22 groups.
pub(crate) fn groups() -> Vec<Group> {
    let group = |strategy, children, budget| Group {
        strategy,
        children,
        budget,
    };
    let mut groups = Vec::new();
    for at in 0..6_u32 {
        groups.push(group(Strategy::OneForOne, 120, 60 + 60 * at));
    }
    for at in 0..7_u32 {
        groups.push(group(Strategy::OneForAll, 20, 2 + 4 * at));
        groups.push(group(Strategy::RestForOne, 20, 2 + 4 * at));
    }
    groups
}

/// A child's place: its group, and its turn in it. Those that are added later have higher turns.
pub(crate) type Place = (usize, usize);

#[derive(Clone)]
pub(crate) struct World(Arc<Shared>);

struct Shared {
    pace: Pace,
    seed: u64,
    groups: Vec<Group>,
    clock: Clock,
    /// Starts, ends, and commands that were answered.
    happened: AtomicU64,
    state: Mutex<State>,
}

struct State {
    rng: Rng,
    running: Vec<BTreeMap<usize, u64>>,
    /// Those that were aborted and still run: nobody waits for them any more.
    orphans: HashSet<Place>,
    /// Whom an operator starts or stops now, which has no order.
    commanded: HashMap<Place, usize>,
    charges: HashMap<String, VecDeque<Instant>>,
    /// How often each thing happened.
    kinds: BTreeMap<&'static str, u64>,
    /// What was told, in its order: two runs of one seed on one thread tell the same.
    told: DefaultHasher,
    wrong: Vec<String>,
    lingering: Vec<Lingering>,
    /// While the tree starts for the first time, no child fails its start or its stop.
    is_calm: bool,
}

impl World {
    pub(crate) fn new(pace: Pace, clock: Clock, seed: u64) -> Self {
        let groups = groups();
        let state = State {
            rng: Rng::with_seed(seed),
            running: vec![BTreeMap::new(); groups.len()],
            orphans: HashSet::new(),
            commanded: HashMap::new(),
            charges: HashMap::new(),
            kinds: BTreeMap::new(),
            told: DefaultHasher::new(),
            wrong: Vec::new(),
            lingering: Vec::new(),
            is_calm: true,
        };
        Self(Arc::new(Shared {
            pace,
            seed,
            groups,
            clock,
            happened: AtomicU64::new(0),
            state: Mutex::new(state),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn groups(&self) -> &[Group] {
        &self.0.groups
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub(crate) fn happened(&self) -> u64 {
        self.0.happened.load(Ordering::Relaxed)
    }

    pub(crate) fn happens(&self, kind: &'static str) {
        self.0.happened.fetch_add(1, Ordering::Relaxed);
        *self.state().kinds.entry(kind).or_default() += 1;
    }

    pub(crate) fn roll(&self, below: u64) -> u64 {
        self.state().rng.u64(..below)
    }

    /// The tree has started: all may happen.
    pub(crate) fn unleash(&self) {
        self.state().is_calm = false;
    }

    /// Ends work that has outlived its signal by long enough; all of it at the end.
    pub(crate) fn let_go(&self, is_over: bool) {
        let now = self.0.clock.now();
        let mut state = self.state();
        let State { rng, lingering, .. } = &mut *state;
        lingering.retain_mut(|work| {
            if work.until.is_none() && work.token.is_cancelled() {
                // Beyond the stop timeout and the grace after it, or not.
                work.until = Some(now + Duration::from_millis(rng.u64(..3_000)));
            }
            !is_over && work.until.is_none_or(|until| now < until)
        });
    }

    fn is_calm(&self) -> bool {
        self.state().is_calm
    }

    pub(crate) fn wrong(&self, what: String) {
        self.state().wrong.push(what);
    }

    /// An operator is about to start or stop this child; true if nobody else is.
    pub(crate) fn command(&self, place: Place) {
        *self.state().commanded.entry(place).or_default() += 1;
    }

    pub(crate) fn commanded(&self, place: Place) {
        let mut state = self.state();
        if let Some(times) = state.commanded.get_mut(&place) {
            *times -= 1;
            if *times == 0 {
                state.commanded.remove(&place);
            }
        }
    }

    pub(crate) fn times(&self, kind: &str) -> u64 {
        self.state().kinds.get(kind).copied().unwrap_or_default()
    }

    /// How often each thing happened, and a print of what was told.
    pub(crate) fn figures(&self) -> (String, u64) {
        let state = self.state();
        (format!("{:?}", state.kinds), state.told.finish())
    }

    /// What was seen that must not be, and, if `all` should have been seen, what was not.
    pub(crate) fn verdict(&self, all: bool) {
        let state = self.state();
        let wrong = &state.wrong;
        assert!(
            wrong.is_empty(),
            "{} wrong, first {:#?}",
            wrong.len(),
            &wrong[..wrong.len().min(5)]
        );
        let running: usize = state.running.iter().map(BTreeMap::len).sum();
        assert_eq!(running, 0, "children outlive the tree: {:?}", state.running);
        if !all {
            return;
        }
        for kind in [
            "start",
            "fail to start",
            "end",
            "error",
            "panic",
            "stop",
            "stop slowly",
            "hang",
            "restarting",
            "gave_up",
            "terminate",
            "restart",
            "add",
            "delete",
            "bounce",
        ] {
            assert!(
                state.kinds.contains_key(kind),
                "{kind:?} never happened: {:?}",
                state.kinds
            );
        }
    }

    fn sleep(&self, ms: u64) -> impl Future<Output = ()> + use<> {
        let clock = &self.0.clock;
        let until = clock.now() + Duration::from_millis(ms);
        clock.sleep_until(until).expect("a runtime")
    }

    /// Where a group starts and stops in order, nobody behind one that starts or stops runs.
    fn ordered(&self, state: &mut State, place: Place, what: &str) {
        let (group, turn) = place;
        if turn >= self.0.groups[group].children {
            // Of those that were added the first comes first, whatever its name.
            return;
        }
        let behind = state.running[group]
            .range(turn + 1..)
            .map(|(turn, _)| *turn);
        let late: Vec<_> = behind
            .filter(|turn| !state.commanded.contains_key(&(group, *turn)))
            .filter(|turn| !state.orphans.contains(&(group, *turn)))
            .collect();
        if !late.is_empty() && !state.commanded.contains_key(&place) {
            state
                .wrong
                .push(format!("{place:?} {what} while {late:?} behind it run"));
        }
    }

    fn enter(&self, place: Place, incarnation: u64) -> Runs {
        self.happens("start");
        let mut state = self.state();
        state.orphans.remove(&place);
        if let Some(other) = state.running[place.0].insert(place.1, incarnation) {
            let twice = format!("{place:?} runs twice: {other} and {incarnation}");
            state.wrong.push(twice);
        }
        if self.0.groups[place.0].strategy != Strategy::OneForOne {
            self.ordered(&mut state, place, "starts");
        }
        Runs(self.clone(), place, incarnation)
    }

    async fn live(self, cx: ChildContext, place: Place) -> Result<(), String> {
        let _runs = self.enter(place, cx.incarnation());
        let Pace {
            life,
            stop_timeout,
            blocks,
            lingers,
            ..
        } = self.0.pace;
        // Rarely at first: there one fails all, and a group has up to 120.
        let fails = if cx.incarnation() == 1 { 1 } else { 20 };
        if !self.is_calm() && self.roll(1_000) < fails {
            self.happens("fail to start");
            return Err("planned".to_owned());
        }
        cx.ready();
        if self.roll(4) == 0 {
            // It must not outlive the child, and is aborted if it does not hear.
            let (token, hears) = (cx.token(), self.roll(8) > 0);
            cx.spawn(async move {
                if hears {
                    token.cancelled().await;
                } else {
                    pending::<()>().await;
                }
            });
        }
        if lingers > 0 && self.roll(lingers) == 0 {
            let (holds, until) = channel::<()>();
            cx.spawn_blocking(move || until.recv().is_ok());
            self.state().lingering.push(Lingering {
                token: cx.token(),
                until: None,
                _holds: holds,
            });
        }
        let lives = self.sleep(1 + self.roll(life));
        let token = cx.token();
        tokio::select! {
            biased;
            () = token.cancelled() => self.stop(place).await,
            () = lives => match self.roll(10) {
                0 => {
                    self.happens("end");
                    Ok(())
                }
                1..=2 => {
                    self.happens("panic");
                    // Without the hook, which would print each.
                    resume_unwind(Box::new("planned"))
                }
                3 if blocks => {
                    self.happens("block");
                    let until = Duration::from_millis(self.roll(stop_timeout / 2));
                    self.0.clock.park_until(self.0.clock.now() + until);
                    Err("planned".to_owned())
                }
                _ => {
                    self.happens("error");
                    Err("planned".to_owned())
                }
            }
        }
    }

    async fn stop(&self, place: Place) -> Result<(), String> {
        self.ordered(&mut self.state(), place, "stops");
        match self.roll(40) {
            _ if self.is_calm() => Ok(()),
            0 => {
                self.happens("hang");
                pending().await
            }
            1..=4 => {
                self.happens("stop slowly");
                self.sleep(self.roll(self.0.pace.slow)).await;
                Ok(())
            }
            5 => Err("on the way out".to_owned()),
            _ => {
                self.happens("stop");
                Ok(())
            }
        }
    }

    pub(crate) fn child(&self, place: Place) -> ChildSpec {
        let world = self.clone();
        let restart = match place.1 % 10 {
            0..=5 => Restart::Permanent,
            6..=8 => Restart::Transient,
            _ => Restart::Temporary,
        };
        ChildSpec::new(name(place.1), move |cx| world.clone().live(cx, place))
            .readiness(Readiness::Explicit)
            .restart(restart)
            .stop(Stop::After(Duration::from_millis(self.0.pace.stop_timeout)))
    }

    fn group(&self, at: usize) -> SupervisorBuilder {
        let Group {
            strategy,
            children,
            budget,
        } = self.0.groups[at];
        let ms = Duration::from_millis;
        let pace = self.0.pace;
        // Short enough that a crash at once spends the budget.
        let longest = (pace.window / u64::from(budget + 1) / 2).clamp(1, pace.backoff);
        let base = ms(longest.div_ceil(4));
        let builder = Supervisor::builder(group_name(at))
            .strategy(strategy)
            .seed(self.0.seed.wrapping_add(at as u64))
            .budget(RestartBudget::new(budget, ms(pace.window)))
            .backoff(RestartBackoff::exponential(base, 2.0, ms(longest)));
        (0..children).fold(builder, |builder, turn| {
            builder.child(self.child((at, turn)))
        })
    }

    pub(crate) fn tree(&self) -> SupervisorBuilder {
        let root = Supervisor::builder("root")
            .never_give_up(true)
            .backoff(RestartBackoff::none())
            .clock(self.0.clock.clone());
        (0..self.0.groups.len()).fold(root, |root, at| root.child_supervisor(self.group(at)))
    }

    /// A supervisor tells that it restarts a child, gives up, or has ended.
    fn told(&self, told: &Fields) {
        let Fields {
            supervisor,
            message: what,
            child,
            why,
        } = told;
        let Some(at) = supervisor
            .strip_prefix('g')
            .and_then(|at| at.parse::<usize>().ok())
        else {
            return;
        };
        let Group {
            strategy, budget, ..
        } = self.0.groups[at];
        let budget = budget as usize;
        let (now, pace) = (self.0.clock.now(), self.0.pace);
        let mut state = self.state();
        (supervisor, what, why, now.as_nanos()).hash(&mut state.told);
        let State {
            charges,
            wrong,
            kinds,
            orphans,
            ..
        } = &mut *state;
        let charged = charges.entry(supervisor.clone()).or_default();
        let within = |charged: &VecDeque<Instant>, ms: u64| {
            let limit = Duration::from_millis(ms);
            charged
                .iter()
                .filter(|then| now.saturating_duration_since(**then) < limit)
                .count()
        };
        match what.as_str() {
            "restarting" => {
                *kinds.entry("restarting").or_default() += 1;
                if charged.len() > 2 * budget {
                    charged.pop_front();
                }
                charged.push_back(now);
                let used = within(charged, pace.window - pace.slack);
                if used > budget {
                    wrong.push(format!("{supervisor} restarts {used} times of {budget}"));
                }
            }
            "orphaned" => {
                *kinds.entry("orphaned").or_default() += 1;
                let turn = child.strip_prefix('c').and_then(|turn| turn.parse().ok());
                orphans.insert((at, turn.expect("a child of a group")));
            }
            // The other reason to give up, at any count of restarts: nobody runs beside an orphan.
            "gave_up" if why.contains("still runs although it was aborted") => {
                *kinds.entry("gave_up of an orphan").or_default() += 1;
                if strategy == Strategy::OneForOne {
                    wrong.push(format!("{supervisor} has no group to give up for: {why}"));
                }
            }
            "gave_up" => {
                *kinds.entry("gave_up").or_default() += 1;
                let used = within(charged, pace.window + pace.slack);
                if used < budget {
                    wrong.push(format!(
                        "{supervisor} gives up after {used} of {budget}: {why}"
                    ));
                }
            }
            "ended" => charged.clear(),
            _ => {}
        }
    }
}

pub(crate) fn name(turn: usize) -> String {
    format!("c{turn}")
}

pub(crate) fn group_name(at: usize) -> String {
    format!("g{at}")
}

/// An incarnation that runs.
struct Runs(World, Place, u64);

impl Drop for Runs {
    fn drop(&mut self) {
        self.0.0.happened.fetch_add(1, Ordering::Relaxed);
        let mut state = self.0.state();
        let running = &mut state.running[self.1.0];
        if running.get(&self.1.1) == Some(&self.2) {
            running.remove(&self.1.1);
            state.orphans.remove(&self.1);
        }
    }
}

// --- What the supervisors say ---

/// Hears it in the order in which it was decided.
pub(crate) struct Ear(pub(crate) World);

#[derive(Default)]
struct Fields {
    supervisor: String,
    message: String,
    child: String,
    why: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "why" => self.why = format!("{value:?}"),
            _ => {}
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "supervisor" => value.clone_into(&mut self.supervisor),
            "child" => value.clone_into(&mut self.child),
            _ => {}
        }
    }
}

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "backstop::supervise"
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.0.told(&fields);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
