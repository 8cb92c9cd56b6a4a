//! What is done to a tree of supervisors, out of a seed, as values and as Erlang terms.

use fastrand::Rng;
use std::fmt::{self, Display, Formatter};

/// A child is named by a letter; a path leads from the root to it.
pub(crate) type Path = Vec<char>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    OneForOne,
    OneForAll,
    RestForOne,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restart {
    Permanent,
    Transient,
    Temporary,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AutoShutdown {
    Never,
    Any,
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Good,
    Error,
    Panic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Normal,
    Error,
    /// `exit(Pid, kill)` there, a panic here.
    Killed,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// How its first starts go; every later one is good.
    Worker(Vec<Start>),
    Supervisor(Sup),
}

#[derive(Clone, Debug)]
pub(crate) struct Child {
    pub(crate) id: char,
    pub(crate) restart: Restart,
    pub(crate) significant: bool,
    /// Killed without a signal, so that it notes no stop.
    pub(crate) at_once: bool,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) struct Sup {
    pub(crate) strategy: Strategy,
    pub(crate) intensity: u32,
    pub(crate) period: u64,
    pub(crate) auto: AutoShutdown,
    pub(crate) children: Vec<Child>,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Milliseconds, longer than twice the period.
    Wait(u64),
    /// Workers end, all before their supervisor learns of the first.
    Exits(Vec<(Path, Exit)>),
    Terminate(Path, char),
    Restart(Path, char),
    Delete(Path, char),
    Add(Path, Child),
}

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) root: Sup,
    pub(crate) steps: Vec<Step>,
}

/// What scenarios are made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mix {
    /// Chance in a hundred that a window passes within the scenario, which takes real time on OTP.
    pub(crate) waits: u32,
}

const WORKERS: &[char] = &['a', 'b', 'c', 'd', 'e'];
const LATE: &[char] = &['x', 'y'];
const SUPERVISORS: &[char] = &['s', 't'];
const AN_HOUR: u64 = 3_600;
/// The shortest period OTP knows, and a wait that nothing outlasts.
const A_SECOND: u64 = 1;
const A_WAIT: u64 = 2_500;

struct Maker {
    rng: Rng,
    period: u64,
}

impl Scenario {
    pub(crate) fn new(seed: u64, mix: Mix) -> Self {
        let mut rng = Rng::with_seed(seed);
        let slides = rng.u32(..100) < mix.waits;
        let period = if slides { A_SECOND } else { AN_HOUR };
        let mut maker = Maker { rng, period };
        let root = maker.supervisor(0);
        let mut places = Places::default();
        places.add(&root, &[]);
        let mut waits = 0;
        let steps = (0..maker.rng.usize(4..16))
            .map(|_| {
                if slides && waits < 2 && maker.rng.u32(..5) == 0 {
                    waits += 1;
                    return Step::Wait(A_WAIT);
                }
                maker.step(&mut places)
            })
            .collect();
        Self { seed, root, steps }
    }
}

/// Where things can happen.
#[derive(Default)]
struct Places {
    supervisors: Vec<(Path, AutoShutdown, Strategy)>,
    /// In start order, but for those that are added later.
    workers: Vec<Path>,
    added: Vec<Path>,
}

impl Places {
    fn add(&mut self, sup: &Sup, above: &[char]) {
        self.supervisors
            .push((above.to_vec(), sup.auto, sup.strategy));
        for child in &sup.children {
            let path = [above, &[child.id]].concat();
            match &child.kind {
                Kind::Worker(_) => self.workers.push(path),
                Kind::Supervisor(inner) => self.add(inner, &path),
            }
        }
    }

    /// A later sibling that is stopped anyway when this one has failed. Of others that end at the same
    /// time the order is not OTP's: see the first difference in main.rs.
    fn bystander(&self, of: &Path, rng: &mut Rng) -> Option<Path> {
        let above = &of[..of.len() - 1];
        let (.., strategy) = self.supervisors.iter().find(|(path, ..)| path == above)?;
        let at = self.workers.iter().position(|path| path == of)?;
        let is_ordered = |path: &Path| !self.added.contains(path);
        let siblings: Vec<_> = (0..)
            .zip(&self.workers)
            .filter(|(index, path)| {
                let is_in_group = match strategy {
                    Strategy::OneForOne => false,
                    Strategy::OneForAll => true,
                    Strategy::RestForOne => *index > at && is_ordered(of) && is_ordered(path),
                };
                is_in_group && *path != of && path[..path.len() - 1] == *above
            })
            .map(|(_, path)| path)
            .collect();
        (!siblings.is_empty()).then(|| siblings[rng.usize(..siblings.len())].clone())
    }
}

impl Maker {
    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.rng.usize(..of.len())]
    }

    fn supervisor(&mut self, depth: usize) -> Sup {
        use AutoShutdown::{All, Any, Never};
        let strategy = self.one(&[
            Strategy::OneForOne,
            Strategy::OneForAll,
            Strategy::OneForAll,
            Strategy::RestForOne,
            Strategy::RestForOne,
        ]);
        let auto = self.one(&[Never, Never, Never, Any, All]);
        let intensity = self.one(&[0, 1, 2, 3, 5, 8, 8, 20]);
        let mut children = Vec::new();
        for &id in &WORKERS[..self.rng.usize(1..=WORKERS.len())] {
            children.push(self.worker(id, auto, 4));
        }
        if depth < 2 {
            for &id in &SUPERVISORS[..self.one(&[0, 0, 1, 1, 2])] {
                let at = self.rng.usize(..=children.len());
                let child = self.nested(id, auto, depth);
                children.insert(at, child);
            }
        }
        Sup {
            strategy,
            intensity,
            period: self.period,
            auto,
            children,
        }
    }

    fn nested(&mut self, id: char, auto: AutoShutdown, depth: usize) -> Child {
        let restart = self.one(&[Restart::Permanent, Restart::Permanent, Restart::Temporary]);
        Child {
            id,
            restart,
            significant: self.significant(restart, auto),
            at_once: false,
            kind: Kind::Supervisor(self.supervisor(depth + 1)),
        }
    }

    /// OTP refuses a significant child that is permanent, or whose supervisor never shuts down by itself.
    fn significant(&mut self, restart: Restart, auto: AutoShutdown) -> bool {
        auto != AutoShutdown::Never && restart != Restart::Permanent && self.rng.bool()
    }

    /// `first_fails`: the first start fails so many times in a hundred.
    fn worker(&mut self, id: char, auto: AutoShutdown, first_fails: u32) -> Child {
        let restart = self.one(&[
            Restart::Permanent,
            Restart::Permanent,
            Restart::Transient,
            Restart::Transient,
            Restart::Temporary,
        ]);
        let fails = self.rng.u32(..100) < 20;
        let plan = (0..if fails { self.rng.usize(2..6) } else { 0 })
            .map(|at| {
                let bad = self.rng.u32(..100) < if at == 0 { first_fails } else { 50 };
                match (bad, self.rng.bool()) {
                    (true, true) => Start::Error,
                    (true, false) => Start::Panic,
                    (false, _) => Start::Good,
                }
            })
            .collect();
        Child {
            id,
            restart,
            significant: self.significant(restart, auto),
            at_once: self.rng.u32(..8) == 0,
            kind: Kind::Worker(plan),
        }
    }

    fn step(&mut self, places: &mut Places) -> Step {
        // Of ten steps six are exits, and four are commands.
        if self.rng.u32(..10) < 6 {
            return self.exits(places);
        }
        let sups = &places.supervisors;
        let (path, auto, _) = sups[self.rng.usize(..sups.len())].clone();
        let ids: Vec<char> = [WORKERS, LATE, &SUPERVISORS[..1]].concat();
        let id = self.one(&ids);
        match self.rng.u32(..9) {
            0..=2 => Step::Terminate(path, id),
            3..=4 => Step::Restart(path, id),
            5..=6 => Step::Delete(path, id),
            _ => {
                let id = self.one(&[LATE[0], LATE[1], id]);
                let child = [path.as_slice(), &[id]].concat();
                places.added.push(child.clone());
                if !SUPERVISORS.contains(&id) && !places.workers.contains(&child) {
                    places.workers.push(child);
                }
                Step::Add(path, self.worker(id, auto, 30))
            }
        }
    }

    fn exits(&mut self, places: &Places) -> Step {
        let path = places.workers[self.rng.usize(..places.workers.len())].clone();
        let why = self.one(&[Exit::Normal, Exit::Error, Exit::Error, Exit::Killed]);
        let mut exits = vec![(path.clone(), why)];
        if why != Exit::Normal && self.rng.u32(..3) == 0 {
            if let Some(other) = places.bystander(&path, &mut self.rng) {
                exits.push((other, self.one(&[Exit::Normal, Exit::Error, Exit::Killed])));
            }
        }
        Step::Exits(exits)
    }
}

// --- As Erlang terms ---

/// `sep`arated.
fn join<T>(
    of: &[T],
    f: &mut Formatter<'_>,
    write: impl Fn(&T, &mut Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    f.write_str("[")?;
    for (at, one) in of.iter().enumerate() {
        if at > 0 {
            f.write_str(",")?;
        }
        write(one, f)?;
    }
    f.write_str("]")
}

struct Term<'a>(&'a Path);

impl Display for Term<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        join(self.0, f, |id, f| write!(f, "{id}"))
    }
}

impl Display for Exit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "normal",
            Self::Error => "error",
            Self::Killed => "killed",
        })
    }
}

impl Display for Start {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "good",
            Self::Error => "error",
            Self::Panic => "panic",
        })
    }
}

impl Display for Child {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let restart = match self.restart {
            Restart::Permanent => "permanent",
            Restart::Transient => "transient",
            Restart::Temporary => "temporary",
        };
        let stop = if self.at_once { "at_once" } else { "signal" };
        write!(f, "{{{},{restart},{},{stop},", self.id, self.significant)?;
        match &self.kind {
            Kind::Worker(plan) => {
                f.write_str("{worker,")?;
                join(plan, f, |start, f| write!(f, "{start}"))?;
                f.write_str("}")?;
            }
            Kind::Supervisor(sup) => write!(f, "{sup}")?,
        }
        f.write_str("}")
    }
}

impl Display for Sup {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let strategy = match self.strategy {
            Strategy::OneForOne => "one_for_one",
            Strategy::OneForAll => "one_for_all",
            Strategy::RestForOne => "rest_for_one",
        };
        let auto = match self.auto {
            AutoShutdown::Never => "never",
            AutoShutdown::Any => "any_significant",
            AutoShutdown::All => "all_significant",
        };
        write!(
            f,
            "{{sup,{strategy},{},{},{auto},",
            self.intensity, self.period
        )?;
        join(&self.children, f, |child, f| write!(f, "{child}"))?;
        f.write_str("}")
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wait(ms) => write!(f, "{{wait,{ms}}}"),
            Self::Exits(exits) => {
                f.write_str("{exits,")?;
                join(exits, f, |(path, why), f| {
                    write!(f, "{{{},{why}}}", Term(path))
                })?;
                f.write_str("}")
            }
            Self::Terminate(path, id) => write!(f, "{{terminate,{},{id}}}", Term(path)),
            Self::Restart(path, id) => write!(f, "{{restart,{},{id}}}", Term(path)),
            Self::Delete(path, id) => write!(f, "{{delete,{},{id}}}", Term(path)),
            Self::Add(path, child) => write!(f, "{{add,{},{child}}}", Term(path)),
        }
    }
}

impl Display for Scenario {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{{scenario,{},{},", self.seed, self.root)?;
        join(&self.steps, f, |step, f| write!(f, "{step}"))?;
        f.write_str("}.")
    }
}
