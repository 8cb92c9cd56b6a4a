//! What happened, as text: one form for OTP, the model and ours.

use crate::scenario::{Path, Step};

/// One of `+` runs, `-` does not, and the children of a supervisor that runs.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    Runs,
    Stopped,
    Tree(Vec<(char, Seen)>),
}

pub(crate) fn path(path: &[char]) -> String {
    if path.is_empty() {
        return "root".to_owned();
    }
    let ids: Vec<String> = path.iter().map(|id| id.to_string()).collect();
    ids.join("/")
}

pub(crate) fn tree(children: &[(char, Seen)]) -> String {
    let each: Vec<String> = children
        .iter()
        .map(|(id, seen)| match seen {
            Seen::Runs => format!("{id}+"),
            Seen::Stopped => format!("{id}-"),
            Seen::Tree(inner) => format!("{id}{}", tree(inner)),
        })
        .collect();
    format!("[{}]", each.join(" "))
}

pub(crate) fn name(step: &Step) -> String {
    let of = |above: &Path, id: char| path(&[above.as_slice(), &[id]].concat());
    match step {
        Step::Wait(ms) => format!("wait {ms}"),
        Step::Exits(exits) => exits.iter().fold("exits".to_owned(), |text, (at, why)| {
            format!("{text} {}={why}", path(at))
        }),
        Step::Terminate(above, id) => format!("terminate {}", of(above, *id)),
        Step::Restart(above, id) => format!("restart {}", of(above, *id)),
        Step::Delete(above, id) => format!("delete {}", of(above, *id)),
        Step::Add(above, child) => format!("add {}", of(above, child.id)),
    }
}

/// The text of one step; no tree is one that is gone.
pub(crate) fn entry(
    name: &str,
    events: &[String],
    result: &str,
    now: Option<&[(char, Seen)]>,
) -> String {
    let now = now.map_or_else(|| "gone".to_owned(), tree);
    let events: Vec<String> = events.iter().map(|event| format!("  {event}\n")).collect();
    format!("{name}\n{}  -> {result}\n  tree {now}\n", events.concat())
}
