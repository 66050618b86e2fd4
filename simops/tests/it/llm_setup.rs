//! From the environment to a router: what is read, what is refused, and what is never shown.

use std::sync::Arc;

use clap::{Args, Command, FromArgMatches};
use simops::llm::{LlmArgs, LlmConfig};
use simops::testing::{ManualClock, MemoryStore};
use simops::usage::UnpricedPolicy;

fn of(variables: &[(&str, &str)]) -> simops::Result<LlmConfig> {
    LlmConfig::from_lookup(|name| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

fn routes(config: &LlmConfig) -> Option<Vec<String>> {
    let store = Arc::new(MemoryStore::new());
    let router = config.router(store.clone(), store, Arc::new(ManualClock::default()));
    Some(router.unwrap()?.routes().map(ToString::to_string).collect())
}

#[tokio::test]
async fn without_a_provider_there_is_no_router() {
    for variables in [&[][..], &[("GROQ_API_KEY", " "), ("SIMOPS_PRICES", "")]] {
        assert_eq!(routes(&of(variables).unwrap()), None);
    }
}

#[tokio::test]
async fn configured_providers_are_routes_in_a_fixed_order() {
    let config = of(&[
        ("GEMINI_API_KEY", "k"),
        ("GROQ_BASE_URL", "http://localhost:9/v1/"),
        ("GROQ_MODEL", "tiny"),
        ("LLM_UNPRICED_POLICY", "Refuse"),
        ("LLM_STREAM", "True"),
    ])
    .unwrap();
    assert_eq!((config.unpriced, config.stream), (UnpricedPolicy::Refuse, true));
    assert_eq!(routes(&config).unwrap(), ["groq tiny", "gemini gemini-2.5-flash-lite"]);
}

#[test]
fn a_wrong_value_is_named_with_what_is_allowed() {
    let damaged = std::env::temp_dir().join(format!("simops-{}.json", uuid::Uuid::now_v7()));
    std::fs::write(&damaged, "{\"prices\": []}").unwrap();
    let damaged_name = damaged.to_str().unwrap();
    for (name, value, allowed) in [
        ("LLM_UNPRICED_POLICY", "maybe", "fallback or refuse"),
        ("LLM_STREAM", "perhaps", "true or false"),
        ("SIMOPS_PRICES", "/no/such/file", "price book"),
        ("SIMOPS_PRICES", damaged_name, "source"),
        ("GROQ_BASE_URL", "ftp://models", "http"),
    ] {
        let error = of(&[(name, value)]).unwrap_err().to_string();
        for part in [name, value, allowed] {
            assert!(error.contains(part), "{error:?} lacks {part:?}");
        }
    }
    std::fs::remove_file(damaged).unwrap();
    let error = of(&[("GROQ_API_KEY", "hidden key")]).unwrap_err().to_string();
    assert!(error.contains("GROQ_API_KEY") && !error.contains("hidden"), "{error}");
}

#[test]
fn every_variable_is_a_flag_whose_value_is_not_shown() {
    let command = || LlmArgs::augment_args(Command::new("test"));
    command().debug_assert();
    let help = command().render_long_help().to_string();
    for flag in [
        "--groq-api-key-file",
        "--gemini-base-url",
        "--simops-prices",
        "--llm-unpriced-policy",
        "--llm-stream",
    ] {
        assert!(help.contains(flag), "{help}");
    }
    assert!(command().get_arguments().all(|arg| arg.is_hide_env_values_set()));
    assert!(!help.contains("--groq-api-key "), "a key is no flag: {help}");
    let matches = command().get_matches_from(["test", "--mistral-model=m"]);
    let environment = |name: &str| (name == "MISTRAL_API_KEY").then(|| "k".to_owned());
    let config = LlmArgs::from_arg_matches(&matches).unwrap().config(environment).unwrap();
    let mistral = config.providers.iter().find(|provider| provider.name == "mistral").unwrap();
    assert_eq!((mistral.model.as_str(), mistral.key.is_some()), ("m", true));
    assert!(!format!("{config:?}").contains("\"k\""));
}
