//! Reads Rust: tokens with their places, and the comments between them.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::{Finding, avoided_in_name, avoided_in_prose};

/// Macros that log.
const LOGS: [&str; 5] = ["trace", "debug", "info", "warn", "error"];

/// What is wrong with a source text.
pub(super) fn findings(text: &str) -> Vec<Finding> {
    let tokens: TokenStream = text.parse().expect("Rust");
    let mut reader = Reader { text, end: 0, findings: Vec::new() };
    reader.read(tokens, false);
    reader.comments_until(text.len());
    reader.findings
}

struct Reader<'t> {
    text: &'t str,
    /// Where the last token ended. Between tokens there are spaces and comments.
    end: usize,
    findings: Vec<Finding>,
}

impl Reader<'_> {
    fn read(&mut self, tokens: TokenStream, in_log: bool) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut place = 0;
        while place < tokens.len() {
            self.one(&tokens, place, in_log);
            place += 1;
        }
    }

    fn one(&mut self, tokens: &[TokenTree], place: usize, in_log: bool) {
        let token = &tokens[place];
        if let TokenTree::Group(group) = token {
            let is_log = log_macro(tokens, place);
            if let Some(level @ ("warn" | "error")) = is_log.as_deref()
                && let Err(what) = code_of(group.stream())
            {
                let line = group.span_open().start().line;
                self.findings.push(Finding::new(line, format!("{level}!: {what}")));
            }
            // A doc comment is one token, and a group with the same place.
            if group.delimiter() == Delimiter::Bracket && is_doc(&group.stream()) {
                self.comments_until(group.span().byte_range().end);
                return;
            }
            self.comments_until(group.span_open().byte_range().start);
            self.end = self.end.max(group.span_open().byte_range().end);
            self.read(group.stream(), in_log || is_log.is_some());
            self.comments_until(group.span_close().byte_range().start);
            self.end = self.end.max(group.span_close().byte_range().end);
            return;
        }
        let range = token.span().byte_range();
        let line = token.span().start().line;
        // The parts of a doc comment are all at the place of the comment.
        let is_comment = self.text[range.clone()].starts_with("//")
            || self.text[range.clone()].starts_with("/*");
        if is_comment {
            return;
        }
        self.comments_until(range.start);
        self.end = self.end.max(range.end);
        match token {
            TokenTree::Ident(name) => {
                if let Some(word) = avoided_in_name(&name.to_string()) {
                    self.findings.push(Finding::new(line, format!("name {name}: {word}")));
                }
            }
            TokenTree::Literal(literal) if in_log => self.prose("log", line, &literal.to_string()),
            _ => {}
        }
    }

    /// Checks the comments from the last token to this place.
    fn comments_until(&mut self, place: usize) {
        if place <= self.end {
            return;
        }
        let line = 1 + self.text[..self.end].matches('\n').count();
        let gap = self.text[self.end..place].to_owned();
        self.end = place;
        self.prose("comment", line, &gap);
    }

    fn prose(&mut self, kind: &str, line: usize, text: &str) {
        for (after, word) in avoided_in_prose(text) {
            self.findings.push(Finding::new(line + after, format!("{kind}: {word}")));
        }
    }
}

/// The level of the log macro whose arguments the group at this place is.
fn log_macro(tokens: &[TokenTree], place: usize) -> Option<String> {
    let [TokenTree::Ident(name), TokenTree::Punct(mark)] =
        tokens.get(place.checked_sub(2)?..place)?
    else {
        return None;
    };
    let name = name.to_string();
    (mark.as_char() == '!' && LOGS.contains(&name.as_str())).then_some(name)
}

fn is_doc(attribute: &TokenStream) -> bool {
    attribute.clone().into_iter().next().is_some_and(|first| first.to_string() == "doc")
}

/// The `code` field of a log macro: snake case.
fn code_of(arguments: TokenStream) -> Result<(), String> {
    let tokens: Vec<_> = arguments.into_iter().collect();
    let code = tokens.windows(3).find_map(|three| match three {
        [TokenTree::Ident(name), TokenTree::Punct(equals), value]
            if name == "code" && equals.as_char() == '=' =>
        {
            Some(value.to_string())
        }
        _ => None,
    });
    let Some(code) = code else { return Err("no code field".to_owned()) };
    let Some(code) = code.strip_prefix('"').and_then(|code| code.strip_suffix('"')) else {
        // An expression whose values are checked where they are written.
        return Ok(());
    };
    let is_snake_case = !code.is_empty()
        && code.starts_with(|c: char| c.is_ascii_lowercase())
        && code.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_snake_case { Ok(()) } else { Err(format!("the code {code:?} is not snake_case")) }
}

#[test]
fn names_comments_docs_and_log_texts_are_read() {
    let text = r#"
//! Nobody here.
/// What was told.
fn is_told() {
    // Comes anew.
    let text = "said";
    info!("said");
    warn!(code = "went_wrong", "fine");
    error!(%text, "fine");
    tracing::warn!(code = "Went-Wrong", "fine");
} // so many
"#;
    let found: Vec<_> = findings(text).into_iter().map(|f| (f.line, f.what)).collect();
    let found: Vec<_> = found.iter().map(|(line, what)| (*line, what.as_str())).collect();
    assert_eq!(
        found,
        [
            (2, "comment: nobody"),
            (3, "comment: told"),
            (4, "name is_told: told"),
            (5, "comment: anew"),
            (7, "log: said"),
            (9, "error!: no code field"),
            (10, "warn!: the code \"Went-Wrong\" is not snake_case"),
            (11, "comment: so many"),
        ]
    );
}
