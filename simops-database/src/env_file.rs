//! Variables of a `.env` file.
//!
//! A value is taken literally: nothing in it is expanded or escaped. Quotes around it are removed; then it
//! may hold spaces, `#` and line breaks. Outside of quotes, a `#` after a space begins a comment.

use std::collections::BTreeMap;
use std::path::Path;

use simops::llm::ProviderConfig;
use simops::{Error, Result};

use crate::Database;

/// Variables by which any request may reach another server than the one of its URL: proxies, and the
/// certificates that are trusted. In upper case.
const NETWORK: [&str; 5] =
    ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"];

/// The variables that a file has set in this process.
///
/// Whoever has written the `.env` of a folder must not get the secrets of its visitors. So a secret of
/// the environment is not sent to a server that the file names; a secret of the file itself is.
#[derive(Clone, Default)]
pub struct FileVariables(BTreeMap<String, String>);

impl FileVariables {
    /// Whether the file has set the variable `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The first variable of the file that names a proxy or trusted certificates.
    pub fn network(&self) -> Option<&str> {
        let is_network = |name: &&String| NETWORK.contains(&name.to_ascii_uppercase().as_str());
        self.0.keys().find(is_network).map(String::as_str)
    }

    /// Checks where the keys of `providers` are sent.
    ///
    /// # Errors
    /// `Invalid` with the variable of the file by which a key would be sent that the file does not hold.
    pub fn check_providers(&self, providers: &[ProviderConfig]) -> Result<()> {
        for provider in providers.iter().filter(|provider| provider.key.is_some()) {
            let prefix = provider.name.to_uppercase();
            let (key, url) = (format!("{prefix}_API_KEY"), format!("{prefix}_BASE_URL"));
            let names_url = self.holds(&url, |set| set.trim_end_matches('/') == provider.base_url);
            let destination = names_url.then_some(url.as_str()).or_else(|| self.network());
            self.check(destination, &key)?;
        }
        Ok(())
    }

    /// Checks where the password of the environment for Postgres (`PGPASSWORD`) is sent.
    ///
    /// # Errors
    /// `Invalid` if the file names `database` without a password, and the environment has it.
    pub fn check_database(&self, database: &Database) -> Result<()> {
        let password = "PGPASSWORD";
        let is_set = std::env::var_os(password).is_some_and(|value| !value.is_empty());
        let destination = ["DATABASE_URL", "DATABASE_DIRECT_URL"]
            .into_iter()
            .find(|name| is_set && self.holds(name, |set| database.asks_for_password(set)));
        self.check(destination, password)
    }

    fn holds(&self, name: &str, is: impl Fn(&str) -> bool) -> bool {
        self.0.get(name).is_some_and(|value| is(value.trim()))
    }

    /// Refuses `destination`, a variable of the file, for a secret that the file does not hold.
    fn check(&self, destination: Option<&str>, secret: &str) -> Result<()> {
        match destination.filter(|_| !self.contains(secret)) {
            Some(name) => Err(Error::invalid(
                name,
                format!(
                    "is from the file .env of this folder, but {secret} is not, so it is not sent \
                     there: if you trust that server, set {name} in the environment, too"
                ),
            )),
            None => Ok(()),
        }
    }
}

/// Sets the variables of the file at `path` that the environment does not set, and returns them; none
/// if there is no such file. To be called before the first thread starts.
///
/// # Errors
/// `Unavailable` if the file cannot be read, `Invalid` if a line is not `NAME=VALUE`. The message has the
/// number of the line, not its text, which may be a secret.
pub fn load(path: &Path) -> Result<FileVariables> {
    let name = path.display().to_string();
    let unreadable = |error: String| Error::unavailable(format!("{name} cannot be read: {error}"));
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(FileVariables::default());
        }
        Err(error) => return Err(unreadable(error.to_string())),
    };
    let mut variables = parse(&text)
        .map_err(|(line, why)| Error::invalid(name.clone(), format!("line {line} {why}")))?;
    variables.retain(|name, _| std::env::var_os(name).is_none());
    dotenvy::from_read(rendered(&variables).as_bytes())
        .map_err(|error| unreadable(error.to_string()))?;
    Ok(FileVariables(variables))
}

/// The variables of a file's text; the last of several with one name wins. An error is the number of a line
/// and what is wrong with it.
fn parse(text: &str) -> std::result::Result<BTreeMap<String, String>, (usize, &'static str)> {
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut variables = BTreeMap::new();
    while !rest.is_empty() {
        let number = text[..text.len() - rest.len()].matches('\n').count() + 1;
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            rest = after;
            continue;
        }
        let (name, value) = rest.split_once('=').ok_or((number, "is not NAME=VALUE"))?;
        let name = name.trim();
        let name = name.strip_prefix("export ").unwrap_or(name).trim_start();
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        if name.is_empty()
            || name.starts_with(|c: char| c.is_ascii_digit())
            || !name.chars().all(is_word)
        {
            return Err((number, "is not NAME=VALUE"));
        }
        let value = value.trim_start_matches([' ', '\t']);
        let value_of = match value.chars().next().filter(|first| matches!(first, '"' | '\'')) {
            Some(quote) => quoted(&value[1..], quote).map_err(|why| (number, why))?,
            None => unquoted(value),
        };
        if value_of.0.contains('\0') {
            return Err((number, "has a NUL character"));
        }
        variables.insert(name.to_owned(), value_of.0.to_owned());
        rest = value_of.1;
    }
    Ok(variables)
}

/// The value before the closing quote, and the lines after it.
fn quoted(text: &str, quote: char) -> std::result::Result<(&str, &str), &'static str> {
    let (value, after) = text.split_once(quote).ok_or("has no closing quote")?;
    let (tail, after) = after.split_once('\n').unwrap_or((after, ""));
    let is_comment = tail.starts_with([' ', '\t']) && tail.trim_start().starts_with('#');
    if !(tail.trim().is_empty() || is_comment) {
        return Err("has text after the closing quote");
    }
    Ok((value, after))
}

/// The value up to a comment or the end of the line, and the lines after it.
fn unquoted(text: &str) -> (&str, &str) {
    let (line, after) = text.split_once('\n').unwrap_or((text, ""));
    let comment = line
        .match_indices('#')
        .map(|(at, _)| at)
        .find(|at| *at == 0 || line[..*at].ends_with([' ', '\t']));
    (line[..comment.unwrap_or(line.len())].trim(), after)
}

/// The same variables in the syntax of `dotenvy`, which sets them. The standard library's function is
/// unsafe, and this workspace has no unsafe code.
fn rendered(variables: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (name, value) in variables {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$");
        text.push_str(&format!("{name}=\"{}\"\n", value.replace('\n', "\\n")));
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn values_are_literal_and_quotes_around_them_are_removed() {
        for (line, value) in [
            ("A=plain", "plain"),
            ("A=p$ss${HOME}$(id)`id`", "p$ss${HOME}$(id)`id`"),
            ("A=a\\b\\n#c", "a\\b\\n#c"),
            ("A=two words  # comment", "two words"),
            ("A=\t'a $b \"c\" \\n # d'  # comment", "a $b \"c\" \\n # d"),
            ("export A = \"it's $5\"\r", "it's $5"),
            ("A=it's", "it's"),
            ("A=", ""),
            ("A= # comment", ""),
            ("A=''", ""),
            ("A=x=y", "x=y"),
            ("\u{feff}A=first", "first"),
            ("A=1\nA=2", "2"),
            ("# A=0\n\n  A=\"two\nlines\"\nB=3", "two\nlines"),
        ] {
            let parsed = parse(line).unwrap();
            assert_eq!(parsed["A"], value, "{line:?}");
            let text = rendered(&parsed);
            let again = dotenvy::Iter::new(text.as_bytes());
            let again: BTreeMap<_, _> = again.map(|pair| pair.unwrap()).collect();
            assert_eq!(again, parsed, "{line:?}");
        }
    }

    #[test]
    fn a_line_that_is_none_is_refused_by_its_number() {
        for (text, line, why) in [
            ("A=1\nADMIN_API_TOKEN hidden", 2, "NAME=VALUE"),
            ("=1", 1, "NAME=VALUE"),
            ("A B=1", 1, "NAME=VALUE"),
            ("A=1\n\nB='x\nC=2", 3, "closing quote"),
            ("A=\"b\"c", 1, "after the closing quote"),
            ("hidden\nA=1", 1, "NAME=VALUE"),
            ("A=\0", 1, "NUL"),
        ] {
            let (number, found) = parse(text).unwrap_err();
            assert_eq!((number, found.contains(why)), (line, true), "{text:?}: {found}");
        }
    }

    #[test]
    fn a_missing_file_sets_nothing() {
        assert!(load(Path::new("/no/such/.env")).unwrap().0.is_empty());
    }

    #[test]
    fn a_key_is_sent_where_the_file_says_only_if_the_file_holds_it() {
        let provider = |name: &str, base_url: &str, key: Option<&str>| ProviderConfig {
            name: name.to_owned(),
            base_url: base_url.to_owned(),
            key: key.map(simops::Secret::new),
            model: "m".to_owned(),
        };
        let refused = |file: &str, providers: &[ProviderConfig]| {
            let checked = FileVariables(parse(file).unwrap()).check_providers(providers);
            checked.err().map(|error| error.fields()[0].field.clone())
        };
        let keyed =
            [provider("groq", "http://x/v1", Some("k")), provider("gemini", "http://y", None)];
        let url = "GROQ_BASE_URL = http://x/v1/ \n";
        assert_eq!(refused(url, &keyed).as_deref(), Some("GROQ_BASE_URL"));
        assert_eq!(refused(&format!("{url}GROQ_API_KEY=k"), &keyed), None);
        let key_file = format!("{url}GROQ_API_KEY_FILE=k");
        assert_eq!(refused(&key_file, &keyed).as_deref(), Some("GROQ_BASE_URL"));
        assert_eq!(refused("GROQ_BASE_URL=http://z", &keyed), None, "a flag names another one");
        assert_eq!(refused("GEMINI_BASE_URL=http://y", &keyed), None, "no key is sent");
        for network in ["HTTPS_PROXY", "http_proxy", "All_Proxy", "SSL_CERT_FILE"] {
            let file = format!("{network}=http://p\n");
            assert_eq!(refused(&file, &keyed).as_deref(), Some(network));
            assert_eq!(refused(&file, &keyed[1..]), None);
            assert_eq!(refused(&format!("{file}GROQ_API_KEY=k"), &keyed), None);
        }
    }
}
