//! Which providers are configured, and with which key.

use crate::Secret;
use crate::{Error, Result};

/// A provider that speaks OpenAI's chat completions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderConfig {
    /// Its name: `openrouter`, `groq`, `mistral`, `gemini`.
    pub name: String,
    /// Where it is, without `/chat/completions` and without a slash at the end.
    pub base_url: String,
    /// Its key; none for a local one.
    pub key: Option<Secret>,
    /// The model that is asked for unless a route says otherwise.
    pub model: String,
}

/// A provider that simops knows by name.
struct Known {
    name: &'static str,
    base_url: &'static str,
    model: &'static str,
}

/// In the order in which a router tries them.
const KNOWN: [Known; 4] = [
    Known {
        name: "openrouter",
        base_url: "https://openrouter.ai/api/v1",
        model: "meta-llama/llama-3.3-70b-instruct:free",
    },
    Known {
        name: "groq",
        base_url: "https://api.groq.com/openai/v1",
        model: "llama-3.1-8b-instant",
    },
    Known { name: "mistral", base_url: "https://api.mistral.ai/v1", model: "mistral-small-latest" },
    Known {
        name: "gemini",
        base_url: "https://generativelanguage.googleapis.com/v1beta/openai",
        model: "gemini-2.5-flash-lite",
    },
];

impl ProviderConfig {
    /// The providers that `lookup` (the environment) configures: by `<NAME>_API_KEY`, or by
    /// `<NAME>_BASE_URL` alone for a keyless one. `<NAME>_MODEL` replaces the default model. An
    /// empty value is none.
    ///
    /// # Errors
    /// `Invalid` naming each variable that cannot be used. A key is never shown, nor a URL that
    /// may hold one.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Vec<Self>> {
        let (mut configs, mut wrong) = (Vec::new(), Vec::new());
        for known in &KNOWN {
            let prefix = known.name.to_uppercase();
            let read = |suffix: &str| {
                let name = format!("{prefix}_{suffix}");
                let value = lookup(&name).map(|value| value.trim().to_owned());
                (name, value.filter(|value| !value.is_empty()))
            };
            let ((key_name, key), (url_name, url), (model_name, model)) =
                (read("API_KEY"), read("BASE_URL"), read("MODEL"));
            if key.is_none() && url.is_none() {
                continue;
            }
            let url = url.unwrap_or_else(|| known.base_url.to_owned());
            let model = model.unwrap_or_else(|| known.model.to_owned());
            let checks = [
                (key_name, key.as_deref().map_or(Ok(()), check_key)),
                (url_name, check_url(&url)),
                (model_name, check_model(&model)),
            ];
            wrong.extend(checks.into_iter().filter_map(|(field, check)| {
                Some(crate::FieldError { field, message: check.err()? })
            }));
            configs.push(Self {
                name: known.name.to_owned(),
                base_url: url.trim_end_matches('/').to_owned(),
                key: key.map(Secret::new),
                model,
            });
        }
        if wrong.is_empty() { Ok(configs) } else { Err(Error::invalid_fields(wrong)) }
    }
}

/// Each variable of each provider, with what it is for.
#[cfg(feature = "clap")]
pub(super) fn variables() -> impl Iterator<Item = (String, String)> {
    KNOWN.iter().flat_map(|Known { name, base_url, model }| {
        let prefix = name.to_uppercase();
        let key = format!(
            "The key of {name}. Better set in the environment: other users of this machine can \
             see flags"
        );
        let url = format!("Where {name} is; alone it is enough for one without keys [{base_url}]");
        let model = format!("The model of {name} [{model}]");
        [("API_KEY", key), ("BASE_URL", url), ("MODEL", model)]
            .map(|(suffix, help)| (format!("{prefix}_{suffix}"), help))
    })
}

fn check_key(key: &str) -> Result<(), String> {
    if key.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err("a key consists of visible ASCII characters without spaces".to_owned())
    }
}

/// Whether `url` is a base URL; the reason shows it only if it cannot hold a secret.
fn check_url(url: &str) -> Result<(), String> {
    if url.contains(['@', '?', '#']) {
        return Err("a base URL has no user, password, query or fragment; the key has a variable \
                    of its own"
            .to_owned());
    }
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split('/').next()).unwrap_or_default();
    if host.is_empty() || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("{url:?} is no base URL; use http:// or https:// and a host"));
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
