//! The configured providers and their keys.

use crate::Secret;
use crate::{Error, Result};

/// A provider with an OpenAI-compatible chat completions API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderConfig {
    /// Its name: `openrouter`, `groq`, `mistral`, `gemini`.
    pub name: String,
    /// The base URL, without `/chat/completions` and without a trailing slash.
    pub base_url: String,
    /// The API key; `None` for a provider without keys, such as a local one.
    pub key: Option<Secret>,
    /// The default model.
    pub model: String,
}

/// The name, base URL and default model of each provider that simops supports by name, in the order
/// in which a router tries them.
const KNOWN: [(&str, &str, &str); 4] = [
    ("openrouter", "https://openrouter.ai/api/v1", "meta-llama/llama-3.3-70b-instruct:free"),
    ("groq", "https://api.groq.com/openai/v1", "llama-3.1-8b-instant"),
    ("mistral", "https://api.mistral.ai/v1", "mistral-small-latest"),
    ("gemini", "https://generativelanguage.googleapis.com/v1beta/openai", "gemini-2.5-flash-lite"),
];

impl ProviderConfig {
    /// The providers that `lookup` (the environment) configures: those with `<NAME>_API_KEY` (or the
    /// file of `<NAME>_API_KEY_FILE`, see [`Secret::find`]), or with `<NAME>_BASE_URL` alone if the
    /// provider needs no key. `<NAME>_MODEL` replaces the default model. An empty value counts as unset.
    ///
    /// # Errors
    /// `Invalid` with the name of each variable whose value is not allowed. The messages contain no
    /// key, and no URL that may contain one.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Vec<Self>> {
        let (mut configs, mut invalid) = (Vec::new(), Vec::new());
        for (name, base_url, model) in KNOWN {
            let prefix = name.to_uppercase();
            let read = |suffix: &str| {
                let name = format!("{prefix}_{suffix}");
                let value = lookup(&name).map(|value| value.trim().to_owned());
                (name, value.filter(|value| !value.is_empty()))
            };
            let ((url_name, url), (model_name, own_model)) = (read("BASE_URL"), read("MODEL"));
            let key_name = format!("{prefix}_API_KEY");
            let key = match Secret::find(&key_name, &lookup) {
                Ok(key) => key,
                Err(error) => {
                    invalid.extend_from_slice(error.fields());
                    continue;
                }
            };
            if key.is_none() && url.is_none() {
                continue;
            }
            let url = url.unwrap_or_else(|| base_url.to_owned());
            let model = own_model.unwrap_or_else(|| model.to_owned());
            let checks = [
                (key_name, key.as_ref().map_or(Ok(()), |key| check_key(key.expose()))),
                (url_name, check_url(&url)),
                (model_name, check_model(&model)),
            ];
            invalid.extend(checks.into_iter().filter_map(|(field, check)| {
                Some(crate::FieldError { field, message: check.err()? })
            }));
            configs.push(Self {
                name: name.to_owned(),
                base_url: url.trim_end_matches('/').to_owned(),
                key,
                model,
            });
        }
        if invalid.is_empty() { Ok(configs) } else { Err(Error::invalid_fields(invalid)) }
    }
}

/// Each variable of each provider that may be a flag, with its help.
#[cfg(feature = "clap")]
pub(super) fn variables() -> impl Iterator<Item = (String, String)> {
    KNOWN.into_iter().flat_map(|(name, base_url, model)| {
        let prefix = name.to_uppercase();
        let key =
            format!("The file that holds the key of {name} [or the variable {prefix}_API_KEY]");
        let url =
            format!("The base URL of {name}; a provider without keys needs no more [{base_url}]");
        let model = format!("The model of {name} [{model}]");
        [("API_KEY_FILE", key), ("BASE_URL", url), ("MODEL", model)]
            .map(|(suffix, help)| (format!("{prefix}_{suffix}"), help))
    })
}

/// The variables that hold keys: never flags, because other users of the machine can read those.
#[cfg(feature = "clap")]
pub(super) fn is_secret(name: &str) -> bool {
    KNOWN.into_iter().any(|(known, ..)| name == format!("{}_API_KEY", known.to_uppercase()))
}

fn check_key(key: &str) -> Result<(), String> {
    if key.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err("a key consists of visible ASCII characters without spaces".to_owned())
    }
}

/// Checks that `url` is a base URL. The message contains it only if it cannot hold a secret.
fn check_url(url: &str) -> Result<(), String> {
    if url.contains(['@', '?', '#']) {
        return Err("a base URL has no user, password, query or fragment; set the key in its own \
                    variable"
            .to_owned());
    }
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split('/').next()).unwrap_or_default();
    if host.is_empty() || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("{url:?} is not a base URL; use http:// or https:// and a host"));
    }
    Ok(())
}

fn check_model(model: &str) -> Result<(), String> {
    if model.len() <= 200 && model.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err("a model's name has at most 200 visible ASCII characters".to_owned())
    }
}
