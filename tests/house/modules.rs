//! The files of a crate as modules, and what of them is code.

use crate::scan::{Token, attribute, behind_brackets, is, tokens, word};
use std::collections::BTreeMap;

pub(crate) type Files<'a> = &'a [(String, String)];

/// A file as a module of its crate.
#[derive(Clone, Debug)]
pub(crate) struct Module {
    /// Its module path: `["kernel", "window", "count"]`.
    pub(crate) path: Vec<String>,
    /// The path of its file.
    pub(crate) file: String,
    /// Its tokens, without what is compiled for tests only.
    pub(crate) code: Vec<Token>,
    /// Whether every module on the way from the root is `pub`.
    pub(crate) public: bool,
}

/// Whether the tokens of a `cfg` predicate can only hold in a test build.
fn needs_test(predicate: &[Token]) -> bool {
    if predicate.len() == 1 {
        return predicate[0].is("test");
    }
    if predicate.len() < 3 || !predicate[1].is("(") {
        return false;
    }
    let inside = &predicate[2..predicate.len() - 1];
    let mut depth = 0_usize;
    let mut parts = inside.split(|token| {
        if token.is("(") {
            depth += 1;
        } else if token.is(")") {
            depth = depth.saturating_sub(1);
        }
        depth == 0 && token.is(",")
    });
    match predicate[0].text.as_str() {
        "all" => parts.any(needs_test),
        "any" => parts.filter(|part| !part.is_empty()).all(needs_test),
        _ => false,
    }
}

/// Takes out the items that are compiled for tests only.
pub(crate) fn without_tests(all: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < all.len() {
        let for_tests = attribute(all, at).filter(|(path, inside)| {
            let predicate = all.get(inside.start + 2..inside.end - 1);
            path == "cfg" && predicate.is_some_and(needs_test)
        });
        if let Some((_, inside)) = for_tests {
            at = if is(all, at + 1, "!") {
                end_of_block(all, inside.end + 1)
            } else {
                behind_item(all, inside.end + 1)
            };
        } else {
            kept.push(all[at].clone());
            at += 1;
        }
    }
    kept
}

/// The index of the brace that closes the block around `at`, or the end of the file.
fn end_of_block(all: &[Token], mut at: usize) -> usize {
    while at < all.len() && !is(all, at, "}") {
        at = if is(all, at, "{") {
            behind_brackets(all, at)
        } else {
            at + 1
        };
    }
    at
}

/// The index behind the item, field, arm or statement at `at`, with its further attributes.
fn behind_item(all: &[Token], mut at: usize) -> usize {
    while let Some((_, inside)) = attribute(all, at) {
        at = inside.end + 1;
    }
    if is(all, at, "pub") {
        at += 1;
        if is(all, at, "(") {
            at = behind_brackets(all, at);
        }
    }
    let first = word(all, at).unwrap_or_default();
    let function = ["fn", "unsafe", "async", "extern"].map(|next| word(all, at + 1) == Some(next));
    let by_semicolon = ["use", "static", "type", "let"].contains(&first)
        || (first == "const" && !function.contains(&true))
        || (first == "extern" && word(all, at + 1) == Some("crate"));
    let by_comma = ![
        "fn",
        "mod",
        "struct",
        "enum",
        "union",
        "impl",
        "trait",
        "unsafe",
        "async",
        "const",
        "extern",
        "macro_rules",
    ]
    .contains(&first);
    while at < all.len() {
        if is(all, at, "{") && !by_semicolon {
            return behind_brackets(all, at);
        }
        if ["(", "[", "{"].iter().any(|open| is(all, at, open)) {
            at = behind_brackets(all, at);
        } else if is(all, at, "}") {
            return at;
        } else if is(all, at, ";") || (by_comma && !by_semicolon && is(all, at, ",")) {
            return at + 1;
        } else {
            at += 1;
        }
    }
    at
}

/// What a walk over the tokens of a file meets.
pub(crate) enum Met {
    /// `mod name;`, with the inline modules around it, and whether it and they are `pub`.
    File(Vec<String>, bool),
    /// A token of the inline modules named here.
    At(usize, Vec<String>),
}

/// Walks over a file and says in which inline modules each token stands.
pub(crate) fn walk(code: &[Token]) -> Vec<Met> {
    let mut met = Vec::new();
    let mut open: Vec<Option<(String, bool)>> = Vec::new();
    let mut named = None;
    for at in 0..code.len() {
        let inline = |open: &[Option<(String, bool)>]| -> (Vec<String>, bool) {
            let named = open.iter().flatten();
            let public = named.clone().all(|(_, public)| *public);
            (named.map(|(name, _)| name.clone()).collect(), public)
        };
        if is(code, at, "mod") {
            if let Some(name) = word(code, at + 1) {
                let public = at > 0 && is(code, at - 1, "pub");
                if is(code, at + 2, ";") {
                    let (mut path, all_public) = inline(&open);
                    path.push(name.to_owned());
                    met.push(Met::File(path, public && all_public));
                } else if is(code, at + 2, "{") {
                    named = Some((at + 2, name.to_owned(), public));
                }
            }
        }
        if is(code, at, "{") {
            open.push(
                named
                    .take_if(|(brace, ..)| *brace == at)
                    .map(|(_, name, public)| (name, public)),
            );
        } else if is(code, at, "}") {
            open.pop();
        }
        met.push(Met::At(at, inline(&open).0));
    }
    met
}

/// Follows the `mod` declarations from the crate root `root`.
///
/// With `tests` it follows also those that only a test build has. A declared file that is not
/// there is left to the compiler.
pub(crate) fn modules(files: Files<'_>, root: &str, tests: bool) -> Vec<Module> {
    let sources: BTreeMap<&str, &str> = files
        .iter()
        .map(|(p, t)| (p.as_str(), t.as_str()))
        .collect();
    let mut found: Vec<Module> = Vec::new();
    let mut ahead = vec![(root.to_owned(), Vec::new(), true)];
    while let Some((file, path, public)) = ahead.pop() {
        let Some(text) = sources.get(file.as_str()) else {
            continue;
        };
        if found.iter().any(|module| module.file == file) {
            continue;
        }
        let all = tokens(text);
        let code = if tests { all } else { without_tests(&all) };
        let stem = file.strip_suffix(".rs").unwrap_or(&file);
        let (parent, last) = stem.rsplit_once('/').unwrap_or(("", stem));
        let folder = if file == root || last == "mod" {
            parent
        } else {
            stem
        };
        for met in walk(&code) {
            let Met::File(inner, inner_public) = met else {
                continue;
            };
            let child = format!("{folder}/{}", inner.join("/"));
            let below: Vec<String> = path.iter().cloned().chain(inner).collect();
            for file in [format!("{child}.rs"), format!("{child}/mod.rs")] {
                ahead.push((file, below.clone(), public && inner_public));
            }
        }
        found.push(Module {
            path,
            file,
            code,
            public,
        });
    }
    found
}
