//! What the handles of a supervisor, and its task, share.

use super::branch::Branch;
use super::error::{CommandError, Ended};
use super::event::SupervisorEvent;
use super::machine::{Answer, Machine};
use crate::kernel::event::Events;
use crate::kernel::name::Name;
use crate::kernel::sync::Mutex;
use crate::supervise::child::{ChildSpec, Incarnation, Link};
use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use tokio::sync::{Semaphore, oneshot};
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
    /// For those who hear the whole tree.
    pub(super) branch: Arc<Branch>,
    commands: Mutex<Commands>,
    /// Room for children to be added. Who finds none waits for it here.
    room_to_add: Semaphore,
    /// The same for the other commands, which so wait for no adding.
    room_to_steer: Semaphore,
    /// The incarnations that are supervisors, by child's key.
    pub(super) nested: Mutex<HashMap<u32, Arc<Incarnation>>>,
    /// Cancelled when the first start is over, either way.
    pub(super) up: CancellationToken,
    over: CancellationToken,
    ended: OnceLock<Ended>,
}

/// How many children may be on their way to be added, and how many other commands to be heard. A
/// supervisor works off so many within milliseconds, and whoever has more to say waits for it.
pub(super) const ROOM: usize = 1_024;

/// What a command needs room among.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    Add,
    Steer,
}

#[derive(Default)]
struct Commands {
    queue: VecDeque<Command>,
    /// Once is enough.
    is_stop_given: bool,
    is_closed: bool,
}

impl Command {
    /// What it takes room of; a stop takes none.
    pub(super) const fn lane(&self) -> Option<Lane> {
        match self {
            Self::Add(..) => Some(Lane::Add),
            Self::Terminate(..) | Self::Restart(..) | Self::Delete(..) => Some(Lane::Steer),
            Self::Stop => None,
        }
    }
}

impl Core {
    pub(super) fn new(machine: Machine<Reply>, link: Link, branch: Branch) -> Self {
        Self {
            name: machine.name.clone(),
            link: Arc::new(link),
            machine: Mutex::new(machine),
            events: Events::new(),
            branch: Arc::new(branch),
            commands: Mutex::default(),
            room_to_add: Semaphore::new(ROOM),
            room_to_steer: Semaphore::new(ROOM),
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
        if matches!(command, Command::Stop) && std::mem::replace(&mut commands.is_stop_given, true)
        {
            return true;
        }
        commands.queue.push_back(command);
        drop(commands);
        self.link.nudge();
        true
    }

    /// Swaps the commands that are there into `taken`, which is empty.
    pub(super) fn take_commands(&self, taken: &mut VecDeque<Command>) {
        std::mem::swap(&mut self.commands.lock().queue, taken);
    }

    /// Gives room back: so many of that kind are worked off. Wakes those who wait for it.
    pub(super) fn make_room(&self, lane: Lane, commands: usize) {
        if commands > 0 {
            self.room(lane).add_permits(commands);
        }
    }

    const fn room(&self, lane: Lane) -> &Semaphore {
        match lane {
            Lane::Add => &self.room_to_add,
            Lane::Steer => &self.room_to_steer,
        }
    }

    /// Gives a command that is answered, in the first poll if there is room.
    pub(super) async fn ask(
        &self,
        lane: Lane,
        command: impl FnOnce(Reply) -> Command,
    ) -> Result<super::machine::Done, CommandError> {
        let room = self.room(lane);
        let permit = match room.try_acquire() {
            Ok(permit) => permit,
            Err(_) => room.acquire().await.map_err(|_| CommandError::Over)?,
        };
        // It goes with the command, and comes back from the task.
        permit.forget();
        let (reply, answer) = oneshot::channel();
        if !self.send(command(reply)) {
            return Err(CommandError::Over);
        }
        answer.await.unwrap_or(Err(CommandError::Over))
    }

    /// What leads back to it and does not keep it.
    pub(super) fn weak(self: Arc<Self>) -> Weak<dyn Any + Send + Sync> {
        let any: Arc<dyn Any + Send + Sync> = self;
        Arc::downgrade(&any)
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
        self.room_to_add.close();
        self.room_to_steer.close();
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
