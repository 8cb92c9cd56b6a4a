//! The arms: how a server is started, and what is done about a component that is reported.

use crate::app::service::world::World;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How a fault is cured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cure {
    /// The process is killed and started again, and binds its own socket: what a shell script does.
    Naive,
    /// The process is killed and started again; its socket is its parent's and goes on listening.
    Inherited,
    /// The component is restarted, within the process.
    Microreboot,
    /// The same, and callers of the component wait at a gate.
    Gated,
}

/// An arm of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Arm {
    pub(crate) cure: Cure,
    pub(crate) retries: bool,
}

impl Arm {
    pub(crate) const ALL: [Self; 7] = [
        Self::new(Cure::Naive, false),
        Self::new(Cure::Inherited, false),
        Self::new(Cure::Microreboot, false),
        Self::new(Cure::Gated, false),
        Self::new(Cure::Inherited, true),
        Self::new(Cure::Microreboot, true),
        Self::new(Cure::Gated, true),
    ];

    const fn new(cure: Cure, retries: bool) -> Self {
        Self { cure, retries }
    }

    pub(crate) const fn name(self) -> &'static str {
        match (self.cure, self.retries) {
            (Cure::Naive, false) => "naive",
            (Cure::Naive, true) => "naive+retry",
            (Cure::Inherited, false) => "process",
            (Cure::Inherited, true) => "process+retry",
            (Cure::Microreboot, false) => "microreboot",
            (Cure::Microreboot, true) => "microreboot+retry",
            (Cure::Gated, false) => "gate",
            (Cure::Gated, true) => "gate+retry",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        let all = Self::ALL.into_iter().chain([Self::new(Cure::Naive, true)]);
        all.into_iter().find(|arm| arm.name() == name)
    }

    pub(crate) const fn restarts_process(self) -> bool {
        matches!(self.cure, Cure::Naive | Cure::Inherited)
    }
}

/// How long starts took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Starts {
    pub(crate) whole: Duration,
    pub(crate) parts: BTreeMap<String, Duration>,
}

/// A server that is killed when this is dropped.
pub(crate) struct Server {
    command: Command,
    child: Child,
    /// Held for the servers to come, unless each binds its own.
    listener: Option<TcpListener>,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start(
        cure: Cure,
        dir: &Path,
        world: World,
        exchange: SocketAddr,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", "--dir"]).arg(dir);
        command.args(["--items", &world.items.to_string()]);
        command.args(["--exchange", &exchange.to_string()]);
        let listener = match cure {
            Cure::Naive => {
                drop(listener);
                command.args(["--address", &address.to_string()]);
                None
            }
            _ => Some(listener),
        };
        match cure {
            Cure::Microreboot => drop(command.args(["--support", "microreboot"])),
            Cure::Gated => drop(command.args(["--support", "gate"])),
            Cure::Naive | Cure::Inherited => (),
        }
        let child = spawn(&mut command, listener.as_ref())?;
        Ok(Self {
            command,
            child,
            listener,
            address,
        })
    }

    /// Kills it, as nothing in it can prevent, and starts the next.
    pub(crate) fn restart(&mut self) -> io::Result<()> {
        self.kill()?;
        self.child = spawn(&mut self.command, self.listener.as_ref())?;
        Ok(())
    }

    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until it serves.
    pub(crate) fn serving(&mut self) -> io::Result<Starts> {
        let mut starts = Starts::default();
        let lines = self.child.stdout.as_mut().map(BufReader::new);
        for line in lines.into_iter().flat_map(|lines| lines.lines()) {
            let line = line?;
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["started", part, micros] => {
                    starts.parts.insert(part.to_owned(), micros_of(micros));
                }
                ["serving", micros] => {
                    starts.whole = micros_of(micros);
                    return Ok(starts);
                }
                _ => (),
            }
        }
        Err(io::Error::other("the server did not start"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.kill();
    }
}

fn spawn(command: &mut Command, listener: Option<&TcpListener>) -> io::Result<Child> {
    let stdin = match listener {
        Some(listener) => Stdio::from(OwnedFd::from(listener.try_clone()?)),
        None => Stdio::null(),
    };
    command.stdin(stdin).stdout(Stdio::piped()).spawn()
}

fn micros_of(text: &str) -> Duration {
    Duration::from_micros(text.parse().unwrap_or(0))
}
