//! Markdown formatting that is safe for text written by agents.

use crate::text::is_hidden;

/// Longer texts are truncated to this number of characters.
const MAX_CHARS: usize = 200;

/// Escapes `text` as one line of plain Markdown text. The result contains no markup, links, HTML or
/// headings.
///
/// Whitespace and control characters become single spaces, invisible and direction-changing characters
/// are removed, and all characters with a meaning in inline Markdown are escaped.
pub(crate) fn escaped(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let readable: Vec<char> = line.chars().filter(|c| !is_hidden(*c)).collect();
    let mut escaped = String::with_capacity(line.len() + 16);
    for (index, c) in readable.iter().enumerate().take(MAX_CHARS) {
        let before = &readable[index.saturating_sub(3)..index];
        let in_www = before.iter().collect::<String>().eq_ignore_ascii_case("www");
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // Prevents automatic links to addresses.
            '@' => escaped.push_str("&#64;"),
            ':' if readable.get(index + 1) == Some(&'/') => escaped.push_str("&#58;"),
            '.' if in_www => escaped.push_str("&#46;"),
            // As entities, because some parsers of links ignore backslash escapes.
            '[' => escaped.push_str("&#91;"),
            ']' => escaped.push_str("&#93;"),
            '\\' | '`' | '*' | '_' | '#' | '|' | '~' | '$' => {
                escaped.push('\\');
                escaped.push(*c);
            }
            c => escaped.push(*c),
        }
    }
    if readable.len() > MAX_CHARS {
        escaped.push('…');
    }
    escaped
}

/// Formats an identifier as code; any other text is escaped.
pub(crate) fn named(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ':' | '.');
    let is_identifier = !name.is_empty() && name.len() <= MAX_CHARS && name.chars().all(plain);
    if is_identifier { format!("`{name}`") } else { escaped(name) }
}

/// A link to a root-relative path of this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The text of the link.
    pub label: String,
    /// The path with its query.
    pub path: String,
}

impl Link {
    /// Creates a link without a query.
    pub fn to(label: impl Into<String>, path: impl Into<String>) -> Self {
        Self { label: label.into(), path: path.into() }
    }

    /// Adds a query parameter. The value is percent-encoded.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.path.push(if self.path.contains('?') { '&' } else { '?' });
        self.path.push_str(name);
        self.path.push('=');
        self.path.push_str(&encoded(&value.to_string()));
        self
    }

    /// Formats the link as Markdown.
    pub fn markdown(&self) -> String {
        format!("[{}]({})", self.label, self.path)
    }
}

/// Percent-encodes all bytes of `text` except letters, digits and `-._~`.
pub(crate) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
