//! A ledger as a process of its own, that can be killed.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running ledger; it is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) booted: BootLine,
}

/// What a ledger said of its boot.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BootLine {
    pub(crate) took: Duration,
    pub(crate) replayed: u64,
    /// The last entry in the snapshot it began with; 0: there was none.
    pub(crate) snapshot: u64,
    pub(crate) sequence: u64,
}

impl BootLine {
    fn parse(line: &str) -> Option<Self> {
        let mut boot = Self::default();
        for word in line.strip_prefix("booted ")?.split(' ') {
            let (name, value) = word.split_once('=')?;
            let value = value.parse().ok()?;
            match name {
                "micros" => boot.took = Duration::from_micros(value),
                "replayed" => boot.replayed = value,
                "snapshot" => boot.snapshot = value,
                "sequence" => boot.sequence = value,
                _ => return None,
            }
        }
        Some(boot)
    }
}

impl Server {
    /// Starts one, and waits until it serves.
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut server = Self {
            child,
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            booted: BootLine::default(),
        };
        let lines = server.child.stdout.take().map(BufReader::new);
        for line in lines.into_iter().flat_map(|lines| lines.lines()) {
            let line = line?;
            if let Some(boot) = BootLine::parse(&line) {
                server.booted = boot;
            } else if let Some(address) = line.strip_prefix("listening on ") {
                server.address = address.parse().map_err(io::Error::other)?;
                return Ok(server);
            }
        }
        let status = server.child.wait()?;
        Err(io::Error::other(format!("it did not start: {status}")))
    }

    /// Kills it, as nothing in it can prevent (`SIGKILL`).
    pub(crate) fn kill(mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
