//! The project's language: identifiers, comments, docs and log texts use plain technical English, and
//! warnings and errors in logs carry a stable code.

mod rust;
mod script;

use std::path::Path;

use crate::tidy::sources;

/// Words that are avoided in names and in prose.
const AVOIDED: &[&str] = &[
    "anew", "away", "beside", "duties", "duty", "heard", "news", "nobody", "nobodys", "office",
    "patience", "purse", "said", "somebody", "tenure", "till", "told", "unsaid", "untold",
];

/// Phrases that are avoided in prose.
const AVOIDED_PHRASES: &[&str] = &["as far as", "is to", "so long", "so many"];

/// Names of earlier versions that must not come back.
const RENAMED: &[&str] = &[
    "book_the_rest",
    "CountedIn",
    "Closeout",
    "FailedStretch",
    "forget_recorded",
    "hand_over",
    "insist",
    "is_too_dear",
    "Overtaken",
    "Outdated",
    "takes_off",
    "unbooked",
    "Uncounted",
    "WithReason",
    "WorldWasReset",
    "FAREWELL_WITHIN",
    "LAST_WORD",
    "LOOK_EVERY",
    "AFTER_A_FAILURE",
    "kpi_known",
    "Allowance",
    "WasReset",
];

/// A place where an avoided word, or no code, was found.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    line: usize,
    what: String,
}

impl Finding {
    fn new(line: usize, what: impl Into<String>) -> Self {
        Self { line, what: what.into() }
    }
}

/// The tests of this test quote avoided words.
fn is_own(path: &Path) -> bool {
    path.starts_with("tests/it/words") || path.ends_with("words.rs")
}

#[test]
fn names_and_prose_are_plain_technical_english() {
    let mut findings = Vec::new();
    for (path, text) in sources(&[".rs", ".js"]) {
        if is_own(&path) {
            continue;
        }
        let found = match path.extension().and_then(|ending| ending.to_str()) {
            Some("rs") => rust::findings(&text),
            _ => script::findings(&text),
        };
        for Finding { line, what } in found {
            findings.push(format!("{}:{line}: {what}", path.display()));
        }
    }
    assert!(findings.is_empty(), "{} findings\n{}", findings.len(), findings.join("\n"));
}

/// The avoided word that an identifier consists of, in any case style.
fn avoided_in_name(name: &str) -> Option<String> {
    if RENAMED.contains(&name) {
        return Some(name.to_owned());
    }
    // A product's name.
    let name = name.replace("PagerDuty", "Pagerduty");
    words_of(&name).into_iter().find(|word| AVOIDED.contains(&word.as_str()))
}

/// The lower-case words of `snake_case`, `CamelCase` and `SCREAMING_CASE`.
fn words_of(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut previous = '_';
    for letter in name.chars() {
        let begins = letter.is_uppercase() && previous.is_lowercase();
        if begins || !letter.is_alphabetic() {
            words.push(String::new());
        }
        if letter.is_alphabetic() {
            words.last_mut().expect("never empty").extend(letter.to_lowercase());
        }
        previous = letter;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The avoided words and phrases of a text, each with the number of line feeds before it.
fn avoided_in_prose(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (line, text) in text.lines().enumerate() {
        // Code in a text is checked where it is defined.
        let prose: String = text.split('`').step_by(2).collect::<Vec<_>>().join(" ").to_lowercase();
        let words: Vec<_> =
            prose.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()).collect();
        let spaced = format!(" {} ", words.join(" "));
        found.extend(
            words.iter().filter(|word| AVOIDED.contains(word)).map(|w| (line, w.to_string())),
        );
        let phrases =
            AVOIDED_PHRASES.iter().filter(|phrase| spaced.contains(&format!(" {phrase} ")));
        found.extend(phrases.map(|phrase| (line, phrase.to_string())));
    }
    found
}

#[test]
fn words_are_found_in_names_of_every_style() {
    for name in ["told", "is_told", "ToldYou", "LAST_TOLD", "wasTold"] {
        assert_eq!(avoided_in_name(name).as_deref(), Some("told"), "{name}");
    }
    for name in ["tolden", "status", "stillness", "beside_s".trim_end_matches("_s")] {
        let avoided = avoided_in_name(name);
        assert_eq!(avoided.is_some(), name == "beside", "{name}: {avoided:?}");
    }
}

#[test]
fn words_are_found_in_prose_and_not_in_code_that_it_quotes() {
    assert_eq!(avoided_in_prose("One.\nNobody waits."), [(1, "nobody".to_owned())]);
    assert_eq!(avoided_in_prose("It is `duties`, the table."), []);
    assert_eq!(avoided_in_prose("At most so  many."), [(0, "so many".to_owned())]);
}
