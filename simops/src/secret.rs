//! Secrets: never shown, and read from the environment or from a file.

use std::fmt;

use crate::{Error, Result};

/// Shown in place of a secret.
const MASK: &str = "***";

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
