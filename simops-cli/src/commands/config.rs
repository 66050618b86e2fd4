//! `config`: runtime settings.

use clap::Subcommand;
use serde_json::{Value, json};
use simops::ops::{PatchConfig, ReasonBody};
use simops::settings::Overrides;

use crate::commands::values::assignment;
use crate::exit::Failure;
use crate::globals::Globals;
use crate::print::{self, Output};
use crate::target::{Target, get, post};

#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show one setting's value, or all with their defaults and what they allow
    #[command(after_help = "\
Examples:
  simops-cli config get
  simops-cli config get AGENT_LOOP_DELAY_SECONDS")]
    Get {
        /// The setting
        key: Option<String>,
    },
    /// Change settings, all of them or none
    #[command(after_help = "\
Examples:
  simops-cli config set AGENT_LOOP_DELAY_SECONDS=120
  simops-cli config set LLM_DAILY_BUDGET_USD_SOFT=2 LLM_DAILY_BUDGET_USD_HARD=4 --reason 'demo'")]
    Set {
        /// A setting and its new value
        #[arg(required = true, value_name = "KEY=VALUE", value_parser = assignment)]
        updates: Vec<(String, String)>,
        #[command(flatten)]
        why: ReasonBody,
    },
}

pub(crate) async fn run(globals: &Globals, command: ConfigCommand) -> Result<(), Failure> {
    let writes = matches!(command, ConfigCommand::Set { .. });
    let target = Target::of(globals, writes).await?;
    let config = target.read(get("config"), async |ops| ops.config().await).await?;
    match command {
        ConfigCommand::Get { key: None } => print::show(&all(&config), globals.output),
        ConfigCommand::Get { key: Some(key) } => {
            let value = config["effective"].get(&key).ok_or_else(|| unknown(&key, &config))?;
            print::show(&Output::record(value), globals.output)
        }
        ConfigCommand::Set { updates: texts, why } => {
            let patch = PatchConfig { updates: updates(texts, &config)?, reason: why.reason };
            let route = post("config", &patch).patch();
            let patched = target.write(route, async |w| w.patch_config(patch).await).await?;
            let applied = patched["applied"].as_object().cloned().unwrap_or_default();
            let applied =
                applied.into_iter().map(|(key, value)| json!({ "key": key, "value": value }));
            let columns = &["key", "value"];
            print::show(
                &Output::record(patched).with_rows(applied.collect(), columns),
                globals.output,
            )
        }
    }
}

/// All settings: a row for each.
fn all(config: &Value) -> Output {
    let keys = config["effective"].as_object().into_iter().flatten();
    let rows = keys.map(|(key, value)| {
        let of = |field: &str| config[field].get(key).cloned().unwrap_or_default();
        let kind = of("mutable_keys");
        json!({
            "key": key, "value": value, "default": of("defaults"), "overridden": !of("overrides").is_null(),
            "type": kind["type"], "min": kind["min"], "max": kind["max"], "description": kind["description"],
        })
    });
    let columns = &["key", "value", "default", "min", "max", "description"];
    Output::record(config).with_rows(rows.collect(), columns)
}

/// The values that `texts` spell for the settings of `config`.
pub(super) fn updates(texts: Vec<(String, String)>, config: &Value) -> Result<Overrides, Failure> {
    let mut updates = Overrides::new();
    for (key, text) in texts {
        let kind = config["mutable_keys"].get(&key).ok_or_else(|| unknown(&key, config))?;
        let value = typed(kind["type"].as_str().unwrap_or_default(), &text);
        if updates.insert(key.clone(), value).is_some() {
            return Err(Failure::usage(format!("{key} is given twice")));
        }
    }
    Ok(updates)
}

/// The value that `text` spells for a setting of type `kind`. What spells none stays text, and the
/// target says what is allowed.
fn typed(kind: &str, text: &str) -> Value {
    let value = match kind {
        "bool" => text.to_ascii_lowercase().parse::<bool>().ok().map(Value::from),
        "int" => text.parse::<i64>().ok().map(Value::from),
        "float" => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from),
        _ => None,
    };
    value.unwrap_or_else(|| Value::from(text))
}

/// A name that is none, and those it was probably meant to be.
fn unknown(key: &str, config: &Value) -> Failure {
    let keys = config["effective"].as_object().into_iter().flat_map(|keys| keys.keys());
    let near = near(key, keys.map(String::as_str));
    let hint = match near.as_slice() {
        [] => "`simops-cli config get` lists all".to_owned(),
        near => format!("did you mean {}?", near.join(" or ")),
    };
    Failure::new(format!("unknown setting: {key:?}; {hint}"))
}

/// At most three of `keys` that look like `key`, best first.
fn near<'a>(key: &str, keys: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let key = key.to_ascii_uppercase().replace('-', "_");
    let likeness = |candidate: &str| {
        if key.len() >= 4 && candidate.contains(&key) {
            return 1.0;
        }
        strsim::normalized_damerau_levenshtein(&key, candidate)
    };
    let mut scored: Vec<_> = keys.map(|candidate| (likeness(candidate), candidate)).collect();
    scored.retain(|(score, _)| *score >= 0.6);
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.into_iter().take(3).map(|(_, candidate)| candidate).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_becomes_a_value_of_the_settings_type() {
        assert_eq!(typed("bool", "TRUE"), json!(true));
        assert_eq!(typed("int", "120"), json!(120));
        assert_eq!(typed("float", "2"), json!(2.0));
        assert_eq!(typed("str", "12"), json!("12"));
        assert_eq!(typed("int", "many"), json!("many"));
        assert_eq!(typed("float", "NaN"), json!("NaN"));
    }

    #[test]
    fn names_that_look_alike_are_found() {
        let keys = ["AGENT_LOOP_DELAY_SECONDS", "LLM_DAILY_BUDGET_USD_HARD", "SIMULATION_PAUSED"];
        let near = |key| near(key, keys.into_iter());
        assert_eq!(near("agent_loop_delay"), ["AGENT_LOOP_DELAY_SECONDS"]);
        assert_eq!(near("SIMULATION_PASUED"), ["SIMULATION_PAUSED"]);
        assert!(near("COLOUR").is_empty());
    }
}
