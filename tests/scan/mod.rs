//! A reader of Rust source for the tests that hold the house and the rules.
//!
//! It knows comments, strings, characters and attributes, which is all those tests need: they look
//! at paths, module declarations and function names, so a full parser would add nothing.

use std::path::Path;

/// What a token is; comments and blanks are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An identifier or keyword; a raw identifier stands without its `r#`.
    Word,
    /// One character of punctuation, or `::`.
    Mark,
    /// A string, character, number or lifetime: nothing that could be taken for a name.
    Opaque,
}

/// A token and the lines it covers.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) text: String,
    pub(crate) line: usize,
    pub(crate) last_line: usize,
}

impl Token {
    /// Whether this is the identifier, keyword or punctuation `text`.
    pub(crate) fn is(&self, text: &str) -> bool {
        self.kind != Kind::Opaque && self.text == text
    }
}

/// Whether the token at `at` is the identifier, keyword or punctuation `text`.
pub(crate) fn is(tokens: &[Token], at: usize, text: &str) -> bool {
    tokens.get(at).is_some_and(|token| token.is(text))
}

/// The identifier at `at`.
pub(crate) fn word(tokens: &[Token], at: usize) -> Option<&str> {
    tokens
        .get(at)
        .filter(|token| token.kind == Kind::Word)
        .map(|token| token.text.as_str())
}

/// Splits Rust source into tokens.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut line = 1;
    while at < source.len() {
        let rest = &source[at..];
        let (kind, length) = next(rest);
        let text = &rest[..length];
        let lines = text.matches('\n').count();
        if let Some(kind) = kind {
            found.push(Token {
                kind,
                text: match kind {
                    Kind::Word => text.strip_prefix("r#").unwrap_or(text).to_owned(),
                    Kind::Mark | Kind::Opaque => text.to_owned(),
                },
                line,
                last_line: line + lines,
            });
        }
        line += lines;
        at += length;
    }
    found
}

/// The kind and length in bytes of what `rest` begins with; no kind for blanks and comments.
fn next(rest: &str) -> (Option<Kind>, usize) {
    let first = rest.chars().next().expect("the caller stops at the end");
    if rest.starts_with("//") {
        return (None, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (None, block_comment(rest));
    }
    if let Some(length) = string(rest) {
        return (Some(Kind::Opaque), length);
    }
    if first == '\'' {
        return (Some(Kind::Opaque), character_or_lifetime(rest));
    }
    if rest.starts_with("b'") {
        return (Some(Kind::Opaque), 1 + character_or_lifetime(&rest[1..]));
    }
    if rest.starts_with("r#") && rest[2..].starts_with(starts_word) {
        return (Some(Kind::Word), 2 + word_length(&rest[2..]));
    }
    if starts_word(first) {
        return (Some(Kind::Word), word_length(rest));
    }
    if first.is_ascii_digit() {
        return (Some(Kind::Opaque), word_length(rest));
    }
    if rest.starts_with("::") {
        return (Some(Kind::Mark), 2);
    }
    let kind = (!first.is_whitespace()).then_some(Kind::Mark);
    (kind, first.len_utf8())
}

fn starts_word(first: char) -> bool {
    first == '_' || first.is_alphabetic()
}

fn word_length(rest: &str) -> usize {
    rest.find(|c: char| c != '_' && !c.is_alphanumeric())
        .unwrap_or(rest.len())
}

/// The length of a block comment; they nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// The length of a string literal of any sort, if `rest` begins with one.
fn string(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        rest.strip_prefix(prefix).is_some_and(|after| {
            let raw = prefix.ends_with('r');
            let quote = if raw {
                after.trim_start_matches('#')
            } else {
                after
            };
            quote.starts_with('"')
        })
    })?;
    let after = &rest[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = after.len() - after.trim_start_matches('#').len();
        let open = prefix.len() + hashes + 1;
        let end = format!("\"{}", "#".repeat(hashes));
        let close = rest[open..].find(&end).map(|at| open + at + end.len());
        return Some(close.unwrap_or(rest.len()));
    }
    let mut escaped = false;
    for (at, c) in after.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(prefix.len() + at + 1),
            _ => {}
        }
    }
    Some(rest.len())
}

/// The length of `'a'`, `'\n'` or `'lifetime`.
fn character_or_lifetime(rest: &str) -> usize {
    let after = &rest[1..];
    let Some(first) = after.chars().next() else {
        return 1;
    };
    if first == '\\' {
        // The escaped character may itself be a quote, so the search starts behind it.
        let escaped = after[1..].chars().next().map_or(0, char::len_utf8);
        let from = 2 + escaped;
        return rest[from..]
            .find('\'')
            .map_or(rest.len(), |at| from + at + 1);
    }
    if after[first.len_utf8()..].starts_with('\'') {
        return 2 + first.len_utf8();
    }
    1 + word_length(after)
}

/// The index behind the bracket that closes the one at `open`.
pub(crate) fn behind_brackets(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        if ["(", "[", "{"].iter().any(|mark| token.is(mark)) {
            depth += 1;
        } else if [")", "]", "}"].iter().any(|mark| token.is(mark)) {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return at + 1;
            }
        }
    }
    tokens.len()
}

/// The path of the attribute whose `#` stands at `at`, and the range of its tokens between the brackets.
///
/// The path of `#[tokio::test(start_paused = true)]` is `tokio::test`.
pub(crate) fn attribute(tokens: &[Token], at: usize) -> Option<(String, std::ops::Range<usize>)> {
    if !is(tokens, at, "#") {
        return None;
    }
    let open = if is(tokens, at + 1, "!") {
        at + 2
    } else {
        at + 1
    };
    if !is(tokens, open, "[") {
        return None;
    }
    let inside = open + 1..behind_brackets(tokens, open) - 1;
    let path = tokens
        .get(inside.clone())?
        .iter()
        .take_while(|token| token.kind == Kind::Word || token.is("::"))
        .map(|token| token.text.as_str())
        .collect();
    Some((path, inside))
}

/// Every file under `folder` of the package whose name ends with `ending`: its path inside the
/// package, with `/`, and its text.
pub(crate) fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![package.join(folder)];
    while let Some(folder) = folders.pop() {
        // A folder that is not there has no files; the callers check that they found some.
        let Ok(entries) = folder.read_dir() else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let inside = path.strip_prefix(package).expect("it lies in the package");
            let name = inside
                .iter()
                .map(|part| part.to_string_lossy())
                .collect::<Vec<_>>()
                .join("/");
            if name.ends_with(ending) {
                let text = std::fs::read_to_string(&path)
                    .unwrap_or_else(|error| panic!("{name} cannot be read: {error}"));
                found.push((name, text));
            }
        }
    }
    found.sort();
    found
}

/// The words of `source`, for the tests of the reader.
fn words(source: &str) -> Vec<String> {
    tokens(source)
        .into_iter()
        .filter(|token| token.kind == Kind::Word)
        .map(|token| token.text)
        .collect()
}

#[test]
fn comments_strings_and_characters_hold_no_words() {
    assert_eq!(words("a // b\nc /* d /* e */ f */ g"), ["a", "c", "g"]);
    assert_eq!(words(r#"a "b \" c" d"#), ["a", "d"]);
    assert_eq!(words(r##"a r#"b " c"# br"d" c"e" r"" f"##), ["a", "f"]);
    assert_eq!(words("a 'b' '\\'' '\"' c '\\u{41}' d"), ["a", "c", "d"]);
    assert_eq!(
        words("fn f<'a>(x: &'a str) -> b'q' { 1u8.pow(2) }"),
        ["fn", "f", "x", "str", "pow"]
    );
    assert_eq!(words("r#type 'ü' ü r2 b2"), ["type", "ü", "r2", "b2"]);
}

#[test]
fn tokens_know_their_lines() {
    let found = tokens("a\n\"two\nlines\"\n/* x\n */ b");
    let lines: Vec<_> = found.iter().map(|t| (t.line, t.last_line)).collect();
    assert_eq!(lines, [(1, 1), (2, 3), (5, 5)]);
}

#[test]
fn attributes_are_read_to_their_end() {
    let found = tokens("#[tokio::test(a = [1], b)] fn f() {}");
    let (path, inside) = attribute(&found, 0).expect("an attribute");
    assert_eq!(path, "tokio::test");
    assert!(is(&found, inside.end, "]") && word(&found, inside.end + 1) == Some("fn"));
    assert!(attribute(&found, 1).is_none());
}
