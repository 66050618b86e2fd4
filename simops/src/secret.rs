//! Secrets: never shown, and read from the environment or from a file.

use std::collections::BTreeSet;
use std::fmt;

use crate::{Error, Result};

/// Shown in place of a secret.
const MASK: &str = "***";
/// The shortest strong token, in characters.
const MIN_TOKEN_CHARS: usize = 24;
/// The fewest different characters of a strong token.
const MIN_DIFFERENT_CHARS: usize = 8;
/// Words by which a token gives itself up as a placeholder.
const PLACEHOLDERS: [&str; 5] = ["password", "changeme", "secret", "token", "admin"];

/// A secret text. `Debug` and `Display` mask it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret of the variable `name`: its value, or the content of the file that the variable
    /// `NAME_FILE` names. `lookup` reads a variable; an empty one counts as unset. White space around
    /// the secret is removed.
    ///
    /// # Errors
    /// `Invalid` when both variables are set, or when the file cannot be read or is empty. The message
    /// names the variable and the file, never the secret.
    pub fn find(name: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        let set = |name: &str| {
            let text = lookup(name).map(|text| text.trim().to_owned());
            text.filter(|text| !text.is_empty())
        };
        let file_name = format!("{name}_FILE");
        match (set(name), set(&file_name)) {
            (Some(_), Some(_)) => {
                let message = format!("is set, and so is {name}: set only one of them");
                Err(Error::invalid(file_name, message))
            }
            (Some(text), None) => Ok(Some(Self(text))),
            (None, Some(path)) => Self::read(&file_name, &path).map(Some),
            (None, None) => Ok(None),
        }
    }

    fn read(file_name: &str, path: &str) -> Result<Self> {
        let refused = |why: String| Error::invalid(file_name, format!("{path}: {why}"));
        let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
        match text.trim() {
            "" => Err(refused("the file is empty".to_owned())),
            text => Ok(Self::new(text)),
        }
    }

    /// Why a token with this text can be guessed, as the end of a sentence about it; `None` if it is
    /// strong enough for production.
    pub fn weakness(&self) -> Option<String> {
        let chars: Vec<char> = self.0.chars().collect();
        let different = chars.iter().collect::<BTreeSet<_>>().len();
        let lower = self.0.to_lowercase();
        // A text of period n equals itself moved by n characters.
        let repeats = |n: usize| chars[n..] == chars[..chars.len() - n];
        if chars.len() < MIN_TOKEN_CHARS {
            Some(format!("has {} characters; at least {MIN_TOKEN_CHARS} are required", chars.len()))
        } else if different < MIN_DIFFERENT_CHARS {
            Some(format!(
                "has {different} different characters; at least {MIN_DIFFERENT_CHARS} are required"
            ))
        } else if (1..=chars.len() / 2).any(repeats) {
            Some("is a repeated block of characters".to_owned())
        } else {
            let word = PLACEHOLDERS.into_iter().find(|word| lower.contains(word))?;
            Some(format!("contains {word:?}, as placeholders do"))
        }
    }

    /// The text itself: for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `text` with every occurrence of the secret masked.
    pub fn scrub(&self, text: &str) -> String {
        if self.0.is_empty() { text.to_owned() } else { text.replace(&self.0, MASK) }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({MASK})")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn find(variables: &[(&str, &str)]) -> Result<Option<String>> {
        let value = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let found = Secret::find("KEY", value)?;
        Ok(found.map(|secret| secret.expose().to_owned()))
    }

    #[test]
    fn a_secret_comes_from_its_variable_or_from_the_file_of_its_other_variable() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        std::fs::write(path, "from a file\n").unwrap();
        assert_eq!(find(&[]).unwrap(), None);
        assert_eq!(find(&[("KEY", "plain "), ("KEY_FILE", " ")]).unwrap().unwrap(), "plain");
        assert_eq!(find(&[("KEY", ""), ("KEY_FILE", path)]).unwrap().unwrap(), "from a file");
    }

    #[test]
    fn a_token_that_can_be_guessed_is_weak_and_the_reason_does_not_quote_it() {
        for (text, reason) in [
            ("k3J9x", "5 characters"),
            ("q8Zr5Wn2Lx7Vb4Tc9Ym6Ks3", "23 characters"),
            ("abcabcabdabcabdabcabcabd1112", "6 different"),
            ("k3J9xQ7zk3J9xQ7zk3J9xQ7z", "repeated block"),
            ("k3J9xQ7zk3J9xQ7zk3J9xQ7zk3J", "repeated block"),
            ("ChangeMe-q8Zr5Wn2Lx7Vb4Tc9", "changeme"),
            ("q8Zr5Wn2Lx7-mySecret-Tc9Ym", "secret"),
            ("q8Zr5Wn2Lx7-TOKEN-Tc9Ym6Ks", "token"),
            ("q8Zr5Wn2Lx7-aDmIn-Tc9Ym6Ks", "admin"),
            ("q8Zr5Wn2-passWORD-Tc9Ym6Ks", "password"),
        ] {
            let found = Secret::new(text).weakness().unwrap_or_default();
            assert!(found.contains(reason) && !found.contains(text), "{text}: {found}");
        }
        for strong in
            ["q8Zr5Wn2Lx7Vb4Tc9Ym6Ks3H", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd"]
        {
            assert_eq!(Secret::new(strong).weakness(), None, "{strong}");
        }
    }

    #[test]
    fn two_sources_a_missing_file_and_an_empty_one_are_refused_without_the_secret() {
        let both = find(&[("KEY", "hidden"), ("KEY_FILE", "/x")]).unwrap_err();
        assert_eq!(both.detail(), "KEY_FILE: is set, and so is KEY: set only one of them");
        let missing = find(&[("KEY_FILE", "/nowhere/key")]).unwrap_err();
        assert!(missing.detail().starts_with("KEY_FILE: /nowhere/key: "), "{missing}");
        let file = tempfile::NamedTempFile::new().unwrap();
        let empty = find(&[("KEY_FILE", file.path().to_str().unwrap())]).unwrap_err();
        assert!(empty.detail().ends_with("the file is empty"), "{empty}");
    }
}
