//! What the handles of a supervisor, and its task, share.

use super::error::{CommandError, Ended};
use super::event::SupervisorEvent;
use super::machine::{Answer, Machine};
use crate::kernel::event::Events;
use crate::kernel::name::Name;
use crate::kernel::sync::Mutex;
use crate::supervise::child::{ChildSpec, Incarnation, Link};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, OnceLock};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

pub(crate) type Reply = oneshot::Sender<Answer>;

/// What a handle asks of the task.
pub(crate) enum Command {
    Add(Box<ChildSpec>, Reply),
    Terminate(String, Reply),
    Restart(String, Reply),
    Delete(String, Reply),
    Stop,
}

pub(crate) struct Core {
    pub(super) name: Name,
    pub(super) link: Arc<Link>,
    /// Held for decisions only, and for copying.
    pub(super) machine: Mutex<Machine<Reply>>,
    pub(super) events: Events<SupervisorEvent>,
    commands: Mutex<Commands>,
    /// The incarnations that are supervisors, by child's key.
    pub(super) nested: Mutex<HashMap<u32, Arc<Incarnation>>>,
    /// Cancelled when the first start is over, either way.
    pub(super) up: CancellationToken,
    over: CancellationToken,
    ended: OnceLock<Ended>,
}

#[derive(Default)]
struct Commands {
    queue: VecDeque<Command>,
    is_closed: bool,
}

impl Core {
    pub(super) fn new(machine: Machine<Reply>, link: Link) -> Self {
        Self {
            name: machine.name.clone(),
            link: Arc::new(link),
            machine: Mutex::new(machine),
            events: Events::new(),
            commands: Mutex::default(),
            nested: Mutex::default(),
            up: CancellationToken::new(),
            over: CancellationToken::new(),
            ended: OnceLock::new(),
        }
    }

    /// Gives a command to the task; `false` if there is none any more.
    pub(super) fn send(&self, command: Command) -> bool {
        let mut commands = self.commands.lock();
        if commands.is_closed {
            drop(commands);
            drop(command);
            return false;
        }
        commands.queue.push_back(command);
        drop(commands);
        self.link.nudge();
        true
    }

    /// The next command.
    pub(super) fn next_command(&self) -> Option<Command> {
        self.commands.lock().queue.pop_front()
    }

    /// The same, for a command that is answered.
    pub(super) async fn ask(
        &self,
        command: impl FnOnce(Reply) -> Command,
    ) -> Result<super::machine::Done, CommandError> {
        let (reply, answer) = oneshot::channel();
        if !self.send(command(reply)) {
            return Err(CommandError::Over);
        }
        answer.await.unwrap_or(Err(CommandError::Over))
    }

    /// How it ended, once it has.
    pub(super) fn ended(&self) -> Option<&Ended> {
        self.ended.get()
    }

    /// Resolves when it has ended.
    pub(super) async fn wait(&self) -> Ended {
        self.over.cancelled().await;
        self.ended.get().cloned().unwrap_or(Ended::Killed)
    }

    /// The task has ended: tells those who wait, and takes no more commands.
    pub(super) fn close(&self, ended: Ended) {
        let _ = self.ended.set(ended);
        let mut commands = self.commands.lock();
        commands.is_closed = true;
        let left = std::mem::take(&mut commands.queue);
        drop(commands);
        self.link.close();
        self.up.cancel();
        self.over.cancel();
        drop(left);
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("name", &self.name)
            .field("ended", &self.ended.get())
            .finish_non_exhaustive()
    }
}
