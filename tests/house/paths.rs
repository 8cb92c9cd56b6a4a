//! The paths that code names, and what they reach.

use super::modules::{Met, Module, walk};
use super::rooms::{Place, place};
use crate::scan::{Token, behind_brackets, is, word};
use std::collections::BTreeMap;

/// A path in code, resolved to the crate root.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) path: Vec<String>,
    /// The name it goes by, if `as` gave it another.
    pub(crate) alias: Option<String>,
    pub(crate) line: usize,
}

/// Reads the path or use tree at `at`, whose first segment stands in `base`; returns the index
/// behind it.
fn tree(code: &[Token], mut at: usize, base: &[String], found: &mut Vec<Named>) -> usize {
    let line = code.get(at).map_or(0, |token| token.line);
    let mut path = base.to_vec();
    loop {
        if is(code, at, "{") {
            let end = behind_brackets(code, at);
            at += 1;
            while at + 1 < end {
                at = if is(code, at, ",") {
                    at + 1
                } else {
                    tree(code, at, &path, found).max(at + 1)
                };
            }
            return end;
        }
        match word(code, at) {
            _ if is(code, at, "*") => path.push("*".to_owned()),
            Some("self" | "crate") => {}
            Some("super") => drop(path.pop()),
            Some(name) => path.push(name.to_owned()),
            None => {
                // `::<` of a generic argument list: the path ended before it.
                found.push(Named {
                    path,
                    alias: None,
                    line,
                });
                return at;
            }
        }
        at += 1;
        if is(code, at, "::") {
            at += 1;
            continue;
        }
        let alias = is(code, at, "as")
            .then(|| word(code, at + 1).map(str::to_owned))
            .flatten();
        let behind = if alias.is_some() { at + 2 } else { at };
        found.push(Named { path, alias, line });
        return behind;
    }
}

/// Every path in the file that begins with `crate` or `super`, wherever it stands. No other one
/// leaves its room.
pub(crate) fn named_paths(module: &Module) -> Vec<Named> {
    let code = &module.code;
    let mut found = Vec::new();
    let mut behind = 0;
    for met in walk(code) {
        let Met::At(at, inline) = met else { continue };
        if at < behind {
            continue;
        }
        let base = match word(code, at) {
            // `pub(crate)`, `pub(super)` and `pub(in ..)` name no code.
            Some("pub") if is(code, at + 1, "(") => {
                let inside = word(code, at + 2);
                if matches!(inside, Some("crate" | "super" | "self" | "in")) {
                    behind = behind_brackets(code, at + 1);
                }
                continue;
            }
            Some("crate") if at > 0 && is(code, at - 1, "extern") => continue,
            Some("crate") => Vec::new(),
            Some("super") => module.path.iter().cloned().chain(inline).collect(),
            _ => continue,
        };
        behind = tree(code, at, &base, &mut found);
    }
    found
}

/// The names that the file's `use` declarations bring in, `pub` ones only or all.
pub(crate) fn uses(module: &Module, public_only: bool) -> Vec<Named> {
    let code = &module.code;
    let mut found = Vec::new();
    for met in walk(code) {
        let Met::At(at, inline) = met else { continue };
        // `use<'a>` is a capture list.
        if !is(code, at, "use") || is(code, at + 1, "<") {
            continue;
        }
        if public_only && !(at > 0 && is(code, at - 1, "pub")) {
            continue;
        }
        let base: Vec<String> = match word(code, at + 1) {
            Some("crate") => Vec::new(),
            _ => module.path.iter().cloned().chain(inline).collect(),
        };
        // A leading `::` means another crate, which no path of this one matches.
        let (at, base) = if is(code, at + 1, "::") {
            (at + 2, vec!["::".to_owned()])
        } else {
            (at + 1, base)
        };
        tree(code, at, &base, &mut found);
    }
    found
}

/// What `path` reaches once the re-exports of the root and of the wings are followed.
pub(crate) fn reached(path: &[String], exports: &BTreeMap<Vec<String>, Vec<String>>) -> Place {
    let mut path = path.to_vec();
    // The bound is for re-exports that lead in a circle; there the compiler speaks.
    for _ in 0..16 {
        path.retain(|segment| segment != "*");
        if let Some(place) = place(&path) {
            return place;
        }
        // The name stands in the root, or in a wing's own file.
        let depth = if place(&path[..1]).is_some() { 2 } else { 1 };
        match exports.get(&path[..depth]) {
            Some(target) => path = [target, &path[depth..]].concat(),
            None if depth == 2 => path.truncate(1),
            None => return Place::Root,
        }
    }
    Place::Root
}
