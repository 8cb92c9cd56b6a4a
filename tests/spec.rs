//! Holds the rules: each clause of a `RULES.md` has a test that bears its id.
//!
//! A rule is a list item `- **CB5a** text` in a file `src/**/RULES.md`. A test bears ids in the
//! front of its name: `cb5a_open_ends_lazily`, or `cb5a_cb5b_...` for two. Whether a test would
//! notice that its clause is broken is for its reader to judge; that there is one is held here.

mod scan;

use scan::{Token, attribute, behind_brackets, files, is, tokens, word};
use std::collections::{BTreeMap, BTreeSet};

/// A rule's id as written, `CB5a`, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    id: String,
    at: String,
}

/// A test function and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Test {
    name: String,
    at: String,
}

/// Splits an id into family, number and letter: `CB5a` into `CB`, `5`, `a`. Case is the caller's.
fn parts(id: &str) -> Option<(&str, &str, &str)> {
    let number = id.find(|c: char| !c.is_ascii_alphabetic())?;
    let (family, rest) = id.split_at(number);
    let letter = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (number, letter) = rest.split_at(letter);
    let sound = (1..=2).contains(&family.len())
        && !number.is_empty()
        && letter.len() <= 1
        && letter.chars().all(|c| c.is_ascii_lowercase());
    sound.then_some((family, number, letter))
}

/// The rules of one file; what is not of their form is put into `wrong`.
fn rules(file: &str, text: &str, wrong: &mut Vec<String>) -> Vec<Rule> {
    let mut found = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let Some(item) = text.trim_start().strip_prefix("- **") else {
            continue;
        };
        let at = format!("{file}:{line}");
        let (id, clause) = item.split_once("**").unwrap_or((item, ""));
        let upper = parts(id).is_some_and(|(family, ..)| family == family.to_uppercase());
        if !upper {
            wrong.push(format!("{at}: `{id}` is not an id such as CB5 or CB5a"));
        } else if clause.trim().is_empty() {
            wrong.push(format!("{at}: {id} says nothing"));
        } else {
            found.push(Rule {
                id: id.to_owned(),
                at,
            });
        }
    }
    found
}

/// The test functions of one file: those with an attribute such as `#[test]` or `#[tokio::test]`,
/// in `proptest!` blocks too. An ignored test holds nothing, so it is not one of them.
fn tests(file: &str, text: &str) -> Vec<Test> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let mut runs = false;
        let mut ignored = false;
        let start = at;
        while let Some((path, inside)) = attribute(&tokens, at) {
            let last = path.rsplit("::").next().unwrap_or_default();
            runs |= ["test", "property_test"].contains(&last);
            ignored |= last == "ignore";
            at = inside.end + 1;
        }
        if at == start {
            at += 1;
        } else if runs && !ignored {
            found.extend(function(&tokens, at).map(|name| Test {
                name: name.to_owned(),
                at: format!("{file}:{}", tokens[at].line),
            }));
        }
    }
    found
}

/// The name of the function whose visibility and qualifiers begin at `at`.
fn function(tokens: &[Token], mut at: usize) -> Option<&str> {
    loop {
        at = match word(tokens, at) {
            Some("fn") => return word(tokens, at + 1),
            Some("pub") if is(tokens, at + 1, "(") => behind_brackets(tokens, at + 1),
            Some("pub" | "const" | "async" | "unsafe") => at + 1,
            _ => return None,
        };
    }
}

/// The ids, in lower case, that stand in front of a test's name; `families` are the known ones.
fn borne<'a>(name: &'a str, families: &BTreeSet<String>) -> Vec<&'a str> {
    name.split('_')
        .take_while(|part| {
            part.chars().all(|c| !c.is_ascii_uppercase())
                && parts(part).is_some_and(|(family, ..)| families.contains(family))
        })
        .collect()
}

/// Everything that is wrong between the rules and the tests.
fn unheld(rules: &[Rule], tests: &[Test]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut known: BTreeMap<String, &Rule> = BTreeMap::new();
    let mut families = BTreeSet::new();
    for rule in rules {
        let Rule { id, at } = rule;
        let lower = id.to_lowercase();
        if let Some((family, ..)) = parts(&lower) {
            families.insert(family.to_owned());
        }
        if let Some(first) = known.insert(lower, rule) {
            wrong.push(format!("{at}: {id} stands at {} already", first.at));
        }
    }
    for (id, rule) in &known {
        let parent = id.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        if parent != id && known.contains_key(parent) {
            let Rule { id, at } = rule;
            wrong.push(format!(
                "{at}: {id} is a clause of a rule that is listed as a whole too"
            ));
        }
    }
    let mut held = BTreeSet::new();
    for Test { name, at } in tests {
        for id in borne(name, &families) {
            if !known.contains_key(id) {
                wrong.push(format!("{at}: `{name}` bears `{id}`, which is no rule"));
            }
            held.insert(id);
        }
    }
    for (id, Rule { id: written, at }) in &known {
        if !held.contains(id.as_str()) {
            wrong.push(format!("{at}: no test bears {written}"));
        }
    }
    wrong
}

#[test]
fn every_clause_has_a_test_that_bears_its_id() {
    let mut wrong = Vec::new();
    let rules: Vec<Rule> = files("src", "RULES.md")
        .iter()
        .flat_map(|(file, text)| rules(file, text, &mut wrong))
        .collect();
    let tests: Vec<Test> = [files("src", ".rs"), files("tests", ".rs")]
        .concat()
        .iter()
        .flat_map(|(file, text)| tests(file, text))
        .collect();
    assert!(!rules.is_empty(), "no rules were found");
    assert!(!tests.is_empty(), "no tests were found");
    wrong.extend(unheld(&rules, &tests));
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

// --- Negative controls: each kind of violation is caught ---

const RULES: &str = "# Rules\n\nText with **G1** in it.\n\n- **CB1** One.\n- **CB5a** Two,\n  on two lines.\n  - **CB5b** Three.\n- **G2** Four.\n";

const TESTS: &str = r##"
    #[test] fn cb1_counts() {}
    #[tokio::test(start_paused = true)] async fn cb5a_cb5b_waits() {}
    proptest! { #![config(1)] #[test] fn g2_holds(x in 0..9_u8) {} }
    #[test] fn p99_is_low() {}
    #[test] fn cbs_are_fine() {}
    fn cb9_is_a_helper() {}
    // #[test] fn cb8_was_once() {}
    const _: &str = "#[test] fn cb7_is_text() {}";
"##;

/// What is wrong with these rules and tests.
fn wrong(rules_text: &str, tests_text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let rules = rules("RULES.md", rules_text, &mut wrong);
    wrong.extend(unheld(&rules, &tests("t.rs", tests_text)));
    wrong
}

#[track_caller]
fn assert_one(wrong: &[String], about: &str) {
    assert!(
        wrong.len() == 1 && wrong[0].contains(about),
        "one violation was expected, about `{about}`:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn sound_rules_and_tests_pass() {
    assert_eq!(wrong(RULES, TESTS), Vec::<String>::new());
}

#[test]
fn ids_are_told_from_other_words() {
    assert_eq!(parts("CB5a"), Some(("CB", "5", "a")));
    assert_eq!(parts("g12"), Some(("g", "12", "")));
    for word in [
        "CB", "5", "5a", "CB5ab", "CBX5", "CB5A", "CB5-", "", "cb5a6",
    ] {
        assert_eq!(parts(word), None, "{word}");
    }
}

#[test]
fn a_clause_without_a_test_is_caught() {
    let more = format!("{RULES}- **CB5c** Five.\n");
    assert_one(&wrong(&more, TESTS), "RULES.md:10: no test bears CB5c");
    for (from, to) in [
        ("#[test] fn cb1_counts", "fn cb1_counts"),
        (
            "#[test] fn cb1_counts",
            "#[test] #[ignore = \"a reason\"] fn cb1_counts",
        ),
        ("#[test] fn cb1_counts", "// #[test] fn cb1_counts"),
        ("cb1_counts", "counts_cb1"),
        ("cb1_counts", "cb1counts"),
    ] {
        assert_one(&wrong(RULES, &TESTS.replace(from, to)), "no test bears CB1");
    }
}

#[test]
fn attributes_before_and_behind_the_test_attribute_do_not_hide_it() {
    for to in [
        "#[cfg(unix)] #[test] #[should_panic(expected = \"x\")] fn cb1_",
        "#[tokio::test] pub(crate) async fn cb1_",
        "#[proptest::property_test] fn cb1_",
    ] {
        let tests = TESTS.replace("#[test] fn cb1_", to);
        assert_eq!(wrong(RULES, &tests), Vec::<String>::new(), "{to}");
    }
}

#[test]
fn a_duplicate_id_is_caught() {
    let more = format!("{RULES}- **CB1** Again.\n");
    assert_one(&wrong(&more, TESTS), "CB1 stands at RULES.md:5 already");
}

#[test]
fn a_test_that_bears_no_rule_is_caught() {
    for name in ["cb9_x", "cb5_x", "cb1a_x", "cb5a_g9_x"] {
        let more = format!("{TESTS}#[test] fn {name}() {{}}");
        assert_one(&wrong(RULES, &more), "which is no rule");
    }
}

#[test]
fn a_rule_listed_whole_and_by_clause_is_caught() {
    let more = format!("{RULES}- **CB5** Both.\n");
    let tests = format!("{TESTS}#[test] fn cb5_x() {{}}");
    let wrong = wrong(&more, &tests);
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(wrong.iter().all(|wrong| wrong.contains("as a whole too")));
}

#[test]
fn an_item_that_only_looks_like_a_rule_is_caught() {
    for item in ["- **CB-7** x", "- **cb7** x", "- **Note** x"] {
        let more = format!("{RULES}{item}\n");
        assert_one(&wrong(&more, TESTS), "is not an id");
    }
    for item in ["- **CB7**", "- **CB7** ", "- **CB7"] {
        let more = format!("{RULES}{item}\n");
        assert_one(&wrong(&more, TESTS), "CB7 says nothing");
    }
}
