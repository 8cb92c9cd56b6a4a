//! The laws: functions from paths and texts to what is wrong with them.

use super::modules::{Files, Module, modules};
use super::paths::{Named, named_paths, reached, uses};
use super::rooms::{HOUSE, Place, may_name, place};
use crate::scan::{Kind, Token, attribute, is, tokens};
use std::collections::{BTreeMap, BTreeSet};

/// The most lines of code in a file; blanks, comments and tests are not counted.
pub(crate) const LONGEST_FILE: usize = 500;

/// Everything in `src/` that breaks a law of the house.
pub(crate) fn house(files: Files<'_>, paved_path: &[&str]) -> Vec<String> {
    let code = modules(files, "src/lib.rs", false);
    let all = modules(files, "src/lib.rs", true);
    let mut wrong = Vec::new();
    let mut exports = BTreeMap::new();
    for module in code.iter().filter(|module| module.path.len() < 2) {
        for Named { path, alias, .. } in uses(module, false) {
            if let Some(name) = alias.or_else(|| path.last().cloned()) {
                let inside = [module.path.as_slice(), &[name]].concat();
                if inside != path {
                    exports.insert(inside, path);
                }
            }
        }
    }
    for (file, text) in files {
        if !all.iter().any(|module| module.file == *file) {
            wrong.push(format!("{file}: no module declares it"));
        }
        wrong.extend(hidden_code(file, &tokens(text)));
    }
    for module in &code {
        let file = &module.file;
        wrong.extend(too_long(file, &module.code));
        let Some(from) = place(&module.path) else {
            wrong.push(format!("{file}: the house has no floor for this room"));
            continue;
        };
        for Named { path, line, .. } in named_paths(module) {
            let to = reached(&path, &exports);
            if !may_name(from, to) {
                let path = path.join("::");
                wrong.push(format!(
                    "{file}:{line}: `crate::{path}` is {to}, out of reach for {from}"
                ));
            }
        }
        if let Place::Room("kernel", ..) | Place::Wing("kernel") = from {
            wrong.extend(web_in_kernel(file, &module.code));
        }
    }
    wrong.extend(second_paths(&code, paved_path));
    wrong.extend(unstated_orders(files, &code));
    wrong
}

/// Whether a `#[path]` in a test names a file of the examples: that lies where it says, in no room,
/// and its one other user is an example.
fn is_example(file: &str, all: &[Token], mut inside: std::ops::Range<usize>) -> bool {
    let up = "../".repeat(file.matches('/').count());
    file.starts_with("tests/")
        && inside.any(|at| all[at].text.starts_with(&format!("\"{up}examples/")))
}

/// Code that this test could not follow: `#[path]`, `include!`, a name of its own for the crate.
fn hidden_code(file: &str, all: &[Token]) -> Vec<String> {
    let mut wrong = Vec::new();
    for at in 0..all.len() {
        let line = all[at].line;
        if let Some((path, inside)) = attribute(all, at) {
            let moved = path == "cfg_attr"
                && inside
                    .clone()
                    .any(|at| is(all, at, "path") && is(all, at + 1, "="));
            let example = path == "path" && is_example(file, all, inside.clone());
            if !example && (path == "path" || moved) {
                wrong.push(format!(
                    "{file}:{line}: `#[path]` hides where a module lies"
                ));
            }
        }
        if is(all, at, "include") && is(all, at + 1, "!") {
            wrong.push(format!("{file}:{line}: `include!` hides where code lies"));
        }
        if is(all, at, "extern") && is(all, at + 1, "crate") {
            wrong.push(format!(
                "{file}:{line}: `extern crate` gives a crate a second name"
            ));
        }
    }
    wrong
}

pub(crate) fn too_long(file: &str, code: &[Token]) -> Option<String> {
    let lines: BTreeSet<usize> = code.iter().flat_map(|t| t.line..=t.last_line).collect();
    let lines = lines.len();
    (lines > LONGEST_FILE).then(|| format!("{file}: {lines} lines of code; {LONGEST_FILE} at most"))
}

fn web_in_kernel(file: &str, code: &[Token]) -> Vec<String> {
    code.iter()
        .filter(|token| {
            ["tower", "axum"].iter().any(|name| {
                token.is(name)
                    || (token.kind == Kind::Word && token.text.starts_with(&format!("{name}_")))
            })
        })
        .map(|token| {
            format!(
                "{file}:{}: the kernel knows no `{}`",
                token.line, token.text
            )
        })
        .collect()
}

/// Public re-exports that give a type a second path.
fn second_paths(code: &[Module], paved_path: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    for module in code {
        for Named { path, alias, line } in uses(module, true) {
            let name = match &alias {
                Some(alias) => format!("{} as {alias}", path.join("::")),
                None => path.join("::"),
            };
            let file = &module.file;
            if module.path.is_empty() {
                if !paved_path.contains(&name.as_str()) {
                    wrong.push(format!(
                        "{file}:{line}: `{name}` is not on the list of the paved path"
                    ));
                }
                continue;
            }
            let holder = &path[..path.len().saturating_sub(1)];
            let open = code
                .iter()
                .any(|other| other.public && other.path == holder);
            if module.public && open && holder != module.path {
                wrong.push(format!("{file}:{line}: `{name}` is public there already"));
            }
        }
    }
    let root = code.iter().find(|module| module.path.is_empty());
    let there: Vec<String> = root
        .map(|root| uses(root, true))
        .unwrap_or_default()
        .iter()
        .map(|named| named.path.join("::"))
        .collect();
    for name in paved_path {
        if !there
            .iter()
            .any(|path| name.split(" as ").next() == Some(path))
        {
            wrong.push(format!("src/lib.rs: the paved path lacks `{name}`"));
        }
    }
    wrong
}

/// A wing whose `mod.rs` does not state the order among its rooms, for those that exist.
fn unstated_orders(files: Files<'_>, code: &[Module]) -> Vec<String> {
    let mut wrong = Vec::new();
    for &(wing, _, groups) in HOUSE {
        let file = format!("src/{wing}/mod.rs");
        let Some((_, text)) = files.iter().find(|(path, _)| *path == file) else {
            continue;
        };
        let groups: Vec<String> = groups
            .iter()
            .map(|names| {
                let built = names.iter().filter(|room| {
                    let path = [wing, room];
                    code.iter().any(|module| module.path == path)
                });
                built.copied().collect::<Vec<_>>().join(", ")
            })
            .filter(|names| !names.is_empty())
            .collect();
        let order = groups.join(" < ");
        let docs: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("//!"))
            .flat_map(str::split_whitespace)
            .collect();
        let docs = docs.join(" ").replace(['`', '[', ']'], "");
        if groups.len() > 1 && !docs.contains(&order) {
            wrong.push(format!(
                "{file}: its docs must state the order of its rooms: {order}"
            ));
        }
    }
    wrong
}

/// The files under `tests/` that no `[[test]]` of the manifest includes, and targets without a file.
pub(crate) fn test_files(manifest: &str, files: Files<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    let targets = test_targets(manifest, files);
    for root in targets {
        let included = modules(files, &root, true);
        if included.is_empty() {
            wrong.push(format!("Cargo.toml: the test target {root} has no file"));
        }
        seen.extend(included.into_iter().map(|module| module.file));
    }
    for (file, text) in files {
        if !seen.contains(file) {
            wrong.push(format!("{file}: no test binary includes it"));
        }
        wrong.extend(hidden_code(file, &tokens(text)));
    }
    wrong
}

/// The root files of the manifest's `[[test]]` tables.
fn test_targets(manifest: &str, files: Files<'_>) -> Vec<String> {
    let mut tables: Vec<BTreeMap<&str, &str>> = Vec::new();
    let mut inside = false;
    for line in manifest.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.starts_with('[') {
            inside = line.replace(' ', "") == "[[test]]";
            if inside {
                tables.push(BTreeMap::new());
            }
        } else if inside {
            let pair = line.split_once('=').zip(tables.last_mut());
            if let Some(((key, value), table)) = pair {
                table.insert(key.trim(), value.trim().trim_matches('"'));
            }
        }
    }
    tables
        .into_iter()
        .map(|table| match (table.get("path"), table.get("name")) {
            (Some(path), _) => (*path).to_owned(),
            (None, name) => {
                // Where cargo looks for a target that names no file.
                let stem = format!("tests/{}", name.unwrap_or(&""));
                let file = format!("{stem}.rs");
                if files.iter().any(|(path, _)| *path == file) {
                    file
                } else {
                    format!("{stem}/main.rs")
                }
            }
        })
        .collect()
}
