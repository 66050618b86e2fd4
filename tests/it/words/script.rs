//! Reads the names, texts and comments.

use super::{Finding, avoided_in_name, avoided_in_prose};

/// What is wrong with a source text.
pub(super) fn findings(text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let (length, kind) = piece(rest, first);
        let piece = &rest[..length];
        match kind {
            Kind::Prose => {
                // Backquotes begin and end a text here, and do not quote code.
                for (after, word) in avoided_in_prose(piece.trim_matches('`')) {
                    findings.push(Finding::new(line + after, format!("text: {word}")));
                }
            }
            Kind::Name => {
                if let Some(word) = avoided_in_name(piece) {
                    findings.push(Finding::new(line, format!("name {piece}: {word}")));
                }
            }
            Kind::Other => {}
        }
        line += piece.matches('\n').count();
        rest = &rest[length..];
    }
    findings
}

enum Kind {
    Prose,
    Name,
    Other,
}

/// The length and kind of what a text begins with.
fn piece(text: &str, first: char) -> (usize, Kind) {
    if text.starts_with("//") {
        return (text.find('\n').unwrap_or(text.len()), Kind::Prose);
    }
    if text.starts_with("/*") {
        return (text.find("*/").map_or(text.len(), |end| end + 2), Kind::Prose);
    }
    if matches!(first, '"' | '\'' | '`') {
        return (text_length(text, first), Kind::Prose);
    }
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    if is_name(first) {
        return (text.find(|c: char| !is_name(c)).unwrap_or(text.len()), Kind::Name);
    }
    (first.len_utf8(), Kind::Other)
}

/// The length of a text in quotes. A text in `"` or `'` ends with its line: an apostrophe in a regular
/// expression does not begin one that lasts to the next.
fn text_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (place, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\n' if quote != '`' => return place,
            _ if letter == quote => return place + letter.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

#[test]
fn names_comments_and_texts_are_read() {
    let text = "const told = 1; // nobody\nshow(`so\nmany, anew`, 'said', \"it\\\"s away\");\n";
    let found: Vec<_> = findings(text).into_iter().map(|f| (f.line, f.what)).collect();
    let found: Vec<_> = found.iter().map(|(line, what)| (*line, what.as_str())).collect();
    assert_eq!(
        found,
        [
            (1, "name told: told"),
            (1, "text: nobody"),
            (3, "text: anew"),
            (3, "text: said"),
            (3, "text: away"),
        ]
    );
}
