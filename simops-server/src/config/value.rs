//! Parses variables. An empty one counts as unset; an error names the variable and what is allowed.

use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;

use simops::control::WriteGate;
use simops::{Error, Result, Secret};
use url::Url;

use crate::access::{MetricsAccess, Networks};

/// A variable: its name, and its text if set.
pub(super) struct Value<'a> {
    name: &'a str,
    text: Option<&'a str>,
}

impl<'a> Value<'a> {
    pub(super) fn of(name: &'a str, text: Option<&'a String>) -> Self {
        let text = text.map(|text| text.trim()).filter(|text| !text.is_empty());
        Self { name, text }
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        self.text
    }

    /// `true` or `false`, in any case.
    pub(super) fn flag(&self, default: bool) -> Result<bool> {
        let Some(text) = self.text else { return Ok(default) };
        let parsed = text.to_ascii_lowercase().parse();
        parsed.map_err(|_| self.not_allowed("must be true or false"))
    }

    /// The write gate, if it is set.
    pub(super) fn write_gate(&self) -> Result<Option<WriteGate>> {
        let gate = self.text.map(WriteGate::parse).transpose();
        gate.map_err(|allowed| self.not_allowed(&allowed))
    }

    /// Who may read the metrics.
    pub(super) fn metrics_access(&self, in_development: bool) -> Result<MetricsAccess> {
        let text = self.text.unwrap_or(if in_development { "open" } else { "token" });
        match text.to_ascii_lowercase().as_str() {
            "open" => Ok(MetricsAccess::Open),
            "token" => Ok(MetricsAccess::Token),
            address => address.parse().map(MetricsAccess::Address).map_err(|_| {
                self.not_allowed("must be open, token, or ADDRESS:PORT, such as 127.0.0.1:9090")
            }),
        }
    }

    /// One of `words`.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)], default: T) -> Result<T> {
        let Some(text) = self.text else { return Ok(default) };
        let known = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        known.map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.not_allowed(&format!("must be {}", names.join(" or ")))
        })
    }

    /// A number within inclusive bounds, if it is set.
    pub(super) fn optional_number<T>(&self, bounds: RangeInclusive<T>) -> Result<Option<T>>
    where
        T: std::str::FromStr + PartialOrd + std::fmt::Display + Default,
    {
        self.text.map(|_| self.number(bounds, T::default())).transpose()
    }

    /// A number within inclusive bounds.
    pub(super) fn number<T>(&self, bounds: RangeInclusive<T>, default: T) -> Result<T>
    where
        T: std::str::FromStr + PartialOrd + std::fmt::Display,
    {
        let Some(text) = self.text else { return Ok(default) };
        text.parse().ok().filter(|number| bounds.contains(number)).ok_or_else(|| {
            let allowed =
                format!("must be a number between {} and {}", bounds.start(), bounds.end());
            self.not_allowed(&allowed)
        })
    }

    pub(super) fn networks(&self) -> Result<Networks> {
        Networks::parse(self.text.unwrap_or_default()).map_err(|entry| {
            let allowed =
                format!("{entry:?} is neither an IP address nor a CIDR such as 10.0.0.0/8");
            self.not_allowed(&allowed)
        })
    }

    /// A list of web origins, or `*`.
    pub(super) fn origins(&self) -> Result<Vec<String>> {
        let entries = self.text.unwrap_or_default().split(',').map(str::trim);
        let entries = entries.filter(|entry| !entry.is_empty());
        let origin = |entry: &str| (entry == "*" || is_origin(entry)).then(|| entry.to_owned());
        let allowed = "must be origins as browsers send them, such as https://www.example.org or \
                       http://localhost:3000, or * alone; a name has no wildcard, and the usual port \
                       of a scheme is left out";
        entries.map(|entry| origin(entry).ok_or_else(|| self.not_allowed(allowed))).collect()
    }

    /// The addresses of a host and port.
    pub(super) fn addresses(&self, default: &str) -> Result<Vec<SocketAddr>> {
        let found = self.text.unwrap_or(default).to_socket_addrs();
        let found = found.map(Iterator::collect).unwrap_or_default();
        if Vec::is_empty(&found) {
            return Err(self.not_allowed("must be ADDRESS:PORT, such as 127.0.0.1:8080"));
        }
        Ok(found)
    }

    /// The error for an invalid value. It quotes the value, which must not be a secret.
    pub(super) fn not_allowed(&self, allowed: &str) -> Error {
        let text = self.text.unwrap_or_default();
        Error::invalid(self.name, format!("{text:?} is not allowed; {allowed}"))
    }
}

/// The secret in the variable `name`, or in the file that the flag or variable `NAME_FILE` names.
pub(super) fn secret(
    name: &str,
    file: &Option<String>,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Option<Secret>> {
    Secret::find(name, |wanted| match wanted.ends_with("_FILE") {
        true => file.clone().or_else(|| lookup(wanted)),
        false => lookup(wanted),
    })
}

/// Whether `text` is an origin as a browser sends it: scheme, host in lower case, and a port other than
/// the scheme's.
fn is_origin(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let is_web = matches!(url.scheme(), "http" | "https") && !text.contains('*');
    is_web && url.origin().ascii_serialization() == text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_that_no_browser_sends_is_none() {
        for sent in [
            "https://www.example.org",
            "http://localhost:3000",
            "https://[::1]:8443",
            "http://10.0.0.1",
            "https://xn--bcher-kva.example",
        ] {
            assert!(is_origin(sent), "{sent}");
        }
        for never in [
            "https://*.example.org",
            "*.example.org",
            "https://*",
            "https://example.org/",
            "https://example.org:443",
            "http://example.org:80",
            "http://example.org:080",
            "https://example.org:",
            "https://ada@example.org",
            "https://example.org?x",
            "https://",
            "https://[::1",
            "https://[0:0:0:0:0:0:0:1]",
            "https://WWW.example.org",
            "https://bücher.example",
            "ftp://example.org",
            "null",
        ] {
            assert!(!is_origin(never), "{never}");
        }
    }
}
