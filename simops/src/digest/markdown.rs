//! Writing Markdown that says nothing but what it is given: what agents wrote stays text.

/// Longer quotes are cut.
const MAX_CHARS: usize = 200;

/// `text` as plain text in one line of Markdown: no markup, no link, no HTML, no heading can come of it.
///
/// Whitespace and control characters become single spaces, what turns the direction of reading is
/// dropped, and every character that Markdown gives a meaning within a line is escaped.
pub fn escaped(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let readable: Vec<char> = line.chars().filter(|c| !turns_direction(*c)).collect();
    let mut escaped = String::with_capacity(line.len() + 16);
    for (place, c) in readable.iter().enumerate().take(MAX_CHARS) {
        let before = &readable[place.saturating_sub(3)..place];
        let in_www = before.iter().collect::<String>().eq_ignore_ascii_case("www");
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // What would make an address of the text around it.
            '@' => escaped.push_str("&#64;"),
            ':' if readable.get(place + 1) == Some(&'/') => escaped.push_str("&#58;"),
            '.' if in_www => escaped.push_str("&#46;"),
            // Not by backslashes, which careless readers of links pass over.
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

/// A name: as code when it is one, otherwise as any text.
pub fn named(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ':' | '.');
    let is_name = !name.is_empty() && name.len() <= MAX_CHARS && name.chars().all(plain);
    if is_name { format!("`{name}`") } else { escaped(name) }
}

fn turns_direction(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A link to a path of this server. `path` is root-relative; `values` are its query, encoded here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What it leads to.
    pub label: String,
    /// Where it leads.
    pub path: String,
}

impl Link {
    /// A link without query.
    pub fn to(label: impl Into<String>, path: impl Into<String>) -> Self {
        Self { label: label.into(), path: path.into() }
    }

    /// The same link with one more value in its query.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.path.push(if self.path.contains('?') { '&' } else { '?' });
        self.path.push_str(name);
        self.path.push('=');
        self.path.push_str(&encoded(&value.to_string()));
        self
    }

    /// The link as Markdown.
    pub fn markdown(&self) -> String {
        format!("[{}]({})", self.label, self.path)
    }
}

/// `text` as a part of a path or query: all but letters, digits and `-._~` by their bytes.
pub fn encoded(text: &str) -> String {
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
