//! The load generator's process, as seen from here.

use crate::app::service::world::{Bid, World};
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub(crate) struct Generator {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
    out: PathBuf,
}

/// What was recorded of a request.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) due: u64,
    pub(crate) behind: u64,
    pub(crate) kind: String,
    pub(crate) took: u64,
    pub(crate) end: String,
}

impl Record {
    /// Of the open loop.
    pub(crate) fn is_request(&self) -> bool {
        !matches!(&*self.kind, "action" | "lost_session")
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.end != "ok"
    }
}

/// What load there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) rate: f64,
    pub(crate) users: u32,
}

impl Generator {
    /// Starts it, and waits until it is logged in.
    pub(crate) fn start(
        server: SocketAddr,
        world: World,
        load: Load,
        retries: bool,
        seed: u64,
        out: &Path,
    ) -> io::Result<Self> {
        // In front of what else wants the processor, where that is allowed: it does next to nothing, and
        // all of it in time.
        let mut child = Command::new("nice")
            .args(["-n", "-10"])
            .arg(std::env::current_exe()?)
            .arg("load")
            .args(["--address", &server.to_string()])
            .args(["--items", &world.items.to_string()])
            .args(["--rate", &load.rate.to_string()])
            .args(["--users", &load.users.to_string()])
            .args(["--retries", &retries.to_string()])
            .args(["--seed", &seed.to_string()])
            .arg("--out")
            .arg(out)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let asks = child.stdin.take().expect("it is piped");
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut this = Self {
            child,
            asks,
            answers,
            out: out.to_owned(),
        };
        let line = this.line()?;
        if line != "running" {
            return Err(io::Error::other(format!("the load did not start: {line}")));
        }
        Ok(this)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    /// The bids that were `acknowledged` or `sent`.
    pub(crate) fn bids(&mut self, which: &str) -> io::Result<Vec<Bid>> {
        writeln!(self.asks, "{which}")?;
        let mut bids = Vec::new();
        loop {
            let line = self.line()?;
            if line == "." {
                return Ok(bids);
            }
            bids.push(parse_bid(&line).ok_or(io::ErrorKind::InvalidData)?);
        }
    }

    /// Ends it, and reads what it has sent and what it has recorded.
    pub(crate) fn end(mut self) -> io::Result<(Vec<Bid>, Vec<Record>)> {
        let sent = self.bids("end")?;
        self.child.wait()?;
        let text = std::fs::read_to_string(&self.out)?;
        let records = text.lines().skip(1).map(parse_record);
        let records = records.collect::<Option<_>>();
        Ok((sent, records.ok_or(io::ErrorKind::InvalidData)?))
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A bid as `key item amount`.
pub(crate) fn parse_bid(line: &str) -> Option<Bid> {
    let mut words = line.split(' ');
    Some(Bid {
        key: words.next()?.parse().ok()?,
        item: words.next()?.parse().ok()?,
        user: 0,
        amount: words.next()?.parse().ok()?,
    })
}

fn parse_record(line: &str) -> Option<Record> {
    let mut fields = line.split(',');
    let due = fields.next()?.parse().ok()?;
    let behind = fields.next()?.parse().ok()?;
    let kind = fields.next()?.to_owned();
    let took = fields.next()?.parse().ok()?;
    let _attempts = fields.next()?;
    let end = fields.next()?.to_owned();
    Some(Record {
        due,
        behind,
        kind,
        took,
        end,
    })
}
