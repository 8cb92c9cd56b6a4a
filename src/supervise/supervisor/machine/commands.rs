//! What an operator says. Every command is answered at once, or when what it asked for is done.

use super::children::After;
use super::{Done, Group, Machine, Mode, Out, Phase, State};
use crate::kernel::instant::Instant;
use crate::kernel::name::Name;
use crate::supervise::child::{Policy, Restart};
use crate::supervise::supervisor::error::{CommandError, Terminated};
use crate::supervise::supervisor::event::SupervisorEventKind;

impl<T> Machine<T> {
    /// Makes room for so many children.
    pub(crate) fn reserve(&mut self, more: usize) {
        self.children.reserve(more);
    }

    /// Lists a child that the first start will start.
    pub(crate) fn list(&mut self, id: Name, policy: Policy) -> Option<u32> {
        if self.children.find(id.as_str()).is_some() {
            return None;
        }
        let key = self.children.add(id, policy);
        self.children[key].state = State::Due;
        Some(key)
    }

    /// Adds a child behind all others and starts it, in a group that is being restarted in its
    /// turn. Who asks is answered when it is ready; if it is not, it is not kept.
    pub(crate) fn add(
        &mut self,
        (id, policy): (Name, Policy),
        to: T,
        now: Instant,
        out: &mut Out<T>,
    ) -> Option<u32> {
        if self.is_ending() {
            out.reply(to, Err(CommandError::Over));
            return None;
        }
        let limit = self
            .rules
            .max_children
            .map_or(usize::MAX, |max| max as usize);
        if self.children.len() >= limit {
            out.reply(to, Err(CommandError::Full));
            return None;
        }
        let Some(key) = self.list(id, policy) else {
            out.reply(to, Err(CommandError::Duplicate));
            return None;
        };
        let asked = self.children[key].asked.get_or_insert_default();
        asked.start = Some(to);
        asked.is_new = true;
        self.start_in_turn(key, now, out);
        Some(key)
    }

    /// Starts a child that is stopped.
    pub(crate) fn restart(&mut self, id: &str, to: T, now: Instant, out: &mut Out<T>) {
        let key = match self.find(id) {
            Ok(key) => key,
            Err(error) => return out.reply(to, Err(error)),
        };
        let child = &mut self.children[key];
        let refused = match child.state {
            State::Stopped => None,
            State::Orphaned if child.policy.overlap => {
                self.overlap(key);
                None
            }
            State::Orphaned => Some(CommandError::Orphaned),
            State::Running => Some(CommandError::Running),
            State::Due | State::Starting | State::Backoff => Some(CommandError::Restarting),
            State::Stopping | State::Aborted => Some(stopping(child.after)),
        };
        if let Some(error) = refused {
            return out.reply(to, Err(error));
        }
        let child = &mut self.children[key];
        child.state = State::Due;
        child.asked.get_or_insert_default().start = Some(to);
        self.start_in_turn(key, now, out);
    }

    /// Starts a child that is due, unless a sequence comes to it later.
    fn start_in_turn(&mut self, key: u32, now: Instant, out: &mut Out<T>) {
        let order = self.children[key].order;
        let is_behind = |at: u32| self.children[at].order <= order;
        let waits = match &self.mode {
            Mode::First { at: Some(at) } => is_behind(*at),
            Mode::Group(Group { first, phase, .. }) => match (first, phase) {
                (_, Phase::Start(Some(at))) => is_behind(*at),
                (Some(first), Phase::Stop(_) | Phase::Wait) => is_behind(*first),
                _ => false,
            },
            Mode::Idle => true,
            _ => false,
        };
        if !waits {
            self.start(key, now, out);
        }
        self.advance(now, out);
    }

    /// Stops a child, and calls off a restart of it.
    pub(crate) fn terminate(&mut self, id: &str, to: T, now: Instant, out: &mut Out<T>) {
        let key = match self.find(id) {
            Ok(key) => key,
            Err(error) => return out.reply(to, Err(error)),
        };
        let child = &mut self.children[key];
        let is_new = child.asked.as_ref().is_some_and(|asked| asked.is_new);
        let is_forgotten = self.rules.is_dynamic() || child.policy.restart == Restart::Temporary;
        let after = if is_new || is_forgotten {
            After::Forget
        } else {
            After::Stay
        };
        match child.state {
            State::Starting | State::Running => {
                child.asked.get_or_insert_default().stops.push(to);
                self.stop(key, after, now, out);
            }
            State::Stopping | State::Aborted => {
                child.after = after;
                child.asked.get_or_insert_default().stops.push(to);
            }
            State::Due | State::Backoff => {
                let exit = child.last_exit.clone();
                child.state = State::Stopped;
                let start = child.asked.take().and_then(|asked| asked.start);
                self.clear_deadline(key);
                if let Some(start) = start {
                    out.reply(start, Err(CommandError::Stopped));
                }
                out.reply(to, Ok(Done::Terminated(Terminated::Stopped(exit))));
                if after == After::Forget {
                    self.forget(key, now, out);
                } else {
                    self.tell(key, now, out, |child, _| SupervisorEventKind::Stopped {
                        child,
                    });
                }
            }
            State::Stopped => {
                let exit = child.last_exit.clone();
                out.reply(to, Ok(Done::Terminated(Terminated::Stopped(exit))));
                if after == After::Forget {
                    self.forget(key, now, out);
                }
            }
            State::Orphaned => {
                child.after = after;
                out.reply(to, Ok(Done::Terminated(Terminated::Orphaned)));
            }
        }
        self.advance(now, out);
    }

    /// Takes a child that is stopped off the list.
    pub(crate) fn delete(&mut self, id: &str, to: T, now: Instant, out: &mut Out<T>) {
        let key = match self.find(id) {
            Ok(key) => key,
            Err(error) => return out.reply(to, Err(error)),
        };
        let child = &self.children[key];
        let refused = match child.state {
            State::Stopped => {
                self.forget(key, now, out);
                return out.reply(to, Ok(Done::Deleted));
            }
            State::Running => CommandError::Running,
            State::Due | State::Starting | State::Backoff => CommandError::Restarting,
            State::Stopping | State::Aborted => stopping(child.after),
            State::Orphaned => CommandError::Orphaned,
        };
        out.reply(to, Err(refused));
    }

    fn find(&self, id: &str) -> Result<u32, CommandError> {
        if self.is_ending() {
            return Err(CommandError::Over);
        }
        self.children.find(id).ok_or(CommandError::NotFound)
    }
}

/// What a child that is being stopped is to others.
const fn stopping(after: After) -> CommandError {
    match after {
        After::Stay | After::Forget => CommandError::Stopping,
        After::Due | After::Restart(_) => CommandError::Restarting,
    }
}
