//! What is done to the auction, and when: the same in all arms.

use crate::app::load::MIX;
use crate::app::service::site::COMPONENTS;
use fastrand::Rng;
use std::fmt;

/// A fault, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: &'static str,
    pub(crate) component: &'static str,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.kind, self.component)
    }
}

/// The kinds, and the components that can have them.
const KINDS: [(&str, &[&str]); 6] = [
    (
        "deadlock",
        &[
            "catalogue",
            "search",
            "history",
            "ratings",
            "bidding",
            "account",
            "sessions",
            "store",
        ],
    ),
    (
        "corruption",
        &["catalogue", "search", "history", "ratings", "account"],
    ),
    ("leak", &["catalogue", "search", "ratings", "bidding"]),
    (
        "panic",
        &["ratings", "history", "search", "bidding", "account"],
    ),
    ("hung", &["fees"]),
    (
        "wrong",
        &[
            "catalogue",
            "search",
            "history",
            "ratings",
            "sessions",
            "fees",
        ],
    ),
];

/// As many faults as asked for: each kind in turn, in an order that differs from round to round.
pub(crate) fn plan(count: usize, seed: u64) -> Vec<Fault> {
    let mut rng = Rng::with_seed(seed);
    let mut faults = Vec::new();
    while faults.len() < count {
        let mut round = KINDS;
        rng.shuffle(&mut round);
        faults.extend(round.iter().map(|(kind, components)| Fault {
            kind,
            component: components[rng.usize(..components.len())],
        }));
    }
    faults.truncate(count);
    faults
}

/// As [`plan`], with as many benign disturbances among them, at any component.
pub(crate) fn drill(count: usize, seed: u64) -> Vec<Fault> {
    let mut rng = Rng::with_seed(!seed);
    let mut faults = plan(count, seed);
    for _ in 0..count {
        faults.push(Fault {
            kind: BENIGN[rng.usize(..BENIGN.len())],
            component: COMPONENTS[rng.usize(..COMPONENTS.len())],
        });
    }
    rng.shuffle(&mut faults);
    faults
}

/// Disturbances that pass by themselves: three slow calls, an error.
const BENIGN: [&str; 2] = ["slow", "error"];

impl Fault {
    /// Whether nothing should be done about it.
    pub(crate) fn is_benign(self) -> bool {
        BENIGN.contains(&self.kind)
    }

    /// Whether calls hang, so that a probe waits for its timeout.
    pub(crate) fn hangs(self) -> bool {
        matches!(self.kind, "deadlock" | "hung")
    }

    /// Whether what is answered looks like an answer, which no client asks for again.
    pub(crate) fn misleads(self) -> bool {
        // The catalogue's damaged index panics; the others find nothing, or something else.
        self.kind == "wrong" || (self.kind == "corruption" && self.component != "catalogue")
    }

    /// The share of the requests that it touches.
    pub(crate) fn share(self) -> f64 {
        let touched = MIX.iter().filter(|(ask, _)| self.touches(ask));
        f64::from(touched.map(|(_, parts)| parts).sum::<u32>()) / 100.0
    }

    fn touches(self, ask: &str) -> bool {
        let through: &[&str] = match ask {
            // It is another index than the one that is damaged.
            "category" if matches!(self.kind, "corruption" | "wrong") => &[],
            "item" | "category" => &["catalogue"],
            "search" => &["search"],
            "rating" => &["ratings"],
            "fee" => &["fees"],
            "me" => &["account", "sessions"],
            "bid" => &["bidding", "sessions", "fees", "store"],
            _ => &["history"],
        };
        through.contains(&self.component)
    }
}
