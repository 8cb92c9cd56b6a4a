//! The rooms and floors of the house, and who may name whom.

/// The rooms by wing and floor.
///
/// A room names only rooms of lower floors. Within one floor and wing it also names the rooms of
/// the groups before its own; rooms of one group do not name each other.
pub(crate) const HOUSE: &[(&str, u8, &[&[&str]])] = &[
    (
        "kernel",
        0,
        &[
            &["config", "instant", "name", "priority", "shared", "sync"],
            &["clock", "ratio", "rejection", "rng", "stripe", "told"],
            &["backoff", "histogram", "outcome", "outlet"],
            &["event", "window"],
            &["budget", "managed"],
            &["keyed"],
        ],
    ),
    (
        "policy",
        1,
        &[
            &[
                "bulkhead",
                "circuit_breaker",
                "concurrency_limit",
                "errors",
                "fallback",
                "hedge",
                "rate_limiter",
                "retry",
                "throttle",
                "timeout",
            ],
            &["http"],
        ],
    ),
    (
        "policy",
        2,
        &[&["failover", "pipeline", "registry"], &["storm"]],
    ),
    ("chaos", 1, &[&["fault"]]),
    (
        "durable",
        1,
        &[
            &["storage"],
            &["codec"],
            &["journal", "snapshot"],
            &["replay"],
            &["boot"],
        ],
    ),
    // A tree is made of checks, and what a failure detector suspects is reported to a check in one.
    (
        "health",
        3,
        &[
            &["check"],
            &["tree"],
            &["calls", "failure_detector"],
            &["checks"],
        ],
    ),
    (
        "supervise",
        4,
        &[
            &["budget"],
            &["child"],
            &["supervisor"],
            &["checkpointed"],
            &["supervised"],
            &["microreboot"],
        ],
    ),
    (
        "recover",
        5,
        &[&[
            "action",
            "approval",
            "condition",
            "engine",
            "escalation",
            "guard",
            "incident",
            "plan",
        ]],
    ),
    ("rollout", 5, &[&["canary", "flag", "slo"]]),
    ("chaos", 6, &[&["experiment"]]),
    (
        "observe",
        7,
        &[&["names"], &["metrics", "report", "tracing"], &["console"]],
    ),
    // Documentation only: its pages name everything.
    (
        "guide",
        8,
        &[&[
            "from_failsafe",
            "from_polly",
            "from_resilience4j",
            "from_tower",
            "from_tower_resilience",
        ]],
    ),
];

/// Where a piece of code stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `lib.rs`, and whatever a path to the root itself may reach.
    Root,
    /// A wing's `mod.rs`, and what a path to the wing as a whole may reach.
    Wing(&'static str),
    /// A room: its wing, name, floor and group within the floor.
    Room(&'static str, &'static str, u8, usize),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Root => f.write_str("the root"),
            Self::Wing(wing) => write!(f, "all of {wing}"),
            Self::Room(wing, room, floor, _) => write!(f, "{wing}::{room} (floor {floor})"),
        }
    }
}

pub(crate) fn rooms() -> impl Iterator<Item = Place> {
    HOUSE.iter().flat_map(|&(wing, floor, groups)| {
        groups.iter().enumerate().flat_map(move |(group, names)| {
            names
                .iter()
                .map(move |room| Place::Room(wing, room, floor, group))
        })
    })
}

fn rooms_of(wing: &str) -> impl Iterator<Item = Place> {
    rooms().filter(move |place| matches!(place, Place::Room(of, ..) if *of == wing))
}

/// The place of the file or item at `path`; none if the house has no such wing or room.
pub(crate) fn place(path: &[String]) -> Option<Place> {
    let Some(first) = path.first() else {
        return Some(Place::Root);
    };
    let &(wing, ..) = HOUSE.iter().find(|(wing, ..)| wing == first)?;
    match path.get(1) {
        None => Some(Place::Wing(wing)),
        Some(name) => {
            rooms_of(wing).find(|place| matches!(place, Place::Room(_, room, ..) if room == name))
        }
    }
}

/// Whether code in `from` may name `to`.
pub(crate) fn may_name(from: Place, to: Place) -> bool {
    match (from, to) {
        (Place::Root, _) => true,
        (_, Place::Root) => false,
        (Place::Room(..), Place::Wing(wing)) => rooms_of(wing).all(|room| may_name(from, room)),
        (Place::Room(a_wing, a, a_floor, a_group), Place::Room(b_wing, b, b_floor, b_group)) => {
            (a_wing, a) == (b_wing, b)
                || b_floor < a_floor
                || (a_floor == b_floor && a_wing == b_wing && b_group < a_group)
        }
        // A wing's own file names its rooms, and what lies under the lowest of them.
        (Place::Wing(own), Place::Room(wing, _, floor, _)) => {
            own == wing
                || rooms_of(own).all(|room| matches!(room, Place::Room(_, _, f, _) if floor < f))
        }
        (Place::Wing(own), Place::Wing(wing)) => {
            own == wing || rooms_of(wing).all(|room| may_name(from, room))
        }
    }
}
