//! The state: accounts and the transfers between them, made of events.

use backstop::durable::codec::{State, StateError};
use backstop::durable::replay::{Digest, Digester, Event, EventSourced, Rejected, Undecodable};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// How many keys of transfers are remembered. A caller that tries again later than so many transfers
/// afterwards transfers twice.
pub(crate) const KEYS_KEPT: usize = 200_000;

/// The longest key of a transfer.
pub(crate) const LONGEST_KEY: usize = 64;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Entry<'a> {
    /// An account was opened, with money from outside.
    Opened { account: u64, balance: u64 },
    /// Money went from one account to another.
    #[serde(borrow)]
    Transferred(Transfer<'a>),
}

/// A transfer; its key is of the caller's choosing, and one key stands for one transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Transfer<'a> {
    pub(crate) key: &'a str,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) amount: u64,
}

/// The kind under which entries are journaled. Another form of them would get another one.
pub(crate) const ENTRY_V1: u32 = 1;

/// What is remembered of a transfer, to know it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) amount: u64,
}

/// All accounts, and the last transfers by key.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub(crate) struct Book {
    accounts: BTreeMap<u64, u64>,
    /// What came in from outside: what all accounts together hold.
    paid_in: u64,
    transfers: u64,
    keys: VecDeque<(String, Done)>,
    /// Where a key stands in `keys`, counted from the first transfer ever. Made of `keys`, so it is
    /// not stored.
    #[serde(skip)]
    by_key: HashMap<String, u64>,
}

/// A book as it is stored.
#[derive(Deserialize)]
struct Stored {
    accounts: BTreeMap<u64, u64>,
    paid_in: u64,
    transfers: u64,
    keys: VecDeque<(String, Done)>,
}

impl From<Stored> for Book {
    fn from(stored: Stored) -> Self {
        let mut book = Self {
            accounts: stored.accounts,
            paid_in: stored.paid_in,
            transfers: stored.transfers,
            keys: stored.keys,
            by_key: HashMap::new(),
        };
        book.rebuild();
        book
    }
}

/// What has become of a command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It can be done.
    New,
    /// It was done before.
    Done,
    /// It cannot be done.
    Refused(&'static str),
}

impl Book {
    /// Whether the entry can be done, or was.
    pub(crate) fn judge(&self, entry: &Entry<'_>) -> Verdict {
        match *entry {
            Entry::Opened { account, balance } => match self.accounts.get(&account) {
                Some(_) => Verdict::Done,
                None if self.paid_in.checked_add(balance).is_none() => {
                    Verdict::Refused("there is no so much money")
                }
                None => Verdict::New,
            },
            Entry::Transferred(transfer) => self.judge_transfer(transfer),
        }
    }

    fn judge_transfer(&self, transfer: Transfer<'_>) -> Verdict {
        let Transfer {
            key,
            from,
            to,
            amount,
        } = transfer;
        if let Some(done) = self.transfer(key) {
            return if (done.from, done.to, done.amount) == (from, to, amount) {
                Verdict::Done
            } else {
                Verdict::Refused("the key is that of another transfer")
            };
        }
        match (self.accounts.get(&from), self.accounts.get(&to)) {
            _ if key.is_empty() || key.len() > LONGEST_KEY => {
                Verdict::Refused("a key has 1 to 64 bytes")
            }
            _ if from == to => Verdict::Refused("it is one account"),
            (None, _) | (_, None) => Verdict::Refused("there is no such account"),
            (Some(balance), _) if *balance < amount => Verdict::Refused("the balance is too low"),
            _ => Verdict::New,
        }
    }

    /// The transfer of that key, if it was done and is remembered.
    pub(crate) fn transfer(&self, key: &str) -> Option<Done> {
        let place = self.by_key.get(key)?;
        let forgotten = self.transfers - self.keys.len() as u64;
        let place = usize::try_from(place.checked_sub(forgotten)?).ok()?;
        self.keys.get(place).map(|(_, done)| *done)
    }

    pub(crate) fn balance(&self, account: u64) -> Option<u64> {
        self.accounts.get(&account).copied()
    }

    /// What all accounts hold together.
    pub(crate) fn total(&self) -> u64 {
        self.accounts.values().sum()
    }

    pub(crate) const fn paid_in(&self) -> u64 {
        self.paid_in
    }

    pub(crate) const fn transfers(&self) -> u64 {
        self.transfers
    }
}

impl State for Book {
    const TYPE: &'static str = "ledger";

    /// Money is neither made nor lost, and what is found by key is what is there.
    fn validate(&self) -> Result<(), StateError> {
        if self.total() != self.paid_in {
            return Err(StateError::invalid(format!(
                "the accounts hold {}, and {} was paid in",
                self.total(),
                self.paid_in
            )));
        }
        if self.by_key.len() != self.keys.len() {
            return Err(StateError::invalid("keys are missing in their index"));
        }
        Ok(())
    }
}

impl EventSourced for Book {
    type Event<'a> = Entry<'a>;

    fn decode(event: Event<'_>) -> Result<Entry<'_>, Undecodable> {
        match event.kind {
            ENTRY_V1 => postcard::from_bytes(event.payload).map_err(Undecodable::new),
            kind => Err(Undecodable::new(format!("no entry is of kind {kind}"))),
        }
    }

    fn check(&self, entry: &Entry<'_>) -> Result<(), Rejected> {
        match self.judge(entry) {
            Verdict::New => Ok(()),
            Verdict::Done => Err(Rejected::new("it was done before")),
            Verdict::Refused(why) => Err(Rejected::new(why)),
        }
    }

    fn apply(&mut self, entry: Entry<'_>) -> Result<(), Rejected> {
        match entry {
            Entry::Opened { account, balance } => {
                self.accounts.insert(account, balance);
                self.paid_in += balance;
            }
            Entry::Transferred(Transfer {
                key,
                from,
                to,
                amount,
            }) => {
                let accounts = &mut self.accounts;
                *accounts.get_mut(&from).ok_or(Rejected::new("no source"))? -= amount;
                *accounts.get_mut(&to).ok_or(Rejected::new("no target"))? += amount;
                if self.keys.len() == KEYS_KEPT {
                    if let Some((oldest, _)) = self.keys.pop_front() {
                        self.by_key.remove(&oldest);
                    }
                }
                let done = Done { from, to, amount };
                self.keys.push_back((key.to_owned(), done));
                self.by_key.insert(key.to_owned(), self.transfers);
                self.transfers += 1;
            }
        }
        Ok(())
    }

    fn rebuild(&mut self) {
        let forgotten = self.transfers.saturating_sub(self.keys.len() as u64);
        let places = self.keys.iter().zip(forgotten..);
        self.by_key = places
            .map(|((key, _), place)| (key.clone(), place))
            .collect();
    }

    fn digest(&self) -> Option<Digest> {
        let accounts = self.accounts.iter();
        let digester = accounts.fold(Digester::new(), |digester, (account, balance)| {
            digester.number(*account).number(*balance)
        });
        let keys = self.keys.iter();
        let digester = keys.fold(digester, |digester, (key, done)| {
            digester
                .bytes(key.as_bytes())
                .number(done.from)
                .number(done.to)
                .number(done.amount)
        });
        let indexed = self.by_key.iter().map(|(key, place)| {
            Digester::new()
                .bytes(key.as_bytes())
                .number(*place)
                .finish()
        });
        let digester = digester.unordered(indexed);
        Some(
            digester
                .number(self.paid_in)
                .number(self.transfers)
                .finish(),
        )
    }
}
