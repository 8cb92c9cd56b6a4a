//! Clients that transfer money between accounts of their own, and remember what they were told.

use super::client::{Client, Reply};
use backstop::kernel::clock::Clock;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What an account is opened with: more than the clients of a test can move.
const BALANCE: u64 = 1_000_000_000;

/// How long a client waits before it tries again.
const PAUSE: Duration = Duration::from_millis(2);

/// How often a client tries when all is over: for 10 s.
const LAST_TRIES: u32 = 5_000;

/// One in so many transfers is given up when its answer does not come.
const GIVEN_UP: u64 = 8;

/// What all clients share.
#[derive(Default)]
struct Shared {
    address: Mutex<Option<SocketAddr>>,
    is_over: AtomicBool,
    acknowledged: AtomicU64,
}

/// Clients at work.
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Result<Remembered, String>>>,
}

/// A transfer as its client knows it.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) key: String,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) amount: u64,
}

/// What a client remembers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remembered {
    /// Its accounts.
    pub(crate) accounts: [u64; 2],
    pub(crate) acknowledged: Vec<Sent>,
    /// Those that it sent, had no answer to, and did not send again.
    pub(crate) given_up: Vec<Sent>,
    /// How often it sent one again.
    pub(crate) retries: u64,
    /// How many of those had been done before.
    pub(crate) found_done: u64,
}

impl Load {
    /// Starts so many clients.
    pub(crate) fn start(clients: u64, seed: u64) -> Self {
        let shared = Arc::new(Shared::default());
        let start = |id| {
            let shared = shared.clone();
            thread::spawn(move || Teller::new(shared, id, seed).work())
        };
        Self {
            clients: (0..clients).map(start).collect(),
            shared,
        }
    }

    /// Where the ledger is now; `None`: nowhere.
    pub(crate) fn set_address(&self, address: Option<SocketAddr>) {
        *self.shared.lock() = address;
    }

    /// How many transfers were acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Ends it, and answers what the clients remember. The ledger must be there: they wait for their
    /// last answers.
    pub(crate) fn finish(self) -> Result<Vec<Remembered>, String> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let clients = self.clients.into_iter();
        let remembered = clients.map(|client| {
            let joined = client.join();
            joined.unwrap_or_else(|_| Err("a client panicked".to_owned()))
        });
        remembered.collect()
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<SocketAddr>> {
        self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One client.
struct Teller {
    shared: Arc<Shared>,
    id: u64,
    rng: fastrand::Rng,
    connection: Option<Client>,
    remembered: Remembered,
}

impl Teller {
    fn new(shared: Arc<Shared>, id: u64, seed: u64) -> Self {
        Self {
            shared,
            id,
            rng: fastrand::Rng::with_seed(seed ^ (id << 32)),
            connection: None,
            remembered: Remembered {
                accounts: [2 * id + 1, 2 * id + 2],
                ..Remembered::default()
            },
        }
    }

    fn work(mut self) -> Result<Remembered, String> {
        for account in self.remembered.accounts {
            let body = format!("{{\"balance\": {BALANCE}}}");
            self.put(&format!("/accounts/{account}"), &body, Patience::Insists)?;
        }
        let mut number = 0;
        while !self.shared.is_over.load(Ordering::Relaxed) {
            number += 1;
            self.transfer(number)?;
        }
        Ok(self.remembered)
    }

    fn transfer(&mut self, number: u64) -> Result<(), String> {
        let [mut from, mut to] = self.remembered.accounts;
        if self.rng.bool() {
            (from, to) = (to, from);
        }
        let sent = Sent {
            key: format!("{}-{number}", self.id),
            from,
            to,
            amount: self.rng.u64(1..100),
        };
        let path = format!("/transfers/{}", sent.key);
        let amount = sent.amount;
        let body = format!("{{\"from\": {from}, \"to\": {to}, \"amount\": {amount}}}");
        let patience = match self.rng.u64(0..GIVEN_UP) {
            0 => Patience::GivesUp,
            _ => Patience::Insists,
        };
        if !self.put(&path, &body, patience)? {
            self.remembered.given_up.push(sent);
            return Ok(());
        }
        self.remembered.acknowledged.push(sent);
        self.shared.acknowledged.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Sends it until there is an answer; `false` if it was given up when it had been sent.
    fn put(&mut self, path: &str, body: &str, patience: Patience) -> Result<bool, String> {
        let (mut is_retry, mut tries) = (false, 0);
        loop {
            match self.try_once(path, body) {
                Tried::Answered(reply) => {
                    let was_done = done(path, &reply)?;
                    self.remembered.found_done += u64::from(was_done && is_retry);
                    return Ok(true);
                }
                Tried::Unanswered => {
                    if matches!(patience, Patience::GivesUp) {
                        return Ok(false);
                    }
                    is_retry = true;
                    self.remembered.retries += 1;
                }
                Tried::NotSent => (),
            }
            if self.shared.is_over.load(Ordering::Relaxed) {
                tries += 1;
                if tries > LAST_TRIES || self.shared.lock().is_none() {
                    return Err(format!("{path}: the ledger is gone"));
                }
            }
            let clock = Clock::system();
            clock.park_until(clock.now() + PAUSE);
        }
    }

    /// Sends it once.
    fn try_once(&mut self, path: &str, body: &str) -> Tried {
        if self.connection.is_none() {
            let address = *self.shared.lock();
            self.connection = address.and_then(|address| Client::connect(address).ok());
        }
        let Some(connection) = &mut self.connection else {
            return Tried::NotSent;
        };
        if let Ok(reply) = connection.put(path, body) {
            return Tried::Answered(reply);
        }
        self.connection = None;
        Tried::Unanswered
    }
}

/// What a client does about a transfer that was sent and not answered.
#[derive(Clone, Copy)]
enum Patience {
    Insists,
    GivesUp,
}

/// What came of sending a transfer.
enum Tried {
    Answered(Reply),
    /// It may have been done.
    Unanswered,
    NotSent,
}

/// Whether it had been done before; an error if it was refused.
fn done(path: &str, reply: &Reply) -> Result<bool, String> {
    match reply.status {
        201 => Ok(false),
        200 => Ok(true),
        status => Err(format!("{path}: {status} {}", reply.body)),
    }
}

/// What an account must hold: what it was opened with, and what `sent` moved.
pub(crate) fn expected<'a>(account: u64, sent: impl Iterator<Item = &'a Sent>) -> u64 {
    sent.fold(BALANCE, |balance, sent| match account {
        _ if sent.from == account => balance - sent.amount,
        _ if sent.to == account => balance + sent.amount,
        _ => balance,
    })
}
