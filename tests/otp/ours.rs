//! Runs scenarios on this crate's supervisor, on a clock that is moved by hand.

use crate::heard::Heard;
use crate::report::{Seen, entry, name, path};
use crate::scenario::{
    AutoShutdown, Child, Exit, Kind, Path, Restart, Scenario, Start, Step, Strategy, Sup,
};
use backstop::kernel::clock::{Clock, ManualClock};
use backstop::supervise::budget::{RestartBackoff, RestartBudget};
use backstop::supervise::child::{self, ChildContext, ChildSpec, Readiness, Stop};
use backstop::supervise::supervisor::{
    self, ChildState, CommandError, Phase, Supervisor, SupervisorBuilder, TreeSnapshot,
};
use std::collections::HashMap;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::yield_now;

/// So many rounds of the runtime without an event, a change of the tree or a restart under way are
/// the end of a step: each round polls every task that is woken.
const QUIET: usize = 16;

/// A step that does not end in so many is one that never ends.
const ROUNDS: usize = 100_000;

/// What the children share.
#[derive(Clone, Default)]
pub(crate) struct World(Arc<Mutex<Shared>>);

#[derive(Default)]
struct Shared {
    events: Vec<String>,
    starts: HashMap<Path, usize>,
    leave: HashMap<Path, oneshot::Sender<Exit>>,
    running: HashMap<Path, usize>,
}

impl World {
    fn with<T>(&self, act: impl FnOnce(&mut Shared) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn note(&self, word: &str, at: &str) {
        self.with(|shared| shared.events.push(format!("{word} {at}")));
    }

    fn next_start(&self, at: &Path, plan: &[Start]) -> Start {
        self.with(|shared| {
            let nth = shared.starts.entry(at.clone()).or_default();
            *nth += 1;
            plan.get(*nth - 1).copied().unwrap_or(Start::Good)
        })
    }

    /// The child of that path ends; false if there is none that runs.
    fn leaves(&self, at: &Path, why: Exit) -> bool {
        let leave = self.with(|shared| shared.leave.remove(at));
        leave.is_some_and(|leave| leave.send(why).is_ok())
    }
}

/// Counts the incarnations of a child; there is never more than one.
struct Runs<'a>(&'a World, &'a Path);

impl<'a> Runs<'a> {
    fn new(world: &'a World, at: &'a Path) -> Self {
        let running = world.with(|shared| {
            let running = shared.running.entry(at.clone()).or_default();
            *running += 1;
            *running
        });
        if running > 1 {
            // Noted, as a panic here would be the child's, and absorbed.
            world.note("TWICE", &path(at));
        }
        Self(world, at)
    }
}

impl Drop for Runs<'_> {
    fn drop(&mut self) {
        self.0
            .with(|shared| *shared.running.get_mut(self.1).expect("it was counted") -= 1);
    }
}

async fn work(
    cx: ChildContext,
    world: World,
    at: Path,
    plan: Arc<[Start]>,
    at_once: bool,
) -> Result<(), String> {
    let _runs = Runs::new(&world, &at);
    let how = world.next_start(&at, &plan);
    if how != Start::Good {
        world.note("fail", &path(&at));
    }
    match how {
        Start::Good => {}
        Start::Error => return Err("planned".to_owned()),
        // Without the hook, which would print each.
        Start::Panic => resume_unwind(Box::new("planned")),
    }
    world.note("start", &path(&at));
    let (leave, told) = oneshot::channel();
    world.with(|shared| shared.leave.insert(at.clone(), leave));
    cx.ready();
    let token = cx.token();
    tokio::select! {
        biased;
        why = told => match why {
            Ok(Exit::Normal) => Ok(()),
            Ok(Exit::Error) => Err("planned".to_owned()),
            Ok(Exit::Killed) => resume_unwind(Box::new("planned")),
            Err(_) => Err("its sender is kept".to_owned()),
        },
        () = token.cancelled() => {
            if !at_once {
                world.note("stop", &path(&at));
            }
            Ok(())
        }
    }
}

fn builder(world: &World, sup: &Sup, at: &Path) -> SupervisorBuilder {
    let strategy = match sup.strategy {
        Strategy::OneForOne => supervisor::Strategy::OneForOne,
        Strategy::OneForAll => supervisor::Strategy::OneForAll,
        Strategy::RestForOne => supervisor::Strategy::RestForOne,
    };
    let auto = match sup.auto {
        AutoShutdown::Never => supervisor::AutoShutdown::Never,
        AutoShutdown::Any => supervisor::AutoShutdown::AnySignificant,
        AutoShutdown::All => supervisor::AutoShutdown::AllSignificant,
    };
    let builder = Supervisor::builder(path(at))
        .strategy(strategy)
        .auto_shutdown(auto)
        .budget(RestartBudget::new(
            sup.intensity,
            Duration::from_secs(sup.period),
        ))
        .backoff(RestartBackoff::none());
    sup.children.iter().fold(builder, |builder, child| {
        builder.child(spec(world, child, at))
    })
}

fn spec(world: &World, child: &Child, above: &[char]) -> ChildSpec {
    let restart = match child.restart {
        Restart::Permanent => child::Restart::Permanent,
        Restart::Transient => child::Restart::Transient,
        Restart::Temporary => child::Restart::Temporary,
    };
    let at = [above, &[child.id]].concat();
    let spec = match &child.kind {
        Kind::Supervisor(sup) => {
            ChildSpec::supervisor(builder(world, sup, &at)).renamed(child.id.to_string())
        }
        Kind::Worker(plan) => {
            let (world, plan, at_once): (_, Arc<[Start]>, _) =
                (world.clone(), plan.as_slice().into(), child.at_once);
            ChildSpec::new(child.id.to_string(), move |cx| {
                work(cx, world.clone(), at.clone(), plan.clone(), at_once)
            })
            .readiness(Readiness::Explicit)
            .stop(if at_once {
                Stop::AtOnce
            } else {
                Stop::Unlimited
            })
        }
    };
    spec.restart(restart).significant(child.significant)
}

/// `None`: something is under way.
fn seen(tree: &TreeSnapshot) -> Option<Vec<(char, Seen)>> {
    if tree.phase != Phase::Running {
        return None;
    }
    let each = tree.children.iter().map(|child| {
        let id = child.id.as_str().chars().next()?;
        let seen = match (child.state, &child.tree) {
            (ChildState::Running, Some(tree)) => Seen::Tree(seen(tree)?),
            (ChildState::Running, None) => Seen::Runs,
            (ChildState::Stopped, _) => Seen::Stopped,
            _ => return None,
        };
        Some((id, seen))
    });
    each.collect()
}

/// What runs when nothing is under way any more.
async fn settle(world: &World, root: Option<&Supervisor>) -> Option<Vec<(char, Seen)>> {
    let (mut quiet, mut before) = (0, usize::MAX);
    for _ in 0..ROUNDS {
        yield_now().await;
        let events = world.with(|shared| shared.events.len());
        let now = root.map(Supervisor::snapshot);
        let over = now.as_ref().is_none_or(|tree| tree.phase == Phase::Ended);
        let tree = now.as_ref().and_then(seen);
        let is_quiet = events == before && (over || tree.is_some());
        quiet = if is_quiet { quiet + 1 } else { 0 };
        before = events;
        if quiet == QUIET {
            return tree;
        }
    }
    panic!(
        "it does not come to rest: {:?}",
        root.map(Supervisor::snapshot)
    );
}

fn find(root: Option<&Supervisor>, path: &[char]) -> Option<Supervisor> {
    let root = root
        .filter(|root| root.snapshot().phase == Phase::Running)?
        .clone();
    path.iter()
        .try_fold(root, |above, id| above.nested(&id.to_string()))
}

/// In OTP's words. It tells a duplicate of a child that runs from one that does not.
fn answer(result: Result<(), CommandError>, is_running: bool) -> &'static str {
    match result {
        Ok(()) => "ok",
        Err(CommandError::NotFound) => "not found",
        Err(CommandError::Duplicate) if !is_running => "already present",
        Err(CommandError::Running | CommandError::Duplicate) => "running",
        Err(CommandError::Restarting) => "restarting",
        Err(CommandError::NotStarted(_)) => "start failed",
        Err(error) => panic!("{error}"),
    }
}

async fn step(
    world: &World,
    clock: &ManualClock,
    root: Option<&Supervisor>,
    step: &Step,
) -> String {
    let sup = match step {
        Step::Wait(ms) => {
            clock.advance(Duration::from_millis(*ms));
            return "ok".to_owned();
        }
        Step::Exits(exits) => {
            let leave =
                |(at, why): &(Path, Exit)| if world.leaves(at, *why) { "ok" } else { "gone" };
            return exits.iter().map(leave).collect::<Vec<_>>().join(" ");
        }
        Step::Terminate(path, _)
        | Step::Restart(path, _)
        | Step::Delete(path, _)
        | Step::Add(path, _) => find(root, path),
    };
    let Some(sup) = sup else {
        return "gone".to_owned();
    };
    let runs = |id: char| {
        let tree = sup.snapshot();
        tree.child(&id.to_string())
            .is_some_and(|child| child.state == ChildState::Running)
    };
    let answer = match step {
        Step::Terminate(_, id) => answer(sup.terminate(&id.to_string()).await.map(drop), false),
        Step::Restart(_, id) => answer(sup.restart(&id.to_string()).await, false),
        Step::Delete(_, id) => answer(sup.delete(&id.to_string()).await, false),
        Step::Add(above, child) => {
            let was_running = runs(child.id);
            answer(sup.add(spec(world, child, above)).await, was_running)
        }
        Step::Wait(_) | Step::Exits(_) => unreachable!("no commands"),
    };
    answer.to_owned()
}

async fn scenario(world: &World, scenario: &Scenario) -> String {
    let clock = Clock::manual();
    let built = builder(world, &scenario.root, &Vec::new()).clock(clock.clock());
    let root = built.start().await.ok();
    let mut text = format!("scenario {}\n", scenario.seed);
    let mut write = |name: &str, result: &str, now: Option<Vec<(char, Seen)>>| {
        let events = world.with(|shared| std::mem::take(&mut shared.events));
        text += &entry(name, &events, result, now.as_deref());
    };
    let first = if root.is_some() { "ok" } else { "start failed" };
    write("first", first, settle(world, root.as_ref()).await);
    for one in &scenario.steps {
        let result = step(world, &clock, root.as_ref(), one).await;
        write(&name(one), &result, settle(world, root.as_ref()).await);
    }
    if let Some(root) = root {
        let ran = root.snapshot().phase == Phase::Running;
        root.stop().await;
        write("last", if ran { "stopped" } else { "gone" }, None);
    }
    text
}

pub(crate) fn run(one: &Scenario) -> String {
    let world = World::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let heard = Heard(world.clone());
    let text = tracing::subscriber::with_default(heard, || runtime.block_on(scenario(&world, one)));
    let alive = runtime.metrics().num_alive_tasks();
    assert_eq!(alive, 0, "no task outlives its tree: {one}");
    text
}
