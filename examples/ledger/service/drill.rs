//! The drill: a ledger under load is killed again and again, and audited in the end.

use super::client::Client;
use super::load::{Load, Remembered, Sent, expected};
use super::process::{BootLine, Server};
use backstop::kernel::clock::Clock;
use std::fmt;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

/// How a ledger is drilled.
pub(crate) struct Drill {
    pub(crate) kills: u64,
    pub(crate) clients: u64,
    pub(crate) seed: u64,
    /// How long it lives between two kills, at most.
    pub(crate) longest_life: Duration,
    /// Starts the ledger, on the same directory each time.
    pub(crate) command: fn(&std::path::Path) -> Command,
}

/// One life of the ledger.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) booted: BootLine,
    pub(crate) lived: Duration,
    pub(crate) acknowledged: u64,
    /// How often it had been killed while it started.
    pub(crate) killed_in_boot: u64,
}

/// What a drill came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) lives: Vec<Life>,
    pub(crate) acknowledged: u64,
    pub(crate) retries: u64,
    /// Transfers that were done, and whose answer a kill had taken.
    pub(crate) found_done: u64,
    pub(crate) given_up: u64,
    /// How many of those were done all the same.
    pub(crate) given_up_done: u64,
}

impl Drill {
    /// Runs it; an error is a promise that was broken, or a ledger that did not start.
    pub(crate) fn run(&self, dir: &std::path::Path) -> Result<Outcome, String> {
        let load = Load::start(self.clients, self.seed);
        let lives = self.lives(dir, &load);
        let (lives, last) = match lives {
            Ok(lives) => lives,
            Err(error) => {
                load.set_address(None);
                // What the clients say then is a consequence.
                let _ = load.finish();
                return Err(error);
            }
        };
        let remembered = load.finish()?;
        audit(lives, &remembered, last.address)
    }

    fn lives(&self, dir: &std::path::Path, load: &Load) -> Result<(Vec<Life>, Server), String> {
        let mut rng = fastrand::Rng::with_seed(self.seed);
        let mut lives = Vec::new();
        let mut kills = 0;
        while kills < self.kills {
            let mut killed_in_boot = 0;
            while rng.u8(0..4) == 0 && kills + 1 < self.kills {
                self.kill_in_boot(dir, rng.u64(0..30_000))?;
                killed_in_boot += 1;
                kills += 1;
            }
            let server = self.start(dir, kills)?;
            let (booted, before) = (server.booted, load.acknowledged());
            load.set_address(Some(server.address));
            let longest = u64::try_from(self.longest_life.as_micros()).unwrap_or(u64::MAX);
            let time = Duration::from_micros(rng.u64(1..=longest));
            park(time);
            server.kill().map_err(|error| error.to_string())?;
            load.set_address(None);
            kills += 1;
            lives.push(Life {
                booted,
                lived: time,
                acknowledged: load.acknowledged() - before,
                killed_in_boot,
            });
        }
        let last = self.start(dir, kills)?;
        lives.push(Life {
            booted: last.booted,
            lived: Duration::ZERO,
            acknowledged: 0,
            killed_in_boot: 0,
        });
        load.set_address(Some(last.address));
        Ok((lives, last))
    }

    fn start(&self, dir: &std::path::Path, kills: u64) -> Result<Server, String> {
        Server::start(&mut (self.command)(dir))
            .map_err(|error| format!("the ledger did not start after {kills} kills: {error}"))
    }

    /// Starts one and kills it so many microseconds later, wherever it is then.
    fn kill_in_boot(&self, dir: &std::path::Path, micros: u64) -> Result<(), String> {
        let mut child = (self.command)(dir)
            .stdout(std::process::Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        park(Duration::from_micros(micros));
        let killed = child.kill().and_then(|()| child.wait());
        killed.map(drop).map_err(|error| error.to_string())
    }
}

fn park(time: Duration) {
    let clock = Clock::system();
    clock.park_until(clock.now() + time);
}

/// Every acknowledged transfer is there once, every other one at most once, and the balances are what
/// these come to.
fn audit(
    lives: Vec<Life>,
    remembered: &[Remembered],
    address: SocketAddr,
) -> Result<Outcome, String> {
    let mut client = Client::connect(address).map_err(|error| error.to_string())?;
    let mut get = |path: String| {
        let reply = client.get(&path);
        reply.map_err(|error| format!("{path}: {error}"))
    };
    let mut outcome = Outcome {
        lives,
        acknowledged: 0,
        retries: 0,
        found_done: 0,
        given_up: 0,
        given_up_done: 0,
    };
    for client in remembered {
        for sent in &client.acknowledged {
            let reply = get(format!("/transfers/{}", sent.key))?;
            if reply.status != 200 || reply.body.trim_end() != told(sent) {
                return Err(format!("acknowledged, and not there: {sent:?}, {reply:?}"));
            }
        }
        let mut given_up_done = Vec::new();
        for sent in &client.given_up {
            let reply = get(format!("/transfers/{}", sent.key))?;
            match reply.status {
                404 => (),
                200 if reply.body.trim_end() == told(sent) => given_up_done.push(sent),
                _ => return Err(format!("{sent:?} has become {reply:?}")),
            }
        }
        for account in client.accounts {
            let there = client.acknowledged.iter();
            let want = expected(account, there.chain(given_up_done.iter().copied()));
            let found = get(format!("/accounts/{account}"))?;
            if found.body.trim_end() != want.to_string() {
                return Err(format!("account {account} should hold {want}: {found:?}"));
            }
        }
        outcome.acknowledged += client.acknowledged.len() as u64;
        outcome.retries += client.retries;
        outcome.found_done += client.found_done;
        outcome.given_up += client.given_up.len() as u64;
        outcome.given_up_done += given_up_done.len() as u64;
    }
    let transfers = outcome.acknowledged + outcome.given_up_done;
    let reply = get("/audit".to_owned())?;
    let is_whole = reply.body.contains(&format!(" transfers={transfers} "));
    if !is_whole || !reply.body.contains("state=valid") {
        return Err(format!("there should be {transfers} transfers: {reply:?}"));
    }
    Ok(outcome)
}

fn told(sent: &Sent) -> String {
    format!("{} {} {}", sent.from, sent.to, sent.amount)
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "life  recovered in  from snapshot  replayed  killed in boot     lived  acknowledged"
        )?;
        for (number, life) in self.lives.iter().enumerate() {
            let boot = life.booted;
            writeln!(
                f,
                "{number:>4}  {:>12}  {:>13}  {:>8}  {:>14}  {:>8}  {:>12}",
                format!("{:.2?}", boot.took),
                boot.snapshot,
                boot.replayed,
                life.killed_in_boot,
                format!("{} ms", life.lived.as_millis()),
                life.acknowledged,
            )?;
        }
        writeln!(
            f,
            "{} transfers acknowledged, each of them there once; {} went unanswered and were sent \
             again: {} of those had been done",
            self.acknowledged, self.retries, self.found_done
        )?;
        write!(
            f,
            "{} given up without an answer; {} of them were done, once; the balances add up",
            self.given_up, self.given_up_done
        )
    }
}
