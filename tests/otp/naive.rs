//! OTP's supervisor, written down as plainly as it can be: what ours is compared with where there is
//! no Erlang, after having been compared with OTP itself.

use crate::report::{Seen, entry, name, path};
use crate::scenario::{
    AutoShutdown, Child, Exit, Kind, Path, Restart, Scenario, Start, Step, Strategy, Sup,
};
use std::collections::{HashMap, VecDeque};

/// One rule broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// One-for-all starts in the order in which it stopped.
    StartsReversed,
    /// Rest-for-one stops the one before too.
    OneTooMany,
    /// Restarts of a window that is over are still counted.
    NeverForgets,
    /// A failed start is not charged.
    FreeStarts,
    /// A temporary bystander comes back.
    TemporaryComesBack,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Runs, or has ended and its exit is not dealt with.
    Alive(u64),
    Dead(u64),
    Restarting,
    Stopped,
}

#[derive(Debug)]
struct Node {
    child: Child,
    state: State,
    inner: Option<Box<Tree>>,
}

/// What lies in a supervisor's mailbox.
#[derive(Debug)]
enum Mail {
    Exit(u64, Exit),
    TryAgain(char),
}

#[derive(Debug)]
struct Tree {
    path: Path,
    spec: Sup,
    nodes: Vec<Node>,
    charges: Vec<u64>,
    mail: VecDeque<Mail>,
}

#[derive(Debug, Default)]
struct World {
    now: u64,
    starts: HashMap<Path, usize>,
    next: u64,
    events: Vec<String>,
    fault: Option<Fault>,
}

/// The supervisor ends.
struct Ends;

impl World {
    fn note(&mut self, word: &str, at: &[char]) {
        self.events.push(format!("{word} {}", path(at)));
    }

    /// `Err` for a start that failed.
    fn start(&mut self, node: &mut Node, above: &[char]) -> Result<(), ()> {
        let at = [above, &[node.child.id]].concat();
        match &node.child.kind {
            Kind::Worker(plan) => {
                let nth = self.starts.entry(at.clone()).or_default();
                let how = plan.get(*nth).copied().unwrap_or(Start::Good);
                *nth += 1;
                if how != Start::Good {
                    self.note("fail", &at);
                    return Err(());
                }
                self.note("start", &at);
            }
            Kind::Supervisor(spec) => node.inner = Some(Box::new(self.start_tree(spec, at)?)),
        }
        self.next += 1;
        node.state = State::Alive(self.next);
        Ok(())
    }

    fn start_tree(&mut self, spec: &Sup, at: Path) -> Result<Tree, ()> {
        let mut tree = Tree {
            path: at,
            spec: spec.clone(),
            nodes: spec.children.iter().map(Node::new).collect(),
            charges: Vec::new(),
            mail: VecDeque::new(),
        };
        if self.start_from(&mut tree, 0).is_err() {
            self.stop_from(&mut tree, 0);
            return Err(());
        }
        Ok(tree)
    }

    /// Starts the children from `first` on, in order; `Err` with the one whose start failed.
    fn start_from(&mut self, tree: &mut Tree, first: usize) -> Result<(), usize> {
        for at in first..tree.nodes.len() {
            let path = tree.path.clone();
            self.start(&mut tree.nodes[at], &path).map_err(|()| at)?;
        }
        Ok(())
    }

    fn stop(&mut self, node: &mut Node, above: &[char]) {
        if let (State::Alive(_), Kind::Worker(_), false) =
            (node.state, &node.child.kind, node.child.at_once)
        {
            self.note("stop", &[above, &[node.child.id]].concat());
        }
        if let Some(mut inner) = node.inner.take() {
            self.stop_from(&mut inner, 0);
        }
        node.state = State::Stopped;
    }

    /// Stops the children from `first` on, in reverse, and forgets the temporary ones.
    fn stop_from(&mut self, tree: &mut Tree, first: usize) {
        let path = tree.path.clone();
        for node in tree.nodes[first..].iter_mut().rev() {
            self.stop(node, &path);
        }
        if self.fault != Some(Fault::TemporaryComesBack) {
            let mut at = 0;
            tree.nodes.retain(|node| {
                at += 1;
                at <= first || node.child.restart != Restart::Temporary
            });
        }
    }

    /// True while the budget lasts.
    fn charge(&mut self, tree: &mut Tree) -> bool {
        let (now, period) = (self.now, tree.spec.period * 1_000);
        if self.fault != Some(Fault::NeverForgets) {
            tree.charges.retain(|then| then + period >= now);
        }
        tree.charges.push(now);
        tree.charges.len() <= tree.spec.intensity as usize
    }

    /// A child ended by itself, or is to be tried again.
    fn restart(&mut self, tree: &mut Tree, at: usize, again: bool) -> Result<(), Ends> {
        let free = again && self.fault == Some(Fault::FreeStarts) && self.next < 10_000;
        if !free && !self.charge(tree) {
            self.note("give up", &tree.path.clone());
            tree.gone(at);
            return Err(Ends);
        }
        self.next += 1;
        let failed = match tree.spec.strategy {
            Strategy::OneForOne => {
                let path = tree.path.clone();
                tree.nodes[at].inner = None;
                self.start(&mut tree.nodes[at], &path).map_err(|()| at)
            }
            strategy => {
                tree.nodes[at].state = State::Stopped;
                tree.nodes[at].inner = None;
                let first = match strategy {
                    Strategy::RestForOne if self.fault == Some(Fault::OneTooMany) => {
                        at.saturating_sub(1)
                    }
                    Strategy::RestForOne => at,
                    _ => 0,
                };
                self.stop_from(tree, first);
                if self.fault == Some(Fault::StartsReversed) && first == 0 {
                    tree.nodes.reverse();
                    let done = self.start_from(tree, first);
                    tree.nodes.reverse();
                    let last = tree.nodes.len().saturating_sub(1);
                    done.map_err(|at| last - at)
                } else {
                    self.start_from(tree, first)
                }
            }
        };
        if let Err(failed) = failed {
            tree.nodes[failed].state = State::Restarting;
            tree.mail
                .push_back(Mail::TryAgain(tree.nodes[failed].child.id));
        }
        Ok(())
    }

    fn exited(&mut self, tree: &mut Tree, at: usize, why: Exit) -> Result<(), Ends> {
        let restarts = match tree.nodes[at].child.restart {
            Restart::Permanent => true,
            Restart::Transient => why != Exit::Normal,
            Restart::Temporary => false,
        };
        if restarts {
            return self.restart(tree, at, false);
        }
        let significant = tree.nodes[at].child.significant;
        tree.gone(at);
        let ends = match tree.spec.auto {
            AutoShutdown::Never => false,
            AutoShutdown::Any => significant,
            AutoShutdown::All => {
                let mut others = tree.nodes.iter();
                significant
                    && !others.any(|node| node.child.significant && node.state != State::Stopped)
            }
        };
        if ends { Err(Ends) } else { Ok(()) }
    }

    /// Deals with all that lies in the mailboxes, the innermost first.
    fn settle(&mut self, tree: &mut Tree) -> Result<(), Ends> {
        for at in 0..tree.nodes.len() {
            let Some(mut inner) = tree.nodes[at].inner.take() else {
                continue;
            };
            if self.settle(&mut inner).is_ok() {
                tree.nodes[at].inner = Some(inner);
            } else {
                self.stop_from(&mut inner, 0);
                // A supervisor that gives up ends with `shutdown`, which is a normal end.
                let State::Alive(incarnation) = tree.nodes[at].state else {
                    unreachable!("it had children");
                };
                tree.nodes[at].state = State::Dead(incarnation);
                tree.mail.push_back(Mail::Exit(incarnation, Exit::Normal));
            }
        }
        while let Some(mail) = tree.mail.pop_front() {
            let (at, why) = match mail {
                Mail::Exit(of, why) => (
                    tree.nodes.iter().position(|n| n.state == State::Dead(of)),
                    Some(why),
                ),
                Mail::TryAgain(id) => (
                    tree.nodes
                        .iter()
                        .position(|n| n.child.id == id && n.state == State::Restarting),
                    None,
                ),
            };
            match (at, why) {
                (Some(at), Some(why)) => self.exited(tree, at, why)?,
                (Some(at), None) => self.restart(tree, at, true)?,
                (None, _) => {}
            }
        }
        Ok(())
    }
}

impl Node {
    fn new(child: &Child) -> Self {
        Self {
            child: child.clone(),
            state: State::Stopped,
            inner: None,
        }
    }
}

impl Tree {
    /// A child that will not run again by itself; a temporary one is forgotten.
    fn gone(&mut self, at: usize) {
        self.nodes[at].state = State::Stopped;
        self.nodes[at].inner = None;
        if self.nodes[at].child.restart == Restart::Temporary {
            self.nodes.remove(at);
        }
    }

    fn find(&mut self, path: &[char]) -> Option<&mut Tree> {
        let Some((id, rest)) = path.split_first() else {
            return Some(self);
        };
        let node = self.nodes.iter_mut().find(|node| node.child.id == *id)?;
        node.inner.as_mut()?.find(rest)
    }

    fn position(&self, id: char) -> Option<usize> {
        self.nodes.iter().position(|node| node.child.id == id)
    }

    fn seen(&self) -> Vec<(char, Seen)> {
        let each = self.nodes.iter().map(|node| {
            let seen = match (&node.inner, node.state) {
                (Some(inner), _) => Seen::Tree(inner.seen()),
                (None, State::Alive(_)) => Seen::Runs,
                (None, _) => Seen::Stopped,
            };
            (node.child.id, seen)
        });
        each.collect()
    }
}

fn terminate(world: &mut World, tree: &mut Tree, id: char) -> &'static str {
    let Some(at) = tree.position(id) else {
        return "not found";
    };
    let path = tree.path.clone();
    world.stop(&mut tree.nodes[at], &path);
    tree.gone(at);
    "ok"
}

fn restart(world: &mut World, tree: &mut Tree, id: char) -> &'static str {
    match tree.position(id) {
        None => "not found",
        Some(at) if tree.nodes[at].state == State::Stopped => {
            let path = tree.path.clone();
            match world.start(&mut tree.nodes[at], &path) {
                Ok(()) => "ok",
                Err(()) => "start failed",
            }
        }
        Some(_) => "running",
    }
}

fn delete(tree: &mut Tree, id: char) -> &'static str {
    match tree.position(id) {
        None => "not found",
        Some(at) if tree.nodes[at].state == State::Stopped => {
            tree.nodes.remove(at);
            "ok"
        }
        Some(_) => "running",
    }
}

fn add(world: &mut World, tree: &mut Tree, child: &Child) -> &'static str {
    if let Some(at) = tree.position(child.id) {
        return match tree.nodes[at].state {
            State::Stopped => "already present",
            _ => "running",
        };
    }
    let mut node = Node::new(child);
    let path = tree.path.clone();
    if world.start(&mut node, &path).is_err() {
        return "start failed";
    }
    tree.nodes.push(node);
    "ok"
}

fn exit(root: &mut Tree, at: &[char], why: Exit) -> &'static str {
    let (id, above) = at.split_last().expect("a worker's path");
    let Some(tree) = root.find(above) else {
        return "gone";
    };
    let node = tree.nodes.iter_mut().find(|node| node.child.id == *id);
    let Some((node, State::Alive(incarnation))) =
        node.map(|node| (node.state, node)).map(|(s, n)| (n, s))
    else {
        return "gone";
    };
    node.state = State::Dead(incarnation);
    tree.mail.push_back(Mail::Exit(incarnation, why));
    "ok"
}

fn step(world: &mut World, root: &mut Tree, step: &Step) -> String {
    let command = match step {
        Step::Wait(ms) => {
            world.now += ms;
            return "ok".to_owned();
        }
        Step::Exits(exits) => {
            let results: Vec<_> = exits.iter().map(|(at, why)| exit(root, at, *why)).collect();
            return results.join(" ");
        }
        Step::Terminate(path, _)
        | Step::Restart(path, _)
        | Step::Delete(path, _)
        | Step::Add(path, _) => path,
    };
    let Some(tree) = root.find(command) else {
        return "gone".to_owned();
    };
    let result = match step {
        Step::Terminate(_, id) => terminate(world, tree, *id),
        Step::Restart(_, id) => restart(world, tree, *id),
        Step::Delete(_, id) => delete(tree, *id),
        Step::Add(_, child) => add(world, tree, child),
        Step::Wait(_) | Step::Exits(_) => unreachable!("no commands"),
    };
    result.to_owned()
}

pub(crate) fn run(scenario: &Scenario, fault: Option<Fault>) -> String {
    let mut world = World {
        fault,
        ..World::default()
    };
    let mut root = world.start_tree(&scenario.root, Vec::new()).ok();
    let mut text = format!("scenario {}\n", scenario.seed);
    let mut write = |name: &str, world: &mut World, result: &str, root: Option<&Tree>| {
        let seen = root.map(Tree::seen);
        text += &entry(
            name,
            &std::mem::take(&mut world.events),
            result,
            seen.as_deref(),
        );
    };
    let first = if root.is_some() { "ok" } else { "start failed" };
    let began = root.is_some();
    write("first", &mut world, first, root.as_ref());
    for one in &scenario.steps {
        let mut result = match one {
            Step::Wait(_) => "ok".to_owned(),
            Step::Exits(exits) => vec!["gone"; exits.len()].join(" "),
            _ => "gone".to_owned(),
        };
        if let Some(mut tree) = root.take() {
            result = step(&mut world, &mut tree, one);
            if world.settle(&mut tree).is_ok() {
                root = Some(tree);
            } else {
                world.stop_from(&mut tree, 0);
            }
        }
        write(&name(one), &mut world, &result, root.as_ref());
    }
    if let Some(mut tree) = root.take() {
        world.stop_from(&mut tree, 0);
        write("last", &mut world, "stopped", None);
    } else if began {
        write("last", &mut world, "gone", None);
    }
    text
}
