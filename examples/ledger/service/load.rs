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
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Result<Remembered, String>>>,
}

/// A transfer as its client knows it.
#[derive(Clone, Debug)]
pub struct Sent {
    pub key: String,
    pub from: u64,
    pub to: u64,
    pub amount: u64,
}

/// What a client remembers.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    /// Its accounts.
    pub accounts: [u64; 2],
    pub acknowledged: Vec<Sent>,
    /// Those that it sent, had no answer to, and did not send again.
    pub given_up: Vec<Sent>,
    /// How often it sent one again.
    pub retries: u64,
    /// How many of those had been done before.
    pub found_done: u64,
}

impl Load {
    /// Starts so many clients.
    pub fn start(clients: u64, seed: u64) -> Self {
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
    pub fn set_address(&self, address: Option<SocketAddr>) {
        *self.shared.lock() = address;
    }

    /// How many transfers were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Ends it, and answers what the clients remember. The ledger must be there: they wait for their
    /// last answers.
    pub fn finish(self) -> Result<Vec<Remembered>, String> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let clients = self.clients.into_iter();
        let remembered = clients.map(|client| {
            let joined = client.join();
            joined.unwrap_or_else(|_| Err("a client panicked".to_owned()))
        });
        remembered.collect()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
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
            self.insist(&format!("/accounts/{account}"), &body)?;
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
        if self.rng.u64(0..GIVEN_UP) == 0 {
            match self.try_once(&path, &body) {
                Some(reply) => done(&path, &reply)?,
                None => {
                    self.remembered.given_up.push(sent);
                    return Ok(());
                }
            };
        } else {
            self.insist(&path, &body)?;
        }
        self.remembered.acknowledged.push(sent);
        self.shared.acknowledged.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Sends it until there is an answer.
    fn insist(&mut self, path: &str, body: &str) -> Result<(), String> {
        let mut is_retry = false;
        loop {
            if let Some(reply) = self.try_once(path, body) {
                let was_done = done(path, &reply)?;
                self.remembered.found_done += u64::from(was_done && is_retry);
                return Ok(());
            }
            if self.shared.is_over.load(Ordering::Relaxed) && self.shared.lock().is_none() {
                return Err(format!("{path}: the ledger is gone"));
            }
            is_retry = true;
            self.remembered.retries += 1;
            let clock = Clock::system();
            clock.park_until(clock.now() + PAUSE);
        }
    }

    /// Sends it once; no answer is no answer, whatever the reason.
    fn try_once(&mut self, path: &str, body: &str) -> Option<Reply> {
        if self.connection.is_none() {
            let address = *self.shared.lock();
            self.connection = Client::connect(address?).ok();
        }
        let reply = self.connection.as_mut()?.put(path, body).ok();
        if reply.is_none() {
            self.connection = None;
        }
        reply
    }
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
pub fn expected<'a>(account: u64, sent: impl Iterator<Item = &'a Sent>) -> u64 {
    sent.fold(BALANCE, |balance, sent| match account {
        _ if sent.from == account => balance - sent.amount,
        _ if sent.to == account => balance + sent.amount,
        _ => balance,
    })
}
